//! Separations that already hold: what different owners do, and nobody does both of.

use std::collections::{BTreeMap, BTreeSet};

use super::duties::{Class, Duty};
use super::generalise::Uses;
use super::names::Owner;
use super::route::{Part, Route};
use crate::policy::pattern::is_safe;

/// What an approval ends with.
const WORDS: [&str; 12] = [
    "approve",
    "approval",
    "approvals",
    "confirm",
    "accept",
    "authorize",
    "release",
    "review",
    "reviews",
    "sign-off",
    "signoff",
    "merge",
];

/// Most separations proposed.
const MOST: usize = 32;

/// Requests and their approvals.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs {
    classes: BTreeMap<Route, Class>,
    /// Capture that names the object, by pair.
    objects: Vec<String>,
}

impl Pairs {
    pub(super) fn class(&self, route: &Route) -> Option<Class> {
        self.classes.get(route).cloned()
    }
}

fn is_owners_apart(a: &BTreeSet<usize>, b: &BTreeSet<usize>, owners: &[Owner]) -> bool {
    let texts = |who: &BTreeSet<usize>| -> BTreeSet<&str> {
        who.iter()
            .filter_map(|who| owners.get(*who))
            .map(Owner::text)
            .collect()
    };
    texts(a).is_disjoint(&texts(b))
}

/// Finds routes R and R/approve (or another word of the kind) that different owners use to change things.
pub(super) fn pairs(uses: &[Uses], owners: &[Owner]) -> Pairs {
    let mut holders: BTreeMap<&Route, BTreeSet<usize>> = BTreeMap::new();
    for (who, uses) in uses.iter().enumerate() {
        let writes = uses
            .keys()
            .filter(|route| !route.rest && route.method != "MCP" && !is_safe(&route.method));
        for route in writes {
            holders.entry(route).or_default().insert(who);
        }
    }
    let mut by_place: BTreeMap<(&str, &[Part]), Vec<&Route>> = BTreeMap::new();
    for route in holders.keys() {
        let key = (route.target.as_str(), route.parts.as_slice());
        by_place.entry(key).or_default().push(route);
    }
    let mut out = Pairs::default();
    for (&(target, parts), approvals) in &by_place {
        let Some((Part::Text(word), request)) = parts.split_last() else {
            continue;
        };
        let Some(requests) = by_place.get(&(target, request)) else {
            continue;
        };
        let object = requests.first().and_then(|route| route.last_object());
        let (true, Some(object)) = (WORDS.contains(&word.as_str()), object) else {
            continue;
        };
        let who = |routes: &[&Route]| -> BTreeSet<usize> {
            let all = routes.iter().filter_map(|route| holders.get(*route));
            all.flatten().copied().collect()
        };
        let free = |routes: &[&Route]| routes.iter().all(|r| !out.classes.contains_key(*r));
        if is_owners_apart(&who(requests), &who(approvals), owners)
            && free(requests)
            && free(approvals)
        {
            let number = out.objects.len();
            out.objects.push(object);
            for route in requests {
                out.classes.insert((*route).clone(), Class::Request(number));
            }
            for route in approvals {
                out.classes.insert((*route).clone(), Class::Approve(number));
            }
        }
    }
    out
}

/// `[[separate]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Separation {
    pub(super) duties: Vec<String>,
    pub(super) on: Option<String>,
    pub(super) why: &'static str,
}

/// Separations that everybody kept.
pub(super) fn separations(duties: &[Duty], pairs: &Pairs, owners: &[Owner]) -> Vec<Separation> {
    let mut out = Vec::new();
    for (number, object) in pairs.objects.iter().enumerate() {
        let of =
            |class: &Class| matches!(class, Class::Request(n) | Class::Approve(n) if *n == number);
        let duties: Vec<String> = duties
            .iter()
            .filter(|duty| of(&duty.class))
            .map(|duty| duty.name.clone())
            .collect();
        if duties.len() > 1 {
            out.push(Separation {
                duties,
                on: Some(object.clone()),
                why: "nobody approved what they had asked for",
            });
        }
    }
    for read in duties.iter().filter(|duty| duty.class == Class::Read) {
        if read.target.is_empty() {
            continue;
        }
        let writes: Vec<&Duty> = duties
            .iter()
            .filter(|duty| duty.target == read.target && duty.class != Class::Read)
            .collect();
        let apart = |write: &&&Duty| is_owners_apart(&read.holders, &write.holders, owners);
        // Who reads and writes something else at the same place is no mere reader.
        if writes.iter().filter(apart).count() != writes.len() {
            continue;
        }
        for write in writes.iter().filter(|duty| duty.class == Class::Write) {
            out.push(Separation {
                duties: vec![read.name.clone(), write.name.clone()],
                on: None,
                why: "who reads here does not write here",
            });
        }
    }
    out.truncate(MOST);
    out
}
