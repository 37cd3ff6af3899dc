//! Key logs: the text that programs write when `SSLKEYLOGFILE` is set (RFC 9850; NSS's format).
//!
//! One secret a line: label, client random and secret, the last two in hexadecimal, with spaces in between.
//! Whoever may write the file may write anything into it: a line that is none is counted and passed by.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::{Label, Secret};

/// Longest line that is read, in bytes without its end: the longest label of RFC 9850 §2, a random of 32
/// bytes and a secret of 64, and some room.
pub const MAX_LINE: usize = 256;
/// Bytes of a master secret (RFC 5246 §8.1).
const MASTER: usize = 48;
/// Bytes of the shortest traffic secret: a hash of SHA-256.
const SHORTEST: usize = 32;

/// One line.
pub struct LoggedSecret {
    /// What it is for.
    pub label: Label,
    /// The connection's client random.
    pub client_random: [u8; 32],
    /// The secret: 48 bytes for TLS 1.2, 32 to 64 else.
    pub value: Secret,
}

/// What lines were, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLogCounts {
    /// Secrets handed out.
    pub secrets: u64,
    /// Comments, empty lines, and labels that are of no use here or unknown.
    pub ignored: u64,
    /// Lines that are none of a key log: too long, or not what their label wants.
    pub malformed: u64,
    /// Secrets for which no locked memory was to be had.
    pub unheld: u64,
}

/// Puts lines together out of what is read of a file, and takes them apart. Holds one line at most, and
/// overwrites it when it is done.
pub struct KeyLogReader {
    line: Zeroizing<[u8; MAX_LINE]>,
    length: usize,
    /// The line is too long, or its beginning was not read.
    skip: bool,
    /// Then: it counts as malformed.
    long: bool,
    counts: KeyLogCounts,
}

impl Default for KeyLogReader {
    fn default() -> Self {
        Self {
            line: Zeroizing::new([0; MAX_LINE]),
            length: 0,
            skip: false,
            long: false,
            counts: KeyLogCounts::default(),
        }
    }
}

impl KeyLogReader {
    /// Begins anew at the beginning of a file. `midway`: somewhere in it, perhaps within a line, the rest of
    /// which is then passed by. Counts go on.
    pub fn restart(&mut self, midway: bool) {
        self.clear();
        self.skip = midway;
    }

    /// Takes what was read next, and hands out the secrets whose lines are complete.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(LoggedSecret)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (rest_of_line, after) = bytes.split_at(end);
            self.push(rest_of_line);
            self.finish(out);
            bytes = after.get(1..).unwrap_or_default();
        }
        self.push(bytes);
    }

    /// What the lines were so far.
    #[must_use]
    pub fn counts(&self) -> KeyLogCounts {
        self.counts
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.skip {
            return;
        }
        let end = self.length + bytes.len();
        match self.line.get_mut(self.length..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length = end;
            }
            None => {
                self.clear();
                (self.skip, self.long) = (true, true);
            }
        }
    }

    fn finish(&mut self, out: &mut dyn FnMut(LoggedSecret)) {
        if self.skip {
            self.counts.malformed += u64::from(self.long);
        } else {
            let line = self.line.get(..self.length).unwrap_or_default();
            match read(line) {
                Line::Secret(secret) => {
                    self.counts.secrets += 1;
                    out(secret);
                }
                Line::Ignored => self.counts.ignored += 1,
                Line::Malformed => self.counts.malformed += 1,
                Line::Unheld => self.counts.unheld += 1,
            }
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.line.zeroize();
        (self.length, self.skip, self.long) = (0, false, false);
    }
}

impl fmt::Debug for KeyLogReader {
    /// Without the line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLogReader")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LoggedSecret {
    /// Without the random, which would find the connection.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedSecret")
            .field("label", &self.label)
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

enum Line {
    Secret(LoggedSecret),
    Ignored,
    Malformed,
    Unheld,
}

fn read(line: &[u8]) -> Line {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let label = match words.next() {
        None => return Line::Ignored,
        Some(word) if word.starts_with(b"#") => return Line::Ignored,
        Some(word) => label(word),
    };
    let Some(label) = label else {
        // Others are of no use here (`EXPORTER_SECRET`, `RSA`, encrypted hellos), or come after this was
        // written. Whether their line is in order is not for us to say.
        return Line::Ignored;
    };
    let (Some(random), Some(secret), None) = (words.next(), words.next(), words.next()) else {
        return Line::Malformed;
    };
    let mut client_random = [0; 32];
    let mut bytes = Zeroizing::new([0; 64]);
    if unhex(random, &mut client_random) != Some(client_random.len()) {
        return Line::Malformed;
    }
    let fits = |length: &usize| match label {
        Label::Master12 => *length == MASTER,
        _ => *length >= SHORTEST,
    };
    let Some(length) = unhex(secret, &mut *bytes).filter(fits) else {
        return Line::Malformed;
    };
    match bytes.get(..length).and_then(Secret::new) {
        Some(value) => Line::Secret(LoggedSecret {
            label,
            client_random,
            value,
        }),
        None => Line::Unheld,
    }
}

fn label(word: &[u8]) -> Option<Label> {
    Some(match word {
        b"CLIENT_RANDOM" => Label::Master12,
        b"CLIENT_EARLY_TRAFFIC_SECRET" => Label::ClientEarly,
        b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshake,
        b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshake,
        b"CLIENT_TRAFFIC_SECRET_0" => Label::ClientTraffic,
        b"SERVER_TRAFFIC_SECRET_0" => Label::ServerTraffic,
        _ => return None,
    })
}

/// Writes the bytes that `text` stands for to the beginning of `to`; how many, if it is hexadecimal and
/// they fit.
fn unhex(text: &[u8], to: &mut [u8]) -> Option<usize> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > to.len() {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    for (slot, [high, low]) in to.iter_mut().zip(pairs) {
        *slot = digit(*high)? << 4 | digit(*low)?;
    }
    Some(pairs.len())
}
