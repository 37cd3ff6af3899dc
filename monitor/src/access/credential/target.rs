//! Request targets (RFC 9112 §3.2) and hosts.

/// Form of a request target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TargetForm {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`, as sent to a proxy.
    Absolute,
    /// `host:port`, with CONNECT.
    Authority,
    /// `*`, with OPTIONS.
    Asterisk,
    /// None of these.
    Invalid,
}

/// The parts of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) form: TargetForm,
    /// `user:password` before an `@`.
    pub(super) userinfo: Option<&'a [u8]>,
    /// Host and port, when the target names one.
    pub(super) authority: Option<&'a [u8]>,
    /// True for `https` and `wss`: the default port is 443.
    pub(super) secure: bool,
    pub(super) path: &'a [u8],
    pub(super) query: &'a [u8],
}

impl<'a> Target<'a> {
    pub(super) fn parse(method: &str, target: &'a [u8]) -> Self {
        let mut parts = Self {
            form: TargetForm::Origin,
            userinfo: None,
            authority: None,
            secure: false,
            path: b"",
            query: b"",
        };
        if target == b"*" {
            parts.form = TargetForm::Asterisk;
            parts.path = target;
            return parts;
        }
        let rest = if target.first() == Some(&b'/') {
            target
        } else if let Some((scheme, rest)) = split_scheme(target) {
            parts.form = TargetForm::Absolute;
            parts.secure =
                scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss");
            parts.authority(rest)
        } else if method == "CONNECT" {
            parts.form = TargetForm::Authority;
            parts.authority(target)
        } else {
            // Kept as it stands, but for what may be a password.
            parts.form = TargetForm::Invalid;
            parts.authority(target);
            parts.authority = None;
            match parts.userinfo {
                Some(userinfo) => target.get(userinfo.len() + 1..).unwrap_or_default(),
                None => target,
            }
        };
        // A fragment is never sent by a sound client.
        let rest = memchr::memchr(b'#', rest)
            .and_then(|at| rest.get(..at))
            .unwrap_or(rest);
        let query = memchr::memchr(b'?', rest);
        parts.path = query.and_then(|at| rest.get(..at)).unwrap_or(rest);
        parts.query = query.and_then(|at| rest.get(at + 1..)).unwrap_or_default();
        if parts.path.is_empty() {
            parts.path = b"/";
        }
        parts
    }

    /// Takes the authority off `rest`.
    fn authority(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let end = rest
            .iter()
            .position(|byte| b"/?#".contains(byte))
            .unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, b""));
        let (userinfo, host) = match memchr::memrchr(b'@', authority) {
            Some(at) => (
                authority.get(..at),
                authority.get(at + 1..).unwrap_or_default(),
            ),
            None => (None, authority),
        };
        self.userinfo = userinfo.filter(|text| !text.is_empty());
        self.authority = Some(host);
        rest
    }
}

fn split_scheme(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = target
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'-' | b'.'))?;
    let (scheme, rest) = target.split_at_checked(end)?;
    Some((scheme, rest.strip_prefix(b"://")?)).filter(|_| !scheme.is_empty())
}

/// Longest host that is kept.
pub(super) const MAX_HOST: usize = 255;

/// Writes a host as it is compared: lower case, without the root's dot, without the default port. False when
/// it is none: empty, too long, or with characters that no host has.
pub(in crate::access) fn normalise_host(raw: &[u8], default_port: u16, out: &mut String) -> bool {
    out.clear();
    let raw = raw.trim_ascii();
    let colon = memchr::memrchr(b':', raw).filter(|at| {
        // Not one inside an IPv6 address.
        !raw.get(*at..).is_some_and(|rest| rest.contains(&b']'))
    });
    let (name, port) = match colon {
        Some(at) => (
            raw.get(..at).unwrap_or(raw),
            raw.get(at + 1..).unwrap_or_default(),
        ),
        None => (raw, &b""[..]),
    };
    let name = match name {
        [inner @ .., b'.'] => inner,
        other => other,
    };
    let port = match port {
        [] => None,
        digits => match std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse::<u16>().ok())
        {
            Some(port) if digits.iter().all(u8::is_ascii_digit) => Some(port),
            _ => return false,
        },
    };
    let inside = match name {
        [b'[', inner @ .., b']'] => inner,
        other => other,
    };
    let bracketed = inside.len() != name.len();
    let sound = !inside.is_empty()
        && name.len() <= MAX_HOST - 6
        && inside.iter().all(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' => true,
            b':' => bracketed,
            b'-' | b'_' => !bracketed,
            _ => false,
        });
    let Some(name) = std::str::from_utf8(name).ok().filter(|_| sound) else {
        return false;
    };
    out.push_str(name);
    out.make_ascii_lowercase();
    if let Some(port) = port.filter(|port| *port != default_port) {
        out.push(':');
        // As sent, but for leading zeroes.
        let digits = raw.rsplit(|byte| *byte == b':').next().unwrap_or_default();
        let zeroes = digits.iter().take_while(|byte| **byte == b'0').count();
        let digits = if port == 0 {
            b"0"
        } else {
            digits.get(zeroes..).unwrap_or_default()
        };
        out.extend(digits.iter().map(|byte| char::from(*byte)));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, target: &str) -> (TargetForm, String, String, String, String) {
        let target = Target::parse(method, target.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            target.form,
            text(target.userinfo.unwrap_or(b"-")),
            text(target.authority.unwrap_or(b"-")),
            text(target.path),
            text(target.query),
        )
    }

    #[test]
    fn forms() {
        use TargetForm::{Absolute, Asterisk, Authority, Invalid, Origin};
        for (method, target, form, userinfo, authority, path, query) in [
            ("GET", "/a/b?c=d", Origin, "-", "-", "/a/b", "c=d"),
            ("GET", "/a?b?c", Origin, "-", "-", "/a", "b?c"),
            ("GET", "/a#f?x", Origin, "-", "-", "/a", ""),
            ("GET", "/a?b#f", Origin, "-", "-", "/a", "b"),
            ("GET", "//x/a", Origin, "-", "-", "//x/a", ""),
            (
                "GET",
                "/http://x/a@b",
                Origin,
                "-",
                "-",
                "/http://x/a@b",
                "",
            ),
            ("GET", "http://h/a?b", Absolute, "-", "h", "/a", "b"),
            ("GET", "http://h", Absolute, "-", "h", "/", ""),
            ("GET", "http://h?b", Absolute, "-", "h", "/", "b"),
            ("GET", "http://u:p@h:1/a", Absolute, "u:p", "h:1", "/a", ""),
            (
                "GET",
                "http://u:p@x@h/a@b",
                Absolute,
                "u:p@x",
                "h",
                "/a@b",
                "",
            ),
            ("GET", "http://@h/", Absolute, "-", "h", "/", ""),
            ("GET", "http:///a", Absolute, "-", "", "/a", ""),
            ("CONNECT", "h:443", Authority, "-", "h:443", "/", ""),
            ("CONNECT", "u:p@h:443", Authority, "u:p", "h:443", "/", ""),
            ("OPTIONS", "*", Asterisk, "-", "-", "*", ""),
            ("GET", "foo/bar", Invalid, "-", "-", "foo/bar", ""),
            ("GET", "u:p@foo/bar?x", Invalid, "u:p", "-", "foo/bar", "x"),
            ("GET", "", Invalid, "-", "-", "/", ""),
        ] {
            let expected = (
                form,
                userinfo.to_owned(),
                authority.to_owned(),
                path.to_owned(),
                query.to_owned(),
            );
            assert_eq!(parts(method, target), expected, "{target}");
        }
    }

    #[test]
    fn hosts() {
        for (raw, port, expected) in [
            ("Example.COM", 80, Some("example.com")),
            ("example.com.", 80, Some("example.com")),
            ("example.com:80", 80, Some("example.com")),
            ("example.com:0080", 80, Some("example.com")),
            ("example.com:443", 443, Some("example.com")),
            ("example.com:8080", 80, Some("example.com:8080")),
            ("example.com.:8080", 80, Some("example.com:8080")),
            ("example.com:", 80, Some("example.com")),
            ("example.com:65535", 80, Some("example.com:65535")),
            ("example.com:0008081", 80, Some("example.com:8081")),
            ("example.com:0", 80, Some("example.com:0")),
            ("[2001:DB8::1]:8080", 80, Some("[2001:db8::1]:8080")),
            ("[::1]", 80, Some("[::1]")),
            ("127.0.0.1:80", 80, Some("127.0.0.1")),
            ("my_service", 80, Some("my_service")),
            ("", 80, None),
            (".", 80, None),
            (":80", 80, None),
            ("a b", 80, None),
            ("a/b", 80, None),
            ("u:p@h", 80, None),
            ("h:99999", 80, None),
            ("h:+80", 80, None),
            ("h:x", 80, None),
            ("a:b:c", 80, None),
            ("[::1", 80, None),
            ("h\u{e9}", 80, None),
        ] {
            let mut out = String::new();
            let sound = normalise_host(raw.as_bytes(), port, &mut out);
            assert_eq!(sound.then_some(&*out), expected, "{raw}");
        }
        assert!(!normalise_host(
            "x".repeat(300).as_bytes(),
            80,
            &mut String::new()
        ));
    }
}
