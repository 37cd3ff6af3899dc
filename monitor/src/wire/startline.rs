//! The first line of a message, and what may stand in its place.

use super::head::MAX_HEAD;

/// Longest method. The longest registered one has 17 letters.
pub(super) const MAX_METHOD: usize = 32;
/// What an HTTP/2 client says first (RFC 9113 §3.4), up to where HTTP/1 would see a line.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// What the first bytes of a message promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// No HTTP.
    No,
    /// A start line of HTTP/1 that cannot be used.
    Unusable,
    /// The HTTP/2 preface.
    Http2,
    /// Too short to say more.
    Open,
    /// Begins like a start line, which is not complete.
    Begun,
    /// A complete start line.
    Line,
}

/// What a request's first bytes promise.
pub(super) fn request_outlook(bytes: &[u8]) -> Outlook {
    if bytes.starts_with(PREFACE) {
        return Outlook::Http2;
    }
    let method = bytes
        .iter()
        .take(MAX_METHOD + 1)
        .take_while(|byte| is_token(**byte))
        .count();
    let begins = match bytes.get(method) {
        None => {
            return if method <= MAX_METHOD {
                Outlook::Open
            } else {
                Outlook::No
            };
        }
        Some(b' ' | b'\t') => method > 0 && method <= MAX_METHOD,
        Some(_) => false,
    };
    let bytes = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    match memchr::memchr(b'\n', bytes) {
        None if begins => Outlook::Begun,
        feed => {
            let line = feed.and_then(|feed| bytes.get(..feed)).unwrap_or(bytes);
            if begins && RequestLine::parse(line).is_some() {
                Outlook::Line
            } else if memchr::memmem::find(line, b" HTTP/1.").is_some() {
                Outlook::Unusable
            } else {
                Outlook::No
            }
        }
    }
}

/// Whether a method is followed by what can be a target. For bytes that [`Outlook::Begun`] is true of.
pub(super) fn begins_target(bytes: &[u8]) -> bool {
    let target = bytes.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    match target.and_then(|blank| bytes.get(blank + 1..)) {
        Some([b'/' | b'*', ..]) => true,
        Some(rest) => rest.starts_with(b"http") || bytes.starts_with(b"CONNECT "),
        None => false,
    }
}

/// Whether `bytes` begin with a complete request line that can hardly be anything else.
pub(super) fn is_request(bytes: &[u8]) -> bool {
    let bytes = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    if !bytes.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    let Some((line, _)) = first_line(bytes) else {
        return false;
    };
    RequestLine::parse(line).is_some_and(|line| {
        !line.malformed
            && line
                .method
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'-')
    }) && begins_target(line)
}

/// What a response's first bytes promise.
pub(super) fn response_outlook(bytes: &[u8]) -> Outlook {
    const START: &[u8] = b"HTTP/1.";
    let common = bytes.iter().zip(START).take_while(|(a, b)| a == b).count();
    if common < START.len() {
        return match bytes.len() == common {
            true => Outlook::Open,
            // HTTP/2 has no such line; HTTP/0.9 and ICY have another.
            false if bytes.starts_with(b"HTTP/") => Outlook::Unusable,
            false => Outlook::No,
        };
    }
    let bytes = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    match memchr::memchr(b'\n', bytes) {
        Some(feed) => match bytes.get(..feed).and_then(StatusLine::parse) {
            Some(_) => Outlook::Line,
            None => Outlook::Unusable,
        },
        None => match bytes.get(8..12) {
            Some([b' ', a, b, c]) if [a, b, c].iter().all(|byte| byte.is_ascii_digit()) => {
                Outlook::Begun
            }
            Some([b' ' | b'0'..=b'9', ..]) if bytes.len() < 24 => Outlook::Open,
            Some(_) => Outlook::Unusable,
            None => Outlook::Open,
        },
    }
}

/// What lies in front of a connection's first request (the PROXY protocol, versions 1 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preamble {
    /// Nothing.
    None,
    /// Perhaps something: more bytes are needed.
    Open,
    /// So many bytes here, and so many behind them.
    Proxy(usize, u16),
}

/// Looks for a PROXY protocol header at the beginning of a connection.
pub(super) fn preamble(bytes: &[u8]) -> Preamble {
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    const V1: &[u8] = b"PROXY ";
    const V1_LONGEST: usize = 107;
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(V2) {
        return match bytes.get(12..16) {
            Some(&[_, _, high, low]) => Preamble::Proxy(16, u16::from_be_bytes([high, low])),
            _ => Preamble::Open,
        };
    }
    if !begins(V1) {
        return Preamble::None;
    }
    let Some(family) = bytes.get(V1.len()..) else {
        return Preamble::Open;
    };
    let known = [&b"TCP4 "[..], b"TCP6 ", b"UNKNOWN"]
        .iter()
        .any(|name| family.iter().zip(*name).all(|(a, b)| a == b));
    if !known {
        return Preamble::None;
    }
    match memchr::memchr(b'\n', bytes.get(..V1_LONGEST).unwrap_or(bytes)) {
        Some(feed) => Preamble::Proxy(feed + 1, 0),
        None if bytes.len() < V1_LONGEST => Preamble::Open,
        None => Preamble::None,
    }
}

/// A start line, read as lenient peers do.
pub(super) struct RequestLine<'b> {
    pub(super) method: &'b str,
    pub(super) target: &'b [u8],
    pub(super) minor: u8,
    pub(super) malformed: bool,
}

impl<'b> RequestLine<'b> {
    /// Reads a line as lenient servers do (RFC 9112 §3): any run of blanks between the parts.
    pub(super) fn parse(line: &'b [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let trimmed = trim(line);
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let method_end = trimmed.iter().position(is_blank)?;
        let version_start = trimmed.iter().rposition(is_blank)?;
        let method = trimmed.get(..method_end)?;
        if method.is_empty() || method.len() > MAX_METHOD || !method.iter().all(|b| is_token(*b)) {
            return None;
        }
        let target = trim(trimmed.get(method_end..version_start)?);
        let (minor, exact) = version(trimmed.get(version_start + 1..)?)?;
        if target.is_empty() {
            return None;
        }
        // One space each, and nothing behind.
        let spaces = [method_end, version_start].map(|at| trimmed.get(at) == Some(&b' '));
        let single = spaces == [true; 2]
            && method.len() + target.len() + 1 == version_start
            && trimmed.len() == line.len();
        Some(Self {
            method: str::from_utf8(method).ok()?,
            target,
            minor,
            malformed: !exact || !single || !target.iter().all(|byte| *byte > b' ' && *byte != 127),
        })
    }
}

/// A start line, read as lenient peers do.
pub(super) struct StatusLine {
    pub(super) status: u16,
    pub(super) minor: u8,
    pub(super) malformed: bool,
}

impl StatusLine {
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let blank = line.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
        let (minor, exact) = version(line.get(..blank)?)?;
        let rest = trim(line.get(blank..)?);
        let [
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            reason @ ..,
        ] = rest
        else {
            return None;
        };
        if reason
            .first()
            .is_some_and(|byte| !matches!(byte, b' ' | b'\t'))
        {
            return None;
        }
        let status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
        Some(Self {
            status,
            minor,
            malformed: !exact,
        })
    }
}

/// `HTTP/1.` and the minor version: 0, or 1 for everything above. The second value: it was 0 or 1.
fn version(bytes: &[u8]) -> Option<(u8, bool)> {
    match bytes.strip_prefix(b"HTTP/1.")? {
        b"0" => Some((0, true)),
        b"1" => Some((1, true)),
        [b'0'..=b'9'] | [b'0'..=b'9', b'0'..=b'9'] => Some((1, false)),
        _ => None,
    }
}

/// The bytes in front of the first line feed and those behind it.
pub(super) fn first_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let feed = memchr::memchr(b'\n', bytes)?;
    Some((bytes.get(..feed)?, bytes.get(feed + 1..)?))
}

/// Without blanks at either end.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// tchar (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
