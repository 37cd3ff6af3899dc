//! The engine: accesses in, alerts out.

use std::sync::Arc;

use super::alerts::Alerts;
use super::summary::Summary;
use crate::access::Access;
use crate::alert::{Alert, Folder};
use crate::baseline::{self, Baseline, Seed};
use crate::census::{self, Census};
use crate::judge::{self, FindingKind, FindingSet, Judge};
use crate::pipeline::judging::Judging;
use crate::policy::Policy;

/// How often the daemon looks whether windows are over, in µs: here, too, time stops at multiples of it only.
const REST_EVERY_US: i64 = 250_000;
/// How often what was found is gathered while there is room for more, in µs.
const GATHER_EVERY_US: i64 = 3_600_000_000;
/// How often what is remembered is tidied, in µs.
const TIDY_EVERY_US: i64 = 1_000_000;
/// Hashes of baselines need to be the same in each run; nobody outside gains by knowing them here.
const SEED: [u8; 16] = *b"bailiwick replay";

/// What takes more than a record holds: what tokens say of themselves, where a credential stood, and proofs. It is
/// not judged again; what the recording daemon found of it is counted.
pub const UNJUDGED: [FindingKind; 8] = [
    FindingKind::CredentialInUrl,
    FindingKind::ExpiredToken,
    FindingKind::BoundTokenAsBearer,
    FindingKind::ProofMissing,
    FindingKind::ProofMismatch,
    FindingKind::ProofReplayed,
    FindingKind::KeyShared,
    FindingKind::SecondFactor,
];

/// What accesses are judged by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Checks.
    pub judge: judge::Settings,
    /// Baselines.
    pub baseline: baseline::Settings,
    /// Findings further apart than this are different alerts, in µs.
    pub fold_window_us: i64,
}

/// What comes from a recording.
#[derive(Debug)]
pub enum Event {
    /// An access.
    Access(Box<Access>),
    /// So many were lost here.
    Lost(u64),
}

/// What a recording came to.
#[derive(Debug)]
pub struct Outcome {
    /// By the time they were first seen.
    pub alerts: Vec<Alert>,
    /// What was judged.
    pub summary: Summary,
}

/// A replay under way. See the module.
#[derive(Debug)]
pub struct Replay {
    pub(super) judging: Judging,
    rules: baseline::Settings,
    alerts: Alerts,
    started: bool,
    now_us: i64,
    gathered_us: i64,
    tidied_us: i64,
    quiet_us: i64,
    late_us: i64,
    lost: u64,
    summary: Summary,
}

/// Judges all of a recording.
#[must_use]
pub fn run(rules: &Rules, events: impl IntoIterator<Item = Event>) -> Outcome {
    let mut replay = Replay::new(rules);
    for event in events {
        match event {
            Event::Access(mut access) => replay.take(&mut access),
            Event::Lost(count) => replay.lose(count),
        }
    }
    replay.end()
}

impl Replay {
    /// A replay in which nothing has happened yet.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let mut settings = rules.judge.clone();
        settings.recorded = true;
        for kind in UNJUDGED {
            settings.disabled.insert(kind);
        }
        let grace_us = i64::from(settings.history.grace_s).saturating_mul(1_000_000);
        let window_us = i64::from(rules.baseline.window_s).saturating_mul(1_000_000);
        let judge = Judge::new(Arc::clone(&rules.policy), settings);
        let census = Census::new(census::Limits::default());
        Self {
            judging: Judging::new(judge, census, Folder::default()),
            rules: rules.baseline,
            alerts: Alerts::new(rules.fold_window_us),
            started: false,
            now_us: i64::MIN,
            gathered_us: i64::MIN,
            tidied_us: i64::MIN,
            quiet_us: grace_us.max(window_us).saturating_add(TIDY_EVERY_US),
            late_us: grace_us,
            lost: 0,
            summary: Summary::default(),
        }
    }

    /// Judges the next access. What stood in the fields that judging fills is written over.
    pub fn take(&mut self, access: &mut Access) {
        self.take_telling(access, |_| ());
    }

    /// As [`Self::take`]; `told` hears of each finding about the access.
    pub(super) fn take_telling(&mut self, access: &mut Access, mut told: impl FnMut(FindingKind)) {
        if access.time_us > self.now_us {
            self.advance(access.time_us);
        } else if access.time_us < self.now_us.saturating_sub(self.late_us) {
            self.summary.late = self.summary.late.saturating_add(1);
        }
        if access.findings != FindingSet::default() {
            for kind in UNJUDGED {
                if access.findings.contains(kind) {
                    self.summary.carried(kind);
                }
            }
        }
        self.summary.saw(access.time_us);
        self.judging
            .conclude(access, &[None, None], |finding, _| told(finding.kind));
        if self.judging.folder.pressed() {
            self.gather();
        }
    }

    /// The recording says that so many accesses are missing here.
    pub fn lose(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
        self.summary.lost = self.lost;
        if self.started {
            self.judging.judge.lost(self.now_us);
            self.judging.rest(self.now_us, self.lost);
        }
    }

    /// The host is taken to be quiet from now on: what waits is concluded.
    pub(super) fn settle(&mut self) {
        if self.started {
            self.advance(self.now_us.saturating_add(self.quiet_us));
        }
    }

    /// The recording is over, and the host taken to be quiet: what waits is concluded.
    #[must_use]
    pub fn end(mut self) -> Outcome {
        self.settle();
        self.gather();
        let (alerts, left_out) = self.alerts.end();
        let summary = self.summary.end(&self.judging, alerts.len(), left_out);
        Outcome { alerts, summary }
    }

    /// Lets time pass, with stops where something is due.
    fn advance(&mut self, to_us: i64) {
        if !self.started {
            self.started = true;
            self.now_us = to_us;
            self.gathered_us = to_us;
            self.tidied_us = to_us;
            self.judging.judge.look_back(to_us);
            if self.rules.enabled {
                let seed = Seed::new(SEED);
                self.judging.baseline = Some(Box::new(Baseline::new(self.rules, seed, to_us)));
            }
            return;
        }
        while let Some(stop_us) = self.next_stop().filter(|stop| *stop < to_us) {
            // Each stop is later than the one before, so this ends.
            self.pass(stop_us.max(self.now_us.saturating_add(1)));
        }
        self.now_us = self.now_us.max(to_us);
        if self.now_us.saturating_sub(self.tidied_us) >= TIDY_EVERY_US {
            self.pass(self.now_us);
        }
    }

    fn next_stop(&self) -> Option<i64> {
        let baseline = self.judging.baseline.as_ref();
        let window = baseline.and_then(|baseline| baseline.next_end_us());
        let due = self.judging.judge.due_us();
        let first = window.into_iter().chain(due).min()?;
        let over = first.rem_euclid(REST_EVERY_US);
        let wait = if over == 0 { 0 } else { REST_EVERY_US - over };
        Some(first.saturating_add(wait))
    }

    fn pass(&mut self, now_us: i64) {
        self.now_us = now_us;
        self.tidied_us = now_us;
        loop {
            let before = self.judging.judge.history_memory().waiting;
            self.judging.look_back(now_us);
            // It concludes so many at a time.
            let left = self.judging.judge.history_memory().waiting;
            let due = self.judging.judge.due_us();
            if left >= before || due.is_none_or(|due| due > now_us) {
                break;
            }
        }
        self.judging.rest(now_us, self.lost);
        if now_us.saturating_sub(self.gathered_us) >= GATHER_EVERY_US {
            self.gather();
        }
    }

    fn gather(&mut self) {
        self.gathered_us = self.now_us;
        let alerts = &mut self.alerts;
        self.judging.folder.drain(|update| alerts.add(&update));
    }
}
