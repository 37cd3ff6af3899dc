//! SOD005: an identity is for production and for development.

use super::{Level, Lint, LintFinding, and, codes, list};
use crate::policy::{EnvironmentId, Identity};

/// Which side of the wall an environment is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Production,
    Development,
    /// Neither: it opposes nothing.
    Other,
}

/// By the words of its name: one that begins with `prod` or is `live` is production, unless `non` or `pre`
/// stands before; one that begins with `dev`, `test` or `stag`, or is `qa`, `uat`, `sandbox`, `lab` or
/// `ci`, is development.
pub(super) fn side(name: &str) -> Side {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let any = |test: &dyn Fn(&str) -> bool| words.iter().any(|word| test(word));
    let before = |word: &str| word == "non" || word == "pre";
    let production = |word: &str| word.starts_with("prod") || word == "live";
    let development = |word: &str| {
        ["dev", "test", "stag", "nonprod", "preprod"]
            .iter()
            .any(|begin| word.starts_with(begin))
            || ["qa", "uat", "sandbox", "lab", "ci"].contains(&word)
    };
    if any(&development) || (any(&production) && any(&before)) {
        Side::Development
    } else if any(&production) {
        Side::Production
    } else {
        Side::Other
    }
}

pub(super) fn find(lint: &mut Lint<'_>) {
    let mut found = Vec::new();
    for identity in lint.policy.identities().filter(|i| !i.is_canary()) {
        let (list_given, reached) = match &identity.environments {
            Some(environments) => (true, environments.to_vec()),
            None => (false, reachable(lint, identity)),
        };
        let names = |which: Side| -> Vec<&str> {
            reached
                .iter()
                .filter_map(|id| lint.policy.environments().name(*id))
                .map(|name| &**name)
                .filter(|name| side(name) == which)
                .collect()
        };
        let (production, development) = (names(Side::Production), names(Side::Development));
        let (Some(one), Some(other)) = (production.first(), development.first()) else {
            continue;
        };
        let all: Vec<&str> = production.iter().chain(&development).copied().collect();
        let places = &identity.places;
        let (level, clause, place, message) = if list_given {
            (
                Level::High,
                format!("identities.{}.environments = {}", identity.name, list(&all)),
                places.environments.as_ref(),
                format!("{} is for {}", identity.name, and(&all)),
            )
        } else {
            (
                Level::Medium,
                format!("identities.{}.duties, without environments", identity.name),
                places.duties.as_ref(),
                format!(
                    "{} names no environments, and its duties reach {}",
                    identity.name,
                    and(&all)
                ),
            )
        };
        found.push(LintFinding {
            code: codes::ENVIRONMENTS,
            level,
            subject: identity.name.to_string(),
            message,
            clause,
            place: Some(place.unwrap_or(&identity.place).clone()),
            witness: None,
            change: format!(
                "make two identities of {}, for {one} and for {other}, with a credential each",
                identity.name
            ),
            accepted: None,
        });
    }
    found.into_iter().for_each(|finding| lint.push(finding));
}

/// Environments that operations of the identity's duties name hosts of; all, if one of them is for any host.
fn reachable(lint: &Lint<'_>, identity: &Identity) -> Vec<EnvironmentId> {
    let environments = lint.policy.environments();
    let mut all = Vec::new();
    let operations = identity
        .duties
        .iter()
        .filter_map(|id| lint.policy.duty(*id))
        .flat_map(|duty| duty.operations.iter());
    for operation in operations {
        if operation.any_host() {
            return environments
                .names()
                .filter_map(|name| environments.find(name))
                .collect();
        }
        let Some(example) = operation.example() else {
            continue;
        };
        let id = match &example.socket {
            Some(socket) => environments.actual(&crate::access::Peer::Unix(socket.as_str().into())),
            None => environments.claimed(&example.host),
        };
        if let Some(id) = id.filter(|id| !all.contains(id)) {
            all.push(id);
        }
    }
    all
}
