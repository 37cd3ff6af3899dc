//! Named principals, and how a credential leads to one.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::environment::EnvironmentId;
use super::error::Place;
use super::hours::Hours;
use super::selector::{JwtSelector, Selector};
use super::workload::WorkloadSelector;
use crate::access::{Claims, Credential, CredentialKind, Fingerprint};

/// Most duties one identity may have: the granting ones are kept as bits.
pub const MOST_DUTIES: usize = 128;

/// An identity of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityId(pub(crate) u32);

/// A duty of one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DutyId(pub(crate) u32);

/// A named principal.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name.
    pub name: Arc<str>,
    /// The person or team behind it.
    pub owner: Arc<str>,
    /// Its duties; without any it is a canary.
    pub duties: Box<[DutyId]>,
    /// Whether all that its duties grant is safe (RFC 9110 §9.2.1), and it has some.
    pub only_reads: bool,
    /// Where it may be used; `None` where the policy does not say.
    pub environments: Option<Box<[EnvironmentId]>>,
    /// Workloads that may use it; `None` where the policy does not say.
    pub workloads: Option<Box<[WorkloadSelector]>>,
    /// When it may be used; `None` where the policy does not say.
    pub hours: Option<Hours>,
    /// Its credentials as the policy names them.
    pub credentials: Box<[Selector]>,
    /// Where it is defined.
    pub place: Place,
    /// Where `duties`, `environments`, `workloads` and `hours` stand, when they do.
    pub places: ClausePlaces,
}

/// Places of an identity's clauses.
#[derive(Clone, Debug, Default)]
pub struct ClausePlaces {
    /// Of `duties`.
    pub duties: Option<Place>,
    /// Of `environments`.
    pub environments: Option<Place>,
    /// Of `workloads`.
    pub workloads: Option<Place>,
    /// Of `hours`.
    pub hours: Option<Place>,
}

impl Identity {
    /// Whether every use of it is an alert: it has no duties.
    #[must_use]
    pub fn is_canary(&self) -> bool {
        self.duties.is_empty()
    }

    /// Whether it may be used there. True where the policy does not say.
    #[must_use]
    pub fn allows(&self, environment: EnvironmentId) -> bool {
        self.environments
            .as_ref()
            .is_none_or(|all| all.contains(&environment))
    }
}

#[derive(Clone, Debug)]
struct Matcher {
    client: Option<Box<str>>,
    audience: Option<Box<str>>,
    identity: IdentityId,
}

impl Matcher {
    fn matches(&self, claims: &Claims) -> bool {
        self.client
            .as_ref()
            .is_none_or(|client| claims.client.as_ref() == Some(client))
            && self
                .audience
                .as_ref()
                .is_none_or(|audience| claims.audience.contains(audience))
    }

    /// A client outranks an audience, and both outrank none.
    fn rank(&self) -> (bool, bool) {
        (self.client.is_some(), self.audience.is_some())
    }
}

/// Selectors of tokens of one issuer. A subject outranks a client.
#[derive(Clone, Debug, Default)]
struct Issuer {
    subjects: HashMap<Box<str>, Vec<Matcher>>,
    clients: HashMap<Box<str>, Vec<Matcher>>,
}

/// From credentials to identities.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    fingerprints: HashMap<Fingerprint, IdentityId>,
    issuers: HashMap<Box<str>, Issuer>,
    sigv4: HashMap<Box<str>, IdentityId>,
    basic: HashMap<Box<str>, IdentityId>,
    digest: HashMap<Box<str>, IdentityId>,
}

/// Another identity has the credential already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken(pub(crate) IdentityId);

impl Index {
    /// Adds a selector; `file:` ones go through [`fingerprint`](Self::fingerprint).
    pub(crate) fn insert(
        &mut self,
        selector: &Selector,
        identity: IdentityId,
    ) -> Result<(), Taken> {
        match selector {
            Selector::Fingerprint(print) => self.fingerprint(*print, identity),
            Selector::File(_) => Ok(()),
            Selector::Jwt(jwt) => self.jwt(jwt, identity),
            Selector::Sigv4(id) => claim(self.sigv4.entry(id.clone()), identity),
            Selector::Basic(user) => claim(self.basic.entry(user.clone()), identity),
            Selector::Digest(user) => claim(self.digest.entry(user.clone()), identity),
        }
    }

    /// Adds a fingerprint.
    pub(crate) fn fingerprint(
        &mut self,
        print: Fingerprint,
        identity: IdentityId,
    ) -> Result<(), Taken> {
        claim(self.fingerprints.entry(print), identity)
    }

    fn jwt(&mut self, jwt: &JwtSelector, identity: IdentityId) -> Result<(), Taken> {
        let issuer = self.issuers.entry(jwt.issuer.clone()).or_default();
        let (list, client) = match (&jwt.subject, &jwt.client) {
            (Some(subject), client) => (
                issuer.subjects.entry(subject.clone()).or_default(),
                client.clone(),
            ),
            (None, Some(client)) => (issuer.clients.entry(client.clone()).or_default(), None),
            // The parser asks for one of them.
            (None, None) => return Ok(()),
        };
        let new = Matcher {
            client,
            audience: jwt.audience.clone(),
            identity,
        };
        let same = |old: &&Matcher| old.client == new.client && old.audience == new.audience;
        if let Some(old) = list.iter().find(same) {
            return if old.identity == identity {
                Ok(())
            } else {
                Err(Taken(old.identity))
            };
        }
        let at = list.partition_point(|old| old.rank() >= new.rank());
        list.insert(at, new);
        Ok(())
    }

    /// The identity of a credential: by its fingerprint, else by what it says of itself.
    pub(crate) fn find(&self, credential: &Credential) -> Option<IdentityId> {
        if let Some(found) = self.fingerprints.get(&credential.fingerprint) {
            return Some(*found);
        }
        let claims = &credential.claims;
        if let Some(issuer) = &claims.issuer {
            let issuer = self.issuers.get(issuer)?;
            let first = |list: Option<&Vec<Matcher>>| {
                list.and_then(|list| list.iter().find(|m| m.matches(claims)))
                    .map(|m| m.identity)
            };
            return first(claims.subject.as_ref().and_then(|s| issuer.subjects.get(s)))
                .or_else(|| first(claims.client.as_ref().and_then(|c| issuer.clients.get(c))));
        }
        let table = match credential.kind {
            CredentialKind::Sigv4 => &self.sigv4,
            CredentialKind::Basic => &self.basic,
            CredentialKind::Digest => &self.digest,
            _ => return None,
        };
        table.get(claims.subject.as_ref()?).copied()
    }
}

fn claim<K: Eq + std::hash::Hash, S: std::hash::BuildHasher>(
    entry: Entry<'_, K, IdentityId, S>,
    identity: IdentityId,
) -> Result<(), Taken> {
    match entry {
        Entry::Vacant(vacant) => {
            vacant.insert(identity);
            Ok(())
        }
        Entry::Occupied(old) if *old.get() == identity => Ok(()),
        Entry::Occupied(old) => Err(Taken(*old.get())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::FingerprintKey;

    fn index(selectors: &[(&str, u32)]) -> Index {
        let mut index = Index::default();
        for (text, identity) in selectors {
            index
                .insert(&Selector::parse(text).unwrap(), IdentityId(*identity))
                .unwrap();
        }
        index
    }

    fn credential(kind: CredentialKind, claims: Claims) -> Credential {
        let fingerprint =
            FingerprintKey::new([9; 32]).fingerprint(format!("{claims:?}").as_bytes());
        Credential {
            kind,
            fingerprint,
            hint: None,
            claims,
            default_identity: "x".into(),
        }
    }

    fn token(issuer: &str, subject: &str, client: &str, audience: &[&str]) -> Credential {
        let some = |text: &str| (!text.is_empty()).then(|| text.into());
        credential(
            CredentialKind::Jwt,
            Claims {
                issuer: some(issuer),
                subject: some(subject),
                client: some(client),
                audience: audience.iter().map(|a| Box::from(*a)).collect(),
                ..Claims::default()
            },
        )
    }

    #[test]
    fn the_most_specific_token_selector_wins() {
        let index = index(&[
            ("jwt:iss=i,client=c", 1),
            ("jwt:iss=i,sub=s", 2),
            ("jwt:iss=i,sub=s,aud=a", 3),
            ("jwt:iss=i,sub=s,client=c", 4),
            ("jwt:iss=i,sub=s,client=c,aud=a", 5),
            ("jwt:iss=j,sub=s", 6),
            ("jwt:iss=i,client=c,aud=a", 7),
        ]);
        for (issuer, subject, client, audience, want) in [
            ("i", "s", "", &[][..], Some(2)),
            ("i", "s", "d", &["b"], Some(2)),
            ("i", "s", "", &["b", "a"], Some(3)),
            ("i", "s", "c", &[], Some(4)),
            ("i", "s", "c", &["a"], Some(5)),
            ("i", "t", "c", &[], Some(1)),
            ("i", "", "c", &["a"], Some(7)),
            ("i", "t", "", &[], None),
            ("j", "s", "c", &[], Some(6)),
            ("k", "s", "c", &["a"], None),
        ] {
            let token = token(issuer, subject, client, audience);
            assert_eq!(
                index.find(&token),
                want.map(IdentityId),
                "{:?}",
                token.claims
            );
        }
    }

    #[test]
    fn each_kind_has_its_own_names() {
        let index = index(&[
            ("sigv4:AKIAIOSFODNN7EXAMPLE", 1),
            ("basic:user=u", 2),
            ("digest:user=u", 3),
        ]);
        let named = |kind, name: &str| {
            credential(
                kind,
                Claims {
                    subject: Some(name.into()),
                    ..Claims::default()
                },
            )
        };
        use CredentialKind::{ApiKey, Basic, Digest, Sigv4};
        for (kind, name, want) in [
            (Sigv4, "AKIAIOSFODNN7EXAMPLE", Some(1)),
            (Basic, "u", Some(2)),
            (Digest, "u", Some(3)),
            (Basic, "AKIAIOSFODNN7EXAMPLE", None),
            (ApiKey, "u", None),
        ] {
            assert_eq!(
                index.find(&named(kind, name)),
                want.map(IdentityId),
                "{kind:?} {name}"
            );
        }
    }

    #[test]
    fn a_fingerprint_outranks_claims() {
        let token = token("i", "s", "", &[]);
        let mut index = index(&[("jwt:iss=i,sub=s", 1)]);
        index.fingerprint(token.fingerprint, IdentityId(2)).unwrap();
        assert_eq!(index.find(&token), Some(IdentityId(2)));
    }

    #[test]
    fn one_credential_has_one_identity() {
        for text in [
            "bw1:00112233445566778899aabbccddeeff",
            "jwt:iss=i,sub=s",
            "jwt:iss=i,client=c",
            "jwt:iss=i,sub=s,client=c,aud=a",
            "sigv4:AKIAIOSFODNN7EXAMPLE",
            "basic:user=u",
            "digest:user=u",
        ] {
            let selector = Selector::parse(text).unwrap();
            let mut index = Index::default();
            assert_eq!(index.insert(&selector, IdentityId(1)), Ok(()), "{text}");
            assert_eq!(index.insert(&selector, IdentityId(1)), Ok(()), "{text}");
            assert_eq!(
                index.insert(&selector, IdentityId(2)),
                Err(Taken(IdentityId(1))),
                "{text}"
            );
        }
    }
}
