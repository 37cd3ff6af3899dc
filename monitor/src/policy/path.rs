//! Reads a request's path the way a suspicious person would.
//!
//! Servers differ in what `//`, `/../`, `%2F`, `;x=1`, `\` or a second round of percent-decoding mean. If
//! a policy took one reading and the server another, a request could pass as an operation that it is
//! not. So a path is split as RFC 3986 says, each segment is decoded once, and whatever some server may
//! read differently is marked: a pattern grants a path only if every reading of it is granted.

/// Longest path that is judged by its segments. `access` cuts paths at 2 KiB (at a character's
/// boundary), so a longer one may go on unseen.
pub(crate) const LONGEST: usize = 2044;

/// How `access` ends a path that it cut, at whatever length.
const CUT: &str = "/\u{2026}";

/// What `access` writes for a path that is not known.
const UNKNOWN: &str = "?";

/// Rounds of decoding that are followed when looking for hidden dots and slashes.
const ROUNDS: usize = 3;

/// Why no pattern with segments matches a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    /// Not a path: `*` or an authority (RFC 9112 §3.2.3, §3.2.4).
    NotAPath,
    /// `.` or `..`, plain, encoded (also several times), or before `;`.
    DotSegment,
    /// Bad percent-encoding, bytes that are no UTF-8, control characters, or more than three rounds of
    /// encoding.
    Encoding,
    /// May have been cut off.
    TooLong,
    /// It was not seen, or refers to what was not.
    Unknown,
}

impl Ambiguity {
    /// In words, to follow "its path".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotAPath => "is not a path",
            Self::DotSegment => "holds a dot segment",
            Self::Encoding => "is encoded so that servers may read it differently",
            Self::TooLong => "is too long to be judged",
            Self::Unknown => "is not known",
        }
    }
}

/// One segment, decoded once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'r> {
    pub(crate) bytes: &'r [u8],
    /// Some server may end or split the segment inside: an encoded `/`, `\`, `?` or `#`.
    pub(crate) delimiter: bool,
    /// Some server may see an empty segment: it is empty or begins with `;`.
    pub(crate) empty: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    delimiter: bool,
    empty: bool,
}

/// A path that was read. Keep it and [`read`](Self::read) again: its buffers are reused.
#[derive(Debug, Default)]
pub struct Reading {
    decoded: Vec<u8>,
    spans: Vec<Span>,
    again: Vec<u8>,
    ambiguity: Option<Ambiguity>,
}

impl Reading {
    /// A reading with room for the longest path.
    #[must_use]
    pub fn new() -> Self {
        Self {
            decoded: Vec::with_capacity(LONGEST),
            spans: Vec::with_capacity(64),
            again: Vec::with_capacity(LONGEST),
            ambiguity: None,
        }
    }

    /// Reads a path without query.
    pub fn read(&mut self, path: &str) {
        self.clear();
        let rest = match path.strip_prefix('/') {
            Some(rest) => rest,
            // RFC 9110 §4.2.3: an empty path is `/`.
            None if path.is_empty() => path,
            None if path == UNKNOWN => {
                self.ambiguity = Some(Ambiguity::Unknown);
                return;
            }
            None => {
                self.ambiguity = Some(Ambiguity::NotAPath);
                return;
            }
        };
        if path.len() > LONGEST || path.ends_with(CUT) {
            self.ambiguity = Some(Ambiguity::TooLong);
            return;
        }
        self.segments_of(rest);
    }

    /// Reads an operation that is written like a path without its first slash: `tools/call:NAME`.
    pub(crate) fn read_operation(&mut self, text: &str) {
        self.clear();
        if text == UNKNOWN || text.len() > LONGEST {
            self.ambiguity = Some(Ambiguity::Unknown);
            return;
        }
        self.segments_of(text);
    }

    fn clear(&mut self) {
        self.decoded.clear();
        self.spans.clear();
        self.ambiguity = None;
    }

    fn segments_of(&mut self, rest: &str) {
        let rest = rest.as_bytes();
        // Nearly always. Not `any`: without an early exit it takes many bytes at once.
        let plain = rest.iter().fold(true, |plain, b| plain & !is_special(*b));
        if plain {
            return self.plain_segments_of(rest);
        }
        for segment in rest.split(|b| *b == b'/') {
            if let Err(why) = self.segment(segment) {
                self.ambiguity = Some(why);
                return;
            }
        }
    }

    /// Reads what needs no decoding.
    fn plain_segments_of(&mut self, rest: &[u8]) {
        self.decoded.extend_from_slice(rest);
        let mut start = 0;
        for segment in rest.split(|b| *b == b'/') {
            if matches!(segment, b"." | b"..") {
                self.ambiguity = Some(Ambiguity::DotSegment);
                return;
            }
            let end = start + segment.len();
            self.spans.push(Span {
                start,
                end,
                delimiter: false,
                empty: segment.is_empty(),
            });
            start = end + 1;
        }
    }

    /// Why the path cannot be judged by its segments, if so.
    #[must_use]
    pub fn ambiguity(&self) -> Option<Ambiguity> {
        self.ambiguity
    }

    /// The segments; none when there is an [`ambiguity`](Self::ambiguity).
    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let spans = if self.ambiguity.is_some() {
            &[]
        } else {
            self.spans.as_slice()
        };
        spans.iter().map(|span| Segment {
            bytes: self.decoded.get(span.start..span.end).unwrap_or_default(),
            delimiter: span.delimiter,
            empty: span.empty,
        })
    }

    fn segment(&mut self, raw: &[u8]) -> Result<(), Ambiguity> {
        if matches!(raw, b"." | b"..") {
            return Err(Ambiguity::DotSegment);
        }
        let start = self.decoded.len();
        if !raw.iter().any(|b| is_special(*b)) {
            self.decoded.extend_from_slice(raw);
            let end = self.decoded.len();
            self.spans.push(Span {
                start,
                end,
                delimiter: false,
                empty: raw.is_empty(),
            });
            return Ok(());
        }
        if raw.windows(3).any(|bytes| bytes == "\u{fffd}".as_bytes()) {
            return Err(Ambiguity::Encoding);
        }
        decode_strictly(raw, &mut self.decoded)?;
        let once = self.decoded.get(start..).unwrap_or_default();
        if std::str::from_utf8(once).is_err() {
            return Err(Ambiguity::Encoding);
        }
        let mut delimiter = inspect(once)?;
        // Hidden deeper: only for what the server behind might decode again.
        self.again.clear();
        self.again.extend_from_slice(once);
        let mut settled = false;
        for _ in 1..ROUNDS {
            if !decode_again(&mut self.again) {
                settled = true;
                break;
            }
            delimiter |= inspect(&self.again)?;
        }
        if !settled && decode_again(&mut self.again) {
            return Err(Ambiguity::Encoding);
        }
        let empty = once.first() == Some(&b';');
        let end = self.decoded.len();
        self.spans.push(Span {
            start,
            end,
            delimiter,
            empty,
        });
        Ok(())
    }
}

/// Whether a byte is more than itself. 0xef begins U+FFFD, which `access` puts in the place of bytes that are no
/// UTF-8.
fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b'%' | b';' | b'\\' | b'?' | b'#' | 0..=31 | 127 | 0xef
    )
}

/// Whether some server may split the decoded segment.
fn inspect(segment: &[u8]) -> Result<bool, Ambiguity> {
    if segment.iter().any(|b| b.is_ascii_control()) {
        return Err(Ambiguity::Encoding);
    }
    for piece in segment.split(|b| matches!(b, b'/' | b'\\' | b'?' | b'#')) {
        // `..;x` is `..` to a server that cuts off parameters.
        let name = piece.split(|b| *b == b';').next().unwrap_or_default();
        if matches!(name, b"." | b"..") {
            return Err(Ambiguity::DotSegment);
        }
    }
    Ok(segment
        .iter()
        .any(|b| matches!(b, b'/' | b'\\' | b'?' | b'#')))
}

fn hex_pair(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |b: Option<&u8>| {
        char::from(*b?)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Percent-decodes (RFC 3986 §2.1), refusing `%` without two hex digits (`%u002e` among them).
pub(crate) fn decode_strictly(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Ambiguity> {
    let mut rest = raw.iter();
    while let Some(byte) = rest.next() {
        if *byte == b'%' {
            let value = hex_pair(rest.next(), rest.next());
            out.push(value.ok_or(Ambiguity::Encoding)?);
        } else {
            out.push(*byte);
        }
    }
    Ok(())
}

/// Percent-decodes in place what is well-formed; whether there was anything.
fn decode_again(bytes: &mut Vec<u8>) -> bool {
    let mut write = 0;
    let mut read = 0;
    let mut changed = false;
    while let Some(byte) = bytes.get(read).copied() {
        let pair = (byte == b'%').then(|| hex_pair(bytes.get(read + 1), bytes.get(read + 2)));
        let (value, step) = match pair.flatten() {
            Some(value) => {
                changed = true;
                (value, 3)
            }
            None => (byte, 1),
        };
        if let Some(slot) = bytes.get_mut(write) {
            *slot = value;
        }
        write += 1;
        read += step;
    }
    bytes.truncate(write);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<Vec<(String, bool, bool)>, Ambiguity> {
        let mut reading = Reading::new();
        reading.read(path);
        if let Some(why) = reading.ambiguity() {
            return Err(why);
        }
        let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        Ok(reading
            .segments()
            .map(|s| (text(s.bytes), s.delimiter, s.empty))
            .collect())
    }

    #[test]
    fn reads_segments() {
        let plain = |s: &str| (s.to_owned(), false, false);
        assert_eq!(
            read("/v1/items/42"),
            Ok(vec![plain("v1"), plain("items"), plain("42")])
        );
        assert_eq!(read("/a%20b"), Ok(vec![plain("a b")]));
        assert_eq!(read("/%76%31"), Ok(vec![plain("v1")]));
        assert_eq!(read("/x;y=1"), Ok(vec![plain("x;y=1")]));
        assert_eq!(read("/"), Ok(vec![(String::new(), false, true)]));
        assert_eq!(read(""), Ok(vec![(String::new(), false, true)]));
        assert_eq!(read("/;a"), Ok(vec![(";a".into(), false, true)]));
        assert_eq!(read("/a%2Fb"), Ok(vec![("a/b".into(), true, false)]));
        assert_eq!(read("/a%252Fb"), Ok(vec![("a%2Fb".into(), true, false)]));
        assert_eq!(read("/a\\b"), Ok(vec![("a\\b".into(), true, false)]));
        assert_eq!(read("/a%3Fb"), Ok(vec![("a?b".into(), true, false)]));
        assert_eq!(read("/100%25"), Ok(vec![plain("100%")]));
        assert_eq!(read("/..."), Ok(vec![plain("...")]));
        assert_eq!(read("/.hidden"), Ok(vec![plain(".hidden")]));
        assert_eq!(read("/ü%C3%BC"), Ok(vec![plain("üü")]));
        assert_eq!(
            read("/\u{ff01}%EF%BF%BD"),
            Ok(vec![plain("\u{ff01}\u{fffd}")])
        );
        assert_eq!(read("/a\u{2026}"), Ok(vec![plain("a\u{2026}")]));
    }

    #[test]
    fn refuses_what_servers_read_differently() {
        use Ambiguity::{DotSegment, Encoding, NotAPath, TooLong, Unknown};
        for (path, why) in [
            ("/v1/../admin", DotSegment),
            ("/v1/./x", DotSegment),
            ("/..", DotSegment),
            ("/%2e%2e/x", DotSegment),
            ("/%2E./x", DotSegment),
            ("/%252e%252e/x", DotSegment),
            ("/%25252e%25252e/x", DotSegment),
            ("/..;/x", DotSegment),
            ("/..;a=b/x", DotSegment),
            ("/..%3ba/x", DotSegment),
            ("/a%2F..%2Fb", DotSegment),
            ("/a%2f%2e%2e%2fb", DotSegment),
            ("/a%255c..%255cb", DotSegment),
            ("/a\\..\\b", DotSegment),
            ("/%2525252e", Encoding),
            ("/%u002e", Encoding),
            ("/%", Encoding),
            ("/%4", Encoding),
            ("/%zz", Encoding),
            ("/%+4", Encoding),
            ("/a%00b", Encoding),
            ("/a%2500b", Encoding),
            ("/a%0d%0ab", Encoding),
            ("/%c0%ae%c0%ae/x", Encoding),
            ("/a\u{fffd}b", Encoding),
            ("/v1/\u{2026}", TooLong),
            ("/\u{2026}", TooLong),
            ("*", NotAPath),
            ("host:443", NotAPath),
            ("?", Unknown),
        ] {
            assert_eq!(read(path), Err(why), "{path}");
        }
        assert_eq!(read(&format!("/{}", "a".repeat(LONGEST))), Err(TooLong));
    }

    #[test]
    fn is_used_again() {
        let mut reading = Reading::new();
        reading.read("/..");
        assert_eq!(reading.ambiguity(), Some(Ambiguity::DotSegment));
        reading.read("/a/b");
        assert_eq!(reading.ambiguity(), None);
        assert_eq!(reading.segments().count(), 2);
    }
}
