//! Operations become duties: what the same identities do at one destination, reads apart from writes.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::Span;
use super::generalise::Uses;
use super::names::{slug, unique};
use super::places::bare;
use super::route::{Part, Route};
use super::separations::Pairs;
use crate::policy::pattern::is_safe;

/// Most duties that are made of one identity's operations; beyond, its own are not told apart by
/// destination.
const MOST: usize = 96;

/// What an operation is to others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Read,
    Write,
    Mcp,
    /// It makes what [`Class::Approve`] of the same pair approves.
    Request(usize),
    Approve(usize),
}

impl Class {
    fn word(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Mcp => "tools",
            Self::Request(_) => "request",
            Self::Approve(_) => "approve",
        }
    }
}

/// One duty.
#[derive(Clone, Debug)]
pub(super) struct Duty {
    pub(super) name: String,
    pub(super) class: Class,
    /// Empty when there are several.
    pub(super) target: String,
    /// Pattern and how often it was used.
    pub(super) operations: Vec<(String, u64)>,
    /// By number.
    pub(super) holders: BTreeSet<usize>,
    pub(super) requests: u64,
    pub(super) span: Span,
}

type Key = (String, Class, BTreeSet<usize>);

/// Makes the duties of all identities.
pub(super) fn duties(uses: &[Uses], pairs: &Pairs) -> Vec<Duty> {
    let mut holders: BTreeMap<&Route, BTreeSet<usize>> = BTreeMap::new();
    for (who, uses) in uses.iter().enumerate() {
        for route in uses.keys() {
            holders.entry(route).or_default().insert(who);
        }
    }
    let class = |route: &Route| match pairs.class(route) {
        Some(class) => class,
        None if route.method == "MCP" => Class::Mcp,
        None if is_safe(&route.method) => Class::Read,
        None => Class::Write,
    };
    let mut keys: Vec<BTreeSet<Key>> = uses.iter().map(|_| BTreeSet::new()).collect();
    for (route, who) in &holders {
        for one in who {
            if let Some(keys) = keys.get_mut(*one) {
                keys.insert((route.target.clone(), class(route), who.clone()));
            }
        }
    }
    let crowded: BTreeSet<usize> = keys
        .iter()
        .enumerate()
        .filter(|(_, keys)| keys.len() > MOST)
        .map(|(who, _)| who)
        .collect();
    let mut grouped: BTreeMap<Key, Vec<&Route>> = BTreeMap::new();
    for (route, who) in &holders {
        let (alone, together): (BTreeSet<usize>, BTreeSet<usize>) =
            who.iter().partition(|one| crowded.contains(one));
        if !together.is_empty() {
            let key = (route.target.clone(), class(route), together);
            grouped.entry(key).or_default().push(route);
        }
        for one in alone {
            let class = if is_safe(&route.method) {
                Class::Read
            } else {
                Class::Write
            };
            let key = (String::new(), class, BTreeSet::from([one]));
            grouped.entry(key).or_default().push(route);
        }
    }
    let mut taken = BTreeSet::new();
    grouped
        .into_iter()
        .map(|((target, class, holders), routes)| {
            let place = if target.is_empty() {
                "several"
            } else {
                &target
            };
            let name = unique(
                &format!("{}-{}", host_name(place), class.word()),
                &mut taken,
            );
            let mut requests = 0_u64;
            let mut span = Span::default();
            for used in holders.iter().filter_map(|who| uses.get(*who)) {
                for used in routes.iter().filter_map(|route| used.get(*route)) {
                    requests = requests.saturating_add(used.count);
                    span.join(used.span);
                }
            }
            Duty {
                name,
                operations: operations(&routes, &holders, uses),
                class,
                target,
                holders,
                requests,
                span,
            }
        })
        .collect()
}

fn host_name(target: &str) -> String {
    match target.strip_prefix("unix:") {
        Some(socket) => slug(socket.trim_start_matches("/run/").trim_end_matches(':')),
        None => {
            let name = slug(bare(target));
            let port = target.rsplit_once(':').map(|(_, port)| port);
            match port.filter(|port| port.bytes().all(|b| b.is_ascii_digit())) {
                Some(port) if !target.ends_with(']') => format!("{name}-{port}"),
                _ => name,
            }
        }
    }
}

/// Patterns, with the methods of one route together.
fn operations(routes: &[&Route], holders: &BTreeSet<usize>, uses: &[Uses]) -> Vec<(String, u64)> {
    type Place<'a> = (&'a str, &'a [Part], bool);
    let mut places: BTreeMap<Place<'_>, (Vec<&Route>, u64)> = BTreeMap::new();
    for route in routes {
        let used = holders
            .iter()
            .filter_map(|who| uses.get(*who)?.get(*route))
            .fold(0_u64, |sum, used| sum.saturating_add(used.count));
        let key = (route.target.as_str(), route.parts.as_slice(), route.rest);
        let (list, count) = places.entry(key).or_default();
        list.push(route);
        *count = count.saturating_add(used);
    }
    places
        .into_values()
        .filter_map(|(list, count)| {
            let methods: Vec<&str> = list.iter().map(|route| route.method.as_str()).collect();
            let place = list.first()?.place();
            Some((format!("{} {place}", methods.join(",")), count))
        })
        .collect()
}
