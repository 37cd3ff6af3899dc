//! Operations as a duty names them: `METHOD[,METHOD] HOST[:PORT]/ROUTE`. `MCP` stands in the place of a
//! method for operations of the Model Context Protocol, whose route is `/METHOD` or `/METHOD:NAME`.

use std::sync::Arc;

use super::error::Fault;
use super::host::{Claimed, HostPattern, Name, socket_path};
use super::path::{Reading, decode_strictly};
use crate::access::Peer;
use crate::suggest::nearest;

/// Methods of RFC 9110 §9 and RFC 5789, what a mistyped one is compared with.
pub(super) const KNOWN: [&str; 9] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE",
];

/// Methods that the registry of HTTP methods calls safe: who sends one asks for nothing to be changed.
const SAFE: [&str; 9] = [
    "GET", "HEAD", "OPTIONS", "TRACE", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH",
];

/// Whether a method is safe (RFC 9110 §9.2.1). One that is not registered is not.
#[must_use]
pub fn is_safe(method: &str) -> bool {
    SAFE.contains(&method)
}

/// What an operation of MCP has in the place of a method.
const MCP: &str = "MCP";

/// A set of methods; method names are case-sensitive (RFC 9110 §9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Methods {
    pub(super) any: bool,
    pub(super) mcp: bool,
    pub(super) known: u16,
    pub(super) other: Box<[Box<str>]>,
}

/// A method of a request, looked up once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method<'m> {
    /// An operation of MCP, not a method of HTTP.
    mcp: bool,
    bit: u16,
    name: &'m str,
}

impl<'m> Method<'m> {
    pub(crate) fn new(name: &'m str) -> Self {
        let bit = KNOWN
            .iter()
            .position(|known| *known == name)
            .map_or(0, |i| 1 << i);
        Self {
            mcp: false,
            bit,
            name,
        }
    }
}

impl Methods {
    fn contains(&self, method: &Method<'_>) -> bool {
        if method.mcp {
            return self.mcp;
        }
        self.any
            || self.known & method.bit != 0
            || (method.bit == 0 && self.other.iter().any(|other| **other == *method.name))
    }
}

/// Where an operation happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Host(HostPattern),
    /// A unix socket, by path (abstract names begin with `@`).
    Unix(Box<str>),
}

/// One segment of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Percent-decoded.
    Literal(Box<[u8]>),
    /// `{name}`, or `{+name}` which may hold an encoded `/`, `\`, `?` or `#`.
    Capture { name: Arc<str>, delimiters: bool },
}

/// A compiled operation pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub(super) methods: Methods,
    pub(super) target: Target,
    pub(super) parts: Box<[Part]>,
    /// Ends in `**`.
    pub(super) rest: bool,
    text: Arc<str>,
}

/// A request to be matched: its method and host are looked up once, then compared with many patterns.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    method: Method<'r>,
    host: Claimed<'r>,
    socket: Option<&'r str>,
    path: &'r Reading,
}

impl<'r> Request<'r> {
    /// A request with its method, claimed host, peer and path (already read).
    #[must_use]
    pub fn new(method: &'r str, host: &'r str, peer: &'r Peer, path: &'r Reading) -> Self {
        let socket = match peer {
            Peer::Unix(socket) => Some(socket_path(socket)),
            Peer::Inet(_) | Peer::Unknown => None,
        };
        Self {
            method: Method::new(method),
            host: Claimed::parse(host),
            socket,
            path,
        }
    }

    /// The same request as an operation of MCP, with its path as `/METHOD:NAME`. Only patterns that say
    /// `MCP` grant it.
    #[must_use]
    pub fn as_mcp(self, path: &'r Reading) -> Self {
        let method = Method {
            mcp: true,
            ..self.method
        };
        Self {
            method,
            path,
            ..self
        }
    }
}

impl Operation {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// When it is no operation: what is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let trimmed = text.trim();
        let Some((methods, target)) = trimmed.split_once(|c: char| c.is_ascii_whitespace()) else {
            return Err(Fault::new(
                "an operation is METHOD HOST/ROUTE",
                "begin with a method, a list of methods (GET,HEAD) or `*` for any",
            ));
        };
        let methods = parse_methods(methods)?;
        let target = target.trim_start();
        let (target, route) = if let Some(socket) = target.strip_prefix("unix:") {
            let Some((path, route)) = split_socket(socket) else {
                return Err(Fault::new(
                    "a unix socket needs a route",
                    "write unix:SOCKET:/ROUTE, e.g. `GET unix:/run/docker.sock:/containers/json`",
                ));
            };
            (Target::Unix(check_socket(path)?.into()), route)
        } else {
            if target.contains("://") {
                let hint = "leave out `http://`: an operation is METHOD HOST/ROUTE";
                return Err(Fault::new("a scheme is no part of an operation", hint));
            }
            let Some(slash) = target.find('/') else {
                let hint = format!("add a route; `{target}/**` is every path of the host");
                return Err(Fault::new("the operation has no route", hint));
            };
            let (host, route) = target.split_at(slash);
            if host.is_empty() {
                let hint = format!("name a host, or any: `*{route}`");
                return Err(Fault::new("the operation has no host", hint));
            }
            (Target::Host(HostPattern::parse(host)?), route)
        };
        let (parts, rest) = parse_route(route)?;
        Ok(Self {
            methods,
            target,
            parts,
            rest,
            text: trimmed.into(),
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether all its methods only read (RFC 9110 §9.2.1). Not so `*`, and an operation of MCP may do anything.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        let Methods {
            any,
            mcp,
            known,
            other,
        } = &self.methods;
        let read = |(at, name): (usize, &&str)| known & (1 << at) == 0 || is_safe(name);
        !any && !mcp && KNOWN.iter().enumerate().all(read) && other.iter().all(|name| is_safe(name))
    }

    /// Methods that look like a typing error of a common one, with that one.
    pub(crate) fn odd_methods(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.methods
            .other
            .iter()
            .filter_map(|name| Some((&**name, nearest(name, KNOWN)?)))
    }

    /// Whether the pattern grants the request: its method, its destination and every reading of its
    /// path. Only a route of `/**` grants a path that can be read in several ways.
    #[must_use]
    pub fn matches(&self, request: &Request<'_>) -> bool {
        self.methods.contains(&request.method)
            && match &self.target {
                Target::Host(host) => host.matches(&request.host),
                Target::Unix(socket) => request.socket == Some(&**socket),
            }
            && self.matches_path(request.path)
    }

    /// Whether the route grants the path.
    #[must_use]
    pub fn matches_path(&self, path: &Reading) -> bool {
        if self.rest && self.parts.is_empty() {
            return true;
        }
        if path.ambiguity().is_some() {
            return false;
        }
        let mut segments = path.segments();
        for part in &self.parts {
            let Some(segment) = segments.next() else {
                return false;
            };
            let fits = match part {
                Part::Literal(bytes) => **bytes == *segment.bytes,
                Part::Capture { delimiters, .. } => {
                    !segment.empty && (*delimiters || !segment.delimiter)
                }
            };
            if !fits {
                return false;
            }
        }
        self.rest || segments.next().is_none()
    }

    /// The decoded segment that `{name}` stands for in a path this pattern matches.
    #[must_use]
    pub fn capture<'r>(&self, name: &str, path: &'r Reading) -> Option<&'r [u8]> {
        if !self.matches_path(path) {
            return None;
        }
        self.parts
            .iter()
            .zip(path.segments())
            .find(|(part, _)| matches!(part, Part::Capture { name: own, .. } if **own == *name))
            .map(|(_, segment)| segment.bytes)
    }

    /// Names captured, in order.
    pub fn captures(&self) -> impl Iterator<Item = &Arc<str>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture { name, .. } => Some(name),
            Part::Literal(_) => None,
        })
    }

    /// Whether any host is meant.
    #[must_use]
    pub fn any_host(&self) -> bool {
        matches!(&self.target, Target::Host(host) if host.name == Name::Any)
    }
}

fn parse_methods(text: &str) -> Result<Methods, Fault> {
    let mut methods = Methods {
        any: false,
        mcp: false,
        known: 0,
        other: Box::default(),
    };
    if text == "*" {
        methods.any = true;
        return Ok(methods);
    }
    let mut other: Vec<Box<str>> = Vec::new();
    for name in text.split(',') {
        if name.is_empty() {
            let hint = "list methods with a comma and no space: `POST,PUT HOST/ROUTE`";
            return Err(Fault::new("an empty method", hint));
        }
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b);
        if !name.bytes().all(token) {
            let hint = "an operation is METHOD HOST/ROUTE, e.g. `GET api.example/v1/**`";
            return Err(Fault::new(format!("`{name}` is no method"), hint));
        }
        if name == MCP {
            methods.mcp = true;
            continue;
        }
        let upper = name.to_ascii_uppercase();
        if upper != name && KNOWN.contains(&upper.as_str()) {
            let hint = format!("write `{upper}`");
            return Err(Fault::new(
                format!("methods are case-sensitive: `{name}`"),
                hint,
            ));
        }
        match Method::new(name).bit {
            0 => other.push(name.into()),
            bit => methods.known |= bit,
        }
    }
    methods.other = other.into();
    Ok(methods)
}

/// `PATH:/ROUTE`: the route begins at the first `:/`.
fn split_socket(text: &str) -> Option<(&str, &str)> {
    let colon = text.find(":/")?;
    Some((text.get(..colon)?, text.get(colon + 1..)?))
}

/// The name under which a unix socket is compared.
pub(crate) fn check_socket(path: &str) -> Result<&str, Fault> {
    if path
        .strip_prefix('@')
        .or_else(|| path.strip_prefix('/'))
        .is_none_or(str::is_empty)
    {
        return Err(Fault::new(
            format!("`unix:{path}` is no unix socket"),
            "write its absolute path (unix:/run/docker.sock) or its abstract name (unix:@name)",
        ));
    }
    Ok(socket_path(path))
}

fn parse_route(route: &str) -> Result<(Box<[Part]>, bool), Fault> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = false;
    let mut segments = route
        .strip_prefix('/')
        .unwrap_or(route)
        .split('/')
        .peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment == "**" {
            if !last {
                let hint = "`**` stands for the rest of the path: nothing may follow it";
                return Err(Fault::new("`**` in the middle of a route", hint));
            }
            rest = true;
        } else if segment.contains('*') {
            let hint = "`{name}` stands for one whole segment, `**` at the end for the rest (an \
                        asterisk itself is %2A)";
            return Err(Fault::new(format!("`{segment}` in a route"), hint));
        } else if segment.contains(['{', '}']) {
            parts.push(parse_capture(segment, &parts)?);
        } else {
            parts.push(parse_literal(segment, last)?);
        }
    }
    Ok((parts.into(), rest))
}

fn parse_capture(segment: &str, before: &[Part]) -> Result<Part, Fault> {
    let inner = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
    let (name, delimiters) = match inner {
        Some(inner) => match inner.strip_prefix('+') {
            Some(name) => (name, true),
            None => (inner, false),
        },
        None => ("", false),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(word) {
        let hint = "a capture is a whole segment, `{name}`, of letters, digits, `-` and `_`";
        return Err(Fault::new(format!("`{segment}` is no capture"), hint));
    }
    let twice = |part: &Part| matches!(part, Part::Capture { name: own, .. } if **own == *name);
    if before.iter().any(twice) {
        return Err(Fault::new(
            format!("`{{{name}}}` stands twice in a route"),
            "use two names",
        ));
    }
    Ok(Part::Capture {
        name: name.into(),
        delimiters,
    })
}

fn parse_literal(segment: &str, last: bool) -> Result<Part, Fault> {
    if segment.is_empty() && !last {
        let hint = "an operation is METHOD HOST/ROUTE with single slashes";
        return Err(Fault::new("an empty segment in a route", hint));
    }
    if segment.contains(['?', '#']) {
        let hint = "queries are no part of an operation: end the route before `?`";
        return Err(Fault::new(format!("`{segment}` in a route"), hint));
    }
    if segment.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Fault::new(
            "white space in a route",
            "write a space in a path as %20",
        ));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let decoded = decode_strictly(segment.as_bytes(), &mut bytes);
    if decoded.is_err() || bytes.iter().any(u8::is_ascii_control) {
        let hint = "`%` is followed by two hexadecimal digits; the sign itself is %25";
        return Err(Fault::new(format!("`{segment}` is badly encoded"), hint));
    }
    if matches!(bytes.as_slice(), b"." | b"..") {
        let hint = "a request with a dot segment matches no route: write the path it leads to";
        return Err(Fault::new(format!("`{segment}` in a route"), hint));
    }
    Ok(Part::Literal(bytes.into()))
}

#[path = "anatomy.rs"]
pub(crate) mod anatomy;

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
