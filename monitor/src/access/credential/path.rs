//! Secrets in paths are found and replaced.

use arrayvec::ArrayVec;
use zeroize::Zeroizing;

use super::super::jwt;
use super::percent;
use super::rules::{HostMask, Rules};

/// Longest path that is kept.
pub(super) const MAX_PATH: usize = 2048;
/// Segments that patterns look at. Known beginnings and JWTs are looked for in all of them.
const MAX_SEGMENTS: usize = 64;
/// Stands for a secret.
const SECRET: &str = "{secret}";
/// Stands for what was too long.
const CUT: &str = "/\u{2026}";

/// How a secret was known.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    /// By a rule (a pattern, or a query parameter's name in `;name=value`), percent-encoded.
    Rule(u16, &'a [u8]),
    /// By itself, decoded.
    Itself(&'a [u8]),
    /// `user:password@` of a URL inside the path, percent-encoded.
    Userinfo(&'a [u8]),
}

/// Finds secrets in paths. Reuses its buffers.
#[derive(Debug, Default)]
pub(super) struct PathScanner {
    /// What to replace: begin and end in the raw path.
    cuts: Vec<(usize, usize)>,
}

impl PathScanner {
    /// Finds the secrets of `path`, telling `found` of each, and writes the path without them to `out`.
    /// `found` says whether what a rule named is a secret indeed. Returns whether `out` is `path` itself.
    pub(super) fn clean(
        &mut self,
        path: &[u8],
        rules: &Rules,
        mask: &HostMask,
        out: &mut String,
        mut found: impl FnMut(By<'_>) -> bool,
    ) -> bool {
        self.cuts.clear();
        let mut segments: ArrayVec<&[u8], MAX_SEGMENTS> = ArrayVec::new();
        let mut starts: ArrayVec<usize, MAX_SEGMENTS> = ArrayVec::new();
        // The two segments before: `http:` and nothing.
        let (mut before, mut last): (&[u8], &[u8]) = (b"", b"");
        let mut at = usize::from(path.first() == Some(&b'/'));
        loop {
            let (len, separator) = next_separator(path.get(at..).unwrap_or_default());
            let segment = path.get(at..at + len).unwrap_or_default();
            if segments.try_push(segment).is_ok() {
                let _ = starts.try_push(at);
            }
            if segment.len() >= 3 {
                self.look_into(segment, at, rules, &mut found);
                if last.is_empty() && (before.ends_with(b":") || ends_with_colon(before)) {
                    self.userinfo(segment, at, &mut found);
                }
            }
            if separator == 0 {
                break;
            }
            (before, last) = (last, segment);
            at += len + separator;
        }
        let first = segments.first().and_then(|first| first.first()).copied();
        for (pattern, rule) in rules.paths(first) {
            if rules.rule(rule, mask).is_none() {
                continue;
            }
            if let Some(hit) = pattern.find(&segments)
                && let (Some(segment), Some(start)) =
                    (segments.get(hit.segment), starts.get(hit.segment))
                && let Some(end) = segment.len().checked_sub(hit.after)
                && let Some(secret) = segment.get(hit.before..end)
                && found(By::Rule(rule, secret))
            {
                self.cuts.push((start + hit.before, start + end));
            }
        }
        self.write(path, out);
        self.cuts.is_empty() && out.as_bytes() == path
    }

    fn look_into(
        &mut self,
        segment: &[u8],
        at: usize,
        rules: &Rules,
        found: &mut impl FnMut(By<'_>) -> bool,
    ) {
        // `;name=value` behind the segment proper (RFC 3986 §3.3).
        let mut offset = 0;
        for (i, part) in segment.split(|byte| *byte == b';').enumerate() {
            if i > 0
                && let Some(equals) = part.iter().position(|byte| *byte == b'=')
                && let Some((name, value)) = part.split_at_checked(equals)
                && let Some(value) = value.get(1..).filter(|value| !value.is_empty())
                && let Some(names) = rules.query(name)
                && names.iter().any(|rule| found(By::Rule(*rule, value)))
            {
                let start = at + offset + equals + 1;
                self.cuts.push((start, start + value.len()));
            }
            offset += part.len() + 1;
        }
        if segment.contains(&b'%') {
            // Rare. Growing would leave copies behind.
            let mut plain = Zeroizing::new(Vec::with_capacity(segment.len()));
            percent::decode(segment, &mut plain);
            self.by_itself(&plain, segment.len(), at, rules, found);
        } else {
            self.by_itself(segment, segment.len(), at, rules, found);
        }
    }

    /// A secret known by its looks, in a decoded segment of `len` raw bytes at `at`.
    fn by_itself(
        &mut self,
        plain: &[u8],
        len: usize,
        at: usize,
        rules: &Rules,
        found: &mut impl FnMut(By<'_>) -> bool,
    ) {
        let secret = if jwt::looks_like(plain) {
            Some(plain)
        } else {
            rules.secret_in(plain)
        };
        if let Some(secret) = secret
            && found(By::Itself(secret))
        {
            self.cuts.push((at, at + len));
        }
    }

    /// `http://user:password@host/…` inside a path, as proxies and mirrors have it.
    fn userinfo(&mut self, segment: &[u8], at: usize, found: &mut impl FnMut(By<'_>) -> bool) {
        let end = memchr::memrchr(b'@', segment)
            .or_else(|| segment.windows(3).rposition(|part| part == b"%40"));
        if let Some(end) = end.filter(|end| *end > 0)
            && let Some(userinfo) = segment.get(..end)
            && (userinfo.contains(&b':')
                || userinfo
                    .windows(3)
                    .any(|part| part.eq_ignore_ascii_case(b"%3A")))
            && found(By::Userinfo(userinfo))
        {
            self.cuts.push((at, at + end));
        }
    }

    fn write(&mut self, path: &[u8], out: &mut String) {
        out.clear();
        // Cut where a segment ends, so that no part of a secret is left standing. Bytes that are no UTF-8
        // take three when shown.
        let fits = path.len() <= MAX_PATH / 3 || path.len() <= MAX_PATH && path.is_ascii();
        let end = if fits {
            path.len()
        } else {
            let max = if path.is_ascii() {
                MAX_PATH
            } else {
                MAX_PATH / 3
            };
            let room = path.get(..max.saturating_sub(CUT.len())).unwrap_or(path);
            memchr::memrchr(b'/', room).unwrap_or(0)
        };
        self.cuts.sort_unstable();
        let mut at = 0;
        for (start, stop) in &self.cuts {
            if *start >= end {
                break;
            }
            // Cuts may overlap.
            if *stop <= at {
                continue;
            }
            if *start >= at {
                push_lossy(path.get(at..*start).unwrap_or_default(), out);
                out.push_str(SECRET);
            }
            at = *stop;
        }
        if at < end {
            push_lossy(path.get(at..end).unwrap_or_default(), out);
        }
        if end < path.len() {
            out.push_str(CUT);
        }
        // Replacing may have made it longer; it holds no secret any more.
        if out.len() > MAX_PATH {
            let mut max = MAX_PATH;
            while !out.is_char_boundary(max) {
                max -= 1;
            }
            out.truncate(max);
        }
    }
}

fn push_lossy(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Length of the segment, and of the separator behind it: `/`, or `%2F`, which some servers decode first.
fn next_separator(rest: &[u8]) -> (usize, usize) {
    for at in memchr::memchr2_iter(b'/', b'%', rest) {
        match rest.get(at..) {
            Some([b'/', ..]) => return (at, 1),
            Some([b'%', b'2', b'f' | b'F', ..]) => return (at, 3),
            _ => {}
        }
    }
    (rest.len(), 0)
}

fn ends_with_colon(segment: &[u8]) -> bool {
    let end = segment.len().saturating_sub(3);
    segment
        .get(end..)
        .is_some_and(|end| end.eq_ignore_ascii_case(b"%3A"))
}
