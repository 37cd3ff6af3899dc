//! How well the baseline tells people apart who do what they are for: git histories of public projects, where the
//! author is the identity and a touched directory the operation. Real events of one author are shown under
//! another's profile. docs/evaluation.md has what came out.
//!
//! `cargo run --release -p bailiwick --example masquerade -- REPOSITORY…` prints a table of Markdown. Bare
//! repositories will do, also those of `git clone --bare --filter=blob:none`.

#![allow(clippy::unwrap_used, reason = "a measurement may panic")]
#![allow(clippy::print_stdout, reason = "its figures are its output")]
#![allow(clippy::cast_precision_loss, reason = "means of some thousand figures")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;
use std::sync::Arc;

use bailiwick::access::{Access, Peer, Role, Tls};
use bailiwick::baseline::{Baseline, Seed, Settings};
use bailiwick::judge::FindingSet;

const DAY_US: i64 = 86_400_000_000;
/// Events of an author, at least; those of them that are learnt come first.
const LEAST_EVENTS: usize = 300;
const LEARNT: f64 = 0.6;
/// How many directories deep an operation is.
const DEPTH: usize = 2;
const LENGTHS: [usize; 4] = [5, 10, 50, 100];
/// Blocks of events scored for each author, of their own and of others.
const BLOCKS: usize = 20;
/// Takeovers tried for each repository.
const TAKEOVERS: usize = 60;
/// Events of a takeover.
const SHOWN: usize = 300;

/// One author's touch of one directory.
#[derive(Clone)]
struct Event {
    time_us: i64,
    route: Arc<str>,
}

/// Authors with enough events, oldest event first.
fn authors(repository: &str) -> Vec<(Arc<str>, Vec<Event>)> {
    let output = Command::new("git")
        .args(["--git-dir", repository, "log", "--no-merges", "--name-only"])
        .args(["--no-renames", "--format=%x00%at %ae", "HEAD"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut routes: HashSet<Arc<str>> = HashSet::new();
    let mut all: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for commit in text.split('\0').skip(1) {
        let mut lines = commit.lines();
        let Some((time, author)) = lines.next().and_then(|line| line.split_once(' ')) else {
            continue;
        };
        let time_us = time.parse::<i64>().unwrap_or(0) * 1_000_000;
        let mut touched: Vec<String> = lines
            .filter(|path| !path.is_empty())
            .map(|path| {
                let mut parts: Vec<&str> = path.split('/').collect();
                parts.pop();
                parts.truncate(DEPTH);
                format!("/{}", parts.join("/"))
            })
            .collect();
        touched.sort();
        touched.dedup();
        for route in touched {
            let fresh: Arc<str> = route.into();
            let route = match routes.get(&fresh) {
                Some(held) => Arc::clone(held),
                None => {
                    routes.insert(Arc::clone(&fresh));
                    fresh
                }
            };
            let events = all.entry(author.to_lowercase()).or_default();
            events.push(Event { time_us, route });
        }
    }
    all.into_iter()
        .filter(|(_, events)| events.len() >= LEAST_EVENTS)
        .map(|(author, mut events)| {
            events.sort_by_key(|event| event.time_us);
            (author.into(), events)
        })
        .collect()
}

/// Repeatable choices (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % most.max(1)
    }
}

/// Makes accesses of events.
struct Maker {
    put: Arc<str>,
    host: Arc<str>,
    tls: Arc<Tls>,
    none: Arc<[Arc<str>]>,
}

impl Maker {
    fn new() -> Self {
        Self {
            put: "PUT".into(),
            host: "repository.example".into(),
            tls: Arc::new(Tls {
                version: None,
                sni: None,
                alpn: None,
                via: "log".to_owned(),
                ja4: None,
            }),
            none: Arc::from([]),
        }
    }

    fn access(&self, identity: &Arc<str>, event: &Event) -> Access {
        Access {
            time_us: event.time_us,
            role: Role::Server,
            credential: None,
            location: None,
            proof: None,
            identity: Some(Arc::clone(identity)),
            owner: None,
            client: None,
            server: None,
            peer: Peer::Unknown,
            local: false,
            protocol: "http/1.1",
            method: Arc::clone(&self.put),
            host: Arc::clone(&self.host),
            path: String::new(),
            route: Arc::clone(&event.route),
            status: Some(200),
            grpc_status: None,
            duration_us: None,
            environment: None,
            duties: Arc::clone(&self.none),
            findings: FindingSet::default(),
            tls: Some(Arc::clone(&self.tls)),
            resynchronised: false,
            unknown_fields: 0,
        }
    }
}

fn settings(budget: u32, per_identity: u32) -> Settings {
    Settings {
        budget,
        per_identity,
        ..Settings::default()
    }
}

/// Area under the ROC curve: how likely a foreign score is greater than an own one, ties half.
fn auc(own: &[f64], foreign: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = own.iter().map(|score| (*score, false)).collect();
    all.extend(foreign.iter().map(|score| (*score, true)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut area, mut at) = (0.0, 0.0, 0);
    while at < all.len() {
        let same = all.iter().skip(at).take_while(|one| one.0 == all[at].0);
        let (mut owns, mut foreigns) = (0.0, 0.0);
        for (_, is_foreign) in same {
            if *is_foreign {
                foreigns += 1.0;
            } else {
                owns += 1.0;
            }
        }
        area += foreigns * (below + owns / 2.0);
        below += owns;
        at += (owns + foreigns) as usize;
    }
    area / (own.len() as f64 * foreign.len() as f64)
}

fn learnt(events: &[Event]) -> usize {
    (events.len() as f64 * LEARNT) as usize
}

/// Runs accesses through a baseline in their order; returns the alerts: index of the access after which it was
/// told, and the identity.
fn through(baseline: &mut Baseline, accesses: &[Access]) -> Vec<(usize, Arc<str>)> {
    let mut told = Vec::new();
    for (at, access) in accesses.iter().enumerate() {
        // Windows that were over before: what they came to is told by now.
        while let Some(end) = baseline.next_end_us().filter(|end| *end < access.time_us) {
            baseline.tick(end, 0);
            while let Some(unusual) = baseline.next_unusual() {
                told.push((at, unusual.access.identity.unwrap()));
            }
        }
        baseline.observe(access);
    }
    if let Some(last) = accesses.last() {
        baseline.tick(last.time_us + 600_000_000, 0);
        while let Some(unusual) = baseline.next_unusual() {
            told.push((accesses.len(), unusual.access.identity.unwrap()));
        }
    }
    told
}

fn main() {
    for repository in std::env::args().skip(1) {
        measure(&repository);
    }
}

fn measure(repository: &str) {
    let authors = authors(repository);
    let events: usize = authors.iter().map(|(_, events)| events.len()).sum();
    println!("\n{repository}: {} authors, {events} events", authors.len());
    if authors.len() < 3 {
        println!("too few authors");
        return;
    }
    told_apart(&authors);
    taken_over(&authors);
}

fn told_apart(authors: &[(Arc<str>, Vec<Event>)]) {
    let maker = Maker::new();
    let mut learning: Vec<Access> = authors
        .iter()
        .flat_map(|(name, events)| {
            let own = events.iter().take(learnt(events));
            own.map(|event| maker.access(name, event))
                .collect::<Vec<_>>()
        })
        .collect();
    learning.sort_by_key(|access| access.time_us);
    let begin = learning.first().map_or(0, |access| access.time_us);
    let mut baseline = Baseline::new(settings(3, 1), Seed::new([7; 16]), begin);
    through(&mut baseline, &learning);
    let seen: HashMap<&Arc<str>, HashSet<&str>> = authors
        .iter()
        .map(|(name, events)| {
            let own = events.iter().take(learnt(events));
            (name, own.map(|event| &*event.route).collect())
        })
        .collect();
    println!(
        "\n| events | mean surprise | mean contrast | window | first-seen share | blocks own/foreign |"
    );
    println!("|---|---|---|---|---|---|");
    for length in LENGTHS {
        let mut dice = Dice(11);
        let (mut own, mut foreign) = ([const { vec![] }; 4], [const { vec![] }; 4]);
        for (name, events) in authors {
            let rest = events.get(learnt(events)..).unwrap();
            let blocks = (rest.len() / length).min(BLOCKS);
            for n in 0..blocks {
                let block = &rest[n * length..(n + 1) * length];
                score(&mut baseline, &maker, name, block, &seen[name], &mut own);
            }
            for _ in 0..blocks {
                let (other, theirs) = &authors[dice.below(authors.len())];
                let theirs = theirs.get(learnt(theirs)..).unwrap();
                if other == name || theirs.len() < length {
                    continue;
                }
                let at = dice.below(theirs.len() - length + 1);
                let block = &theirs[at..at + length];
                score(
                    &mut baseline,
                    &maker,
                    name,
                    block,
                    &seen[name],
                    &mut foreign,
                );
            }
        }
        let figures: Vec<String> = own
            .iter()
            .zip(&foreign)
            .map(|(own, foreign)| format!("{:.3}", auc(own, foreign)))
            .collect();
        let counts = format!("{}/{}", own[0].len(), foreign[0].len());
        println!("| {length} | {} | {counts} |", figures.join(" | "));
    }
}

fn score(
    baseline: &mut Baseline,
    maker: &Maker,
    name: &Arc<str>,
    block: &[Event],
    seen: &HashSet<&str>,
    scores: &mut [Vec<f64>; 4],
) {
    let accesses: Vec<Access> = block
        .iter()
        .map(|event| maker.access(name, event))
        .collect();
    let Some(surprise) = baseline.surprise(name, &accesses) else {
        return;
    };
    let new = block
        .iter()
        .filter(|event| !seen.contains(&*event.route))
        .count();
    scores[0].push(surprise.mean);
    scores[1].push(surprise.contrast);
    scores[2].push(surprise.window);
    scores[3].push(new as f64 / block.len() as f64);
}

/// Takeovers: from a moment on, a victim's credential does what another author did. Delays count its events.
fn taken_over(authors: &[(Arc<str>, Vec<Event>)]) {
    let maker = Maker::new();
    let mut dice = Dice(23);
    let mut mature = 0;
    let (mut tried, mut delays, mut first_delays, mut free_delays) = (0, vec![], vec![], vec![]);
    let (mut false_alarms, mut free_false, mut first_false) = (0, 0, 0);
    let (mut days, mut own_events, mut worst) = (0.0, 0, 0.0_f64);
    while tried < TAKEOVERS {
        tried += 1;
        let victim = dice.below(authors.len());
        let intruder = (victim + 1 + dice.below(authors.len() - 1)) % authors.len();
        let (name, own) = &authors[victim];
        let cut = learnt(own);
        let from_us = own[cut].time_us;
        let theirs = &authors[intruder].1;
        let shown: Vec<&Event> = theirs.iter().skip(learnt(theirs)).take(SHOWN).collect();
        let shift = from_us - shown[0].time_us;
        let foreign = shown.iter().map(|event| Event {
            time_us: event.time_us + shift,
            route: Arc::clone(&event.route),
        });
        let foreign: Vec<Event> = foreign.collect();
        let until_us = foreign.last().unwrap().time_us;
        // What everybody did until the takeover's end; of the intruder, what came before it only.
        let mut accesses: Vec<(Access, bool)> = Vec::new();
        for (at, (who, events)) in authors.iter().enumerate() {
            let limit = if at == victim { from_us } else { until_us };
            let events = events.iter().filter(|event| event.time_us < limit);
            accesses.extend(events.map(|event| (maker.access(who, event), false)));
        }
        accesses.extend(
            foreign
                .iter()
                .map(|event| (maker.access(name, event), true)),
        );
        accesses.sort_by_key(|(access, _)| access.time_us);
        let takeover: Vec<bool> = accesses.iter().map(|(_, foreign)| *foreign).collect();
        let accesses: Vec<Access> = accesses.into_iter().map(|(access, _)| access).collect();
        let begin_us = accesses[0].time_us;
        let span = (accesses.last().unwrap().time_us - begin_us) as f64 / DAY_US as f64;
        let begins = takeover.iter().position(|foreign| *foreign).unwrap();
        for (budget, per_identity, delays, alarms) in [
            (3, 1, &mut delays, &mut false_alarms),
            (100_000, 100_000, &mut free_delays, &mut free_false),
        ] {
            let mut baseline =
                Baseline::new(settings(budget, per_identity), Seed::new([7; 16]), begin_us);
            let told = through(&mut baseline, &accesses);
            let hit = told.iter().find(|(at, who)| who == name && *at > begins);
            if let Some((at, _)) = hit {
                let delay = takeover
                    .iter()
                    .take(*at)
                    .filter(|foreign| **foreign)
                    .count();
                delays.push(delay);
            }
            *alarms += told.len()
                - told
                    .iter()
                    .filter(|(at, who)| who == name && *at > begins)
                    .count();
            if budget == 3 {
                days += span;
                own_events += accesses.len() - shown.len();
                worst = worst.max(told.len() as f64 / (3.0 * span + 3.0));
                mature += usize::from(baseline.standing(name).is_some_and(|own| own.mature));
            }
        }
        let mut seen: HashMap<&Arc<str>, (HashSet<&str>, HashSet<i64>)> = HashMap::new();
        let (mut counted, mut first) = (0, None);
        for (access, foreign) in accesses.iter().zip(&takeover) {
            let (routes, active) = seen.entry(access.identity.as_ref().unwrap()).or_default();
            active.insert(access.time_us / DAY_US);
            let new = routes.insert(&access.route) && active.len() > 7;
            counted += usize::from(*foreign);
            match (new, *foreign) {
                (true, true) => first = first.or(Some(counted)),
                (true, false) => first_false += 1,
                _ => {}
            }
        }
        first_delays.extend(first);
    }
    println!(
        "\n| detector | found within {SHOWN} | median delay | 90 % | alarms on others, per 10,000 events | a day |"
    );
    println!("|---|---|---|---|---|---|");
    for (name, delays, alarms) in [
        ("baseline, 3 alerts a day", &mut delays, false_alarms),
        ("baseline without a budget", &mut free_delays, free_false),
        ("first-seen rule", &mut first_delays, first_false),
    ] {
        delays.sort_unstable();
        let at = |part: f64| {
            let rank = ((delays.len() as f64 * part).ceil() as usize).max(1);
            delays
                .get(rank - 1)
                .map_or("-".to_owned(), usize::to_string)
        };
        println!(
            "| {name} | {} of {tried} | {} | {} | {:.2} | {:.3} |",
            delays.len(),
            at(0.5),
            at(0.9),
            f64::from(u32::try_from(alarms).unwrap()) * 10_000.0 / own_events as f64,
            f64::from(u32::try_from(alarms).unwrap()) / days,
        );
    }
    println!(
        "\nVictims with a mature profile at the end: {mature} of {tried}. Most of the budget used: {:.1} %.",
        worst * 100.0
    );
}
