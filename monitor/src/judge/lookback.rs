//! What the judge says of accesses after it judged them, and what it remembers of them.

use super::history::{HistoryMemory, Later, Remembered, Restored, Unreadable};
use super::{Finding, FindingKind, Judge, Severity};
use crate::access::Access;

impl Judge {
    /// It is `now_us` (µs since 1970): what waited for its grace is concluded, see [`take_later`](Self::take_later).
    pub fn look_back(&mut self, now_us: i64) {
        self.past.look_back(now_us);
    }

    /// When [`look_back`](Self::look_back) will have something to conclude, in µs since 1970; `None`: nothing
    /// waits.
    #[must_use]
    pub fn due_us(&self) -> Option<i64> {
        self.past.due_us()
    }

    /// Records were lost around `now_us`: nothing is concluded from absence there.
    pub fn lost(&mut self, now_us: i64) {
        self.past.lost(now_us);
    }

    /// What was concluded about accesses after they were judged, by [`judge`](Self::judge) or
    /// [`look_back`](Self::look_back), since it was asked last. Costs nothing when there is nothing.
    pub fn take_later(&mut self) -> Vec<(Finding, Later)> {
        if !self.past.has_later() {
            return Vec::new();
        }
        let severities = &self.severities;
        let finding = |later: Later| {
            let kind = later.kind();
            let severity = severities
                .get(kind as usize)
                .copied()
                .unwrap_or(Severity::High);
            let severity = if later.lowered() {
                severity.lowered()
            } else {
                severity
            };
            (Finding { kind, severity }, later)
        };
        self.past.take_later().into_iter().map(finding).collect()
    }

    /// What is held of earlier accesses.
    #[must_use]
    pub fn history_memory(&self) -> HistoryMemory {
        self.past.memory()
    }

    /// What is remembered of earlier accesses, to be kept over a restart.
    #[must_use]
    pub fn remembered(&self, now_us: i64) -> Remembered {
        self.past.remembered(now_us)
    }

    /// Remembers what an earlier run did. `boot` names this run of the kernel.
    ///
    /// # Errors
    /// It is damaged, or of another version; then nothing of it is remembered.
    pub fn restore(&mut self, json: &[u8], boot: &str) -> Result<Restored, Unreadable> {
        self.past.restore(json, boot)
    }

    /// The access that a finding about the last one is about, too; and what tells clauses of one kind apart.
    #[must_use]
    pub fn beside(&self, kind: FindingKind) -> (Option<&Access>, u32) {
        match &self.last.past.separated {
            Some(found) if kind == FindingKind::Separation => {
                (Some(found.beside()), found.clause())
            }
            _ => (None, 0),
        }
    }
}
