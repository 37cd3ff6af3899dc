//! Records of application data whose key and number are known become plaintext.

use zeroize::Zeroize;

use super::cipher::{Keys, plaintext};
use super::hello::{Reader as Bytes, kind};
use super::keyring::Keyring;
use super::record::Part;
use super::schedule;
use super::session::Session;
use super::{Dir, JUMP, MAX_RECORD, Piece, Plain, SHORT, Why, outer};

/// Wrong tags in a row after which a direction's connection counts as broken.
const MAX_FAILURES: u32 = 4;
/// Positions tried for a KeyUpdate that was lost.
const MAX_BACK: u32 = 8;

/// Where a direction's plaintext stands.
#[derive(Default)]
pub(super) struct Reader {
    /// Position of the next record's plaintext.
    off: u32,
    /// Bytes are missing in front of it, nobody knows how many.
    lost: bool,
    /// The other direction spoke since the last piece.
    pub(super) turn: bool,
    /// A piece was given.
    seen: bool,
    /// A record that has not come whole.
    current: Option<Current>,
    failures: u32,
    /// First record since the last good tag that was lost: it may have been a KeyUpdate.
    suspect: Option<u32>,
}

/// A record that comes in pieces, or is captured in part.
struct Current {
    number: u32,
    length: u16,
    outer: u8,
    /// Early data has keys of its own.
    early: bool,
    time: u64,
    /// What has come of its body. Encrypted.
    body: Vec<u8>,
    /// Bytes of its plaintext that were given.
    told: usize,
    /// Position of its plaintext, once something of it was given.
    off: Option<u32>,
    /// It is not application data.
    ignored: bool,
}

impl Reader {
    /// What comes next does not follow what was.
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }

    /// A record may still grow.
    pub(super) fn waiting(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| !current.body.is_empty())
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.current
            .as_ref()
            .map_or(0, |current| current.body.capacity())
    }
}

impl Session {
    /// Takes a part of a record.
    pub(super) fn traffic(
        &mut self,
        dir: Dir,
        number: u32,
        part: &Part<'_>,
        early: bool,
        ring: &mut Keyring,
        out: &mut dyn Plain,
    ) {
        let mut plain = std::mem::take(&mut ring.scratch);
        // Once: what grows leaves copies behind.
        plain.reserve_exact(usize::from(MAX_RECORD));
        let good = self.record(dir, number, part, early, &mut plain, out);
        plain.as_mut_slice().zeroize();
        plain.clear();
        ring.scratch = plain;
        if !good {
            self.darken(Why::Broken, ring);
        }
    }

    fn keys(&self, dir: Dir, early: bool) -> Option<(&Keys, u32)> {
        let half = match dir {
            Dir::ToServer if early => return self.early.keys(),
            Dir::ToServer => &self.up,
            Dir::ToClient => &self.down,
        };
        half.keys.as_ref().zip(half.base)
    }

    /// `false`: the connection cannot be read any more.
    fn record(
        &mut self,
        dir: Dir,
        number: u32,
        part: &Part<'_>,
        early: bool,
        plain: &mut Vec<u8>,
        out: &mut dyn Plain,
    ) -> bool {
        if part.first {
            self.finish(dir, out);
            // What was left out on purpose is application data of a known length.
            let passed = part.passed.and_then(|bytes| {
                let (keys, _) = self.keys(dir, early)?;
                keys.contents(part.lost, bytes)
            });
            let reader = &mut self.half(dir).reader;
            match passed {
                _ if part.lost == 0 => {}
                Some(bytes) => reader.off = reader.off.wrapping_add(bytes),
                None => {
                    reader.lost = true;
                    reader.suspect.get_or_insert(number.wrapping_sub(part.lost));
                }
            }
            reader.current = Some(Current {
                number,
                length: part.length,
                outer: part.outer,
                early,
                time: part.time,
                body: Vec::new(),
                told: 0,
                off: None,
                ignored: false,
            });
        }
        let Some(mut current) = self.half(dir).reader.current.take() else {
            return true;
        };
        let mut gathered = std::mem::take(&mut current.body);
        if current.number == number && part.pos == gathered.len() {
            if part.pos == 0 && part.data.len() == usize::from(part.length) {
                return self.whole(dir, current, part.data, plain, out);
            }
            gathered.extend_from_slice(part.data);
            if gathered.len() == usize::from(current.length) {
                return self.whole(dir, current, &gathered, plain, out);
            }
            if current.outer == outer::DATA && (!self.is_13() || current.length > SHORT) {
                self.stream(dir, &mut current, &gathered, plain, out);
            }
        }
        current.body = gathered;
        self.half(dir).reader.current = Some(current);
        true
    }

    /// Gives what is new of a record that is not whole.
    fn stream(
        &mut self,
        dir: Dir,
        current: &mut Current,
        body: &[u8],
        plain: &mut Vec<u8>,
        out: &mut dyn Plain,
    ) {
        let Some((keys, base)) = self.keys(dir, current.early) else {
            return;
        };
        let seq = u64::from(current.number.wrapping_sub(base));
        plain.clear();
        keys.peek(seq, body, current.length, current.told, plain);
        let content = keys.content(current.length).unwrap_or_default();
        // A long ticket (it may hold the client's certificate), before anything else was said.
        let seen = self.half(dir).reader.seen;
        if !seen && self.is_13() && current.told == 0 && is_ticket(plain, content) {
            current.ignored = true;
        }
        if !current.ignored {
            self.give(dir, current, plain, 0, out);
        }
        current.told += plain.len();
    }

    /// A record that is complete.
    fn whole(
        &mut self,
        dir: Dir,
        mut current: Current,
        body: &[u8],
        plain: &mut Vec<u8>,
        out: &mut dyn Plain,
    ) -> bool {
        plain.clear();
        let opened = self.keys(dir, current.early).is_some_and(|(keys, base)| {
            let seq = u64::from(current.number.wrapping_sub(base));
            keys.open(seq, current.outer, body, plain)
        });
        if !opened && !self.updated(dir, &current, body, plain) {
            self.counts.bad_tags = self.counts.bad_tags.saturating_add(1);
            let reader = &mut self.half(dir).reader;
            reader.lose();
            reader.failures += 1;
            return reader.failures < MAX_FAILURES;
        }
        let tls13 = self.is_13();
        let reader = &mut self.half(dir).reader;
        (reader.failures, reader.suspect) = (0, None);
        let (found, content) = match tls13 {
            false => (current.outer, plain.as_slice()),
            true => match inner(plain) {
                Some(inner) => inner,
                None => return false,
            },
        };
        match found {
            outer::DATA => {
                let rest = content.get(current.told..).unwrap_or_default();
                if !rest.is_empty() {
                    self.give(dir, &mut current, rest, 0, out);
                }
                self.counts.read += 1;
                self.pass(dir, &current, content.len());
            }
            outer::HANDSHAKE if tls13 && !current.early && ends_with_update(content) => {
                return self.update(dir, current.number);
            }
            _ => {}
        }
        true
    }

    /// Gives plaintext of a record, behind what was given of it.
    fn give(
        &mut self,
        dir: Dir,
        current: &mut Current,
        data: &[u8],
        hole: usize,
        out: &mut dyn Plain,
    ) {
        let mut start = false;
        let off = match current.off {
            Some(off) => off,
            None => {
                let turned = self.last_data != Some(dir);
                if turned {
                    self.last_data = Some(dir);
                    // Who answers has read what was sent: nothing of it is still under way.
                    self.finish(dir.opposite(), out);
                }
                let reader = &mut self.half(dir).reader;
                start = turned || reader.turn || !reader.seen;
                (reader.turn, reader.seen) = (false, true);
                if std::mem::take(&mut reader.lost) {
                    out.lost_records();
                    reader.off = reader.off.wrapping_add(JUMP);
                }
                *current.off.insert(reader.off)
            }
        };
        out.piece(Piece {
            dir,
            off: off.wrapping_add(number(current.told)),
            data,
            hole: number(hole),
            time: current.time,
            start,
        });
    }

    /// The next record's plaintext lies behind so many bytes of this one.
    fn pass(&mut self, dir: Dir, current: &Current, content: usize) {
        let reader = &mut self.half(dir).reader;
        let off = current.off.unwrap_or(reader.off);
        reader.off = off.wrapping_add(number(content));
    }

    /// Nothing more comes of the record at hand: what is missing is a hole.
    pub(super) fn finish(&mut self, dir: Dir, out: &mut dyn Plain) {
        let Some(mut current) = self.half(dir).reader.current.take() else {
            return;
        };
        if current.ignored || current.outer != outer::DATA {
            return;
        }
        let body = std::mem::take(&mut current.body);
        if current.told == 0 {
            // A short record that did not come whole; application data most likely.
            let mut plain = plaintext();
            self.stream(dir, &mut current, &body, &mut plain, out);
            if current.ignored {
                return;
            }
        }
        let Some(content) = self
            .keys(dir, current.early)
            .and_then(|(keys, _)| keys.content(current.length))
        else {
            return;
        };
        let hole = content.saturating_sub(current.told);
        if hole > 0 {
            self.give(dir, &mut current, &[], hole, out);
        }
        self.counts.read += 1;
        self.pass(dir, &current, content);
    }

    /// Tries whether a KeyUpdate was among the records that were lost.
    fn updated(&mut self, dir: Dir, current: &Current, body: &[u8], plain: &mut Vec<u8>) -> bool {
        let (Some(suite), true) = (self.suite, self.is_13() && !current.early) else {
            return false;
        };
        let half = self.half(dir);
        let (Some(first), Some(secret)) = (half.reader.suspect, &half.secret) else {
            return false;
        };
        let Some(secret) = schedule::next(suite, secret) else {
            return false;
        };
        let Some(keys) = schedule::keys(suite, &secret) else {
            return false;
        };
        // Behind the lost record at the earliest.
        let most = current
            .number
            .wrapping_sub(first.wrapping_add(1))
            .min(MAX_BACK);
        for seq in 0..=most {
            if keys.open(seq.into(), current.outer, body, plain) {
                half.base = Some(current.number.wrapping_sub(seq));
                (half.secret, half.keys) = (Some(secret), Some(keys));
                return true;
            }
        }
        false
    }

    /// The direction goes on with the next generation of keys (RFC 8446 §7.2).
    fn update(&mut self, dir: Dir, at: u32) -> bool {
        let suite = self.suite;
        let half = self.half(dir);
        let (Some(suite), Some(secret)) = (suite, &half.secret) else {
            return false;
        };
        let Some(next) = schedule::next(suite, secret) else {
            return false;
        };
        half.keys = schedule::keys(suite, &next);
        half.secret = Some(next);
        half.base = Some(at.wrapping_add(1));
        half.keys.is_some()
    }
}

fn number(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Content type and content of a TLSInnerPlaintext (RFC 8446 §5.2).
pub(super) fn inner(plain: &[u8]) -> Option<(u8, &[u8])> {
    let end = plain.iter().rposition(|byte| *byte != 0)?;
    Some((*plain.get(end)?, plain.get(..end)?))
}

/// Whether the handshake messages of a record end with a KeyUpdate (RFC 8446 §4.6.3).
fn ends_with_update(content: &[u8]) -> bool {
    let mut messages = Bytes(content);
    let mut last = None;
    while let (Some(kind), Some([a, b, c])) = (messages.u8(), messages.bytes(3)) {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if messages.bytes(length).is_none() {
            return false;
        }
        last = Some((kind, length));
    }
    messages.0.is_empty() && last == Some((kind::KEY_UPDATE, 1))
}

/// Whether a record of `content` bytes begins with a NewSessionTicket that ends in it.
fn is_ticket(plain: &[u8], content: usize) -> bool {
    matches!(plain, [kind::NEW_SESSION_TICKET, 0, a, b, ..]
        if usize::from(u16::from_be_bytes([*a, *b])) + 4 <= content)
}
