//! Handshake messages of TLS 1.3, followed over what was captured of their records.

use arrayvec::ArrayVec;

use super::cipher::Keys;
use super::hello::{Encrypted, kind};

/// Longest EncryptedExtensions that is read.
const MAX_EXTENSIONS: usize = 2_048;

/// The way through a direction's encrypted handshake.
#[derive(Default)]
pub(super) struct Walk {
    /// First number behind a ChangeCipherSpec that came before the version was known.
    pub(super) changed_at: Option<u32>,
    pub(super) keys: Option<Keys>,
    pub(super) base: Option<u32>,
    /// The record that is next.
    pub(super) next: u32,
    pub(super) messages: Messages,
    /// The first record of application traffic.
    pub(super) boundary: Option<u32>,
}

/// Handshake messages one behind the other.
#[derive(Default)]
pub(super) struct Messages {
    /// Bytes left of the message at hand.
    left: u32,
    header: ArrayVec<u8, 4>,
    kind: u8,
    /// The body of EncryptedExtensions, while it is gathered.
    gathered: Option<Vec<u8>>,
    pub(super) encrypted: Option<Encrypted>,
    pub(super) finished: bool,
    /// It is not known any more where messages begin.
    pub(super) broken: bool,
}

impl Walk {
    /// It goes on with the next records, and will tell where the handshake ends.
    pub(super) fn under_way(&self) -> bool {
        let begun = self.keys.is_some() && self.base.is_some();
        begun && self.boundary.is_none() && !self.messages.broken
    }

    pub(super) fn memory(&self) -> usize {
        self.messages.gathered.as_ref().map_or(0, Vec::capacity)
    }
}

impl Messages {
    /// Takes handshake bytes.
    pub(super) fn read(&mut self, mut data: &[u8], finished: usize) {
        while let Some(first) = data.first() {
            if self.finished {
                self.broken = true;
            }
            if self.broken {
                return;
            }
            if self.left == 0 {
                self.header.push(*first);
                data = data.get(1..).unwrap_or_default();
                let Some([kind, a, b, c]) = self.header.as_slice().first_chunk::<4>().copied()
                else {
                    continue;
                };
                self.header.clear();
                (self.kind, self.left) = (kind, u32::from_be_bytes([0, a, b, c]));
                let wanted =
                    kind == kind::ENCRYPTED_EXTENSIONS && self.left as usize <= MAX_EXTENSIONS;
                self.gathered = wanted.then(Vec::new);
                // The verify data is as long as the hash.
                self.broken |= kind == kind::FINISHED && self.left as usize != finished;
                if self.left == 0 {
                    self.message();
                }
                continue;
            }
            let take = (self.left as usize).min(data.len());
            let (now, rest) = data.split_at_checked(take).unwrap_or((data, &[]));
            if let Some(gathered) = &mut self.gathered {
                gathered.extend_from_slice(now);
            }
            data = rest;
            self.left -= u32::try_from(take).unwrap_or(self.left);
            if self.left == 0 {
                self.message();
            }
        }
    }

    /// Goes over bytes that were not captured.
    pub(super) fn skip(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes == 0 {
            return;
        }
        if bytes > self.left {
            self.broken = true;
            return;
        }
        self.gathered = None;
        self.left -= bytes;
        if self.left == 0 {
            self.message();
        }
    }

    fn message(&mut self) {
        match self.kind {
            kind::ENCRYPTED_EXTENSIONS => {
                let body = self.gathered.take();
                self.encrypted = body.and_then(|body| Encrypted::parse(&body));
            }
            kind::FINISHED => self.finished = true,
            _ => {}
        }
    }
}
