//! Bytes become findings: one pass of an automaton over all keywords, and a closer look where one stands.

use std::io::{self, Read};
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};
use zeroize::Zeroizing;

use super::gitleaks::{Foreign, ForeignRules};
use super::rules::{ALL, Form, Spot, Text};

/// Bytes looked at in one piece.
const PIECE: usize = 4 * 1024 * 1024;
/// Bytes at a piece's end that are looked at again with the next: nothing longer is found over the border.
pub const OVERLAP: usize = 64 * 1024;
/// Bytes before that which rules may look back at.
const BACK: usize = 4 * 1024;
/// Findings of one file; more are counted.
pub const MOST_IN_FILE: usize = 1000;
/// Looks in one piece: a file made of keywords costs no more than this many.
const MOST_LOOKS: usize = 1_000_000;
/// Spots of one piece before the double ones are taken out.
const MOST_SPOTS: usize = 16 * 1024;
/// How far an access key's secret may stand from it.
const NEAR_KEY: usize = 400;
/// How far a line's comment may stand from what it allows.
const LINE: usize = 4 * 1024;
/// The comment that allows a line.
const ALLOW: &[u8] = b"bailiwick:allow";
/// The same of gitleaks, for its rules.
const ALLOW_FOREIGN: &[u8] = b"gitleaks:allow";

/// Which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleNumber(pub(super) u16);

/// What was found, borrowed from the piece: it holds the secret, so it cannot be formatted.
#[expect(missing_debug_implementations, reason = "it holds a secret")]
pub struct Hit<'a> {
    /// By which rule.
    pub rule: RuleNumber,
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// In bytes, from 0.
    pub offset: u64,
    /// The secret.
    pub secret: &'a [u8],
    /// The user that goes with it, for [`Form::Pair`].
    pub user: Option<&'a [u8]>,
    /// How it is used.
    pub form: Form,
    /// Public prefix.
    pub prefix: &'static str,
    /// Whether a comment on its line allows it.
    pub allowed: bool,
}

/// What one file came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes read.
    pub bytes: u64,
    /// Findings told.
    pub hits: u64,
    /// Findings beyond [`MOST_IN_FILE`], not told.
    pub more: u64,
    /// Pieces in which looking stopped early (a file made of keywords).
    pub cut: u64,
}

impl Scanned {
    /// Adds another's.
    pub fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.hits = self.hits.saturating_add(other.hits);
        self.more = self.more.saturating_add(other.more);
        self.cut = self.cut.saturating_add(other.cut);
    }
}

/// Finds credentials. Shared between threads; each has a [`Buffer`] of its own.
#[derive(Debug)]
pub struct Scanner {
    automaton: AhoCorasick,
    /// For each keyword the rules that want it: those below `ALL.len()` are ours.
    owners: Vec<Vec<u16>>,
    foreign: ForeignRules,
    /// Rules without keywords that look at lines of files by name.
    by_line: Vec<u16>,
}

/// No scanner could be made of the rules.
#[derive(Debug, thiserror::Error)]
#[error("the keywords of the rules cannot be searched for together: {0}")]
pub struct TooMuch(#[from] aho_corasick::BuildError);

/// The buffer of one thread, wiped when dropped.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "it holds what files hold")]
pub struct Buffer(Zeroizing<Vec<u8>>);

/// A spot and whose it is.
struct Marked {
    rule: u16,
    spot: Spot,
}

impl Scanner {
    /// A scanner of our own rules, and of `foreign` ones.
    ///
    /// # Errors
    /// When there are too many keywords.
    pub fn new(foreign: ForeignRules) -> Result<Self, TooMuch> {
        let mut keywords: Vec<String> = Vec::new();
        let mut owners: Vec<Vec<u16>> = Vec::new();
        let mut add =
            |keyword: &str, rule: u16| match keywords.iter().position(|known| known == keyword) {
                Some(at) => {
                    if let Some(owners) = owners.get_mut(at) {
                        owners.push(rule);
                    }
                }
                None => {
                    keywords.push(keyword.to_owned());
                    owners.push(vec![rule]);
                }
            };
        let mut by_line = Vec::new();
        for (number, rule) in (0..).zip(ALL) {
            for keyword in rule.keywords {
                add(keyword, number);
            }
            if rule.keywords.is_empty() {
                by_line.push(number);
            }
        }
        for (number, rule) in (foreign_base()..).zip(&foreign.rules) {
            for keyword in &rule.keywords {
                add(keyword, number);
            }
        }
        let automaton = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&keywords)?;
        Ok(Self {
            automaton,
            owners,
            foreign,
            by_line,
        })
    }

    /// Id of a rule.
    #[must_use]
    pub fn id(&self, rule: RuleNumber) -> &str {
        match ALL.get(usize::from(rule.0)) {
            Some(own) => own.id,
            None => self.foreign(rule.0).map_or("?", |rule| &rule.id),
        }
    }

    /// What a rule finds, in words.
    #[must_use]
    pub fn text(&self, rule: RuleNumber) -> &str {
        match ALL.get(usize::from(rule.0)) {
            Some(own) => own.text,
            None => self.foreign(rule.0).map_or("?", |rule| &rule.description),
        }
    }

    /// All rules.
    pub fn rules(&self) -> impl Iterator<Item = RuleNumber> {
        let all = ALL.len() + self.foreign.rules.len();
        (0..u16::try_from(all).unwrap_or(u16::MAX)).map(RuleNumber)
    }

    fn foreign(&self, rule: u16) -> Option<&Foreign> {
        let at = usize::from(rule).checked_sub(ALL.len())?;
        self.foreign.rules.get(at)
    }

    /// Whether rules of a file exclude this path wholly.
    #[must_use]
    pub fn leaves_out(&self, path: &[u8]) -> bool {
        self.foreign.leaves_out(path)
    }

    /// Looks at all that `reader` has; `name` is the path as people know it.
    ///
    /// # Errors
    /// When reading fails; what was found before was told.
    pub fn scan(
        &self,
        path: &[u8],
        mut reader: impl Read,
        buffer: &mut Buffer,
        mut tell: impl FnMut(&Hit<'_>),
    ) -> io::Result<Scanned> {
        let mut done = Scanned::default();
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let bytes = &mut buffer.0;
        bytes.clear();
        let mut place = Place::default();
        let mut binary = false;
        loop {
            let carried = bytes.len();
            let want = PIECE.saturating_sub(carried);
            // By and by, so that a small file does not cost a large buffer.
            let read = (&mut reader).take(want as u64).read_to_end(bytes)?;
            done.bytes = done.bytes.saturating_add(read as u64);
            let last = read < want;
            if place.offset == 0 && carried == 0 {
                binary = memchr::memchr(0, bytes.get(..bytes.len().min(8192)).unwrap_or_default())
                    .is_some();
            }
            let end = if last {
                bytes.len()
            } else {
                bytes.len().saturating_sub(OVERLAP)
            };
            let text = Text { bytes, name };
            self.piece(
                &text,
                path,
                binary,
                place.skip..end,
                &mut place,
                &mut done,
                &mut tell,
            );
            if last {
                return Ok(done);
            }
            let from = end.saturating_sub(BACK);
            place.leave(bytes, from);
            place.skip = end - from;
            let len = bytes.len();
            bytes.copy_within(from..len, 0);
            bytes.truncate(len - from);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one caller; a struct would only name them again"
    )]
    fn piece(
        &self,
        text: &Text<'_>,
        path: &[u8],
        binary: bool,
        within: Range<usize>,
        place: &mut Place,
        done: &mut Scanned,
        tell: &mut impl FnMut(&Hit<'_>),
    ) {
        let mut found = self.spots(text, path, binary, done);
        found.retain(|marked| within.contains(&marked.spot.secret.start));
        sift(&mut found);
        for marked in found {
            if done.hits >= MOST_IN_FILE as u64 {
                done.more = done.more.saturating_add(1);
                continue;
            }
            let Spot {
                secret,
                user,
                form,
                prefix,
            } = marked.spot;
            let (line, column) = place.at(text.bytes, secret.start);
            let around = line_around(text.bytes, &secret);
            let has = |word| memchr::memmem::find(around, word).is_some();
            let foreign = usize::from(marked.rule) >= ALL.len();
            done.hits = done.hits.saturating_add(1);
            tell(&Hit {
                rule: RuleNumber(marked.rule),
                line,
                column,
                offset: place.offset.saturating_add(secret.start as u64),
                secret: text.get(secret),
                user: user.map(|user| text.get(user)),
                form,
                prefix,
                allowed: has(ALLOW) || (foreign && has(ALLOW_FOREIGN)),
            });
        }
    }

    fn spots(&self, text: &Text<'_>, path: &[u8], binary: bool, done: &mut Scanned) -> Vec<Marked> {
        let mut found = Vec::new();
        let mut wanted = vec![false; self.foreign.rules.len()];
        let mut looks = 0_usize;
        for hit in self.automaton.find_overlapping_iter(text.bytes) {
            let Some(owners) = self.owners.get(hit.pattern().as_usize()) else {
                continue;
            };
            for rule in owners {
                match ALL.get(usize::from(*rule)) {
                    Some(info) => {
                        if binary && matches!(info.id, "password" | "api-key") {
                            continue;
                        }
                        if let Some(spot) = (info.look)(text, hit.start(), hit.end()) {
                            found.push(Marked { rule: *rule, spot });
                        }
                    }
                    None => {
                        let at = usize::from(*rule) - ALL.len();
                        if let Some(slot) = wanted.get_mut(at) {
                            *slot = true;
                        }
                    }
                }
            }
            looks += 1;
            if looks >= MOST_LOOKS || found.len() >= MOST_SPOTS {
                done.cut = done.cut.saturating_add(1);
                break;
            }
        }
        self.lines(text, &mut found);
        for (number, (rule, wanted)) in
            (foreign_base()..).zip(self.foreign.rules.iter().zip(wanted))
        {
            if (wanted || rule.keywords.is_empty()) && found.len() < MOST_SPOTS {
                rule.look(
                    text.bytes,
                    path,
                    &self.foreign,
                    MOST_SPOTS,
                    |secret, form| {
                        found.push(Marked {
                            rule: number,
                            spot: Spot {
                                secret,
                                user: None,
                                form,
                                prefix: "",
                            },
                        });
                    },
                );
            }
        }
        found
    }

    /// Rules that look at lines.
    fn lines(&self, text: &Text<'_>, found: &mut Vec<Marked>) {
        if !matches!(text.name, b".pgpass" | b"pgpass.conf") {
            return;
        }
        let starts =
            std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.bytes).map(|at| at + 1));
        for start in starts.take(MOST_SPOTS) {
            for rule in &self.by_line {
                let look = ALL.get(usize::from(*rule)).map(|info| info.look);
                if let Some(spot) = look.and_then(|look| look(text, start, start)) {
                    found.push(Marked { rule: *rule, spot });
                }
            }
        }
    }
}

fn foreign_base() -> u16 {
    u16::try_from(ALL.len()).unwrap_or(u16::MAX)
}

/// Of spots that overlap, the one of the earlier rule stays.
fn sift(found: &mut Vec<Marked>) {
    found.sort_by_key(|marked| {
        (
            marked.spot.secret.start,
            marked.rule,
            marked.spot.secret.end,
        )
    });
    let mut kept: Vec<Marked> = Vec::with_capacity(found.len());
    for marked in found.drain(..) {
        match kept.last_mut() {
            Some(before) if marked.spot.secret.start < before.spot.secret.end => {
                if marked.rule < before.rule {
                    *before = marked;
                }
            }
            _ => kept.push(marked),
        }
    }
    // The secret that an access key was recognised by is no finding of its own.
    let is = |marked: &Marked, id: &str| {
        ALL.get(usize::from(marked.rule))
            .is_some_and(|info| info.id == id)
    };
    let keys: Vec<Range<usize>> = kept
        .iter()
        .filter(|marked| is(marked, "aws-access-key"))
        .map(|marked| marked.spot.secret.clone())
        .collect();
    if !keys.is_empty() {
        let near = |one: &Range<usize>, other: &Range<usize>| {
            one.start.saturating_sub(NEAR_KEY) <= other.end
                && other.start <= one.end.saturating_add(NEAR_KEY)
        };
        kept.retain(|marked| {
            !(is(marked, "api-key")
                && marked.spot.secret.len() == 40
                && keys.iter().any(|key| near(key, &marked.spot.secret)))
        });
    }
    *found = kept;
}

/// The line, or lines, that a secret stands in.
fn line_around<'a>(bytes: &'a [u8], secret: &Range<usize>) -> &'a [u8] {
    let from = secret.start.saturating_sub(LINE);
    let before = bytes.get(from..secret.start).unwrap_or_default();
    let start = memchr::memrchr(b'\n', before).map_or(from, |at| from + at + 1);
    let to = secret.end.saturating_add(LINE).min(bytes.len());
    let behind = bytes.get(secret.end..to).unwrap_or_default();
    let end = memchr::memchr(b'\n', behind).map_or(to, |at| secret.end + at);
    bytes.get(start..end).unwrap_or_default()
}

/// Where in the file the piece is, and how far its lines were counted.
#[derive(Default)]
struct Place {
    /// Of the piece's first byte.
    offset: u64,
    /// Bytes at the piece's beginning whose findings were told.
    skip: usize,
    /// Line breaks before the piece.
    lines: u64,
    /// Characters before the piece that belong to its first line.
    column: u64,
    /// In the piece, up to where line breaks were counted, and how many.
    counted: (usize, u64),
    /// Where the line of `counted` begins; none: before the piece.
    line_start: Option<usize>,
}

impl Place {
    /// Line and column of an offset, from 1; offsets only grow.
    fn at(&mut self, bytes: &[u8], at: usize) -> (u64, u64) {
        let (from, mut breaks) = self.counted;
        for newline in memchr::memchr_iter(b'\n', bytes.get(from..at).unwrap_or_default()) {
            breaks = breaks.saturating_add(1);
            self.line_start = Some(from + newline + 1);
        }
        self.counted = (at.max(from), breaks);
        let line = characters(
            bytes
                .get(self.line_start.unwrap_or(0)..at)
                .unwrap_or_default(),
        );
        let before = if self.line_start.is_none() {
            self.column
        } else {
            0
        };
        (
            self.lines.saturating_add(breaks).saturating_add(1),
            before.saturating_add(line).saturating_add(1),
        )
    }

    /// The piece moves on: its byte `from` will be the first one.
    fn leave(&mut self, bytes: &[u8], from: usize) {
        let gone = bytes.get(..from).unwrap_or_default();
        let breaks = memchr::memchr_iter(b'\n', gone).count() as u64;
        self.lines = self.lines.saturating_add(breaks);
        self.column = match memchr::memrchr(b'\n', gone) {
            Some(at) => characters(gone.get(at + 1..).unwrap_or_default()),
            None => self.column.saturating_add(characters(gone)),
        };
        self.offset = self.offset.saturating_add(from as u64);
        self.counted = (0, 0);
        self.line_start = None;
    }
}

/// Bytes that begin a character of UTF-8, and bytes that are none.
fn characters(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64
}
