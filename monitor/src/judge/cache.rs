//! Small caches of fixed size: the policy's answers to questions that come again with every access.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::access::{Credential, CredentialKind, Fingerprint, Workload};
use crate::policy::hours::{Hours, Stretch};
use crate::policy::{EnvironmentId, IdentityId};

/// Sets of two entries: with 10,000 credentials in use 2 in 100 sets overflow.
const SETS: usize = 1 << 14;

/// Hosts remembered.
const HOSTS: usize = 1 << 9;

/// Workloads remembered.
const WORKLOADS: usize = 1 << 9;

/// Combinations of duties remembered.
const DUTIES: usize = 1 << 12;

#[derive(Clone, Copy, Debug)]
struct Known {
    print: Fingerprint,
    kind: CredentialKind,
    identity: Option<IdentityId>,
}

/// From a credential to its identity (or to none). The kind belongs to the key: the same text sent as a
/// bearer token and as an access key id has one fingerprint, but not the same meaning. 0.9 MiB.
#[derive(Debug)]
pub(super) struct Identities(Box<[[Option<Known>; 2]]>);

impl Identities {
    pub(super) fn new() -> Self {
        Self(vec![[None; 2]; SETS].into_boxed_slice())
    }

    /// The remembered answer, else that of `find`, which takes the place of the set's older one.
    pub(super) fn get(
        &mut self,
        credential: &Credential,
        find: impl FnOnce(&Credential) -> Option<IdentityId>,
    ) -> Option<IdentityId> {
        let Fingerprint(bytes) = credential.fingerprint;
        // A fingerprint is a keyed hash: its bytes are as good as random, and nobody can aim them.
        let [low, high, ..] = bytes;
        let Some(set) = self
            .0
            .get_mut(usize::from(u16::from_le_bytes([low, high])) % SETS)
        else {
            return find(credential);
        };
        let is =
            |known: &Known| known.print == credential.fingerprint && known.kind == credential.kind;
        let [newer, older] = set;
        if let Some(known) = newer
            .as_ref()
            .filter(|k| is(k))
            .or(older.as_ref().filter(|k| is(k)))
        {
            return known.identity;
        }
        let identity = find(credential);
        *older = newer.replace(Known {
            print: credential.fingerprint,
            kind: credential.kind,
            identity,
        });
        identity
    }

    pub(super) fn clear(&mut self) {
        self.0.fill([None; 2]);
    }
}

/// From an interned host to the environment it claims. Holds the host itself, so that its address cannot
/// come to mean another one.
#[derive(Debug)]
pub(super) struct Hosts(Box<[Option<KnownHost>]>);

type KnownHost = (Arc<str>, Option<EnvironmentId>);

impl Hosts {
    pub(super) fn new() -> Self {
        Self((0..HOSTS).map(|_| None).collect())
    }

    pub(super) fn get(
        &mut self,
        host: &Arc<str>,
        find: impl FnOnce(&str) -> Option<EnvironmentId>,
    ) -> Option<EnvironmentId> {
        let address = host.as_ptr().addr() >> 4;
        let Some(slot) = self.0.get_mut((address ^ (address >> 9)) % HOSTS) else {
            return find(host);
        };
        if let Some((known, environment)) = slot
            && Arc::ptr_eq(known, host)
        {
            return *environment;
        }
        let environment = find(host);
        *slot = Some((Arc::clone(host), environment));
        environment
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(None);
    }
}

/// From a shared workload to the environment it belongs to; as [`Hosts`].
#[derive(Debug)]
pub(super) struct Workloads(Box<[Option<KnownWorkload>]>);

type KnownWorkload = (Arc<Workload>, Option<EnvironmentId>);

impl Workloads {
    pub(super) fn new() -> Self {
        Self((0..WORKLOADS).map(|_| None).collect())
    }

    pub(super) fn get(
        &mut self,
        workload: &Arc<Workload>,
        find: impl FnOnce(&Workload) -> Option<EnvironmentId>,
    ) -> Option<EnvironmentId> {
        let address = Arc::as_ptr(workload).addr() >> 4;
        let Some(slot) = self.0.get_mut((address ^ (address >> 9)) % WORKLOADS) else {
            return find(workload);
        };
        if let Some((known, environment)) = slot
            && Arc::ptr_eq(known, workload)
        {
            return *environment;
        }
        let environment = find(workload);
        *slot = Some((Arc::clone(workload), environment));
        environment
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(None);
    }
}

/// Of each identity with hours, the stretch of time that was asked for last, with its answer. Times that
/// come out of order are right all the same: they cost an answer of their own at its ends.
#[derive(Debug, Default)]
pub(super) struct Clocks(Vec<Option<Stretch>>);

impl Clocks {
    /// Whether a time, in microseconds since 1970, is within the hours; `None` when it is no date.
    pub(super) fn within(&mut self, id: IdentityId, hours: &Hours, time_us: i64) -> Option<bool> {
        let time_s = second(time_us);
        let at = usize::try_from(id.0).ok()?;
        if let Some(Some(stretch)) = self.0.get(at)
            && stretch.contains(time_s)
        {
            return Some(stretch.within);
        }
        let stretch = hours.at(time_s)?;
        if self.0.len() <= at {
            // Ids are numbers of the policy's identities: this ends.
            self.0.resize(at.saturating_add(1), None);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = Some(stretch);
        }
        Some(stretch.within)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Seconds of microseconds since 1970.
pub(super) fn second(time_us: i64) -> i64 {
    time_us.div_euclid(1_000_000)
}

/// Lists of duties that were granted together.
#[derive(Debug, Default)]
pub(super) struct DutyLists(HashMap<(IdentityId, u128), Arc<[Arc<str>]>>);

impl DutyLists {
    pub(super) fn get(
        &mut self,
        identity: IdentityId,
        granted: u128,
        build: impl FnOnce() -> Arc<[Arc<str>]>,
    ) -> &Arc<[Arc<str>]> {
        let key = (identity, granted);
        if self.0.len() >= DUTIES && !self.0.contains_key(&key) {
            self.0.clear();
        }
        self.0.entry(key).or_insert_with(build)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Claims, FingerprintKey};

    fn credential(secret: u32, kind: CredentialKind) -> Credential {
        Credential {
            kind,
            fingerprint: FingerprintKey::new([3; 32]).fingerprint(&secret.to_le_bytes()),
            hint: None,
            claims: Claims::default(),
            default_identity: "x".into(),
        }
    }

    #[test]
    fn remembers_within_its_bound() {
        let mut cache = Identities::new();
        let all: Vec<_> = (0..10_000)
            .map(|n| credential(n, CredentialKind::Bearer))
            .collect();
        let id = |n: usize| (!n.is_multiple_of(3)).then(|| IdentityId(u32::try_from(n).unwrap()));
        for (n, credential) in all.iter().enumerate() {
            assert_eq!(cache.get(credential, |_| id(n)), id(n));
        }
        let mut missed = 0;
        for (n, credential) in all.iter().enumerate() {
            let found = cache.get(credential, |_| {
                missed += 1;
                id(n)
            });
            assert_eq!(found, id(n));
        }
        assert!(missed < 1_500, "{missed} of 10,000 missed");
        cache.clear();
        assert_eq!(
            cache.get(&all[0], |_| Some(IdentityId(7))),
            Some(IdentityId(7))
        );
    }

    #[test]
    fn kinds_are_kept_apart() {
        let mut cache = Identities::new();
        let id = Some(IdentityId(1));
        assert_eq!(
            cache.get(&credential(1, CredentialKind::Bearer), |_| None),
            None
        );
        assert_eq!(cache.get(&credential(1, CredentialKind::Sigv4), |_| id), id);
        assert_eq!(
            cache.get(&credential(1, CredentialKind::Bearer), |_| id),
            None
        );
    }

    #[test]
    fn hosts_are_known_by_their_address() {
        let mut cache = Hosts::new();
        let host: Arc<str> = "a".into();
        let id = Some(EnvironmentId(1));
        assert_eq!(cache.get(&host, |_| id), id);
        assert_eq!(cache.get(&host, |_| None), id);
        assert_eq!(
            cache.get(&"a".into(), |_| None),
            None,
            "not interned: asked again"
        );
        cache.clear();
        assert_eq!(cache.get(&host, |_| None), None);
    }

    #[test]
    fn workloads_are_known_by_their_address() {
        let mut cache = Workloads::new();
        let workload = Arc::new(Workload::default());
        let id = Some(EnvironmentId(1));
        assert_eq!(cache.get(&workload, |_| id), id);
        assert_eq!(cache.get(&workload, |_| None), id);
        assert_eq!(cache.get(&Arc::new(Workload::default()), |_| None), None);
        cache.clear();
        assert_eq!(cache.get(&workload, |_| None), None);
    }

    #[test]
    fn duty_lists_are_bounded() {
        let mut lists = DutyLists::default();
        for n in 0..10_000 {
            lists.get(IdentityId(n), 3, || Arc::from([]));
        }
        assert!(lists.0.len() <= DUTIES);
    }
}
