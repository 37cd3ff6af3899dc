//! What the baseline says of itself.

use serde::{Deserialize, Serialize};

use super::digest::{Digest, DigestEntry};
use super::evidence::FEWEST;
use super::profile::{MOST_MISSING, Maturity};
use super::stream::Stream;
use super::{Baseline, Settings};

/// State of the whole, as `bailiwick status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BaselineStatus {
    /// Whether anything is learnt.
    pub enabled: bool,
    /// Profiles held.
    pub profiles: u64,
    /// Of these, those that can raise alerts.
    pub mature: u64,
    /// Profiles forgotten because the bound was reached.
    pub forgotten: u64,
    /// Memory of all profiles, roughly.
    pub bytes: u64,
    /// Bound of that.
    pub max_bytes: u64,
    /// Alerts a day.
    pub budget: u64,
    /// In D days there are at most `budget` × D + this many alerts.
    pub burst: u64,
    /// Alerts that could be raised at once.
    pub left: u64,
    /// Alerts since start.
    pub alerts: u64,
    /// Evidence that an alert takes now, in bits.
    pub threshold: f64,
    /// What found no budget today, the greatest evidence first.
    #[serde(default)]
    pub digest: Vec<DigestEntry>,
    /// What is not in the list, because there was greater.
    #[serde(default)]
    pub digest_left_out: u64,
}

/// How far the profile of one identity is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether it can raise alerts.
    pub mature: bool,
    /// Why not yet; null when it can.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// Distinct days with activity.
    pub days: u64,
    /// Windows learnt.
    pub windows: u64,
    /// Requests observed.
    pub requests: u64,
    /// How likely the next operation is one never seen, 0 to 1.
    pub missing: f64,
    /// Windows with activity by hour of the week, 168 of them from Monday 00:00 UTC; empty without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub week: Vec<u32>,
}

impl Baseline {
    /// Numbers for `status`.
    #[must_use]
    pub fn status(&self) -> BaselineStatus {
        let settings = &self.settings;
        BaselineStatus {
            enabled: settings.enabled,
            profiles: self.room.len() as u64,
            mature: self.mature,
            forgotten: self.room.forgotten,
            bytes: self.room.bytes() as u64,
            max_bytes: self.room.most_bytes() as u64,
            budget: settings.budget.into(),
            burst: self.gate.burst().into(),
            left: self.gate.tokens(),
            alerts: self.alerts,
            threshold: self.gate.threshold(),
            digest: self.digest.entries.clone(),
            digest_left_out: self.digest.left_out,
        }
    }

    /// Yesterday's digest, once, when its day is over.
    pub fn closed_digest(&mut self) -> Option<Box<Digest>> {
        self.digest.closed.take()
    }

    /// How far the profile of an identity is; `None` when there is none.
    #[must_use]
    pub fn standing(&self, identity: &str) -> Option<Standing> {
        if !self.settings.enabled {
            return None;
        }
        let entry = self.room.find(identity).and_then(|at| self.room.get(at))?;
        let profile = &entry.profile;
        let maturity = profile.maturity(&self.settings);
        Some(Standing {
            mature: maturity == Maturity::Mature,
            waits_for: waits_for(maturity, &self.settings, profile),
            days: profile.days.into(),
            windows: profile.windows,
            requests: profile.requests,
            missing: profile.missing(),
            week: week(profile),
        })
    }
}

fn week(profile: &super::Profile) -> Vec<u32> {
    let Some(hours) = profile.tables.get(Stream::Hour as usize) else {
        return Vec::new();
    };
    // An hour's value is its number and one: 0 is what is not known.
    let windows = |hour: u64| hours.get(hour + 1).map_or(0, |seen| seen.windows);
    let week: Vec<u32> = (0..168).map(windows).collect();
    if week.iter().all(|windows| *windows == 0) {
        return Vec::new();
    }
    week
}

fn waits_for(maturity: Maturity, settings: &Settings, profile: &super::Profile) -> Option<String> {
    match maturity {
        Maturity::Days => Some(format!(
            "days: {} of {}",
            profile.days, settings.mature_after_days
        )),
        Maturity::Windows => Some(format!(
            "windows: {} of {}",
            profile.windows, settings.mature_after_windows
        )),
        Maturity::Novel(missing) => Some(format!(
            "less novelty: {:.0} % of {:.0} %",
            missing * 100.0,
            MOST_MISSING * 100.0
        )),
        Maturity::Calibrating => Some(format!(
            "windows to compare with: {} of {FEWEST}",
            profile.history.scores.len()
        )),
        Maturity::Mature => None,
    }
}
