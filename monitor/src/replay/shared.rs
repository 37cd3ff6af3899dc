//! Makes accesses of records, with what comes again and again kept once: judging remembers by address.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::formats::Refusal;
use crate::access::clock::ClockCache;
use crate::access::intern::Interner;
use crate::access::record::{AccessRecord, EndpointRecord};
use crate::access::workload::MAX_LINEAGE;
use crate::access::{
    Access, Claims, Credential, CredentialKind, Endpoint, Fingerprint, Tls, Workload,
};

/// Texts, workloads, credentials and kinds of TLS kept. An entry has some hundred bytes, at most [`LONGEST`].
const TEXTS: usize = 1 << 14;
const WORKLOADS: usize = 1 << 12;
const CREDENTIALS: usize = 1 << 14;
const TLS: usize = 1 << 10;
/// Longest text of a record, in bytes: as of a path.
pub(super) const LONGEST: usize = 2048;

/// What is kept once.
#[derive(Debug)]
pub struct Shared {
    texts: Interner,
    workloads: Kept<Workload>,
    credentials: ClockCache<Arc<Credential>, ()>,
    tls: ClockCache<Arc<Tls>, ()>,
    hasher: DefaultHashBuilder,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            texts: Interner::new(TEXTS),
            workloads: Kept(ClockCache::new(WORKLOADS)),
            credentials: ClockCache::new(CREDENTIALS),
            tls: ClockCache::new(TLS),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

#[derive(Debug)]
struct Kept<T>(ClockCache<Arc<T>, ()>);

impl<T: Hash + Eq> Kept<T> {
    fn one(&mut self, hasher: &DefaultHashBuilder, fresh: &Arc<T>) -> Arc<T> {
        let hash = hasher.hash_one(fresh);
        if let Some((held, ())) = self.0.get(hash, |held| **held == **fresh) {
            return Arc::clone(held);
        }
        self.0.insert(hash, Arc::clone(fresh), ());
        Arc::clone(fresh)
    }
}

impl Shared {
    /// The text, kept once.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        self.texts.intern(text)
    }

    /// The access that a record is of. Its identity's recorded name stands in for what the credential said of its
    /// bearer.
    ///
    /// # Errors
    /// A text is longer than any that is recorded, or the record does not say when it was.
    pub fn access(&mut self, mut record: AccessRecord) -> Result<Access, Refusal> {
        bounded(&mut record)?;
        record.duties.clear();
        let name = record.identity.take();
        let texts = &mut self.texts;
        let Some(mut access) = record.to_access(&mut |text| texts.intern(text)) else {
            return Err(Refusal::Fields);
        };
        if let Some(fresh) = access.credential.take() {
            access.credential = Some(self.credential(&fresh, name.as_deref()));
        }
        let ends = [&mut access.client, &mut access.server];
        for Endpoint { workload, .. } in ends.into_iter().flatten() {
            *workload = self.workloads.one(&self.hasher, workload);
        }
        if let Some(fresh) = access.tls.take() {
            access.tls = Some(self.tls(fresh));
        }
        Ok(access)
    }

    pub(super) fn tls(&mut self, fresh: Arc<Tls>) -> Arc<Tls> {
        let parts = (
            &fresh.version,
            &fresh.sni,
            &fresh.alpn,
            &fresh.via,
            &fresh.ja4,
        );
        let hash = self.hasher.hash_one(parts);
        if let Some((held, ())) = self.tls.get(hash, |held| **held == *fresh) {
            return Arc::clone(held);
        }
        self.tls.insert(hash, Arc::clone(&fresh), ());
        fresh
    }

    fn credential(&mut self, fresh: &Credential, name: Option<&str>) -> Arc<Credential> {
        let name = name.unwrap_or(&fresh.default_identity);
        let text = self.texts.intern(name);
        self.one_credential(fresh.fingerprint, fresh.kind, &text, || Credential {
            kind: fresh.kind,
            fingerprint: fresh.fingerprint,
            hint: fresh.hint.clone(),
            claims: claims(name),
            default_identity: Arc::clone(&text),
        })
    }

    /// The credential, kept once; made when it is not there.
    pub(super) fn one_credential(
        &mut self,
        print: Fingerprint,
        kind: CredentialKind,
        name: &str,
        make: impl FnOnce() -> Credential,
    ) -> Arc<Credential> {
        let hash = self.hasher.hash_one((print, kind, name));
        let same = |held: &Arc<Credential>| {
            held.fingerprint == print && held.kind == kind && *held.default_identity == *name
        };
        if let Some((held, ())) = self.credentials.get(hash, same) {
            return Arc::clone(held);
        }
        let made = Arc::new(make());
        self.credentials.insert(hash, Arc::clone(&made), ());
        made
    }
}

/// What the default name of a token says (`jwt:iss=…,sub=…`): as much of its claims.
fn claims(name: &str) -> Claims {
    let plain = |text: &str| -> Box<str> { text.replace("%2C", ",").replace("%25", "%").into() };
    let mut claims = Claims::default();
    let Some(rest) = name.strip_prefix("jwt:iss=") else {
        return claims;
    };
    if let Some((issuer, subject)) = rest.split_once(",sub=") {
        claims.issuer = Some(plain(issuer));
        claims.subject = Some(plain(subject));
    } else if let Some((issuer, client)) = rest.split_once(",client=") {
        claims.issuer = Some(plain(issuer));
        claims.client = Some(plain(client));
    }
    claims
}

/// Refuses what is longer than anything that is recorded.
fn bounded(record: &mut AccessRecord) -> Result<(), Refusal> {
    let long = |text: &str| text.len() > LONGEST;
    let some = |text: &Option<String>| text.as_deref().is_some_and(long);
    let request = &record.request;
    let mut too_long = [
        &request.method,
        &request.host,
        &request.path,
        &request.route,
    ]
    .into_iter()
    .any(|text| long(text));
    too_long |= [
        &record.identity,
        &record.owner,
        &record.peer,
        &record.environment,
    ]
    .into_iter()
    .any(some);
    if let Some(credential) = &record.credential {
        too_long |= long(&credential.fingerprint) || some(&credential.hint);
    }
    if let Some(tls) = &record.tls {
        too_long |= long(&tls.via)
            || [&tls.version, &tls.sni, &tls.alpn, &tls.ja4]
                .into_iter()
                .any(some);
    }
    for end in [&mut record.client, &mut record.server]
        .into_iter()
        .flatten()
    {
        let EndpointRecord {
            exe,
            unit,
            container,
            user,
            lineage,
            ..
        } = end;
        lineage.truncate(MAX_LINEAGE);
        too_long |= long(exe) || long(user) || some(unit) || some(container);
        too_long |= lineage.iter().any(|exe| long(exe));
    }
    if too_long {
        Err(Refusal::TooLong)
    } else {
        Ok(())
    }
}
