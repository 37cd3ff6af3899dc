//! Puts a proposal together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::duties::{Duty, duties};
use super::evidence::{Evidence, LeftOut, Span, Subject};
use super::generalise::{Everybody, Uses, generalise};
use super::names::{Owner, Token, name, owner, unique};
use super::places::{Places, places};
use super::separations::{Separation, pairs, separations};
use super::write;
use crate::access::{CredentialKind, FingerprintKey, Peer};
use crate::policy::workload::WorkloadSelector;
use crate::policy::{self, Files};

/// Most workloads, and credentials, that an identity is bound to.
const MOST_WORKLOADS: usize = 8;
const MOST_CREDENTIALS: usize = 64;

/// One identity.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) owner: Owner,
    pub(super) credentials: Vec<String>,
    /// Why `credentials` are not all, if so.
    pub(super) unsure: Option<&'static str>,
    /// `None`: not bound, for the reason given.
    pub(super) workloads: Result<Vec<String>, &'static str>,
    pub(super) duties: Vec<String>,
    pub(super) environments: Result<Vec<String>, &'static str>,
    pub(super) findings: BTreeMap<String, u64>,
    pub(super) hints: BTreeSet<String>,
    pub(super) requests: u64,
    pub(super) days: usize,
    pub(super) span: Span,
}

/// A policy that grants what was seen.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub(super) environments: Places,
    pub(super) duties: Vec<Duty>,
    pub(super) identities: Vec<Identity>,
    pub(super) separations: Vec<Separation>,
    pub(super) left_out: BTreeMap<LeftOut, u64>,
    pub(super) requests: u64,
    pub(super) span: Span,
}

impl Proposal {
    /// The policy file, with comments.
    #[must_use]
    pub fn to_toml(&self) -> String {
        write::toml(self)
    }

    /// How many identities it names.
    #[must_use]
    pub fn identities(&self) -> usize {
        self.identities.len()
    }
}

/// Names of one identity that share a credential become one: a policy may have named it meanwhile.
fn joined(evidence: &Evidence) -> Vec<(String, Subject)> {
    let rank = |key: &str, subject: &Subject| (subject.owner.is_none(), key.starts_with("bw1:"));
    let mut all: Vec<(String, Subject)> = evidence
        .subjects
        .iter()
        .filter(|(_, subject)| !subject.uses.is_empty())
        .map(|(key, subject)| (key.clone(), subject.clone()))
        .collect();
    all.sort_by(|(a, one), (b, other)| rank(a, one).cmp(&rank(b, other)).then(a.cmp(b)));
    let mut owners: BTreeMap<String, usize> = BTreeMap::new();
    let mut out: Vec<(String, Subject)> = Vec::new();
    for (key, subject) in all {
        let known = subject
            .fingerprints
            .iter()
            .find_map(|print| owners.get(print));
        let at = known.copied().unwrap_or(out.len());
        for print in &subject.fingerprints {
            owners.entry(print.clone()).or_insert(at);
        }
        match out.get_mut(at) {
            Some((_, own)) => own.join(subject),
            None => out.push((key, subject)),
        }
    }
    out
}

/// Proposes a policy.
#[must_use]
pub fn propose(evidence: &Evidence) -> Proposal {
    let subjects = joined(evidence);
    let mut everybody = Everybody::new();
    for (who, (_, subject)) in subjects.iter().enumerate() {
        for route in subject.uses.keys() {
            let key = (route.target.clone(), route.method.clone());
            everybody.entry(key).or_default().push((who, route.clone()));
        }
    }
    let uses: Vec<Uses> = subjects
        .iter()
        .enumerate()
        .map(|(who, (_, subject))| generalise(who, subject.uses.clone(), &everybody))
        .collect();
    let mut taken = BTreeSet::new();
    let names: Vec<String> = subjects
        .iter()
        .map(|(key, subject)| unique(&name(key, subject), &mut taken))
        .collect();
    let owners: Vec<Owner> = subjects
        .iter()
        .zip(&names)
        .map(|((key, subject), name)| owner(key, name, subject))
        .collect();
    let pairs = pairs(&uses, &owners);
    let duties = duties(&uses, &pairs);
    let separations = separations(&duties, &pairs, &owners);
    let environments = places(&subjects, &evidence.hosts);
    let compiled = compiled(&environments);
    let identities = subjects
        .iter()
        .zip(names)
        .zip(owners)
        .enumerate()
        .map(|(who, (((key, subject), name), owner))| {
            let (credentials, unsure) = credentials(key, subject);
            Identity {
                duties: duties
                    .iter()
                    .filter(|duty| duty.holders.contains(&who))
                    .map(|duty| duty.name.clone())
                    .collect(),
                environments: environments_of(subject, compiled.as_ref()),
                workloads: workloads(subject),
                findings: subject.findings.clone(),
                hints: subject.hints.clone(),
                requests: subject.requests,
                days: subject.days.len(),
                span: subject.span,
                name,
                owner,
                credentials,
                unsure,
            }
        })
        .collect();
    Proposal {
        environments,
        duties,
        identities,
        separations,
        left_out: evidence.left_out.clone(),
        requests: evidence.requests,
        span: evidence.span,
    }
}

fn credentials(key: &str, subject: &Subject) -> (Vec<String>, Option<&'static str>) {
    if let Some(selector) = Token::parse(key).and_then(|token| token.selector()) {
        return (vec![selector], None);
    }
    let prints = || subject.fingerprints.iter();
    let list: Vec<String> = prints()
        .filter(|print| policy::selector::Selector::parse(print).is_ok())
        .take(MOST_CREDENTIALS)
        .cloned()
        .collect();
    let unsure = if prints().count() > list.len() || subject.cut {
        Some("not all of its credentials: name what they have in common, as jwt:iss=…,sub=…")
    } else if subject.owner.is_some() {
        Some("the credentials that were seen; take over what the policy in force says here")
    } else if subject.kinds.contains(&CredentialKind::Jwt) {
        Some("tokens without an issuer: a new one is somebody else until it stands here")
    } else {
        None
    };
    (list, unsure)
}

fn workloads(subject: &Subject) -> Result<Vec<String>, &'static str> {
    if subject.elsewhere > 0 {
        return Err("not bound: some clients are on other hosts, or not known");
    }
    if subject.cut || subject.workloads.len() > MOST_WORKLOADS {
        return Err("not bound: too many workloads use it");
    }
    let all: Vec<String> = subject.workloads.keys().cloned().collect();
    let good = |text: &String| WorkloadSelector::parse(text).is_ok() && !text.contains('*');
    if all.is_empty() || !all.iter().all(good) {
        return Err("not bound: its workload cannot be named");
    }
    Ok(all)
}

struct NoFiles(String);

impl Files for NoFiles {
    fn read(&self, _: &Path) -> std::io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }

    fn list(&self, _: &Path) -> std::io::Result<Option<Vec<PathBuf>>> {
        Ok(None)
    }
}

/// The environments as the daemon will see them.
fn compiled(places: &Places) -> Option<policy::Policy> {
    let file = NoFiles(format!("version = 1\n{}", write::environments(places)));
    let key = FingerprintKey::new([0; 32]);
    let loaded = policy::load(&["policy.toml".into()], Path::new("/"), &file, &key);
    loaded.ok().map(|loaded| loaded.policy)
}

fn environments_of(
    subject: &Subject,
    compiled: Option<&policy::Policy>,
) -> Result<Vec<String>, &'static str> {
    let (Some(policy), false) = (compiled, subject.cut) else {
        return Err("in every environment: too many destinations to tell");
    };
    let all = policy.environments();
    let mut out = subject.environments.clone();
    for (host, peer) in &subject.places {
        let actual = match peer.strip_prefix("unix:") {
            Some(socket) => all.actual(&Peer::Unix(socket.into())),
            None => peer
                .parse()
                .ok()
                .and_then(|address| all.actual(&Peer::Inet(address))),
        };
        let found = [all.claimed(host), actual].into_iter().flatten();
        out.extend(found.filter_map(|id| all.name(id)).map(ToString::to_string));
    }
    if out.is_empty() {
        return Err("in every environment: none of its destinations can be named");
    }
    Ok(out.into_iter().collect())
}
