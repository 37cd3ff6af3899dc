//! Secrets from key logs, by the client's random of the connection they belong to.

use arrayvec::ArrayVec;
use hashbrown::HashMap;

use crate::wire::tls::{KeyLogCounts, KeyLogReader, Label, LoggedSecret, NewSecret, Secret};

/// Most secrets that are kept: they lie in locked memory.
const MOST: u64 = 65_536;
/// Kinds of secrets.
const LABELS: usize = 6;

struct Known {
    label: Label,
    value: Secret,
}

/// The secrets that were read.
#[derive(Default)]
pub(super) struct Keys {
    reader: KeyLogReader,
    by_random: HashMap<[u8; 32], ArrayVec<Known, LABELS>>,
    kept: u64,
    left_out: u64,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Takes part of a key log. Returns the randoms that it has secrets for.
    pub(super) fn read(&mut self, text: &[u8]) -> Vec<[u8; 32]> {
        let (mut news, mut randoms) = (Vec::new(), Vec::new());
        self.reader.feed(text, &mut |secret| news.push(secret));
        for secret in news {
            let random = secret.client_random;
            if self.keep(secret) && randoms.last() != Some(&random) {
                randoms.push(random);
            }
        }
        randoms
    }

    /// A log is over: its last line may have no end.
    pub(super) fn end(&mut self) -> Vec<[u8; 32]> {
        let randoms = self.read(b"\n");
        self.reader.restart(false);
        randoms
    }

    fn keep(&mut self, secret: LoggedSecret) -> bool {
        if self.kept >= MOST {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        let known = self.by_random.entry(secret.client_random).or_default();
        if known.is_full() || known.iter().any(|known| known.label == secret.label) {
            // The same again: a log that is in the capture and in a file.
            return false;
        }
        known.push(Known {
            label: secret.label,
            value: secret.value,
        });
        self.kept += 1;
        true
    }

    /// Copies of a connection's secrets.
    pub(super) fn of(&self, random: &[u8; 32], time: u64) -> impl Iterator<Item = NewSecret> {
        let known = self.by_random.get(random);
        known.into_iter().flatten().filter_map(move |known| {
            Some(NewSecret {
                label: known.label,
                client_random: Some(*random),
                server_random: None,
                value: Secret::new(known.value.expose())?,
                tgid: 0,
                socket_hint: 0,
                time,
            })
        })
    }

    /// Secrets kept, and those for which there was no room; and what lines were.
    pub(super) fn counts(&self) -> (u64, u64, KeyLogCounts) {
        (self.kept, self.left_out, self.reader.counts())
    }
}
