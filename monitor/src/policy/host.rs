//! Hosts: as requests claim them, and as a policy names them.

use std::fmt;
use std::net::IpAddr;

use super::error::Fault;

/// The port that clear-text HTTP leaves out (RFC 9110 §4.2.1).
pub(super) const DEFAULT_PORT: u16 = 80;

/// Longest host that is looked at; a DNS name has at most 253 bytes. A longer one matches only `*`.
pub(crate) const LONGEST: usize = 255;

/// A host as a request named it, split without allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimed<'h> {
    /// Name or address; no brackets, no trailing dot. Empty when there is none or it cannot be read.
    pub(crate) name: &'h str,
    pub(crate) port: u16,
}

impl<'h> Claimed<'h> {
    /// Reads `name`, `name:port`, `192.0.2.1:port` or `[2001:db8::1]:port`. What cannot be read (and
    /// `-`, a request without a host) has an empty name, which no named pattern matches.
    pub(crate) fn parse(host: &'h str) -> Self {
        let unreadable = Self {
            name: "",
            port: DEFAULT_PORT,
        };
        if host.len() > LONGEST || host == "-" {
            return unreadable;
        }
        let (name, port) = match host.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((address, "")) => (address, None),
                Some((address, port)) => match port.strip_prefix(':') {
                    Some(port) => (address, Some(port)),
                    None => return unreadable,
                },
                None => return unreadable,
            },
            None => match memchr::memchr(b':', host.as_bytes()).map(|at| host.split_at(at)) {
                // More than one colon without brackets: not a host.
                Some((_, port)) if port.rfind(':') != Some(0) => return unreadable,
                Some((name, port)) => (name, port.strip_prefix(':')),
                None => (host, None),
            },
        };
        let port = match port {
            // RFC 3986 §3.2.3: an empty port is the default one.
            None | Some("") => DEFAULT_PORT,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse() {
                Ok(port) => port,
                Err(_) => return unreadable,
            },
            Some(_) => return unreadable,
        };
        Self {
            name: name.strip_suffix('.').unwrap_or(name),
            port,
        }
    }

    /// The name as an address, when it is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let first = self.name.bytes().next()?;
        // Cheap refusal: most hosts are names.
        if !first.is_ascii_digit() && !self.name.contains(':') {
            return None;
        }
        self.name.parse().ok().map(|ip: IpAddr| ip.to_canonical())
    }
}

/// Which names a policy means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    /// `*`
    Any,
    /// `*.dev.example`, kept as `.dev.example`: any name below, not the name itself.
    Suffix(Box<str>),
    /// One name, lower case.
    Exact(Box<str>),
    /// One address.
    Address(IpAddr),
}

/// `NAME[:PORT]` in a policy. Without a port any port is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostPattern {
    pub(crate) name: Name,
    pub(crate) port: Option<u16>,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// When it is no host; the text itself is in the message.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self {
                name: Name::Address(ip.to_canonical()),
                port: None,
            });
        }
        let (name, port) = split_port(text)?;
        if let Some(inner) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            let ip: IpAddr = inner.parse().map_err(|_| {
                Fault::new(format!("`{inner}` is no IPv6 address"), "e.g. [::1]:8080")
            })?;
            return Ok(Self {
                name: Name::Address(ip.to_canonical()),
                port,
            });
        }
        let rootless = name
            .strip_suffix('.')
            .filter(|rootless| *rootless != "*")
            .unwrap_or(name);
        let name = rootless.to_ascii_lowercase();
        let name = if name == "*" {
            Name::Any
        } else if let Ok(ip) = name.parse::<IpAddr>() {
            Name::Address(ip.to_canonical())
        } else if let Some(suffix) = name.strip_prefix('*') {
            let Some(labels) = suffix.strip_prefix('.') else {
                let hint = format!("write `*.{suffix}`: `*` stands for whole labels");
                return Err(Fault::new(format!("`{text}` is no host"), hint));
            };
            check_name(labels, text)?;
            Name::Suffix(suffix.into())
        } else {
            check_name(&name, text)?;
            Name::Exact(name.into())
        };
        Ok(Self { name, port })
    }

    /// Whether a claimed host is meant.
    pub(crate) fn matches(&self, host: &Claimed<'_>) -> bool {
        if self.port.is_some_and(|port| port != host.port) {
            return false;
        }
        match &self.name {
            Name::Any => true,
            // As written, nearly always: what was claimed is in lower case.
            Name::Exact(name) => **name == *host.name || name.eq_ignore_ascii_case(host.name),
            Name::Suffix(suffix) => {
                let cut = host
                    .name
                    .len()
                    .checked_sub(suffix.len())
                    .filter(|cut| *cut > 0);
                let end = cut.and_then(|cut| host.name.as_bytes().get(cut..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            }
            Name::Address(ip) => host.address() == Some(*ip),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Any => f.write_str("*"),
            Name::Suffix(suffix) => write!(f, "*{suffix}"),
            Name::Exact(name) => f.write_str(name),
            Name::Address(IpAddr::V6(ip)) if self.port.is_some() => write!(f, "[{ip}]"),
            Name::Address(ip) => write!(f, "{ip}"),
        }?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), Fault> {
    let split = match text.rfind(']') {
        Some(end) => text
            .get(end + 1..)
            .filter(|rest| !rest.is_empty())
            .map(|rest| {
                (
                    text.get(..=end).unwrap_or(text),
                    rest.strip_prefix(':').unwrap_or(""),
                )
            }),
        None => text.split_once(':'),
    };
    let Some((name, digits)) = split else {
        return Ok((text, None));
    };
    match digits.parse::<u16>() {
        Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((name, Some(port)))
        }
        _ => Err(Fault::new(
            format!("`{digits}` is no port"),
            "a port is a number from 1 to 65535 after the host, e.g. api.example:8080",
        )),
    }
}

fn check_name(name: &str, whole: &str) -> Result<(), Fault> {
    let problem = || format!("`{whole}` is no host");
    if !name.is_ascii() {
        return Err(Fault::new(
            problem(),
            "write the name as DNS has it (punycode, xn--…)",
        ));
    }
    if name.contains('*') {
        return Err(Fault::new(
            problem(),
            "`*` may stand alone or first: `*`, `*.dev.example`",
        ));
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        let hint = "a host is a name or an address with or without a port: api.example, \
                    api.example:8080, 192.0.2.1, [2001:db8::1]:8080, *.dev.example";
        return Err(Fault::new(problem(), hint));
    }
    Ok(())
}

/// `/var/run` is `/run` on every current distribution: sockets are compared by the shorter name.
pub(crate) fn socket_path(path: &str) -> &str {
    match path.strip_prefix("/var") {
        Some(rest) if rest.starts_with("/run/") => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_claimed_hosts() {
        for (host, name, port) in [
            ("api.example", "api.example", 80),
            ("api.example.", "api.example", 80),
            ("api.example:8080", "api.example", 8080),
            ("api.example:", "api.example", 80),
            ("[::1]:8080", "::1", 8080),
            ("[::1]", "::1", 80),
            ("-", "", 80),
            ("::1", "", 80),
            ("[::1", "", 80),
            ("[::1]x", "", 80),
            ("a:b", "", 80),
            ("a:99999", "", 80),
            ("a:+80", "", 80),
            ("", "", 80),
        ] {
            assert_eq!(Claimed::parse(host), Claimed { name, port }, "{host}");
        }
        assert_eq!(Claimed::parse(&"a".repeat(300)).name, "");
        assert_eq!(
            Claimed::parse("[::ffff:10.0.0.1]").address(),
            Some("10.0.0.1".parse().unwrap()),
            "a mapped address is the IPv4 one"
        );
    }

    #[test]
    fn matches_hosts() {
        for (pattern, host, want) in [
            ("*", "anything:1", true),
            ("*", "-", true),
            ("api.example", "api.example", true),
            ("API.Example", "api.example:8080", true),
            ("api.example", "api.example.", true),
            ("api.example:80", "api.example", true),
            ("api.example:8080", "api.example", false),
            ("api.example:8080", "api.example:8080", true),
            ("api.example", "xapi.example", false),
            ("*.example", "api.example", true),
            ("*.example", "a.b.example:1", true),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("*.example", "badexample", false),
            ("*.example:81", "api.example:80", false),
            ("192.0.2.1", "192.0.2.1:99", true),
            ("[2001:db8::1]:8080", "[2001:db8:0::1]:8080", true),
            ("2001:db8::1", "[2001:db8::1]", true),
            ("192.0.2.1", "192.0.2.10", false),
        ] {
            let parsed = HostPattern::parse(pattern).unwrap();
            assert_eq!(
                parsed.matches(&Claimed::parse(host)),
                want,
                "{pattern} {host}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_host() {
        for bad in [
            "",
            ".",
            "a..b",
            "*x",
            "a.*",
            "*.",
            "a b",
            "a/b",
            "a:0",
            "a:x",
            "a:70000",
            "ä.example",
            "[::1",
            "[x]",
            "[::1]8",
            "a_b.c d",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
        for good in [
            "*",
            "*.a.b:80",
            "a_b",
            "[::1]:80",
            "::1",
            "10.0.0.1:8",
            "x.example",
        ] {
            assert_eq!(HostPattern::parse(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn run_is_var_run() {
        assert_eq!(socket_path("/var/run/docker.sock"), "/run/docker.sock");
        assert_eq!(socket_path("/var/runner/x"), "/var/runner/x");
        assert_eq!(socket_path("@abstract"), "@abstract");
    }
}
