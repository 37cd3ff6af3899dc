//! How good the checks and the baseline are, on accesses of which it is known what they were.
//!
//! Each finding is an alarm when it begins an alert: the first of its detector for its identity within the fold
//! window. It is a false one when the access that it is about is labelled as nothing. An attack is hit when a
//! finding is about one of its accesses; the delay is how many of its accesses had been by then.
//!
//! Beside them two rules that anybody could write down: see [`rules`].

mod report;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use super::engine::{Replay, Rules};
use crate::access::Access;
use crate::judge::FindingKind;
use report::{Alarm, Attack};
pub use report::{Delay, Evaluation, Part, Score};
use rules::{FirstSeen, RateThreshold};

/// Attacks told apart.
const MOST_ATTACKS: usize = 1 << 14;
/// Labelled accesses remembered, so that what is found later can be put down to their attack.
const MOST_LABELLED: usize = 1 << 20;
/// Alarms kept.
const MOST_ALARMS: usize = 1 << 20;

/// The fields that label an access, beside those of its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// What it was (`takeover`); missing or null: nothing out of the ordinary.
    #[serde(default)]
    pub label: Option<String>,
    /// Which attack it belongs to. Without it, the labelled accesses of one label and identity are one.
    #[serde(default)]
    pub attack: Option<String>,
}

/// An evaluation under way.
#[derive(Debug)]
pub struct Evaluator {
    replay: Replay,
    fold_window_us: i64,
    first_seen: FirstSeen,
    rate: RateThreshold,
    attacks: Vec<Attack>,
    known: HashMap<(String, String), usize>,
    /// From identity and time to the attack.
    labelled: HashMap<(Arc<str>, i64), usize>,
    begun: HashMap<(&'static str, Arc<str>), i64>,
    alarms: Vec<Alarm>,
    accesses: u64,
    labels: u64,
    left_out: u64,
    span: Option<(i64, i64)>,
}

impl Evaluator {
    /// One in which nothing has happened yet.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let mut replay = Replay::new(rules);
        replay.judging.heard = Some(Vec::new());
        Self {
            replay,
            fold_window_us: rules.fold_window_us,
            first_seen: FirstSeen::new(rules.baseline.mature_after_days),
            rate: RateThreshold::new(rules.baseline.mature_after_days),
            attacks: Vec::new(),
            known: HashMap::new(),
            labelled: HashMap::new(),
            begun: HashMap::new(),
            alarms: Vec::new(),
            accesses: 0,
            labels: 0,
            left_out: 0,
            span: None,
        }
    }

    /// Judges the next access.
    pub fn take(&mut self, access: &mut Access, label: &Label) {
        self.accesses = self.accesses.saturating_add(1);
        let time = access.time_us;
        self.span = Some(match self.span {
            Some((first, last)) => (first.min(time), last.max(time)),
            None => (time, time),
        });
        let mut found: Vec<FindingKind> = Vec::new();
        self.replay.take_telling(access, |kind| found.push(kind));
        // The judge has named it.
        let nobody = || Arc::from("-");
        let identity = access.identity.clone().unwrap_or_else(nobody);
        // What time brought about, before this access.
        self.hear();
        let attack = self.attack_of(&identity, time, label);
        for kind in found {
            self.tell(kind.name(), &identity, time, attack);
        }
        if self.first_seen.see(access, &identity) {
            self.tell("first-seen", &identity, time, attack);
        }
        if self.rate.see(time, &identity) {
            self.tell("rate-threshold", &identity, time, attack);
        }
    }

    /// So many are missing here.
    pub fn lose(&mut self, count: u64) {
        self.replay.lose(count);
        self.hear();
    }

    /// What it came to. `split_us` is the moment that parts the recording; without it, its middle.
    #[must_use]
    pub fn end(mut self, split_us: Option<i64>) -> Evaluation {
        self.replay.settle();
        self.hear();
        report::write(report::Evaluated {
            attacks: &self.attacks,
            alarms: &self.alarms,
            accesses: self.accesses,
            labelled: self.labels,
            left_out: self.left_out,
            span: self.span,
            split_us,
        })
    }

    fn attack_of(&mut self, identity: &Arc<str>, time: i64, label: &Label) -> Option<usize> {
        let name = label.label.as_ref()?;
        self.labels = self.labels.saturating_add(1);
        let key = match &label.attack {
            Some(attack) => (String::new(), attack.clone()),
            None => (name.clone(), identity.to_string()),
        };
        let at = match self.known.get(&key) {
            Some(at) => *at,
            None if self.attacks.len() < MOST_ATTACKS => {
                self.attacks.push(Attack {
                    label: name.clone(),
                    identity: Arc::clone(identity),
                    first_us: time,
                    accesses: 0,
                    delays: BTreeMap::new(),
                });
                let at = self.attacks.len().saturating_sub(1);
                self.known.insert(key, at);
                at
            }
            None => {
                self.left_out = self.left_out.saturating_add(1);
                return None;
            }
        };
        let attack = self.attacks.get_mut(at)?;
        attack.accesses = attack.accesses.saturating_add(1);
        if self.labelled.len() < MOST_LABELLED {
            self.labelled.insert((Arc::clone(identity), time), at);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
        Some(at)
    }

    /// Takes in what was found about earlier accesses.
    fn hear(&mut self) {
        let heard = self.replay.judging.heard.as_mut();
        for (finding, access) in heard.map(std::mem::take).unwrap_or_default() {
            let Some(identity) = access.identity else {
                continue;
            };
            let key = (identity, access.time_us);
            let attack = self.labelled.get(&key).copied();
            self.tell(finding.kind.name(), &key.0, key.1, attack);
        }
    }

    fn tell(
        &mut self,
        detector: &'static str,
        identity: &Arc<str>,
        time: i64,
        attack: Option<usize>,
    ) {
        if let Some(attack) = attack.and_then(|at| self.attacks.get_mut(at)) {
            attack.delays.entry(detector).or_insert(attack.accesses);
        }
        let key = (detector, Arc::clone(identity));
        let folds = self
            .begun
            .get(&key)
            .is_some_and(|last| time.saturating_sub(*last) <= self.fold_window_us);
        if folds {
            return;
        }
        self.begun.insert(key, time);
        if self.alarms.len() < MOST_ALARMS {
            self.alarms.push(Alarm {
                detector,
                identity: Arc::clone(identity),
                time_us: time,
                false_one: attack.is_none(),
            });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}
