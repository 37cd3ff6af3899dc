//! Many operations become few patterns, where there is enough evidence that the list is an open one.

use std::collections::BTreeMap;

use super::evidence::Use;
use super::route::{Part, Route};

/// Distinct siblings before they are taken for names of things, or for all that is there.
const ENOUGH: usize = 12;
/// At the top of a host, where `**` is every path.
const ENOUGH_AT_TOP: usize = 24;

/// Routes and what they were used for.
pub(super) type Uses = BTreeMap<Route, Use>;

/// Operations of every identity at one destination with one method.
pub(super) type Everybody = BTreeMap<(String, String), Vec<(usize, Route)>>;

/// Generalises what the identity `me` did. A pattern never grants what only others were seen to do.
pub(super) fn generalise(me: usize, mine: Uses, all: &Everybody) -> Uses {
    let mut groups: BTreeMap<(String, String), Vec<(Route, Use)>> = BTreeMap::new();
    for (route, used) in mine {
        let key = (route.target.clone(), route.method.clone());
        groups.entry(key).or_default().push((route, used));
    }
    let mut out = Uses::new();
    for (key, list) in groups {
        let others: Vec<&Route> = all
            .get(&key)
            .into_iter()
            .flatten()
            .filter(|(who, route)| *who != me && !list.iter().any(|(own, _)| own.covers(route)))
            .map(|(_, route)| route)
            .collect();
        for (route, used) in below(0, without_covered(list), &others) {
            join(&mut out, route, used);
        }
    }
    out
}

fn join(out: &mut Uses, route: Route, used: Use) {
    let own = out.entry(route).or_default();
    own.count = own.count.saturating_add(used.count);
    own.span.join(used.span);
    if own.examples.is_empty() {
        own.examples = used.examples;
    }
}

/// What a wider pattern of the same list grants needs none of its own.
fn without_covered(list: Vec<(Route, Use)>) -> Vec<(Route, Use)> {
    let wide =
        |route: &Route| route.rest || route.parts.iter().any(|p| matches!(p, Part::Object(_)));
    let (mut kept, narrow): (Vec<_>, Vec<_>) = list.into_iter().partition(|(r, _)| wide(r));
    let mut literal = Vec::new();
    for (route, used) in narrow {
        match kept.iter_mut().find(|(wide, _)| wide.covers(&route)) {
            Some((_, wide)) => {
                wide.count = wide.count.saturating_add(used.count);
                wide.span.join(used.span);
            }
            None => literal.push((route, used)),
        }
    }
    kept.extend(literal);
    kept
}

/// Merges what has the same first `depth` segments.
fn below(depth: usize, list: Vec<(Route, Use)>, others: &[&Route]) -> Vec<(Route, Use)> {
    let mut children: BTreeMap<Option<Part>, Vec<(Route, Use)>> = BTreeMap::new();
    for (route, used) in list {
        let key = route.parts.get(depth).cloned();
        children.entry(key).or_default().push((route, used));
    }
    if let Some(wide) = merged(depth, &children, others) {
        let mut out = Uses::new();
        for (route, used) in children.into_values().flatten() {
            // A pattern of segments does not end where this one goes on.
            let route = if wide.covers(&route) {
                wide.clone()
            } else {
                route
            };
            join(&mut out, route, used);
        }
        return out.into_iter().collect();
    }
    let mut out = Vec::new();
    for (part, list) in children {
        match part {
            None => out.extend(list),
            Some(_) => out.extend(below(depth.saturating_add(1), list, others)),
        }
    }
    out
}

/// The pattern for all children, if there are enough different ones and many of them came only once: then
/// others will come, and a list would be out of date tomorrow. A list that is complete stays a list.
fn merged(
    depth: usize,
    children: &BTreeMap<Option<Part>, Vec<(Route, Use)>>,
    others: &[&Route],
) -> Option<Route> {
    let named: Vec<&Vec<(Route, Use)>> = children
        .iter()
        .filter(|(part, _)| matches!(part, Some(Part::Text(_))))
        .map(|(_, list)| list)
        .collect();
    let enough = if depth == 0 { ENOUGH_AT_TOP } else { ENOUGH };
    let count = |list: &[(Route, Use)]| list.iter().map(|(_, used)| used.count).sum::<u64>();
    let once = named.iter().filter(|list| count(list) == 1).count();
    if named.len() < enough || once.saturating_mul(4) < named.len() {
        return None;
    }
    let first = named.first().and_then(|list| list.first())?;
    let prefix = first.0.parts.get(..depth)?;
    let ends = named.iter().all(|list| {
        list.iter()
            .all(|(route, _)| route.parts.len() == depth.saturating_add(1) && !route.rest)
    });
    let mut parts = prefix.to_vec();
    if ends {
        parts.push(Part::Object(false));
    }
    let wide = Route {
        parts,
        rest: !ends,
        ..first.0.clone()
    };
    (!others.iter().any(|other| wide.covers(other))).then_some(wide)
}
