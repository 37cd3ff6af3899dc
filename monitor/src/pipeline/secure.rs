//! Links that carry TLS: records become plaintext, and plaintext goes the way of clear text.

use std::sync::Arc;

use hashbrown::HashMap;
use monitor_ebpf::{Data, Key, advice, dir, key_flag, key_label};

use super::analyst::Analyst;
use super::links::Link;
use super::taps::{Place, Side};
use super::turns::Turns;
use super::{LOGGED_PER_PASS, State};
use crate::access::Tls;
use crate::coverage::First;
use crate::wire::tls::{
    Chunk, HEADER, Keyring, Label, NewSecret, Plain, Secret, Session, State as Seen, Why,
};
use crate::wire::{Connection, Dir, Piece};

/// First byte of a ClientHello (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;
/// Content type of handshake records.
const HANDSHAKE: u8 = 22;
/// How often idle sessions and secrets are looked at, in ns.
const EXPIRE_EVERY: u64 = 1_000_000_000;

/// The TLS of one link.
#[derive(Debug)]
pub(super) struct Secure {
    pub(super) session: Session,
    id: u64,
    /// The sockets whose records came.
    socks: [Sock; 2],
    /// Accesses repeat what the handshake said, and this protocol.
    known: bool,
    alpn: Option<Box<[u8]>>,
    /// Where each direction stands (towards the server, towards the client), as each of `socks` tells it:
    /// both tell of some records, and what one leaves out counts from where it left off itself.
    told: [[Told; 2]; 2],
}

/// A socket whose records came.
#[derive(Clone, Copy, Debug, Default)]
struct Sock {
    /// Its cookie; 0 while there is none.
    cookie: u64,
    /// It is the client's.
    client: bool,
    /// What the source was told of it.
    advised: u32,
}

/// The record of a direction that was told of last, and by which socket.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    sock: u64,
    record: u32,
    /// Position in the stream behind it.
    end: u32,
    /// Something of this socket was lost since.
    doubt: bool,
}

impl Told {
    /// Takes note of a part. Bytes in the stream of the records between this one and the last, if there
    /// are some and they were left out on purpose.
    fn passed(&mut self, data: &Data, place: Place) -> Option<u32> {
        let begin = data.off.wrapping_sub(HEADER + u32::from(place.at));
        let jumps = place.record.wrapping_sub(self.record);
        let passed = (self.sock == data.sock && !self.doubt && (2..1 << 31).contains(&jumps))
            .then(|| begin.wrapping_sub(self.end));
        if jumps < 1 << 31 || self.sock != data.sock {
            *self = Self {
                sock: data.sock,
                record: place.record,
                end: begin.wrapping_add(HEADER + u32::from(place.length)),
                doubt: false,
            };
        }
        passed
    }
}

/// Secrets, and the links that wait for some.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) ring: Keyring,
    links: HashMap<u64, u32>,
    last: u64,
    expired: u64,
}

/// Takes plaintext for a link.
struct Sink<'a> {
    link: &'a mut Link,
    analyst: &'a mut Analyst,
    /// A piece had to wait for its turn, the first of its link.
    early: bool,
}

impl Plain for Sink<'_> {
    fn piece(&mut self, piece: Piece<'_>) {
        // What probes tell counts from other bytes: once it is used, keys come too late.
        if self.link.probed.is_none() {
            self.early |= self.link.feed(&piece, self.analyst);
        }
    }

    fn lost_records(&mut self) {
        self.link.wire.lost_records();
    }
}

impl Secrets {
    /// Takes a link in, and gives the number of its session.
    fn enrol(&mut self, link: u32) -> u64 {
        self.last += 1;
        self.links.insert(self.last, link);
        self.last
    }
}

impl Secure {
    fn new(id: u64) -> Self {
        Self {
            session: Session::new(id),
            id,
            socks: [Sock::default(); 2],
            known: false,
            alpn: None,
            told: [[Told::default(); 2]; 2],
        }
    }

    /// Notes an end whose records come. Its process may derive the secrets.
    fn end(&mut self, tgid: u32, cookie: u64, client: bool, ring: &mut Keyring) {
        if self.socks.iter().any(|sock| sock.cookie == cookie) {
            return;
        }
        if let Some(free) = self.socks.iter_mut().find(|sock| sock.cookie == 0) {
            *free = Sock {
                cookie,
                client,
                advised: 0,
            };
        }
        self.session.tap(tgid, cookie, ring);
    }

    /// What to tell the source now: that whole records are wanted, or none any more.
    fn advice(&mut self, multiplexed: bool, probed: bool, list: &mut Vec<(u64, u32)>) {
        let state = self.session.state();
        let read = matches!(state, Seen::Reading { .. });
        for sock in self.socks.iter_mut().filter(|sock| sock.cookie != 0) {
            let wanted = match state {
                Seen::Handshake => 0,
                // Keys that came too late once may come in time for what follows.
                Seen::Opaque(Why::NoKeys) => advice::PLAIN,
                Seen::Opaque(_) => advice::LEAVE | advice::PLAIN,
                // What is lost of a request's fields makes all that come after it unknown. Of a
                // response only the status matters, which is known without the fields before it.
                Seen::Reading { .. } if multiplexed && sock.client => advice::WHOLE_TX,
                Seen::Reading { .. } if multiplexed => advice::WHOLE_RX,
                Seen::Reading { .. } => 0,
            };
            let mut advised = sock.advised | wanted;
            if read && !probed {
                // Keys came, and nothing was told otherwise.
                advised &= !advice::PLAIN;
            }
            if advised != sock.advised {
                sock.advised = advised;
                list.push((sock.cookie, advised));
            }
        }
    }

    /// Plaintext is wanted from elsewhere.
    fn starve(&mut self, list: &mut Vec<(u64, u32)>) {
        for sock in self.socks.iter_mut().filter(|sock| sock.cookie != 0) {
            if sock.advised & advice::PLAIN == 0 {
                sock.advised |= advice::PLAIN;
                list.push((sock.cookie, sock.advised));
            }
        }
    }

    /// What accesses repeat of it, whenever there is something else to say than before.
    fn news(&mut self) -> Option<Arc<Tls>> {
        let version = self.session.version()?;
        if self.known && self.session.alpn() == self.alpn.as_deref() {
            return None;
        }
        self.known = true;
        self.alpn = self.session.alpn().map(Box::from);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Arc::new(Tls {
            version: Some(version.to_string()),
            sni: self.session.sni().map(str::to_owned),
            alpn: self.session.alpn().map(text),
            via: "keys".to_owned(),
            ja4: self.session.ja4().map(str::to_owned),
        }))
    }
}

impl Link {
    /// The link begins to carry TLS. What was clear text before (STARTTLS, CONNECT) is over.
    fn secure(&mut self, analyst: &mut Analyst, secrets: &mut Secrets, index: u32) {
        self.close(analyst);
        self.wire = Connection::inside_tls(Some((0, 0)), false);
        self.turns = Turns::default();
        self.first = First::default();
        self.tls = Some(Box::new(Secure::new(secrets.enrol(index))));
    }

    /// Works on the link's TLS, with the plaintext that comes of it. Whether pieces began to wait for
    /// their turn.
    fn with_tls(
        &mut self,
        analyst: &mut Analyst,
        work: impl FnOnce(&mut Secure, &mut dyn Plain),
    ) -> bool {
        let Some(mut secure) = self.tls.take() else {
            return false;
        };
        // Each part of a record is a call of its own: what the handshake said is known by the time that
        // application data comes.
        if self.probed.is_none()
            && let Some(news) = secure.news()
        {
            self.ends.tls = Some(news);
        }
        let mut sink = Sink {
            link: self,
            analyst,
            early: false,
        };
        work(&mut secure, &mut sink);
        let early = sink.early;
        self.tls = Some(secure);
        early
    }

    /// Says to the source what is wanted of the link's sockets from now on.
    fn advise(&mut self, list: &mut Vec<(u64, u32)>) {
        let multiplexed = self.wire.multiplexes();
        if let Some(secure) = &mut self.tls {
            secure.advice(multiplexed, self.probed.is_some(), list);
        }
    }

    /// The connection closes: what TLS still holds is read.
    pub(super) fn close_tls(&mut self, analyst: &mut Analyst, secrets: &mut Secrets) {
        if let Some(id) = self.tls.as_ref().map(|secure| secure.id) {
            self.with_tls(analyst, |secure, sink| {
                secure.session.close(&mut secrets.ring, sink);
            });
            secrets.links.remove(&id);
        }
    }

    /// Stops waiting for records.
    pub(super) fn settle_tls(&mut self, analyst: &mut Analyst, ring: &mut Keyring) {
        if self.tls_waits() {
            self.with_tls(analyst, |secure, sink| secure.session.settle(ring, sink));
        }
    }

    /// Records of a socket were lost.
    pub(super) fn doubt_tls(&mut self, sock: u64) {
        if let Some(secure) = &mut self.tls {
            for told in secure.told.iter_mut().flatten() {
                told.doubt |= told.sock == sock;
            }
        }
    }

    /// Heap that TLS holds, in bytes.
    pub(super) fn tls_memory(&self) -> usize {
        self.tls
            .as_ref()
            .map_or(0, |secure| secure.session.memory() + size_of::<Secure>())
    }

    /// Application data came, and neither keys nor anything else for it.
    pub(super) fn tls_is_unread(&self) -> bool {
        self.probed.is_none()
            && self
                .tls
                .as_ref()
                .is_some_and(|secure| secure.session.starves(u64::MAX))
    }

    /// Its plaintext comes by way of keys.
    pub(super) fn tls_is_read(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|secure| matches!(secure.session.state(), Seen::Reading { .. }))
    }

    /// Keys are waited for.
    pub(super) fn tls_wants_keys(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|secure| secure.session.state() == Seen::Handshake)
    }

    /// Records are waited for.
    pub(super) fn tls_waits(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|secure| secure.session.waiting())
    }
}

impl State {
    /// Part of a record whose turn has come.
    pub(super) fn tls_part(&mut self, record: &Data, place: Place, bytes: &[u8]) {
        let Some(tap) = self.taps.get_mut(&record.sock) else {
            return;
        };
        let index = tap.connection;
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        let Some(side) = tap.side else {
            self.losses.undecided += 1;
            return;
        };
        if link.tls.is_none() {
            link.secure(&mut self.analyst, &mut self.secrets, index);
        }
        let sent = record.header.dir == dir::TX;
        let dir = if sent == (side == Side::Client) {
            Dir::ToServer
        } else {
            Dir::ToClient
        };
        let told = link.tls.as_mut().and_then(|secure| {
            let mut socks = secure.socks.iter();
            let sock = socks.position(|sock| sock.cookie == record.sock || sock.cookie == 0)?;
            let way = match dir {
                Dir::ToServer => &mut secure.told[0],
                Dir::ToClient => &mut secure.told[1],
            };
            way.get_mut(sock)
        });
        let passed = told.and_then(|told| told.passed(record, place));
        let chunk = Chunk {
            dir,
            record: place.record,
            at: HEADER + u32::from(place.at),
            length: place.length,
            outer: place.outer,
            data: bytes,
            time: record.time,
            passed,
        };
        let (tgid, sock) = (record.tgid, record.sock);
        let ring = &mut self.secrets.ring;
        if link.with_tls(&mut self.analyst, |secure, sink| {
            secure.end(tgid, sock, side == Side::Client, ring);
            secure.session.chunk(&chunk, ring, sink);
        }) {
            self.early.push(index);
        }
        link.advise(&mut self.advice);
        if self.keyless.suspects(tgid)
            && link.probed.is_none()
            && !link.tls_is_read()
            && let Some(secure) = &mut link.tls
        {
            secure.starve(&mut self.advice);
        }
    }

    /// A process has derived a secret.
    pub(super) fn key(&mut self, key: &Key) {
        let labels: &[Label] = match key.label {
            key_label::MASTER => &[Label::Master12],
            key_label::CLIENT_EARLY => &[Label::ClientEarly],
            key_label::CLIENT_HANDSHAKE => &[Label::ClientHandshake],
            key_label::SERVER_HANDSHAKE => &[Label::ServerHandshake],
            key_label::CLIENT_TRAFFIC => &[Label::ClientTraffic],
            key_label::SERVER_TRAFFIC => &[Label::ServerTraffic],
            // What it is for was not seen: a trial tells.
            _ => &[
                Label::ClientTraffic,
                Label::ServerTraffic,
                Label::ClientHandshake,
                Label::ServerHandshake,
            ],
        };
        for label in labels {
            self.secret(key, *label);
        }
    }

    fn secret(&mut self, key: &Key, label: Label) {
        let bytes = key.secret.get(..usize::from(key.secret_len));
        let Some(value) = bytes.and_then(Secret::new) else {
            return;
        };
        let flags = key.header.flags;
        let known = |flag, random| (flags & flag != 0).then_some(random);
        self.offer(NewSecret {
            label,
            client_random: known(key_flag::CLIENT_RANDOM, key.client_random),
            server_random: known(key_flag::SERVER_RANDOM, key.server_random),
            value,
            tgid: key.tgid,
            socket_hint: key.sock,
            time: key.time,
        });
    }

    /// Takes what key logs have brought, as much as one pass has time for.
    pub(super) fn take_logged(&mut self) {
        for _ in 0..LOGGED_PER_PASS {
            let Some(logged) = self.logged.as_mut().and_then(|next| next()) else {
                return;
            };
            self.offer(NewSecret {
                label: logged.label,
                client_random: Some(logged.client_random),
                server_random: None,
                value: logged.value,
                tgid: 0,
                socket_hint: 0,
                time: self.analyst.now,
            });
        }
    }

    /// Takes a secret, and gives it to the links that wait for such a one.
    fn offer(&mut self, secret: NewSecret) {
        let offers = self.secrets.ring.add(secret);
        for id in offers {
            if let Some(index) = self.secrets.links.get(&id).copied() {
                self.look_for_keys(index, Session::offer);
            }
        }
    }

    /// A link looks through the secrets that there are.
    fn look_for_keys(
        &mut self,
        index: u32,
        look: impl FnOnce(&mut Session, &mut Keyring, &mut dyn Plain),
    ) {
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        let ring = &mut self.secrets.ring;
        if link.with_tls(&mut self.analyst, |secure, sink| {
            look(&mut secure.session, ring, sink);
        }) {
            self.early.push(index);
        }
        link.advise(&mut self.advice);
        link.list_unnamed(index, &mut self.unnamed);
    }

    /// Secrets and sessions that waited in vain are given up.
    pub(super) fn expire_secrets(&mut self, now: u64) {
        if now.saturating_sub(self.secrets.expired) < EXPIRE_EVERY {
            return;
        }
        self.secrets.expired = now;
        self.secrets.ring.expire(now);
        let mut again = Vec::new();
        for index in self.secrets.links.values() {
            if let Some(link) = self.links.get_mut(*index)
                && let Some(secure) = &mut link.tls
            {
                secure.session.expire(now, &mut self.secrets.ring);
                again.push(*index);
                if secure.session.starves(now) {
                    secure.starve(&mut self.advice);
                }
                link.advise(&mut self.advice);
            }
        }
        // Secrets that were left to other sockets for a while are there for all now.
        for index in again {
            self.look_for_keys(index, Session::look_again);
        }
    }
}

/// Which end a socket is, if this is the beginning of its ClientHello.
pub(super) fn side_of_hello(record: &Data, place: Place, bytes: &[u8]) -> Option<Side> {
    let hello = place.outer == HANDSHAKE && place.at == 0 && bytes.first() == Some(&CLIENT_HELLO);
    match (hello, record.header.dir == dir::TX) {
        (false, _) => None,
        (true, true) => Some(Side::Client),
        (true, false) => Some(Side::Server),
    }
}
