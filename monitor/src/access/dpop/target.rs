//! `htu` against the request (RFC 9449 §4.3, 9): without query and fragment, after the normalisation of
//! RFC 3986 §6.2.2 and §6.2.3.
//!
//! The scheme is not compared: a server that a proxy decrypts for sees clear text where the client asked
//! for `https`. For the same reason a host without a port is that of either scheme's default port.

use zeroize::{Zeroize, Zeroizing};

use super::super::credential::normalise_host;
use super::Asked;

/// Compares; holds the buffers. Paths can hold secrets.
#[derive(Default)]
pub(super) struct Places {
    host: String,
    other: String,
    left: Zeroizing<Vec<u8>>,
    right: Zeroizing<Vec<u8>>,
}

/// `http` or `https`, authority, path.
fn split(htu: &str) -> Option<(u16, &str, &str)> {
    let (scheme, rest) = htu.split_once("://")?;
    let port = if scheme.eq_ignore_ascii_case("https") {
        443
    } else if scheme.eq_ignore_ascii_case("http") {
        80
    } else {
        return None;
    };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let slash = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(slash)?;
    Some((port, authority, path))
}

/// Name and port of a host in normal form.
fn port_of(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (host, None),
        },
        _ => (host, None),
    }
}

impl Places {
    /// Whether host and path are those that were asked for, or not known.
    pub(super) fn compare(&mut self, htu: &str, asked: &Asked<'_>) -> (bool, bool) {
        let Some((default, authority, path)) = split(htu) else {
            return (false, false);
        };
        (
            self.host(authority, default, asked),
            asked
                .path
                .is_none_or(|asked| self.path(path.as_bytes(), asked)),
        )
    }

    fn host(&mut self, authority: &str, default: u16, asked: &Asked<'_>) -> bool {
        // Port 0 is nobody's default.
        if !normalise_host(authority.as_bytes(), 0, &mut self.host) {
            return false;
        }
        let (name, port) = port_of(&self.host);
        let port = port.unwrap_or(default);
        let same = |host: &str| {
            let (other, theirs) = port_of(host);
            name == other
                && match theirs {
                    Some(theirs) => theirs == port,
                    None => port == default || port == 80,
                }
        };
        if asked.host == "-" || same(asked.host) {
            return true;
        }
        let other = &mut self.other;
        asked
            .forwarded
            .iter()
            .any(|host| normalise_host(host, 0, other) && same(other))
    }

    fn path(&mut self, one: &[u8], two: &[u8]) -> bool {
        if one == two {
            return true;
        }
        normalise(one, &mut self.left);
        normalise(two, &mut self.right);
        let same = *self.left == *self.right;
        for buffer in [&mut self.left, &mut self.right] {
            buffer.as_mut_slice().zeroize();
            buffer.clear();
        }
        same
    }
}

/// Dot segments taken out, letters of the alphabet decoded, other escapes in capitals; an empty path is `/`.
fn normalise(path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    // All that it takes, so that it does not move and leave a copy behind.
    out.reserve_exact(path.len() + 2);
    let mut segments = path
        .strip_prefix(b"/")
        .unwrap_or(path)
        .split(|byte| *byte == b'/');
    let mut next = segments.next();
    while let Some(segment) = next {
        next = segments.next();
        let start = out.len();
        out.push(b'/');
        unescape(segment, out);
        let keep = match out.get(start + 1..) {
            Some(b".") => start,
            Some(b"..") => {
                let before = out.get(..start).unwrap_or_default();
                memchr::memrchr(b'/', before).unwrap_or(0)
            }
            _ => continue,
        };
        out.truncate(keep);
        if next.is_none() {
            out.push(b'/');
        }
    }
}

fn unescape(segment: &[u8], out: &mut Vec<u8>) {
    let mut rest = segment;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let digits = match (first, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        let Some((high, low)) = digits else {
            out.push(*first);
            continue;
        };
        rest = behind.get(2..).unwrap_or_default();
        let byte = high << 4 | low;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend(behind.iter().take(2).map(u8::to_ascii_uppercase));
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(htu: &str, host: &str, path: &str) -> (bool, bool) {
        forwarded(htu, host, path, &[])
    }

    fn forwarded(htu: &str, host: &str, path: &str, forwarded: &[&[u8]]) -> (bool, bool) {
        let asked = Asked {
            method: "GET",
            host,
            forwarded,
            path: Some(path.as_bytes()),
            token: None,
        };
        Places::default().compare(htu, &asked)
    }

    #[test]
    fn what_is_the_same() {
        for (htu, host, path) in [
            ("https://a.example/x", "a.example", "/x"),
            ("http://a.example/x", "a.example", "/x"),
            ("HTTPS://A.Example/x?q=1#f", "a.example", "/x"),
            ("https://a.example:443/x", "a.example", "/x"),
            ("https://a.example/x", "a.example:443", "/x"),
            ("http://a.example:80/x", "a.example", "/x"),
            ("https://a.example:8443/x", "a.example:8443", "/x"),
            ("https://[2001:DB8::1]:8443/x", "[2001:db8::1]:8443", "/x"),
            ("https://[2001:db8::1]/x", "[2001:db8::1]", "/x"),
            ("https://a.example", "a.example", "/"),
            ("https://a.example?x", "a.example", "/"),
            ("https://a.example/a/./b/../c", "a.example", "/a/c"),
            ("https://a.example/%7ejoe/%c3", "a.example", "/~joe/%C3"),
            ("https://a.example/x", "-", "/x"),
        ] {
            assert_eq!(
                compare(htu, host, path),
                (true, true),
                "{htu} {host} {path}"
            );
        }
    }

    #[test]
    fn what_is_not() {
        for (htu, host, path, want) in [
            ("https://b.example/x", "a.example", "/x", (false, true)),
            ("https://a.example:8443/x", "a.example", "/x", (false, true)),
            ("https://a.example/x", "a.example:8443", "/x", (false, true)),
            ("http://a.example/x", "a.example:443", "/x", (false, true)),
            ("https://u@a.example/x", "a.example", "/x", (false, true)),
            ("https://a.example/x", "a.example", "/y", (true, false)),
            ("https://a.example/x", "a.example", "/x/", (true, false)),
            ("https://a.example/x", "a.example", "/X", (true, false)),
            (
                "https://a.example/a%2Fb",
                "a.example",
                "/a/b",
                (true, false),
            ),
            ("https://a.example/x", "a.example", "//x", (true, false)),
            ("ftp://a.example/x", "a.example", "/x", (false, false)),
            ("/x", "a.example", "/x", (false, false)),
            ("", "a.example", "/", (false, false)),
        ] {
            assert_eq!(compare(htu, host, path), want, "{htu} {host} {path}");
        }
    }

    #[test]
    fn what_a_proxy_says_was_asked_for() {
        let hosts: [&[u8]; 2] = [b"Other", b"A.example:443"];
        let htu = "https://a.example/x";
        assert_eq!(forwarded(htu, "127.0.0.1:8080", "/x", &hosts), (true, true));
        assert_eq!(
            forwarded(htu, "127.0.0.1:8080", "/x", &hosts[..1]),
            (false, true)
        );
    }

    #[test]
    fn paths() {
        for (path, want) in [
            ("", "/"),
            ("/", "/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a//b", "/a//b"),
            ("/%2e%2E/a", "/a"),
            ("/%zz%", "/%zz%"),
        ] {
            let mut out = Vec::new();
            normalise(path.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "{path}");
        }
    }
}
