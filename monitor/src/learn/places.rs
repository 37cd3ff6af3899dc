//! Environments, guessed from what hosts are called.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::evidence::Subject;
use crate::policy::environment::Destination;

/// Words in a host's name that say what it is for.
const WORDS: [(&str, &[&str]); 2] = [
    (
        "dev",
        &[
            "dev",
            "devel",
            "development",
            "test",
            "tests",
            "testing",
            "tst",
            "qa",
            "ci",
            "sandbox",
            "sbx",
            "demo",
            "local",
            "localhost",
            "localdomain",
        ],
    ),
    (
        "staging",
        &["stage", "staging", "stg", "uat", "preprod", "preview"],
    ),
];

/// What was guessed of one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) environment: String,
    pub(super) reason: &'static str,
}

fn guess(destination: &str) -> Guess {
    let made = |environment: &str, reason| Guess {
        environment: environment.to_owned(),
        reason,
    };
    if destination.starts_with("unix:") {
        return made("dev", "a socket of this host");
    }
    let host = bare(destination);
    if let Ok(ip) = host.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        let private = match ip {
            IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
        };
        return match (ip.is_loopback(), private) {
            (true, _) => made("dev", "a loopback address"),
            (_, true) => made("internal", "a private address"),
            _ => made("prod", "a public address"),
        };
    }
    for (environment, words) in WORDS {
        let named = |label: &str| words.contains(&label);
        if host.split(['.', '-', '_']).any(named) {
            return made(environment, "by its name");
        }
    }
    let inner = ["internal", "lan", "intranet", "corp", "home", "cluster"];
    if !host.contains('.') || host.rsplit('.').any(|label| inner.contains(&label)) {
        return made("internal", "a name of the inner network");
    }
    made("prod", "a public name")
}

/// A host without its port and brackets.
pub(super) fn bare(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, _)) => inner,
        None => match host.rsplit_once(':') {
            Some((name, port))
                if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) =>
            {
                name
            }
            _ => host,
        },
    }
}

/// Environments by name, each with its destinations.
pub(super) type Places = BTreeMap<String, BTreeMap<String, &'static str>>;

/// Puts every destination into one environment: where the daemon found it, else by what it is called.
pub(super) fn places(
    subjects: &[(String, Subject)],
    seen: &BTreeMap<String, BTreeMap<String, u64>>,
) -> Places {
    let mut out = Places::new();
    let mut known = BTreeSet::new();
    for (host, peer) in subjects.iter().flat_map(|(_, subject)| &subject.places) {
        let destination = if peer.starts_with("unix:") {
            peer
        } else {
            host
        };
        let Ok(read) = Destination::parse(destination) else {
            continue;
        };
        // The same host may be written in two ways.
        if !known.insert(format!("{read:?}")) {
            continue;
        }
        let busiest = seen
            .get(destination)
            .and_then(|found| found.iter().max_by_key(|(_, count)| **count));
        let Guess {
            environment,
            reason,
        } = match busiest {
            Some((environment, _)) => Guess {
                environment: environment.clone(),
                reason: "as the daemon has it now",
            },
            None => guess(destination),
        };
        out.entry(environment)
            .or_default()
            .insert(destination.clone(), reason);
    }
    // A host's own environment (of the configuration) need not have destinations.
    for environment in subjects
        .iter()
        .flat_map(|(_, subject)| &subject.environments)
    {
        out.entry(environment.clone()).or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_guessed_from_names_and_addresses() {
        for (host, want) in [
            ("127.0.0.1:8080", "dev"),
            ("[::1]:8080", "dev"),
            ("localhost:3000", "dev"),
            ("api.dev.example", "dev"),
            ("api-test.example:8443", "dev"),
            ("ci.example", "dev"),
            ("uat.pay.example", "staging"),
            ("10.1.2.3", "internal"),
            ("[fd00::1]:443", "internal"),
            ("billing", "internal"),
            ("x.svc.cluster.internal", "internal"),
            ("api.pay.example", "prod"),
            ("devices.example", "prod"),
            ("203.0.113.7", "prod"),
            ("unix:/run/docker.sock", "dev"),
        ] {
            assert_eq!(guess(host).environment, want, "{host}");
        }
    }
}
