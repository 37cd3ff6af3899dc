//! The words of findings. Whatever came from the wire is cut and quoted here, so that a title is one
//! line and shows what it holds.

use std::fmt::{self, Write as _};

use super::check::Context;
use crate::access::{Access, Peer, Role};
use crate::policy::Place;

/// Most characters of one piece of text from outside.
const LONGEST: usize = 160;

/// Characters that change how the text around them looks: bidirectional controls, zero-width and other
/// invisible ones, separators that end a line.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Text from outside: at most 160 characters, control and deceptive ones escaped.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'t>(pub &'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nearly all text is short and plain, and words are made for every access that breaks a clause.
        if self.0.len() <= LONGEST && self.0.bytes().all(|b| matches!(b, 32..=126)) {
            return f.write_str(self.0);
        }
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(LONGEST) {
            if c.is_control() || is_deceptive(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        if chars.next().is_some() {
            f.write_char('…')
        } else {
            Ok(())
        }
    }
}

/// `["dev", "prod"]`, at most eight.
pub(super) fn list(names: impl ExactSizeIterator<Item = impl fmt::Display>) -> String {
    let more = names.len().saturating_sub(8);
    let mut out = String::from("[");
    for (at, name) in names.take(8).enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        let _ = write!(out, "{comma}\"{name}\"");
    }
    if more > 0 {
        let _ = write!(out, ", and {more} more");
    }
    out.push(']');
    out
}

/// `deploy, approve or pay-read`, at most eight.
pub(super) fn any_of(names: impl ExactSizeIterator<Item = impl fmt::Display>) -> String {
    let total = names.len();
    let mut out = String::new();
    for (at, name) in names.take(8).enumerate() {
        let before = match at {
            0 => "",
            _ if at.saturating_add(1) == total => " or ",
            _ => ", ",
        };
        let _ = write!(out, "{before}{name}");
    }
    if total > 8 {
        let _ = write!(out, " or {} more", total - 8);
    }
    out
}

/// A clause of an identity with the place where it stands.
pub(super) fn clause(identity: &str, rest: fmt::Arguments<'_>, place: &Place) -> String {
    let name = crate::policy::dotted(identity);
    let mut out = format!("identities.{name}{rest}");
    if place.line > 0 {
        let _ = write!(out, " ({}:{})", Quoted(&place.file), place.line);
    }
    out
}

/// How the access' identity is called.
pub(super) fn who<'a>(access: &'a Access) -> Quoted<'a> {
    Quoted(
        access
            .identity
            .as_deref()
            .unwrap_or("an unknown credential"),
    )
}

/// `METHOD host/route in ENVIRONMENT by WORKLOAD (refused by the server with 403)`.
pub(super) struct Scene<'a>(pub(super) &'a Context<'a>, pub(super) &'a Access);

impl fmt::Display for Scene<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(context, access) = self;
        // Routes begin with a slash, but `*`, authorities and MCP's operations do not.
        let gap = if access.route.starts_with('/') {
            ""
        } else {
            " "
        };
        let (method, host, route) = (&access.method, &access.host, &access.route);
        write!(
            f,
            "{} {}{gap}{}",
            Quoted(method),
            Quoted(host),
            Quoted(route)
        )?;
        if let Some(environment) = context.destination.name {
            write!(f, " in {environment}")?;
        }
        write!(f, " by {}", Workload(access))?;
        match access.status {
            Some(status @ (401 | 403)) => write!(f, " (refused by the server with {status})"),
            _ => match access.grpc_status {
                Some(status @ (7 | 16)) => {
                    write!(f, " (refused by the server with gRPC status {status})")
                }
                _ => Ok(()),
            },
        }
    }
}

/// The workload that used the credential: `/usr/bin/curl (unit:ci.service)`.
pub(super) struct Workload<'a>(pub(super) &'a Access);

impl fmt::Display for Workload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = self.0;
        let Some(client) = &access.client else {
            return match &access.peer {
                Peer::Inet(address) if access.role == Role::Server => {
                    write!(f, "another host ({})", address.ip().to_canonical())
                }
                _ => f.write_str("an unknown workload"),
            };
        };
        let workload = &client.workload;
        if workload.exe.is_empty() {
            write!(f, "process {}", client.pid)?;
        } else {
            write!(f, "{}", Quoted(&workload.exe))?;
        }
        if let Some(container) = &workload.container {
            write!(f, " (container:{})", Quoted(container))
        } else if let Some(unit) = &workload.unit {
            write!(f, " (unit:{})", Quoted(unit))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_would_deceive() {
        assert_eq!(Quoted("a\nb\u{1b}[2J").to_string(), "a\\u{a}b\\u{1b}[2J");
        assert_eq!(
            Quoted("x\u{202e}y\u{200b}").to_string(),
            "x\\u{202e}y\\u{200b}"
        );
        assert_eq!(Quoted("straße").to_string(), "straße");
        assert_eq!(
            Quoted(&"a".repeat(200)).to_string(),
            format!("{}…", "a".repeat(160))
        );
        assert_eq!(Quoted(&"a".repeat(160)).to_string().len(), 160);
    }

    #[test]
    fn lists() {
        assert_eq!(list(["a", "b"].iter()), "[\"a\", \"b\"]");
        assert_eq!(list(["a"; 10].iter()).matches("\"a\"").count(), 8);
        assert!(list(["a"; 10].iter()).ends_with(", and 2 more]"));
        assert_eq!(any_of(["a"].iter()), "a");
        assert_eq!(any_of(["a", "b", "c"].iter()), "a, b or c");
        assert_eq!(any_of(["a"; 9].iter()), "a, a, a, a, a, a, a, a or 1 more");
    }
}
