//! What each access goes through once it is whole, in this order: judging, folding, census, baseline. The live
//! pipeline and the replay of recorded accesses have this in common.

use crate::access::Access;
use crate::alert::fold::Folder;
use crate::baseline::Baseline;
use crate::census::Census;
use crate::judge::{Finding, FindingCounts, Judge};

/// Counts of what was judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Accesses judged (one a credential, or one for a request without).
    pub accesses: u64,
    /// Of these, with a credential.
    pub with_credential: u64,
    /// Findings.
    pub findings: u64,
    /// The same by kind and severity.
    pub by_kind: FindingCounts,
}

/// Everything behind a whole access.
#[derive(Debug)]
pub(crate) struct Judging {
    pub(crate) judge: Judge,
    pub(crate) census: Census,
    pub(crate) folder: Folder,
    /// What is usual; none in tests of other things.
    pub(crate) baseline: Option<Box<Baseline>>,
    pub(crate) tally: Tally,
    /// What was found about earlier accesses, for who evaluates; `None`: nobody asks.
    pub(crate) heard: Option<Vec<(Finding, Access)>>,
    findings: Vec<Finding>,
}

impl Judging {
    pub(crate) fn new(judge: Judge, census: Census, folder: Folder) -> Self {
        Self {
            judge,
            census,
            folder,
            baseline: None,
            tally: Tally::default(),
            heard: None,
            findings: Vec::new(),
        }
    }

    /// Judges an access, folds what was found, counts and learns it. `told` hears of each finding about it.
    /// Returns the access' number.
    pub(crate) fn conclude(
        &mut self,
        access: &mut Access,
        mut told: impl FnMut(Finding, &Access),
    ) -> u64 {
        self.findings.clear();
        self.judge.judge(access, &mut self.findings);
        let tally = &mut self.tally;
        tally.accesses += 1;
        tally.with_credential += u64::from(access.credential.is_some());
        tally.findings += self.findings.len() as u64;
        for finding in &self.findings {
            tally.by_kind.note(*finding);
            told(*finding, access);
            let words = || self.judge.words(finding.kind, access);
            let beside = self.judge.beside(finding.kind);
            self.folder.observe_beside(*finding, access, beside, words);
        }
        self.census.observe(access);
        if let Some(baseline) = &mut self.baseline {
            baseline.observe(access);
        }
        self.conclude_later();
        self.tally.accesses
    }

    /// It is `now_us` (microseconds since 1970): concludes what has waited long enough.
    pub(crate) fn look_back(&mut self, now_us: i64) {
        self.judge.look_back(now_us);
        self.conclude_later();
    }

    /// Closes windows that are over, and folds what the baseline found since. `lost`: so far, in records.
    pub(crate) fn rest(&mut self, now_us: i64, lost: u64) {
        let Some(baseline) = &mut self.baseline else {
            return;
        };
        baseline.tick(now_us, lost);
        while let Some(unusual) = baseline.next_unusual() {
            let Some(finding) = self.judge.unusual() else {
                continue;
            };
            self.tally.findings += 1;
            self.tally.by_kind.note(finding);
            if let Some(heard) = &mut self.heard {
                heard.push((finding, unusual.access.clone()));
            }
            self.folder
                .observe(finding, &unusual.access, || Some(unusual.words));
        }
    }

    /// Takes in what was concluded about earlier accesses.
    fn conclude_later(&mut self) {
        for (finding, later) in self.judge.take_later() {
            self.tally.findings += 1;
            self.tally.by_kind.note(finding);
            let mut access = later.access().clone();
            access.findings.insert(finding.kind);
            if let Some(heard) = &mut self.heard {
                heard.push((finding, access.clone()));
            }
            let beside = (later.beside(), later.clause());
            let words = || Some(later.words());
            self.folder.observe_beside(finding, &access, beside, words);
        }
    }
}
