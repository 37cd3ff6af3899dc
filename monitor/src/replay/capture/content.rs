//! What one connection carries: HTTP in clear, or TLS around it, read by the decoder that live traffic goes through.

use std::sync::Arc;

use super::counts::Counts;
use super::keys::Keys;
use super::records::Records;
use super::teller::{Ends, Pending, Receiver, Teller};
use crate::access::Tls;
use crate::wire::tls::{Chunk, Keyring, Plain, Session, State, Why};
use crate::wire::{Connection, Dir, Piece};

/// Content type of handshake records, and the first byte of a ClientHello (RFC 8446 §4, §5.1).
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Where a ClientHello's random lies in a record's body.
const RANDOM: std::ops::Range<usize> = 6..38;
/// Heap of a ring of keys and its scratch memory, about, in bytes.
const RING: usize = 20 << 10;

/// What all connections of a capture share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) teller: Teller,
    pub(super) keys: Keys,
    pub(super) counts: Counts,
    /// For connections that have all the keys they need.
    ring: Keyring,
    /// Client randoms that were met in this packet.
    pub(super) met: Vec<[u8; 32]>,
}

impl Shared {
    pub(super) fn new(teller: Teller) -> Self {
        Self {
            teller,
            keys: Keys::default(),
            counts: Counts::default(),
            ring: Keyring::new(),
            met: Vec::new(),
        }
    }
}

/// What a connection carries.
#[derive(Debug)]
pub(super) enum Content {
    /// Clear text, as far as is known.
    Clear(Box<Connection<Pending>>),
    /// TLS.
    Tls(Box<Secured>),
    /// TLS whose beginning was not captured: its records cannot be numbered.
    Late,
}

/// A connection under TLS.
pub(super) struct Secured {
    session: Session,
    /// Its own secrets; none once they are all in use.
    ring: Option<Box<Keyring>>,
    up: Records,
    down: Records,
    wire: Connection<Pending>,
    tls: Option<Arc<Tls>>,
    told: bool,
    random: Option<[u8; 32]>,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Takes plaintext.
struct Sink<'a> {
    wire: &'a mut Connection<Pending>,
    receiver: Receiver<'a>,
}

impl Plain for Sink<'_> {
    fn piece(&mut self, piece: Piece<'_>) {
        feed(self.wire, piece, &mut self.receiver);
    }

    fn lost_records(&mut self) {
        self.wire.lost_records();
    }
}

fn feed(wire: &mut Connection<Pending>, piece: Piece<'_>, receiver: &mut Receiver<'_>) {
    wire.feed(piece, receiver);
    // What is missing in front of it will not come.
    wire.settle(receiver);
}

/// Whether bytes are the beginning of a ClientHello, as far as they go.
pub(super) fn is_hello(data: &[u8]) -> bool {
    let pattern = [
        Some(HANDSHAKE),
        Some(3),
        None,
        None,
        None,
        Some(CLIENT_HELLO),
    ];
    let fits = |(byte, wanted): (&u8, Option<u8>)| wanted.is_none_or(|wanted| wanted == *byte);
    !data.is_empty() && data.iter().zip(pattern).all(fits)
}

/// Whether bytes begin like a record that belongs into the middle of TLS.
pub(super) fn is_record(data: &[u8]) -> bool {
    matches!(data, [20..=23, 3, 0..=4, ..])
}

impl Content {
    /// What begins with this piece. `bases`: the first offsets to server and client, if the beginning was seen.
    pub(super) fn new(bases: Option<(u32, u32)>, piece: &Piece<'_>, counts: &mut Counts) -> Self {
        let first = bases.is_none_or(|(up, _)| up == piece.off);
        if piece.dir == Dir::ToServer && first && is_hello(piece.data) {
            counts.tls += 1;
            return Self::Tls(Box::default());
        }
        if is_record(piece.data) {
            return Self::late(counts);
        }
        Self::Clear(Box::new(Connection::new(bases)))
    }

    /// TLS that was there already.
    pub(super) fn late(counts: &mut Counts) -> Self {
        counts.tls += 1;
        counts.unread(Why::JoinedLate);
        Self::Late
    }

    /// Takes bytes that lie in order, but for what is missing in front of them.
    pub(super) fn take(&mut self, piece: Piece<'_>, ends: &Ends, shared: &mut Shared) {
        let goes_dark = |wire: &Connection<Pending>| {
            wire.left_http() && piece.dir == Dir::ToServer && is_hello(piece.data)
        };
        match self {
            // A tunnel (CONNECT), or STARTTLS.
            Self::Clear(wire) if goes_dark(wire) => {
                shared.counts.tls += 1;
                let mut secured = Box::<Secured>::default();
                secured.take(&piece, ends, shared);
                *self = Self::Tls(secured);
            }
            Self::Clear(wire) => feed(wire, piece, &mut receiver(&mut shared.teller, ends)),
            Self::Tls(secured) => secured.take(&piece, ends, shared),
            Self::Late => {}
        }
    }

    /// Bytes in front of what comes next are missing for good.
    pub(super) fn lost(&mut self) {
        match self {
            Self::Clear(wire) => wire.lost_records(),
            // What can be lost there tells by itself, from offsets or from records.
            Self::Tls(_) | Self::Late => {}
        }
    }

    /// A direction brings no more.
    pub(super) fn end(&mut self, dir: Dir, ends: &Ends, shared: &mut Shared) {
        match self {
            Self::Clear(wire) => wire.end(dir, &mut receiver(&mut shared.teller, ends)),
            Self::Tls(secured) => secured.end(dir, ends, shared),
            Self::Late => {}
        }
    }

    /// The connection is over.
    pub(super) fn close(&mut self, ends: &Ends, shared: &mut Shared) {
        match self {
            Self::Clear(wire) => wire.close(&mut receiver(&mut shared.teller, ends)),
            Self::Tls(secured) => secured.close(ends, shared),
            Self::Late => {}
        }
    }

    /// Secrets have come for this connection.
    pub(super) fn offer(&mut self, time: u64, ends: &Ends, shared: &mut Shared) {
        if let Self::Tls(secured) = self {
            secured.unlock(time, &shared.keys);
            secured.with(ends, shared, |session, ring, sink| {
                session.offer(ring, sink)
            });
        }
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Clear(wire) => size_of::<Connection<Pending>>() + wire.memory(),
            Self::Tls(secured) => size_of::<Secured>() + secured.memory(),
            Self::Late => 0,
        }
    }
}

fn receiver<'a>(teller: &'a mut Teller, ends: &'a Ends) -> Receiver<'a> {
    Receiver {
        teller,
        ends,
        tls: &None,
    }
}

impl Default for Secured {
    fn default() -> Self {
        Self {
            // Its ring is its own: any number will do.
            session: Session::new(1),
            ring: Some(Box::default()),
            up: Records::default(),
            down: Records::default(),
            wire: Connection::inside_tls(Some((0, 0)), false),
            tls: None,
            told: false,
            random: None,
        }
    }
}

impl Secured {
    fn take(&mut self, piece: &Piece<'_>, ends: &Ends, shared: &mut Shared) {
        let half = match piece.dir {
            Dir::ToServer => &mut self.up,
            Dir::ToClient => &mut self.down,
        };
        let mut records = std::mem::take(half);
        let before = records.lost();
        records.take(piece, |chunk| self.chunk(&chunk, ends, shared));
        if records.lost() && !before {
            shared.counts.tls_lost += 1;
            self.wire.lost_records();
        }
        match piece.dir {
            Dir::ToServer => self.up = records,
            Dir::ToClient => self.down = records,
        }
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, ends: &Ends, shared: &mut Shared) {
        if self.random.is_none() && chunk.dir == Dir::ToServer {
            self.meet(chunk, shared);
        }
        self.with(ends, shared, |session, ring, sink| {
            session.chunk(chunk, ring, sink);
            if session.waiting() {
                session.settle(ring, sink);
            }
        });
    }

    /// A record may begin the client's hello: then its random is known, and with it the secrets.
    fn meet(&mut self, chunk: &Chunk<'_>, shared: &mut Shared) {
        let hello = chunk.outer == HANDSHAKE && chunk.data.first() == Some(&CLIENT_HELLO);
        let random = chunk.data.get(RANDOM).and_then(|bytes| bytes.first_chunk());
        if let Some(random) = random.filter(|_| hello) {
            self.random = Some(*random);
            shared.met.push(*random);
            self.unlock(chunk.time, &shared.keys);
        }
    }

    fn unlock(&mut self, time: u64, keys: &Keys) {
        if let (Some(random), Some(ring)) = (&self.random, &mut self.ring) {
            for secret in keys.of(random, time) {
                ring.add(secret);
            }
        }
    }

    fn with(
        &mut self,
        ends: &Ends,
        shared: &mut Shared,
        work: impl FnOnce(&mut Session, &mut Keyring, &mut Sink<'_>),
    ) {
        self.news();
        let Shared { teller, ring, .. } = shared;
        let mut sink = Sink {
            wire: &mut self.wire,
            receiver: Receiver {
                teller,
                ends,
                tls: &self.tls,
            },
        };
        let own = self.ring.as_deref_mut().unwrap_or(ring);
        work(&mut self.session, own, &mut sink);
        let read = matches!(self.session.state(), State::Reading { .. });
        if read && own.stats().waiting == 0 && own.stats().pending == 0 {
            self.ring = None;
        }
    }

    /// What accesses repeat of the handshake.
    fn news(&mut self) {
        let alpn = self.session.alpn();
        let Some(version) = self.session.version() else {
            return;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let known = self.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
        if self.told && known.map(str::as_bytes) == alpn {
            return;
        }
        self.told = true;
        self.tls = Some(Arc::new(Tls {
            version: Some(version.to_string()),
            sni: self.session.sni().map(str::to_owned),
            alpn: alpn.map(text),
            via: "keys".to_owned(),
            ja4: self.session.ja4().map(str::to_owned),
        }));
    }

    fn end(&mut self, dir: Dir, ends: &Ends, shared: &mut Shared) {
        self.with(ends, shared, |session, ring, sink| {
            session.settle(ring, sink);
            sink.wire.end(dir, &mut sink.receiver);
        });
    }

    fn close(&mut self, ends: &Ends, shared: &mut Shared) {
        let unread = match self.session.state() {
            State::Reading { .. } => None,
            State::Opaque(why) => Some(why),
            State::Handshake => self.session.unread().then_some(Why::NoKeys),
        };
        self.with(ends, shared, |session, ring, sink| {
            session.close(ring, sink);
            sink.wire.close(&mut sink.receiver);
        });
        if let Some(why) = unread {
            shared.counts.unread(why);
        }
    }

    fn memory(&self) -> usize {
        self.session.memory()
            + self.up.memory()
            + self.down.memory()
            + self.wire.memory()
            + self.ring.as_ref().map_or(0, |_| RING)
    }
}
