//! What a refusal is of, and of whom it may be.
//!
//! Pure.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use monitor_ebpf::REFUSE_LEVELS;

use super::Violation;
use super::acts::{GroupNow, Range};
use super::config::ContainRule;
use super::decide::Declined;
use super::protect::protects;
use crate::access::{Peer, Role};
use crate::policy::Policy;

/// Where the client connected to.
pub(super) fn server_address(violation: &Violation) -> Option<SocketAddr> {
    match (&violation.access.peer, violation.access.role) {
        (Peer::Inet(address), Role::Client | Role::Both) => {
            Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
        }
        _ => None,
    }
}

/// A single port of an address.
pub(super) fn one(address: SocketAddr) -> Range {
    Range {
        network: IpNet::from(address.ip()),
        port: Some(address.port()),
        refused: true,
    }
}

/// What a refusal is of: all that the policy lists of the environment, and where the request really went.
/// What the policy gives to another environment within such a range stays open.
pub(super) fn ranges(
    policy: &Policy,
    environment: Option<&str>,
    seen: Option<SocketAddr>,
) -> Vec<Range> {
    let environments = policy.environments();
    let wanted = environment.and_then(|name| environments.find(name));
    let mut out: Vec<Range> = seen.map(one).into_iter().collect();
    if let Some(wanted) = wanted {
        let refused = |network, port, refused| Range {
            network,
            port,
            refused,
        };
        out.extend(
            environments
                .ranges()
                .filter(|(.., id)| *id == wanted)
                .map(|(network, port, _)| refused(network, port, true)),
        );
        let within: Vec<IpNet> = out
            .iter()
            .filter(|range| range.port.is_none())
            .map(|range| range.network)
            .collect();
        out.extend(
            environments
                .ranges()
                .filter(|(network, _, id)| {
                    *id != wanted && within.iter().any(|larger| larger.contains(network))
                })
                .map(|(network, port, _)| refused(network, port, false)),
        );
        // What was seen outranks the list.
        if let Some(seen) = seen.map(one) {
            out.retain(|range| {
                range.refused || (range.network, range.port) != (seen.network, seen.port)
            });
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// Whether connections of a control group may be refused.
pub(super) fn allowed(
    group: &GroupNow,
    own: u32,
    never: &[crate::policy::workload::WorkloadSelector],
) -> Result<(), Declined> {
    let path = group.path.trim_end_matches('/');
    let no = |why: String| Err(Declined::Group(why));
    if path.is_empty() {
        return no("its control group is the root, which is everybody's".to_owned());
    }
    let holds = |inner: &str| {
        inner
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if holds(&group.own) {
        return no(format!("its control group {path} holds this daemon"));
    }
    let depth = path.matches('/').count();
    if depth > usize::try_from(REFUSE_LEVELS).unwrap_or(0) {
        return no(format!("its control group {path} lies {depth} levels deep"));
    }
    for member in &group.members {
        if let Some(why) = protects(member.pid, &member.workload, own, never) {
            return no(format!(
                "its control group {path} also holds process {}: {why}",
                member.pid
            ));
        }
    }
    Ok(())
}

/// Rules that name an environment which neither the policy nor this host has.
#[must_use]
pub fn strange_environments(
    rules: &[ContainRule],
    policy: &Policy,
    here: Option<&str>,
) -> Vec<(usize, Arc<str>)> {
    rules
        .iter()
        .enumerate()
        .flat_map(|(at, rule)| rule.environments.iter().map(move |name| (at, name)))
        .filter(|(_, name)| {
            !name.contains('*')
                && policy.environments().find(name).is_none()
                && here != Some(name.as_str())
        })
        .map(|(at, name)| (at, Arc::from(name.as_str())))
        .collect()
}
