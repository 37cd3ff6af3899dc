//! What each access goes through once it is whole, in this order: judging, folding, census, baseline. The live
//! pipeline and the replay of recorded accesses have this in common.

use crate::access::Access;
use crate::alert::fold::Folder;
use crate::baseline::Baseline;
use crate::census::Census;
use crate::contain::{Sockets, Trigger};
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
    /// Where violations go that something may be done about.
    pub(crate) contain: Option<Trigger>,
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
            contain: None,
            findings: Vec::new(),
        }
    }

    /// Judges an access that came through these sockets, folds what was found, counts and learns it. `told`
    /// hears of each finding about it.
    /// Returns the access' number.
    pub(crate) fn conclude(
        &mut self,
        access: &mut Access,
        sockets: &Sockets,
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
            if let Some(trigger) = &self.contain {
                trigger.see(*finding, access, sockets);
            }
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
            self.census.found(&access, finding.kind);
            if let Some(trigger) = &self.contain {
                // The connection may be over, and another have its sockets.
                trigger.see(finding, &access, &[None, None]);
            }
            if let Some(heard) = &mut self.heard {
                heard.push((finding, access.clone()));
            }
            let beside = (later.beside(), later.clause());
            let words = || Some(later.words());
            self.folder.observe_beside(finding, &access, beside, words);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::census::Limits;
    use crate::judge::testing::{basic, policy, usual};
    use crate::judge::{FindingKind, Settings};

    const POLICY: &str = r#"
version = 1
[duties]
pay = ["POST bank.example/transfers"]
sign = ["POST bank.example/signatures"]
[identities.alice]
owner = "alice"
credentials = ["basic:user=alice"]
duties = ["pay"]
[[approve]]
duty = "pay"
by = "sign"
within = "1h"
"#;

    #[test]
    fn a_late_finding_is_counted_and_may_be_contained() {
        let judge = Judge::new(policy(POLICY), Settings::default());
        let census = Census::new(Limits::default());
        let mut judging = Judging::new(judge, census, Folder::default());
        let (trigger, took) = crate::contain::heard(FindingKind::Approval);
        judging.contain = Some(trigger);
        let mut paid = Access {
            credential: basic("alice"),
            method: "POST".into(),
            host: "bank.example".into(),
            path: "/transfers".to_owned(),
            route: "/transfers".into(),
            status: Some(200),
            ..usual()
        };
        judging.conclude(&mut paid, &[None, None], |_, _| ());
        assert!(took().is_empty());
        judging.look_back(paid.time_us + 61_000_000);
        let violations = took();
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].access.identity.as_deref(), Some("alice"));
        assert_eq!(violations[0].sockets, [None, None]);
        let record = &judging.census.snapshot()[0];
        assert_eq!(record.findings["approval"], 1);
        assert_eq!(record.accesses, 1);
    }
}
