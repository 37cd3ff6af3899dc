//! The static table (RFC 7541 appendix A) and the dynamic one (§2.3.2, §4).

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::Error;

/// What an entry counts beside its name and value (RFC 7541 §4.1).
const OVERHEAD: usize = 32;
/// Size until another is told (RFC 9113 §6.5.2).
pub(super) const DEFAULT: usize = 4096;

/// Entries 1 to 61.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// A name and its value. May hold a credential, so it is wiped when it goes.
struct Entry {
    /// The name, if it is known, and the value behind it.
    text: Zeroizing<Box<[u8]>>,
    name: u32,
    /// False: it was named by an index that could not be resolved.
    named: bool,
}

/// What an index stands for.
pub(super) enum Lookup<'t> {
    /// Name and value.
    Field(&'t [u8], &'t [u8]),
    /// It was there before the table was followed, or was more than is kept.
    Unknown,
}

/// A dynamic table as its sender keeps it, as far as it can be known.
///
/// Entries are counted from the newest (RFC 7541 §2.3.3), so whatever was inserted while the table was
/// followed has a certain index, even when what was there before is not known. Nor does it matter then
/// when exactly entries are evicted: oldest go first, and a sender only refers to what is still there.
pub(super) struct Table {
    /// Newest first.
    entries: VecDeque<Entry>,
    /// By RFC 7541 §4.1; without names that are not known.
    size: usize,
    /// As the sender said, or the default.
    max: usize,
    /// Ours.
    cap: usize,
    /// Nothing lies behind the last entry.
    complete: bool,
}

impl Table {
    pub(super) fn new(cap: usize, complete: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: DEFAULT,
            cap,
            complete,
        }
    }

    /// Forgets everything: insertions were missed.
    pub(super) fn lose(&mut self) {
        self.entries = VecDeque::new();
        self.size = 0;
        self.max = self.max.min(DEFAULT);
        self.complete = false;
    }

    /// What an index stands for.
    pub(super) fn get(&self, index: usize) -> Result<Lookup<'_>, Error> {
        let at = index.checked_sub(1).ok_or(Error::Index)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Ok(Lookup::Field(name.as_bytes(), value.as_bytes()));
        }
        match self.entries.get(at - STATIC.len()) {
            Some(entry) if entry.named => {
                let name = usize::try_from(entry.name).unwrap_or(usize::MAX);
                let (name, value) = entry.text.split_at_checked(name).ok_or(Error::Index)?;
                Ok(Lookup::Field(name, value))
            }
            Some(_) => Ok(Lookup::Unknown),
            None if self.complete => Err(Error::Index),
            None => Ok(Lookup::Unknown),
        }
    }

    /// The sender changes the table's size (RFC 7541 §4.3, §6.3).
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        self.make_room(0);
        // Nothing has a place in it, known or not.
        self.complete |= max < OVERHEAD;
    }

    /// Inserts a name, so many bytes of `text`, and the value that is the rest of it. `named` is false
    /// when the name is not known: then there are 0 of it.
    pub(super) fn insert(&mut self, text: &[u8], name: usize, named: bool) {
        let size = text.len() + OVERHEAD;
        self.make_room(size);
        if size > self.max.min(self.cap) {
            // RFC 7541 §4.4: too large for the table, it only empties it. Not so if ours is the smaller.
            self.complete &= size > self.max;
            return;
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 2 + 4);
        }
        self.entries.push_front(Entry {
            text: Zeroizing::new(text.into()),
            name: u32::try_from(name).unwrap_or(u32::MAX),
            named,
        });
        self.size += size;
    }

    /// Evicts the oldest entries until so many bytes fit in.
    fn make_room(&mut self, size: usize) {
        let limit = self.max.min(self.cap);
        while self.size + size > limit {
            self.complete &= self.size + size > self.max;
            let Some(oldest) = self.entries.pop_back() else {
                return;
            };
            self.size = self.size.saturating_sub(oldest.text.len() + OVERHEAD);
        }
    }

    /// By RFC 7541 §4.1.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        let texts = self.size.saturating_sub(self.entries.len() * OVERHEAD);
        texts + self.entries.capacity() * size_of::<Entry>()
    }
}
