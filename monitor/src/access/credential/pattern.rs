//! Path patterns with a secret in them, host patterns, and `*` patterns.

use super::percent;

/// `/services/T*/B*/{secret}`: a segment is text in which one `*` may stand for any text, or one `{secret}`
/// for the secret. A leading `**` matches any number of segments, a trailing one any rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    anywhere: bool,
    segments: Vec<Segment>,
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(Box<[u8]>),
    Wild { before: Box<[u8]>, after: Box<[u8]> },
    Secret { before: Box<[u8]>, after: Box<[u8]> },
}

/// Where a pattern found its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Index of the segment.
    pub(crate) segment: usize,
    /// Bytes of the segment before the secret.
    pub(crate) before: usize,
    /// Bytes of the segment after it.
    pub(crate) after: usize,
}

const HINT: &str = "for example path = \"/services/T*/B*/{secret}\"; ** may begin or end it";

impl PathPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        let fail = |what: &str| (format!("path {text:?} {what}"), HINT);
        let inner = text
            .strip_prefix('/')
            .ok_or_else(|| fail("does not begin with /"))?;
        let mut parts: Vec<&str> = inner.split('/').collect();
        let anywhere = parts.first() == Some(&"**");
        if anywhere {
            parts.remove(0);
        }
        let rest = parts.last() == Some(&"**");
        if rest {
            parts.pop();
        }
        let mut segments = Vec::new();
        let mut secrets = 0;
        for part in parts {
            let bytes = |text: &str| text.as_bytes().into();
            let segment = if let Some((before, after)) = part.split_once("{secret}") {
                secrets += 1;
                Segment::Secret {
                    before: bytes(before),
                    after: bytes(after),
                }
            } else if let Some((before, after)) = part.split_once('*') {
                Segment::Wild {
                    before: bytes(before),
                    after: bytes(after),
                }
            } else {
                Segment::Text(bytes(part))
            };
            if let Segment::Wild { after, .. } | Segment::Secret { after, .. } = &segment
                && (after.contains(&b'*') || after.windows(8).any(|part| part == b"{secret}"))
            {
                return Err(fail("has two open places in one segment"));
            }
            segments.push(segment);
        }
        if secrets != 1 {
            return Err(fail("does not have {secret} exactly once"));
        }
        if anywhere && !matches!(segments.first(), Some(Segment::Text(_))) {
            return Err(fail("has no fixed segment behind its leading **"));
        }
        Ok(Self {
            anywhere,
            segments,
            rest,
        })
    }

    /// The byte (lower case) with which every path that matches begins, unless it is percent-encoded.
    pub(crate) fn first(&self) -> Option<u8> {
        match self.segments.first()? {
            _ if self.anywhere => None,
            Segment::Text(text)
            | Segment::Wild { before: text, .. }
            | Segment::Secret { before: text, .. } => text.first().map(u8::to_ascii_lowercase),
        }
    }

    /// Finds the secret among a path's segments, which may be percent-encoded.
    pub(crate) fn find(&self, segments: &[&[u8]]) -> Option<Hit> {
        if !self.anywhere {
            return self.find_at(segments, 0);
        }
        (0..segments.len()).find_map(|start| self.find_at(segments, start))
    }

    fn find_at(&self, all: &[&[u8]], start: usize) -> Option<Hit> {
        let segments = all.get(start..)?;
        if segments.len() < self.segments.len()
            || (segments.len() > self.segments.len() && !self.rest)
        {
            // A trailing slash is no segment.
            let slash = segments.len() == self.segments.len() + 1
                && segments.last().is_some_and(|last| last.is_empty());
            if !slash {
                return None;
            }
        }
        let mut hit = None;
        for (i, (want, have)) in self.segments.iter().zip(segments).enumerate() {
            match want {
                Segment::Text(text) => {
                    if !percent::matches_ignore_case(have, text) {
                        return None;
                    }
                }
                Segment::Wild { before, after } => {
                    open(have, before, after)?;
                }
                Segment::Secret { before, after } => {
                    let (before, after) = open(have, before, after)?;
                    hit = Some(Hit {
                        segment: start + i,
                        before,
                        after,
                    });
                }
            }
        }
        hit
    }
}

/// Raw lengths of `before` and `after` in `have`, with at least one byte between them.
fn open(have: &[u8], before: &[u8], after: &[u8]) -> Option<(usize, usize)> {
    let front = raw_prefix(have, before)?;
    let rest = have.get(front..)?;
    let middle = rest
        .len()
        .checked_sub(after.len())
        .filter(|middle| *middle > 0)?;
    (rest.get(middle..)? == after).then_some((front, after.len()))
}

/// How many raw bytes of `have` decode to `plain`.
fn raw_prefix(have: &[u8], plain: &[u8]) -> Option<usize> {
    let mut at = 0;
    for want in plain {
        let step = if have.get(at) == Some(&b'%') { 3 } else { 1 };
        let raw = have.get(at..at + step)?;
        if !percent::matches_ignore_case(raw, std::slice::from_ref(want)) {
            return None;
        }
        at += step;
    }
    Some(at)
}

/// `name` or `*.suffix`, lower case. The suffix itself matches too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPattern {
    suffix: bool,
    name: Box<str>,
}

impl HostPattern {
    pub(crate) fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix("*.") {
            Some(name) => Self {
                suffix: true,
                name: name.into(),
            },
            None => Self {
                suffix: false,
                name: text.into(),
            },
        }
    }

    /// `host` is lower case and may have a port.
    pub(crate) fn matches(&self, host: &str) -> bool {
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        match host.strip_suffix(&*self.name) {
            Some("") => true,
            Some(front) => self.suffix && front.ends_with('.'),
            None => false,
        }
    }
}

/// Whether `text` matches `pattern`, in which `*` is any text. Case counts. O(n·m) at worst, no recursion.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if text.get(t) == Some(byte) => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    p = after;
                    t = from + 1;
                    retry = Some((after, t));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    #[test]
    fn first_bytes() {
        for (pattern, first) in [
            ("/Services/{secret}", Some(b's')),
            ("/bot{secret}", Some(b'b')),
            ("/v*/{secret}", Some(b'v')),
            ("/{secret}", None),
            ("/*/{secret}", None),
            ("/**/a/{secret}", None),
        ] {
            assert_eq!(
                PathPattern::parse(pattern).unwrap().first(),
                first,
                "{pattern}"
            );
        }
    }

    fn find(pattern: &str, path: &str) -> Option<(usize, String)> {
        let segments: Vec<&[u8]> = path.split('/').skip(1).map(str::as_bytes).collect();
        let hit = PathPattern::parse(pattern).unwrap().find(&segments)?;
        let segment = path.split('/').nth(hit.segment + 1)?;
        Some((
            hit.segment,
            segment
                .get(hit.before..segment.len() - hit.after)?
                .to_owned(),
        ))
    }

    #[test]
    fn finds_secrets() {
        for (pattern, path, expected) in [
            (
                "/services/T*/B*/{secret}",
                "/services/T1/B2/abc",
                Some((3, "abc")),
            ),
            (
                "/services/T*/B*/{secret}",
                "/services/T1/B2/abc/",
                Some((3, "abc")),
            ),
            (
                "/services/T*/B*/{secret}",
                "/s%65rvices/%541/B2/abc",
                Some((3, "abc")),
            ),
            ("/services/T*/B*/{secret}", "/services/T1/B2/abc/d", None),
            ("/services/T*/B*/{secret}", "/services/T1/C2/abc", None),
            ("/services/T*/B*/{secret}", "/services/T1/B2/", None),
            (
                "/bot{secret}/**",
                "/bot1:abc/sendMessage",
                Some((0, "1:abc")),
            ),
            (
                "/bot{secret}/**",
                "/b%6ft1:abc/sendMessage",
                Some((0, "1:abc")),
            ),
            ("/bot{secret}/**", "/bot1:abc", Some((0, "1:abc"))),
            ("/bot{secret}/**", "/bot/x", None),
            (
                "/**/webhooks/*/{secret}/**",
                "/api/v10/webhooks/1/abc/slack",
                Some((4, "abc")),
            ),
            (
                "/**/webhooks/*/{secret}/**",
                "/webhooks/1/abc",
                Some((2, "abc")),
            ),
            ("/x/{secret}.json", "/x/abc.json", Some((1, "abc"))),
            ("/x/{secret}.json", "/x/.json", None),
        ] {
            let expected = expected.map(|(i, text): (usize, &str)| (i, text.to_owned()));
            assert_eq!(find(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn refuses_bad_patterns() {
        for text in [
            "x",
            "/x",
            "/{secret}/{secret}",
            "/a*b*",
            "/{secret}*",
            "/**/{secret}",
            "/**",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts() {
        let exact = HostPattern::new("Hooks.Example.com");
        assert!(exact.matches("hooks.example.com") && exact.matches("hooks.example.com:8080"));
        assert!(!exact.matches("a.hooks.example.com") && !exact.matches("xhooks.example.com"));
        let suffix = HostPattern::new("*.example.com");
        assert!(suffix.matches("a.b.example.com:1") && suffix.matches("example.com"));
        assert!(!suffix.matches("badexample.com") && !suffix.matches("example.com.bad"));
    }

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("*", "abc", true),
            ("a*", "abc", true),
            ("*:*", "1:2", true),
            ("*:*", "12", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("abc", "abcd", false),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
