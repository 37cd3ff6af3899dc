//! Traffic made by a hidden policy gives back one that grants the same.

use std::collections::BTreeSet;

use super::tests::{access, load};
use super::{Evidence, propose};
use crate::access::Peer;
use crate::access::route::Router;
use crate::policy::Policy;

use super::route::Asked;

/// xorshift64*: the same numbers every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap() % end
    }
}

/// One thing that can be done: method, host, and its path with `#` for the name of a thing.
type Deed = (&'static str, String, String);

fn universe() -> Vec<Deed> {
    let things = [
        "orders",
        "refunds",
        "users",
        "invoices",
        "deployments",
        "keys",
    ];
    let mut out = Vec::new();
    for host in 0..6 {
        let host = format!(
            "api{}.shop{host}.example",
            if host % 2 == 0 { "" } else { ".dev" }
        );
        for thing in things {
            for (method, path) in [
                ("GET", format!("/v1/{thing}")),
                ("POST", format!("/v1/{thing}")),
                ("GET", format!("/v1/{thing}/#")),
                ("PUT", format!("/v1/{thing}/#")),
                ("DELETE", format!("/v1/{thing}/#")),
                ("POST", format!("/v1/{thing}/#/approve")),
                ("GET", format!("/v1/{thing}/#/history/#")),
            ] {
                out.push((method, host.clone(), path));
            }
        }
        // A bucket of many files: what was granted is all of them, not those that were asked for.
        for file in 0..60 {
            let word: String = format!("{file:02}")
                .bytes()
                .map(|b| char::from(b + 49))
                .collect();
            out.push(("GET", host.clone(), format!("/files/report-{word}")));
        }
    }
    out
}

/// Per identity: which deeds the hidden policy grants.
fn hidden(dice: &mut Dice, universe: &[Deed], identities: usize) -> Vec<Vec<usize>> {
    (0..identities)
        .map(|_| {
            let mut granted = BTreeSet::new();
            for _ in 0..3 {
                let host = &universe[dice.below(universe.len())].1;
                let kind = dice.below(4);
                let thing = ["orders", "refunds", "users", "invoices"][dice.below(4)];
                for (at, (method, own, path)) in universe.iter().enumerate() {
                    let of_thing = path.starts_with(&format!("/v1/{thing}"));
                    let grants = match kind {
                        0 => *method == "GET" && path.starts_with("/v1/"),
                        1 => of_thing && !path.ends_with("approve"),
                        2 => of_thing && path.ends_with("approve"),
                        _ => path.starts_with("/files/"),
                    };
                    if own == host && grants {
                        granted.insert(at);
                    }
                }
            }
            granted.into_iter().collect()
        })
        .collect()
}

fn concrete(dice: &mut Dice, path: &str) -> String {
    path.split('#')
        .map(str::to_owned)
        .reduce(|made, next| format!("{made}{}{next}", 1 + dice.below(1_000_000)))
        .unwrap_or_default()
}

fn print_of(who: usize) -> String {
    format!("bw1:{}", format!("{who:02x}").repeat(16))
}

fn grants(policy: &Policy, who: usize, deed: &Deed, path: &str, route: &str) -> bool {
    let selector = crate::policy::selector::Selector::parse(&print_of(who)).unwrap();
    let identity = policy
        .identities()
        .find(|one| one.credentials.contains(&selector));
    identity.is_some_and(|identity| {
        let asked = Asked {
            method: deed.0,
            host: &deed.1,
            peer: &Peer::Unknown,
            path: Some(path),
            route,
        };
        let duties = identity.duties.iter().filter_map(|id| policy.duty(*id));
        asked.granted_by(duties.flat_map(|duty| duty.operations.iter()))
    })
}

/// Precision and recall of what the learnt policy grants, over all identities and all that can be done.
fn round_trip(seed: u64, identities: usize, requests: usize) -> (f64, f64) {
    let mut dice = Dice(seed);
    let universe = universe();
    let hidden = hidden(&mut dice, &universe, identities);
    let mut router = Router::new(32_768);
    let mut evidence = Evidence::new();
    for at in 0..requests {
        let who = at % identities;
        let deed = &universe[hidden[who][dice.below(hidden[who].len())]];
        let path = concrete(&mut dice, &deed.2);
        let route = router.route(&deed.1.as_str().into(), &path);
        let number = u8::try_from(who).unwrap();
        evidence.add(&access(
            &print_of(who),
            number,
            deed.0,
            &deed.1,
            &path,
            &route,
        ));
    }
    let policy = load(&propose(&evidence).to_toml());
    let (mut both, mut learnt, mut meant) = (0_u32, 0_u32, 0_u32);
    for (who, granted) in hidden.iter().enumerate() {
        for (at, deed) in universe.iter().enumerate() {
            // Other objects than those that were seen.
            let path = concrete(&mut dice, &deed.2);
            let route = router.route(&deed.1.as_str().into(), &path);
            let given = grants(&policy, who, deed, &path, &route);
            let right = granted.contains(&at);
            both += u32::from(given && right);
            learnt += u32::from(given);
            meant += u32::from(right);
        }
    }
    (
        f64::from(both) / f64::from(learnt),
        f64::from(both) / f64::from(meant),
    )
}

#[test]
#[allow(
    clippy::print_stdout,
    reason = "the figures are what the test is read for"
)]
fn a_hidden_policy_comes_back() {
    for seed in [1, 2, 3, 4] {
        let (precision, recall) = round_trip(seed, 24, 24 * 400);
        println!("seed {seed}: precision {precision:.4}, recall {recall:.4}");
        assert!(precision >= 0.95, "precision {precision}");
        assert!(recall >= 0.95, "recall {recall}");
    }
}
