//! Findings counted by kind and severity.

use super::{Finding, FindingKind, Severity};

const SEVERITIES: usize = Severity::Critical as usize + 1;

/// Since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindingCounts([[u64; SEVERITIES]; FindingKind::ALL.len()]);

impl Default for FindingCounts {
    fn default() -> Self {
        Self([[0; SEVERITIES]; FindingKind::ALL.len()])
    }
}

impl FindingCounts {
    /// Counts one.
    pub fn note(&mut self, finding: Finding) {
        let row = self.0.get_mut(finding.kind as usize);
        if let Some(count) = row.and_then(|row| row.get_mut(finding.severity as usize)) {
            *count += 1;
        }
    }

    /// How many of a kind and severity.
    #[must_use]
    pub fn get(&self, kind: FindingKind, severity: Severity) -> u64 {
        let row = self.0.get(kind as usize);
        row.and_then(|row| row.get(severity as usize))
            .copied()
            .unwrap_or(0)
    }
}
