//! Heads: recognised from their first bytes, parsed by httparse when they are as they should be,
//! and read line by line when they are not, because some server will have accepted them.

use std::mem::MaybeUninit;

use httparse::Header;
use zeroize::Zeroizing;

use super::framing::Framing;

/// Longest head that is read whole, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;
/// Most fields of one head that are handed on.
pub(super) const MAX_FIELDS: usize = 128;
/// Longest method. The longest registered one has 17 letters.
const MAX_METHOD: usize = 32;
/// What an HTTP/2 client says first (RFC 9113 §3.4), up to where HTTP/1 would see a line.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Room for the fields of one head, on the stack.
type Slots<'b> = [MaybeUninit<Header<'b>>; MAX_FIELDS];

/// A request's head.
pub(super) struct Request<'h> {
    pub(super) method: &'h str,
    pub(super) target: &'h [u8],
    pub(super) minor: u8,
    pub(super) headers: &'h [Header<'h>],
    pub(super) framing: Framing,
    /// Lines were left out.
    pub(super) cut: bool,
    /// More than [`MAX_FIELDS`] fields.
    pub(super) overfull: bool,
    /// HTTP does not allow it as it is.
    pub(super) malformed: bool,
}

/// A response's head.
pub(super) struct Response<'h> {
    pub(super) status: u16,
    pub(super) minor: u8,
    pub(super) headers: &'h [Header<'h>],
    pub(super) framing: Framing,
    pub(super) overfull: bool,
    pub(super) malformed: bool,
}

/// Outcome of a strict parse.
pub(super) enum Strict<R> {
    /// Parsed; the head had so many bytes.
    Complete(usize, R),
    /// Valid as far as it goes.
    Partial,
    /// Not as it should be: to be read line by line, once it is complete.
    Refused,
}

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

fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

fn framing(headers: &[Header<'_>]) -> Framing {
    let mut framing = Framing::default();
    for header in headers {
        framing.observe(header.name, header.value);
    }
    framing
}

/// Parses a request at the beginning of `bytes` in place.
#[inline]
pub(super) fn request<R>(bytes: &[u8], found: impl FnOnce(Request<'_>) -> R) -> Strict<R> {
    let mut slots = slots();
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete(used)) => {
            let (Some(method), Some(target), Some(minor)) =
                (parsed.method, parsed.path, parsed.version)
            else {
                return Strict::Refused;
            };
            if used > MAX_HEAD || method.len() > MAX_METHOD {
                return Strict::Refused;
            }
            let headers = &*parsed.headers;
            let framing = framing(headers);
            let request = Request {
                method,
                target: target.as_bytes(),
                minor,
                headers,
                framing,
                cut: false,
                overfull: false,
                malformed: false,
            };
            Strict::Complete(used, found(request))
        }
        Ok(httparse::Status::Partial) => Strict::Partial,
        Err(_) => Strict::Refused,
    }
}

/// Parses a response at the beginning of `bytes` in place.
#[inline]
pub(super) fn response<R>(bytes: &[u8], found: impl FnOnce(Response<'_>) -> R) -> Strict<R> {
    let mut slots = slots();
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut slots) {
        Ok(httparse::Status::Complete(used)) => {
            let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
                return Strict::Refused;
            };
            if used > MAX_HEAD || status < 100 {
                return Strict::Refused;
            }
            let headers = &*parsed.headers;
            let framing = framing(headers);
            let response = Response {
                status,
                minor,
                headers,
                framing,
                overfull: false,
                malformed: false,
            };
            Strict::Complete(used, found(response))
        }
        Ok(httparse::Status::Partial) => Strict::Partial,
        Err(_) => Strict::Refused,
    }
}

/// Reads a request's head line by line and keeps what can be used. `whole`: it ends with its empty
/// line; otherwise it was cut off anywhere, and its last, unfinished line is left out.
/// None: there is no request line.
pub(super) fn salvage_request<R>(
    bytes: &[u8],
    whole: bool,
    found: impl FnOnce(Request<'_>) -> R,
) -> Option<R> {
    let (line, rest) = first_line(bytes)?;
    let line = RequestLine::parse(line)?;
    let unfolded = unfold(rest);
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let fields = Fields::parse(unfolded.as_deref().map_or(rest, Vec::as_slice), &mut slots);
    Some(found(Request {
        method: line.method,
        target: line.target,
        minor: line.minor,
        headers: fields.headers,
        framing: fields.framing,
        cut: !whole || fields.dropped || fields.overfull,
        overfull: fields.overfull,
        malformed: line.malformed || fields.malformed,
    }))
}

/// Reads a response's head line by line, as [`salvage_request`] does.
pub(super) fn salvage_response<R>(
    bytes: &[u8],
    found: impl FnOnce(Response<'_>) -> R,
) -> Option<R> {
    let (line, rest) = first_line(bytes)?;
    let line = StatusLine::parse(line)?;
    let unfolded = unfold(rest);
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let fields = Fields::parse(unfolded.as_deref().map_or(rest, Vec::as_slice), &mut slots);
    Some(found(Response {
        status: line.status,
        minor: line.minor,
        headers: fields.headers,
        framing: fields.framing,
        overfull: fields.overfull,
        malformed: line.malformed || fields.malformed,
    }))
}

/// Looks for the empty line that ends a head. `Ok`: the head's length. `Err`: from where to look
/// again when more bytes are there.
pub(super) fn end(bytes: &[u8], from: usize) -> Result<usize, usize> {
    let mut at = from;
    while let Some(found) = memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default()) {
        let feed = at + found;
        match (bytes.get(feed + 1), bytes.get(feed + 2)) {
            (Some(b'\n'), _) => return Ok(feed + 2),
            (Some(b'\r'), Some(b'\n')) => return Ok(feed + 3),
            (None, _) | (Some(b'\r'), None) => return Err(feed),
            _ => at = feed + 1,
        }
    }
    Err(bytes.len())
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

struct RequestLine<'b> {
    method: &'b str,
    target: &'b [u8],
    minor: u8,
    malformed: bool,
}

impl<'b> RequestLine<'b> {
    /// Reads a line as lenient servers do (RFC 9112 §3): any run of blanks between the parts.
    fn parse(line: &'b [u8]) -> Option<Self> {
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

struct StatusLine {
    status: u16,
    minor: u8,
    malformed: bool,
}

impl StatusLine {
    fn parse(line: &[u8]) -> Option<Self> {
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

/// The fields of a head that was read line by line.
struct Fields<'h> {
    headers: &'h [Header<'h>],
    framing: Framing,
    /// Lines that are no fields were left out.
    dropped: bool,
    overfull: bool,
    malformed: bool,
}

impl<'h> Fields<'h> {
    fn parse(bytes: &'h [u8], slots: &'h mut [Header<'h>; MAX_FIELDS]) -> Self {
        let mut framing = Framing::default();
        let (mut dropped, mut overfull, mut malformed) = (false, false, false);
        let mut used = 0;
        let mut rest = bytes;
        while let Some((line, behind)) = first_line(rest) {
            rest = behind;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            let Some((header, exact)) = field(line) else {
                (dropped, malformed) = (true, true);
                continue;
            };
            malformed |= !exact;
            framing.observe(header.name, header.value);
            match slots.get_mut(used) {
                Some(slot) => {
                    *slot = header;
                    used += 1;
                }
                None => overfull = true,
            }
        }
        let headers = slots.get(..used).unwrap_or_default();
        Self {
            headers,
            framing,
            dropped,
            overfull,
            malformed,
        }
    }
}

/// A field line, and whether it is as it should be. Blanks in front of the colon, which RFC 9112
/// §5.1 forbids, hide nothing here.
fn field(line: &[u8]) -> Option<(Header<'_>, bool)> {
    let colon = memchr::memchr(b':', line)?;
    let raw = line.get(..colon)?;
    let name = trim(raw);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return None;
    }
    let value = trim(line.get(colon + 1..)?);
    let exact = name.len() == raw.len()
        && value
            .iter()
            .all(|b| *b == b'\t' || (*b >= b' ' && *b != 127));
    Some((
        Header {
            name: str::from_utf8(name).ok()?,
            value,
        },
        exact,
    ))
}

/// Joins folded lines (RFC 9112 §5.2): a line break and the blanks around it become one space.
/// None: there are none. A blank in front of the first field continues nothing.
fn unfold(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let is_fold = |feed: usize| matches!(bytes.get(feed + 1), Some(b' ' | b'\t'));
    if !memchr::memchr_iter(b'\n', bytes).any(is_fold) {
        return None;
    }
    // Never longer than before, so that it does not move and leave a copy behind.
    let mut joined = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut rest = bytes;
    let mut folded = false;
    while let Some((line, behind)) = first_line(rest) {
        let fed = line.len() + 1;
        let line = if folded { trim(line) } else { line };
        joined.extend_from_slice(line);
        folded = matches!(behind.first(), Some(b' ' | b'\t'));
        if folded {
            while matches!(joined.last(), Some(b' ' | b'\t' | b'\r')) {
                joined.pop();
            }
            joined.push(b' ');
        } else {
            joined.push(b'\n');
        }
        rest = rest.get(fed..).unwrap_or_default();
    }
    Some(joined)
}

/// The bytes in front of the first line feed and those behind it.
fn first_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let feed = memchr::memchr(b'\n', bytes)?;
    Some((bytes.get(..feed)?, bytes.get(feed + 1..)?))
}

/// Without blanks at either end.
fn trim(bytes: &[u8]) -> &[u8] {
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
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
