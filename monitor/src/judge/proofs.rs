//! What the judge remembers of DPoP: proofs, the keys that signed them, the tokens that came with them.
//!
//! Two uses of one proof are a replay, unless they are one request on its way: a proxy on this host takes a
//! request in and passes it on as it is, so it is seen twice. Such a second sighting is told by one of these:
//!
//! - The process that served the one is the client of the other, then or shortly after.
//! - Workloads match so, and the two overlap in time (a server of many processes).
//! - It began while the first was not answered yet, and the same client did not send both. The server's
//!   process may not be known by then; a thief would have to be quicker than the answer.
//! - The same client tries again what got no answer (RFC 9110 §9.2.2): the server may never have seen it.
//!
//! Everything is bounded, and time is what the accesses say it is.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};

use crate::access::clock::ClockCache;
use crate::access::dpop::{Proof, ProofId, Signature, Thumbprint};
use crate::access::{
    Access, Confirmation, CredentialKind, Endpoint, Fingerprint, Peer, Role, Workload,
};

/// Proofs remembered in each of two generations.
const PROOFS: usize = 32_768;
/// Sightings of one proof beyond the first that are kept.
const MORE: usize = 3;
/// How long after its own answer a proxy may pass a request on, in microseconds.
const PASSING_US: i64 = 10_000_000;
/// Keys remembered.
const KEYS: usize = 4096;
/// Workloads of one key remembered.
const HOLDERS: usize = 4;
/// Tokens remembered.
const TOKENS: usize = 8192;

/// A request with a proof, as far as it is known when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Sighted<'a> {
    /// Microseconds since 1970 at the first byte.
    pub time_us: i64,
    /// Token that came with the proof.
    pub token: Option<Fingerprint>,
    /// Which ends are here.
    pub role: Role,
    /// Client process, when on this host.
    pub client: Option<&'a Endpoint>,
    /// Server process, when on this host and known yet.
    pub server: Option<&'a Endpoint>,
    /// Other end.
    pub peer: &'a Peer,
}

/// What the bounds hold and cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProofMemory {
    /// Proofs held.
    pub proofs: usize,
    /// Proofs that had to go before their time: a replay of them is not seen.
    pub proofs_forgotten: u64,
    /// Keys held.
    pub keys: usize,
    /// Tokens held.
    pub tokens: usize,
}

/// What the past says of one access.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The proof was seen before, on a request that this one passes on, or that passes this one on.
    pub relayed: bool,
    /// The proof was used before, so many seconds ago.
    pub replayed_after_s: Option<i64>,
    /// The proof's key is not the one that came with this (opaque) token before.
    pub key_changed: bool,
    /// Another workload proved the same key.
    pub shared_with: Option<Holder>,
    /// The client served a request with this token and a proof: it is a gateway in front of what it asks.
    pub behind_gateway: bool,
}

/// A workload that proved a key, and how many seconds ago it last did.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Which.
    pub workload: Arc<Workload>,
    /// How long ago.
    pub seconds: i64,
}

/// One end of a request: a process here, or an address elsewhere. All zero: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct End {
    pid: u32,
    /// Hash of the workload or the address.
    hash: u64,
}

impl End {
    fn is_known(self) -> bool {
        self != Self::default()
    }

    fn is(self, other: Self) -> bool {
        self.is_known() && self == other
    }

    fn same_process(self, other: Self) -> bool {
        self.pid != 0 && self.pid == other.pid
    }

    fn same_workload(self, other: Self) -> bool {
        self.pid != 0 && other.pid != 0 && self.hash == other.hash
    }
}

#[derive(Clone, Copy, Debug)]
struct Sighting {
    ticket: u64,
    begun_us: i64,
    /// `i64::MAX` until it ended.
    ended_us: i64,
    answered: bool,
    client: End,
    server: End,
}

impl Sighting {
    fn overlaps(&self, other: &Self) -> bool {
        self.begun_us <= other.ended_us && other.begun_us <= self.ended_us
    }

    /// Whether `inner` may be what the server of this one passed on.
    fn passed_on(&self, inner: &Self) -> bool {
        let soon = self.begun_us <= inner.ended_us
            && inner.begun_us <= self.ended_us.saturating_add(PASSING_US);
        (soon && self.server.same_process(inner.client))
            || (self.server.same_workload(inner.client) && self.overlaps(inner))
    }

    /// Whether `later`, of the same proof, is no second use of it.
    fn explains(&self, later: &Self) -> bool {
        let same_client = self.client.is(later.client);
        self.passed_on(later)
            || later.passed_on(self)
            || (later.begun_us <= self.ended_us && !same_client)
            || (same_client && !self.answered && self.ended_us != i64::MAX)
    }
}

/// One proof. Nearly all have one sighting.
#[derive(Debug)]
struct Life {
    first: Sighting,
    more: Vec<Sighting>,
}

impl Life {
    fn all(&self) -> impl Iterator<Item = &Sighting> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn find(&mut self, ticket: u64) -> Option<&mut Sighting> {
        std::iter::once(&mut self.first)
            .chain(&mut self.more)
            .find(|sighting| sighting.ticket == ticket)
    }

    /// The last place is for whoever came last.
    fn add(&mut self, sighting: Sighting) {
        if self.more.len() < MORE {
            self.more.push(sighting);
        } else if let Some(last) = self.more.last_mut() {
            *last = sighting;
        }
    }
}

#[derive(Clone, Debug)]
struct Use {
    hash: u64,
    workload: Arc<Workload>,
    last_us: i64,
}

#[derive(Debug, Default)]
struct TokenUse {
    /// Key of the first proof that came with it.
    key: Option<Thumbprint>,
    /// Who served it last, with a proof.
    server: End,
    /// Requests with a proof that are not answered yet.
    open: u32,
    last_us: i64,
}

type Generation = HashMap<ProofId, Life>;

#[derive(Debug)]
pub(super) struct Proofs {
    window_us: i64,
    key_window_us: i64,
    young: Generation,
    old: Generation,
    turned_us: i64,
    forgotten: u64,
    keys: ClockCache<Thumbprint, Vec<Use>>,
    tokens: ClockCache<Fingerprint, TokenUse>,
    hasher: DefaultHashBuilder,
    ticket: u64,
}

impl Proofs {
    pub(super) fn new(window_s: u32, key_window_s: u32) -> Self {
        Self {
            window_us: i64::from(window_s).saturating_mul(1_000_000),
            key_window_us: i64::from(key_window_s).saturating_mul(1_000_000),
            young: Generation::new(),
            old: Generation::new(),
            turned_us: i64::MIN,
            forgotten: 0,
            keys: ClockCache::new(KEYS),
            tokens: ClockCache::new(TOKENS),
            hasher: DefaultHashBuilder::default(),
            ticket: 0,
        }
    }

    /// Takes over what `other` holds, but not its windows.
    pub(super) fn inherit(&mut self, other: &mut Self) {
        std::mem::swap(self, other);
        (self.window_us, self.key_window_us) = (other.window_us, other.key_window_us);
    }

    pub(super) fn memory(&self) -> ProofMemory {
        ProofMemory {
            proofs: self.young.len() + self.old.len(),
            proofs_forgotten: self.forgotten,
            keys: self.keys.len(),
            tokens: self.tokens.len(),
        }
    }

    fn workload(&self, workload: &Workload) -> u64 {
        let Workload {
            exe,
            unit,
            container,
            user,
            lineage: _,
        } = workload;
        self.hasher.hash_one((exe, unit, container, user))
    }

    fn end_of(&self, endpoint: Option<&Endpoint>) -> End {
        endpoint.map_or(End::default(), |endpoint| End {
            pid: endpoint.pid,
            hash: self.workload(&endpoint.workload),
        })
    }

    fn client(&self, client: Option<&Endpoint>, role: Role, peer: &Peer) -> End {
        match (client, role, peer) {
            (None, Role::Server, Peer::Inet(address)) => End {
                pid: 0,
                hash: self.hasher.hash_one(address.ip()),
            },
            _ => self.end_of(client),
        }
    }

    /// Lets what is older than the window go: at the latest after two windows.
    fn turn(&mut self, now_us: i64) {
        let full = self.young.len() >= PROOFS;
        let due = now_us.saturating_sub(self.turned_us) > self.window_us;
        if !full && !due {
            return;
        }
        if !due {
            self.forgotten = self.forgotten.saturating_add(self.old.len() as u64);
        }
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
        self.turned_us = now_us;
    }

    fn life(&mut self, id: ProofId) -> Option<&mut Life> {
        match self.young.get_mut(&id) {
            Some(life) => Some(life),
            None => self.old.get_mut(&id),
        }
    }

    /// The first sighting of a proof before `own`, and whether any of them explains it.
    fn earlier(&mut self, id: ProofId, own: &Sighting) -> Option<(Sighting, bool)> {
        let life = self.life(id)?;
        let before = || life.all().filter(|other| other.ticket < own.ticket);
        let first = *before().next()?;
        Some((first, before().any(|other| other.explains(own))))
    }

    fn note(&mut self, id: ProofId, sighting: Sighting) {
        self.turn(sighting.begun_us);
        match self.life(id) {
            Some(life) => life.add(sighting),
            None => {
                let more = Vec::new();
                let first = sighting;
                self.young.insert(id, Life { first, more });
            }
        }
    }

    fn token(&mut self, token: Fingerprint) -> Option<&mut TokenUse> {
        let hash = self.hasher.hash_one(token);
        if self.tokens.get(hash, |held| *held == token).is_none() {
            self.tokens.insert(hash, token, TokenUse::default());
        }
        self.tokens
            .get(hash, |held| *held == token)
            .map(|(_, held)| held)
    }

    /// A request with a proof begins.
    pub(super) fn begin(&mut self, proof: &mut Proof, sighted: &Sighted<'_>) {
        let (Some(id), true) = (proof.id, proof.stands()) else {
            return;
        };
        self.ticket += 1;
        proof.ticket = self.ticket;
        let sighting = Sighting {
            ticket: self.ticket,
            begun_us: sighted.time_us,
            ended_us: i64::MAX,
            answered: false,
            client: self.client(sighted.client, sighted.role, sighted.peer),
            server: self.end_of(sighted.server),
        };
        self.note(id, sighting);
        if let Some(token) = sighted.token.and_then(|token| self.token(token)) {
            token.open = token.open.saturating_add(1);
            token.last_us = token.last_us.max(sighted.time_us);
        }
    }

    /// It was answered, or will not be.
    pub(super) fn end(&mut self, access: &Access) -> History {
        let mut history = History::default();
        let Some(proof) = access.proof.as_deref() else {
            history.behind_gateway = self.behind_gateway(access);
            return history;
        };
        let (Some(id), true) = (proof.id, proof.stands()) else {
            return history;
        };
        let own = self.settle(id, proof.ticket, access);
        match self.earlier(id, &own) {
            Some((_, true)) => history.relayed = true,
            Some((first, false)) => {
                let gap = own.begun_us.saturating_sub(first.begun_us).max(0);
                history.replayed_after_s = Some(gap / 1_000_000);
            }
            None => {}
        }
        self.pin(proof, access, &own, &mut history);
        let first_hand = !history.relayed && history.replayed_after_s.is_none();
        if first_hand && proof.signature == Signature::Valid {
            history.shared_with = self.held(proof, access, own.client.hash);
        }
        history.behind_gateway = self.behind_gateway(access);
        history
    }

    /// Completes the sighting of an access, and returns it.
    fn settle(&mut self, id: ProofId, ticket: u64, access: &Access) -> Sighting {
        let duration = i64::try_from(access.duration_us.unwrap_or(0)).unwrap_or(i64::MAX);
        let client = self.client(access.client.as_ref(), access.role, &access.peer);
        let server = self.end_of(access.server.as_ref());
        let ended_us = access.time_us.saturating_add(duration);
        let answered = access.status.is_some();
        let known = self.life(id).and_then(|life| life.find(ticket));
        if let Some(sighting) = known.filter(|_| ticket != 0) {
            (sighting.client, sighting.server) = (client, server);
            (sighting.ended_us, sighting.answered) = (ended_us, answered);
            return *sighting;
        }
        // Nobody told of its beginning, or it was forgotten since.
        self.ticket += 1;
        let sighting = Sighting {
            ticket: self.ticket,
            begun_us: access.time_us,
            ended_us,
            answered,
            client,
            server,
        };
        self.note(id, sighting);
        sighting
    }

    /// Notes who serves the token, and which key an opaque one came with first.
    fn pin(&mut self, proof: &Proof, access: &Access, own: &Sighting, history: &mut History) {
        let Some(credential) = &access.credential else {
            return;
        };
        let opaque = credential.kind == CredentialKind::Dpop
            && credential.claims.confirmation.is_none()
            && proof.signature == Signature::Valid;
        let refused = access.refused();
        let relayed = history.relayed;
        let begun = proof.ticket != 0;
        let Some(token) = self.token(credential.fingerprint) else {
            return;
        };
        token.open = token.open.saturating_sub(u32::from(begun));
        token.last_us = token.last_us.max(own.ended_us);
        if own.server.is_known() && !relayed {
            token.server = own.server;
        }
        match (token.key, proof.thumbprint) {
            (Some(held), Some(key)) if opaque => history.key_changed = held != key,
            (None, key) if opaque && !refused => token.key = key,
            _ => {}
        }
    }

    /// Notes that a workload proved a key; another one that did, if that is worth a word.
    ///
    /// The one that was first is not accused. One that differs in container or unit alone may be the same,
    /// started anew: that is nothing yet, but that the first one comes back after it is.
    fn held(&mut self, proof: &Proof, access: &Access, own: u64) -> Option<Holder> {
        let workload = &access.client.as_ref()?.workload;
        let key = proof.thumbprint?;
        if workload.exe.is_empty() {
            return None;
        }
        let now = access.time_us;
        let since = now.saturating_sub(self.key_window_us);
        let hash = self.hasher.hash_one(key);
        if self.keys.get(hash, |held| *held == key).is_none() {
            self.keys.insert(hash, key, Vec::new());
        }
        let (_, holders) = self.keys.get(hash, |held| *held == key)?;
        holders.retain(|holder| holder.last_us >= since);
        let alike = |other: &Use| {
            other.workload.exe == workload.exe && other.workload.user == workload.user
        };
        let at = holders.iter().position(|holder| holder.hash == own);
        let before = at.and_then(|at| holders.get(at)).map(|own| own.last_us);
        let back = |other: &Use| before.is_some_and(|before| other.last_us > before);
        let other = match (at, holders.first()) {
            (Some(0), _) => holders.iter().find(|other| alike(other) && back(other)),
            (_, Some(first)) if !alike(first) || back(first) => Some(first),
            _ => None,
        };
        let found = other.map(|other| Holder {
            workload: Arc::clone(&other.workload),
            seconds: now.saturating_sub(other.last_us).max(0) / 1_000_000,
        });
        match at.and_then(|at| holders.get_mut(at)) {
            Some(holder) => holder.last_us = holder.last_us.max(now),
            None => {
                // The first one stays.
                if holders.len() >= HOLDERS {
                    holders.remove(1);
                }
                holders.push(Use {
                    hash: own,
                    workload: Arc::clone(workload),
                    last_us: now,
                });
            }
        }
        found
    }

    fn behind_gateway(&mut self, access: &Access) -> bool {
        let Some(credential) = &access.credential else {
            return false;
        };
        let bound = match credential.kind {
            CredentialKind::Dpop => access.proof.is_none(),
            CredentialKind::Jwt => {
                matches!(credential.claims.confirmation, Some(Confirmation::Key(_)))
            }
            _ => false,
        };
        let (true, Some(client)) = (bound, &access.client) else {
            return false;
        };
        let client = self.end_of(Some(client));
        let hash = self.hasher.hash_one(credential.fingerprint);
        let print = credential.fingerprint;
        let since = access.time_us.saturating_sub(self.window_us);
        let Some((_, token)) = self.tokens.get(hash, |held| *held == print) else {
            return false;
        };
        // Who serves a request that is not answered yet may not be known.
        token.last_us >= since
            && (token.server.same_process(client)
                || token.server.same_workload(client)
                || (token.open > 0 && !token.server.is_known()))
    }
}

#[cfg(test)]
#[path = "proofs_tests.rs"]
mod tests;
