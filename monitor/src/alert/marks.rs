//! What people say about an alert: that they know of it, or do not want to hear of it for a while.

use serde::{Deserialize, Serialize};

use super::Alert;
use crate::access::record::rfc3339;
use crate::judge::words::is_deceptive;

/// Longest note kept, in bytes.
pub const LONGEST_NOTE: usize = 512;
/// Longest time that an alert can be muted, in microseconds: 90 days.
pub const LONGEST_MUTE_US: i64 = 90 * 86_400_000_000;

/// Somebody knows of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// When (RFC 3339).
    pub at: String,
    /// Who, by the kernel: `root`, `ann`, `uid 1007`.
    pub by: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What to say about an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkRequest {
    /// It is known. It is told again only when it gets worse; of an `unusual` one, what it tells of is usual from
    /// now on.
    Acknowledge {
        /// Why.
        note: Option<String>,
    },
    /// It is not told until then (microseconds since 1970), unless it gets worse.
    Mute {
        /// Until when.
        until_us: i64,
    },
    /// Neither is true any more.
    Unmark,
}

impl MarkRequest {
    /// Whether it can be done.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn check(&self, now_us: i64) -> Result<(), (String, &'static str)> {
        match self {
            Self::Acknowledge { note: Some(note) } if note.len() > LONGEST_NOTE => Err((
                format!("the note has {} bytes", note.len()),
                "at most 512: name the ticket that has the rest",
            )),
            Self::Acknowledge { note: Some(note) }
                if note.chars().any(|c| c.is_control() || is_deceptive(c)) =>
            {
                Err((
                    "the note holds control or invisible characters".to_owned(),
                    "one line of plain text",
                ))
            }
            Self::Mute { until_us } if *until_us <= now_us => Err((
                "the time is past".to_owned(),
                "until when: a time to come, or how long, as 2h or 3d",
            )),
            Self::Mute { until_us } if until_us.saturating_sub(now_us) > LONGEST_MUTE_US => Err((
                "the time is more than 90 days away".to_owned(),
                "what is meant for good belongs into the policy",
            )),
            _ => Ok(()),
        }
    }

    /// Writes it on an alert.
    pub(crate) fn apply(&self, alert: &mut Alert, by: &str, now_us: i64) {
        match self {
            Self::Acknowledge { note } => {
                alert.acknowledged = Some(Acknowledged {
                    at: rfc3339(now_us),
                    by: by.to_owned(),
                    note: note.clone(),
                });
            }
            Self::Mute { until_us } => alert.muted_until = Some(rfc3339(*until_us)),
            Self::Unmark => (alert.acknowledged, alert.muted_until) = (None, None),
        }
    }
}

/// Whether an alert is not to be told now, unless it gets worse.
#[must_use]
pub fn is_quiet(alert: &Alert, now_us: i64) -> bool {
    // Both are written by one function: they compare as texts.
    let muted = alert.muted_until.as_deref();
    alert.acknowledged.is_some() || muted.is_some_and(|until| until > rfc3339(now_us).as_str())
}

/// Why an alert was not marked.
#[derive(Debug, thiserror::Error)]
pub enum NotMarked {
    /// No alert has this id, or one that begins so.
    #[error("there is no alert \"{0}\"")]
    Unknown(String),
    /// Several begin so.
    #[error("several alerts begin with \"{0}\"")]
    Several(String),
    /// It cannot be.
    #[error("{0}")]
    Refused(String, &'static str),
    /// The store did not take it.
    #[error("it is not stored: {0}")]
    Store(#[from] crate::store::StoreError),
}

impl NotMarked {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "`bailiwick alerts` lists them",
            Self::Several(_) => "give more of the id; `bailiwick alerts` lists them",
            Self::Refused(_, hint) => hint,
            Self::Store(_) => "`bailiwick status` tells how the store is",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::testing::alert;

    const NOW: i64 = 1_795_460_238_000_000;

    #[test]
    fn what_is_known_or_muted_is_quiet_until_it_is_not() {
        let mut one = alert("al_1", 1);
        assert!(!is_quiet(&one, NOW));
        MarkRequest::Mute {
            until_us: NOW + 1_000_000,
        }
        .apply(&mut one, "ann", NOW);
        assert!(is_quiet(&one, NOW) && !is_quiet(&one, NOW + 1_000_000));
        let note = Some("ticket 7".to_owned());
        MarkRequest::Acknowledge { note }.apply(&mut one, "ann", NOW);
        assert!(is_quiet(&one, NOW + 2_000_000));
        let told = one.acknowledged.clone().map(|known| (known.by, known.note));
        assert_eq!(told, Some(("ann".to_owned(), Some("ticket 7".to_owned()))));
        MarkRequest::Unmark.apply(&mut one, "ann", NOW);
        assert!(!is_quiet(&one, NOW) && one.muted_until.is_none());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let note = |note: &str| MarkRequest::Acknowledge {
            note: Some(note.to_owned()),
        };
        let until = |until_us| MarkRequest::Mute { until_us };
        let bad = [
            note(&"x".repeat(LONGEST_NOTE + 1)),
            note("two\nlines"),
            note("\u{202e}backwards"),
            until(NOW),
            until(NOW + LONGEST_MUTE_US + 1),
        ];
        for mark in bad {
            assert!(mark.check(NOW).is_err(), "{mark:?}");
        }
        for mark in [note("known: ticket 7"), until(NOW + 1), MarkRequest::Unmark] {
            assert_eq!(mark.check(NOW), Ok(()), "{mark:?}");
        }
    }
}
