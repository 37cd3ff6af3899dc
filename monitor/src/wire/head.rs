//! Heads: recognised from their first bytes, parsed by httparse when they are as they should be,
//! and read line by line when they are not, because some server will have accepted them.

use std::mem::MaybeUninit;

use httparse::Header;
use zeroize::Zeroizing;

use super::framing::Framing;
use super::startline::{MAX_METHOD, RequestLine, StatusLine, first_line, is_token, trim};

/// Longest head that is read whole, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;
/// Most fields of one head that are handed on.
pub(super) const MAX_FIELDS: usize = 128;
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
