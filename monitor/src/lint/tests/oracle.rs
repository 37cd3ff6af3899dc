//! Random small policies against brute force: every request of a small universe, every set of owners.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::policy::{Operation, Witness};

const METHODS: [&str; 2] = ["GET", "POST"];
const HOSTS: [&str; 3] = ["a.x", "b.x", "c"];

/// Every request, with all paths of at most three segments over two letters.
fn universe() -> Vec<Witness> {
    let mut paths = vec!["/".to_owned()];
    let mut last = vec![String::new()];
    for _ in 0..3 {
        last = last
            .iter()
            .flat_map(|p| [format!("{p}/a"), format!("{p}/b")])
            .collect();
        paths.extend(last.clone());
    }
    let mut all = Vec::new();
    for method in METHODS {
        for host in HOSTS {
            for path in &paths {
                all.push(Witness {
                    method: method.to_owned(),
                    host: host.to_owned(),
                    socket: None,
                    path: path.clone(),
                    mcp: None,
                });
            }
        }
    }
    all
}

/// A policy by number: operations per duty; owner and duties per identity; duties per separation.
#[derive(Clone, Debug)]
struct Small {
    duties: Vec<Vec<String>>,
    identities: Vec<(usize, BTreeSet<usize>)>,
    separations: Vec<BTreeSet<usize>>,
}

impl Small {
    fn text(&self) -> String {
        let names = |set: &BTreeSet<usize>| {
            list(&set.iter().map(|at| format!("d{at}")).collect::<Vec<_>>())
        };
        let mut text = String::from("[duties]\n");
        for (at, operations) in self.duties.iter().enumerate() {
            text.push_str(&format!("d{at} = {}\n", list(operations)));
        }
        for (at, (owner, duties)) in self.identities.iter().enumerate() {
            let duties = format!("duties = {}", names(duties));
            text.push_str(&identity(&format!("i{at}"), &format!("o{owner}"), &duties));
        }
        for duties in &self.separations {
            text.push_str(&format!("[[separate]]\nduties = {}\n", names(duties)));
        }
        text
    }

    fn grants(&self, duty: usize, request: &Witness) -> bool {
        let operations = self.duties[duty].iter();
        operations
            .map(|o| Operation::parse(o).unwrap())
            .any(|o| request.granted_by(&o))
    }

    /// Requests of the universe that each duty grants.
    fn sets(&self) -> Vec<BTreeSet<usize>> {
        let universe = universe();
        (0..self.duties.len())
            .map(|duty| {
                let requests = universe.iter().enumerate();
                requests
                    .filter(|(_, r)| self.grants(duty, r))
                    .map(|(at, _)| at)
                    .collect()
            })
            .collect()
    }

    fn held_by(&self, owner: usize) -> BTreeSet<usize> {
        let own = self.identities.iter().filter(|(o, _)| *o == owner);
        own.flat_map(|(_, duties)| duties.iter().copied()).collect()
    }
}

fn operation() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec!["GET", "POST", "GET,POST", "*"]);
    let host = prop::sample::select(vec!["a.x", "b.x", "c", "*.x", "*"]);
    let route = prop::sample::select(vec![
        "/a",
        "/b",
        "/{x}",
        "/a/{x}",
        "/{x}/b",
        "/a/**",
        "/{x}/a/b",
        "/b/{x}/{y}",
        "/b/b/**",
    ]);
    (method, host, route).prop_map(|(m, h, r)| format!("{m} {h}{r}"))
}

fn small() -> impl Strategy<Value = Small> {
    let duties = prop::collection::vec(prop::collection::vec(operation(), 1..3), 3..6);
    duties.prop_flat_map(|duties| {
        let some = prop::collection::btree_set(0..duties.len(), 1..3);
        let identities = prop::collection::vec((0_usize..4, some), 1..6);
        let separations =
            prop::collection::vec(prop::collection::btree_set(0..duties.len(), 2..4), 1..3);
        (Just(duties), identities, separations).prop_map(|(duties, identities, separations)| {
            Small {
                duties,
                identities,
                separations,
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn brute_force_agrees(small in small()) {
        let policy = policy(&small.text());
        let all = lint(&policy, &input());
        let sets = small.sets();
        let meet = |a: usize, b: usize| !sets[a].is_disjoint(&sets[b]);
        let names = |set: &BTreeSet<usize>| set.iter().map(|d| format!("d{d}")).collect::<Vec<_>>();
        let subjects = |code: Code| -> BTreeSet<String> {
            all.iter().filter(|f| f.code == code && f.counts()).map(|f| f.subject.clone()).collect()
        };

        // Holders, directly and over several identities.
        let holders = Holders::of(&policy);
        for (at, duty) in (0..small.duties.len()).zip(0_u32..) {
            let found: BTreeSet<String> =
                holders.of_duty(crate::policy::DutyId(duty)).map(|o| o.name.to_string()).collect();
            let want: BTreeSet<String> =
                (0..4).filter(|o| small.held_by(*o).contains(&at)).map(|o| format!("o{o}")).collect();
            prop_assert_eq!(found, want);
        }
        let combined = (0..4).filter(|o| {
            let held = small.held_by(*o);
            small.separations.iter().any(|s| s.intersection(&held).count() > 1)
        });
        prop_assert_eq!(subjects(codes::COMBINED), combined.map(|o| format!("o{o}")).collect());

        // Overlaps.
        let mut overlaps = BTreeSet::new();
        for separation in &small.separations {
            for a in separation {
                for b in separation.range(a + 1..).filter(|b| meet(*a, **b)) {
                    overlaps.insert(format!("d{a}, d{b}"));
                }
            }
        }
        prop_assert_eq!(subjects(codes::OVERLAP), overlaps);

        // Reach: what is not held but granted by a duty outside of the separation.
        let reach = (0..4).filter(|o| {
            let held = small.held_by(*o);
            small.separations.iter().any(|s| {
                let direct = s.intersection(&held).count();
                let through = s.difference(&held).filter(|d| {
                    held.difference(s).any(|own| meet(*own, **d))
                });
                let through = through.count();
                through > 0 && direct + through > 1
            })
        });
        prop_assert_eq!(subjects(codes::REACH), reach.map(|o| format!("o{o}")).collect());

        // Collusion: the smallest set of owners that can do a request of each part.
        let tasks = tasks(&policy);
        prop_assert_eq!(tasks.len(), small.separations.len());
        for (task, separation) in tasks.iter().zip(&small.separations) {
            let able = |owners: u32, part: usize| (0..4_usize).any(|o| {
                owners & (1 << o) != 0 && small.held_by(o).iter().any(|own| *own == part || meet(*own, part))
            });
            let number = (0..16_u32)
                .filter(|owners| separation.iter().all(|part| able(*owners, *part)))
                .map(u32::count_ones)
                .min();
            prop_assert_eq!(task.collusion.number(), number.map(|n| n as usize), "{:?}", names(separation));
            prop_assert_eq!(task.owners.len(), number.unwrap_or(0) as usize);
        }
    }
}
