//! Archives and compressed files: tar (POSIX.1-1988 and -2001, GNU), gzip, one in the other.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// Bytes of a header, and what data is padded to.
const BLOCK: usize = 512;
/// Longest name in a header of its own.
const LONGEST_NAME: u64 = 64 * 1024;
/// Archives within archives.
pub(super) const DEEPEST: usize = 4;
/// Most bytes that one file may unpack to.
pub(super) const MOST_UNPACKED: u64 = 8 * 1024 * 1024 * 1024;
/// Most members of one archive.
const MOST_MEMBERS: u64 = 2_000_000;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Gzip,
    Tar,
    /// Compressed in a way that is not read.
    Closed(&'static str),
}

/// Looks at the first bytes: up to [`BLOCK`] of them.
pub(super) fn kind(head: &[u8]) -> Kind {
    const CLOSED: [(&[u8], &str); 4] = [
        (b"\x28\xB5\x2F\xFD", "zstd"),
        (b"\xFD7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
    ];
    if head.starts_with(b"\x1f\x8b\x08") {
        return Kind::Gzip;
    }
    if head.get(257..262) == Some(b"ustar") {
        return Kind::Tar;
    }
    match CLOSED.iter().find(|(magic, _)| head.starts_with(magic)) {
        // "BZh" is also a text; the level and the block's magic follow it.
        Some((b"BZh", _)) if head.get(4..10) != Some(b"1AY&SY") => Kind::Plain,
        Some((_, name)) => Kind::Closed(name),
        None => Kind::Plain,
    }
}

/// A reader that stops with an error when too much comes out of it.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R> Bounded<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            left: MOST_UNPACKED,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other("it unpacks to more than 8 GiB"))?;
        Ok(read)
    }
}

/// What is done with a plain member: its name within, and its bytes.
pub(super) type Member<'a> = dyn FnMut(&str, &mut dyn Read) -> io::Result<()> + 'a;

/// Goes through a file, whatever it is: plain bytes are handed to `plain`, archives are opened, what cannot be
/// opened is told to `closed` with the reason.
///
/// # Errors
/// When reading or unpacking fails.
pub(super) fn go_through(
    name: &str,
    reader: &mut dyn Read,
    depth: usize,
    plain: &mut Member<'_>,
    closed: &mut dyn FnMut(&str, String),
) -> io::Result<()> {
    // A pipe may give less at a time than a header has.
    let mut head = Vec::with_capacity(BLOCK);
    (&mut *reader).take(BLOCK as u64).read_to_end(&mut head)?;
    let kind = kind(&head);
    let mut reader = io::Cursor::new(head).chain(reader);
    match kind {
        Kind::Plain => plain(name, &mut reader),
        Kind::Closed(how) => {
            closed(name, format!("compressed with {how}, which is not read"));
            Ok(())
        }
        Kind::Gzip | Kind::Tar if depth >= DEEPEST => {
            closed(
                name,
                format!("archives deeper than {DEEPEST} levels are not opened"),
            );
            Ok(())
        }
        Kind::Gzip => {
            let mut unpacked = Bounded::new(MultiGzDecoder::new(BufReader::with_capacity(
                64 * 1024,
                reader,
            )));
            go_through(name, &mut unpacked, depth + 1, plain, closed)
        }
        Kind::Tar => tar(name, &mut reader, depth, plain, closed),
    }
}

fn tar(
    name: &str,
    reader: &mut dyn Read,
    depth: usize,
    plain: &mut Member<'_>,
    closed: &mut dyn FnMut(&str, String),
) -> io::Result<()> {
    let mut long_name: Option<Vec<u8>> = None;
    let mut header = [0_u8; BLOCK];
    for _ in 0..MOST_MEMBERS {
        if !block(reader, &mut header)? || header.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let (size, kind) = check(&header)?;
        match kind {
            b'L' | b'x' => {
                if size > LONGEST_NAME {
                    return Err(io::Error::other("a member's name is longer than 64 KiB"));
                }
                let mut text = Vec::new();
                reader.take(size).read_to_end(&mut text)?;
                skip(reader, padding(size))?;
                long_name = if kind == b'L' {
                    Some(
                        text.split(|byte| *byte == 0)
                            .next()
                            .unwrap_or_default()
                            .to_vec(),
                    )
                } else {
                    pax_path(&text).or(long_name)
                };
                continue;
            }
            b'0' | 0 | b'7' => {
                let own = long_name.take().unwrap_or_else(|| own_name(&header));
                let own = String::from_utf8_lossy(&own);
                let inner = if name.is_empty() {
                    own.into_owned()
                } else {
                    format!("{name}!{own}")
                };
                let mut member = reader.take(size);
                let result = go_through(&inner, &mut member, depth + 1, plain, closed);
                let rest = member.limit();
                skip(reader, rest)?;
                // A member that is broken says nothing of the others.
                if let Err(error) = result {
                    closed(&inner, error.to_string());
                }
            }
            // Sparse files are stored in pieces of which a second header tells.
            b'S' => {
                closed(name, "a sparse member, which is not read".to_owned());
                skip(reader, size)?;
            }
            _ => {
                long_name = None;
                skip(reader, size)?;
            }
        }
        skip(reader, padding(size))?;
    }
    Err(io::Error::other("it has more than 2,000,000 members"))
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

/// Reads a block; false at the end.
fn block(reader: &mut dyn Read, into: &mut [u8; BLOCK]) -> io::Result<bool> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::Error::other("the archive ends within a header")),
            read => filled += read,
        }
    }
    Ok(true)
}

fn skip(reader: &mut dyn Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut reader.take(bytes), &mut io::sink())?;
    if skipped < bytes {
        return Err(io::Error::other("the archive ends within a member"));
    }
    Ok(())
}

/// Size and kind, when the header's sum is right.
fn check(header: &[u8; BLOCK]) -> io::Result<(u64, u8)> {
    let stored = number(header.get(148..156).unwrap_or_default());
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                u64::from(b' ')
            } else {
                u64::from(*byte)
            }
        })
        .sum();
    if stored != Some(sum) {
        return Err(io::Error::other("a header of the archive is broken"));
    }
    let size = number(header.get(124..136).unwrap_or_default())
        .ok_or_else(|| io::Error::other("a size in the archive is no number"))?;
    Ok((size, header.get(156).copied().unwrap_or(0)))
}

/// Octal with blanks around it, or GNU's binary numbers.
fn number(field: &[u8]) -> Option<u64> {
    if field.first().is_some_and(|byte| *byte & 0x80 != 0) {
        let (high, low) = field.split_at_checked(field.len().saturating_sub(8))?;
        let high_empty = high
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == if at == 0 { 0x80 } else { 0 });
        return high_empty.then(|| {
            low.iter()
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        });
    }
    let text = field.split(|byte| *byte == 0).next()?.trim_ascii();
    if text.is_empty() {
        return Some(0);
    }
    text.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Prefix and name of the header.
fn own_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let until_nul = |range: std::ops::Range<usize>| {
        let field = header.get(range).unwrap_or_default();
        field
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
            .to_vec()
    };
    let name = until_nul(0..100);
    // GNU's own form ("ustar  ") has other things where the prefix would be.
    let prefix = if header.get(257..263) == Some(b"ustar\0") {
        until_nul(345..500)
    } else {
        Vec::new()
    };
    if prefix.is_empty() {
        return name;
    }
    [prefix, name].join(&b'/')
}

/// `path` of a pax header: lines `LENGTH KEY=VALUE`.
fn pax_path(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    while !text.is_empty() {
        let blank = text.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(text.get(..blank)?).ok()?.parse().ok()?;
        let line = text.get(blank + 1..length)?;
        if let Some(path) = line.strip_prefix(b"path=") {
            found = Some(path.strip_suffix(b"\n").unwrap_or(path).to_vec());
        }
        text = text.get(length..).filter(|_| length > 0)?;
    }
    found
}
