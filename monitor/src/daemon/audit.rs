//! What the daemon has the audit log tell.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::DaemonError;
use super::policy::file_hash;
use crate::access::record::rfc3339;
use crate::alert::{Alert, AlertUpdate, Clock, MarkRequest, SystemClock};
use crate::audit::begin::directory;
use crate::audit::key::Known;
use crate::audit::log::QUEUE;
use crate::audit::{AuditError, Entry, FileHash, Log, Place, Written};
use crate::config::Config;
use crate::contain::{ContainmentRecord, Over};
use crate::policy::Policy;
use crate::serve::group_id;
use crate::serve::records::{AuditStatus, Loss, QueueStatus};

/// How often losses are told at most.
const LOSSES: Duration = Duration::from_secs(10);
/// How long a start waits for the disk at most.
const SETTLE: Duration = Duration::from_secs(2);

/// Adds to the log, if there is one.
#[derive(Debug, Default)]
pub(super) struct Auditor {
    log: Option<Log>,
    /// What the gap before this start was, until it is told.
    gap: Option<Entry>,
    losses: Mutex<Told>,
}

/// Losses that were told, by cause.
#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    counts: HashMap<String, u64>,
}

impl Auditor {
    /// Opens the log, or begins one.
    ///
    /// # Errors
    /// It is wanted and cannot be had.
    pub(super) fn begin(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, DaemonError> {
        if !config.audit.enabled {
            return Ok(Self::default());
        }
        let group = match &config.audit.group {
            Some(name) => Some(group_id(name).ok_or_else(|| AuditError::Group(name.clone()))?),
            None => None,
        };
        let place = Place {
            state_dir: config.state_dir.clone(),
            directory: directory(&config.audit, &config.state_dir),
            group,
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
        };
        let now_us = clock.now_us();
        let begun = place.begin(&rfc3339(now_us))?;
        if let Some(group) = group
            && let Some(shut) = unreachable_for(&place.directory, group)
        {
            tracing::warn!(
                "group {} cannot read the audit log: it may not pass {}\nhint: set [audit] directory to one outside of \
                 state_dir (docs/audit.md)",
                config.audit.group.as_deref().unwrap_or_default(),
                shut.display()
            );
        }
        let gap = gap(begun.last.as_ref(), begun.alive_us, now_us);
        let (store, path) = (begun.store, place.directory.clone());
        let remember = move |checkpoint: &str| {
            let known = Known {
                directory: path.clone(),
                checkpoint: checkpoint.to_owned(),
            };
            if let Err(error) = store.remember(&known) {
                tracing::warn!(%error, "the audit log's checkpoint is not remembered");
            }
        };
        tracing::info!(
            directory = %place.directory.display(),
            key = %begun.writer.key().public(),
            entries = begun.writer.size(),
            "audit log"
        );
        let log = Log::start(begun.writer, clock, Box::new(remember))
            .map_err(|error| DaemonError::Internal(format!("no thread: {error}")))?;
        Ok(Self {
            log: Some(log),
            gap,
            losses: Mutex::default(),
        })
    }

    /// For whoever adds to it by themselves.
    pub(super) fn log(&self) -> Option<Log> {
        self.log.clone()
    }

    fn append(&self, entry: impl FnOnce() -> Entry) {
        if let Some(log) = &self.log {
            log.append(entry());
        }
    }

    /// Hooks are attached: from now on this host is watched.
    pub(super) fn started(&mut self, hooks: &[String]) {
        if let Some(Entry::Gap { from, cause, .. }) = self.gap.take() {
            let until = rfc3339(SystemClock.now_us());
            self.append(|| Entry::Gap { from, until, cause });
        }
        self.append(|| Entry::Start {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            hooks: hooks.to_vec(),
        });
    }

    /// Configuration and policy are in force.
    pub(super) fn in_force(&self, config: &Config, policy: &Policy, files: &[FileHash]) {
        self.append(|| Entry::Configuration {
            files: config.files.iter().filter_map(|path| hash(path)).collect(),
        });
        self.append(|| Entry::Policy {
            generation: policy.generation,
            identities: policy.identities().len() as u64,
            files: files.to_vec(),
        });
    }

    /// Waits for the disk a moment: that a daemon started is in the log before anything else happens.
    pub(super) async fn settle(&self) {
        if let Some(log) = self.log.clone() {
            let flushed = tokio::task::spawn_blocking(move || log.flush(SETTLE)).await;
            if !flushed.unwrap_or(false) {
                tracing::warn!("the audit log is slow: the start is not in it yet");
            }
        }
    }

    /// A reload was refused.
    pub(super) fn refused(&self, error: &str) {
        self.append(|| Entry::Refused {
            error: error.to_owned(),
        });
    }

    /// Someone marked an alert.
    pub(super) fn marked(&self, alert: &Alert, mark: &MarkRequest, by: &str) {
        let (id, by) = (alert.id.clone(), by.to_owned());
        self.append(|| match mark {
            MarkRequest::Acknowledge { note } => Entry::Acknowledged {
                id,
                by,
                note: note.clone(),
            },
            MarkRequest::Mute { until_us } => Entry::Muted {
                id,
                by,
                until: rfc3339(*until_us),
            },
            MarkRequest::Unmark => Entry::Unmarked { id, by },
        });
    }

    /// Containment did something.
    pub(super) fn contained(&self, update: &AlertUpdate) {
        let text = |value: &Option<Arc<str>>| value.as_deref().map(str::to_owned);
        self.append(|| Entry::Contained {
            title: update.title.clone(),
            identity: text(&update.key.identity),
            workload: text(&update.key.workload),
            clause: update.key.clause.to_string(),
            severity: update.severity,
        });
    }

    /// An act was undone.
    pub(super) fn undone(&self, record: &ContainmentRecord) {
        self.append(|| Entry::Undone {
            id: record.id.clone(),
            act: record.act.clone(),
            target: record.target.clone(),
        });
    }

    /// An act is over by itself.
    pub(super) fn over(&self, record: &ContainmentRecord, why: Over) {
        self.append(|| Entry::Expired {
            id: record.id.clone(),
            act: record.act.clone(),
            target: record.target.clone(),
            cause: why.name().to_owned(),
        });
    }

    /// Tells what was lost since it was told last.
    pub(super) fn losses(&self, losses: &[Loss]) {
        if self.log.is_none() {
            return;
        }
        let mut told = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if told.at.is_some_and(|at| at.elapsed() < LOSSES) {
            return;
        }
        for entry in told.news(losses) {
            told.at = Some(Instant::now());
            self.append(|| entry);
        }
    }

    /// Its queue, for `status`.
    pub(super) fn queue(&self) -> Option<QueueStatus> {
        let status = self.log.as_ref()?.status();
        Some(QueueStatus {
            name: "entries for the audit log".to_owned(),
            length: status.waiting,
            capacity: QUEUE as u64,
            dropped: status.dropped,
        })
    }

    /// How it stands, for `status`.
    pub(super) fn status(&self) -> AuditStatus {
        let Some(log) = &self.log else {
            return AuditStatus::default();
        };
        let status = log.status();
        AuditStatus {
            enabled: true,
            entries: status.entries,
            error: status.error,
        }
    }
}

/// The end: writes what waits. Blocks.
pub(super) fn end(log: &Log) {
    log.append(Entry::Stop {});
    log.close();
}

impl Told {
    /// An entry for each cause that grew.
    fn news(&mut self, losses: &[Loss]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for loss in losses {
            let before = self.counts.entry(loss.cause.clone()).or_default();
            let count = loss.count.saturating_sub(*before);
            if count > 0 {
                *before = loss.count;
                entries.push(Entry::Loss {
                    cause: loss.cause.clone(),
                    count,
                    unit: loss.unit.clone(),
                });
            }
        }
        entries
    }
}

fn hash(path: &Path) -> Option<FileHash> {
    let bytes = fs::read(path).inspect_err(
        |error| tracing::warn!(%error, path = %path.display(), "its hash is not in the audit log"),
    );
    Some(file_hash(path, &bytes.ok()?))
}

/// The time without a daemon that ends now; `None` at the first start.
fn gap(last: Option<&Written>, alive_us: Option<i64>, now_us: i64) -> Option<Entry> {
    let last = last?;
    let entry_us = last
        .time
        .parse::<jiff::Timestamp>()
        .map_or(0, |time| time.as_microsecond());
    let stopped = matches!(last.entry, Entry::Stop {});
    let from_us = if stopped {
        entry_us
    } else {
        // A clock that was set makes no gap that begins in the future.
        entry_us.max(alive_us.unwrap_or(entry_us)).min(now_us)
    };
    Some(Entry::Gap {
        from: rfc3339(from_us),
        until: rfc3339(now_us),
        cause: if stopped { "stopped" } else { "ended" }.to_owned(),
    })
}

/// The first directory on the way that members of the group may not pass.
fn unreachable_for(directory: &Path, group: u32) -> Option<&Path> {
    let above = directory.ancestors().skip(1);
    let mut shut = above.filter(|path| {
        fs::metadata(path).is_ok_and(|meta| {
            let others = meta.mode() & 0o001 != 0;
            let own = meta.gid() == group && meta.mode() & 0o010 != 0;
            !others && !own
        })
    });
    shut.next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn written(entry: Entry) -> Written {
        Written {
            v: 1,
            time: "1970-01-01T00:00:10Z".to_owned(),
            entry,
        }
    }

    #[test]
    fn a_gap_is_as_long_as_nothing_was_watched() {
        let told = |entry, alive| match gap(Some(&written(entry)), alive, 60_000_000) {
            Some(Entry::Gap { from, cause, .. }) => (from, cause),
            other => panic!("{other:?}"),
        };
        assert_eq!(gap(None, Some(1), 2), None);
        let expect = |second: i64, cause: &str| (rfc3339(second * 1_000_000), cause.to_owned());
        assert_eq!(
            told(Entry::Stop {}, Some(40_000_000)),
            expect(10, "stopped")
        );
        let end = || Entry::Unmarked {
            id: String::new(),
            by: String::new(),
        };
        assert_eq!(told(end(), Some(40_000_000)), expect(40, "ended"));
        assert_eq!(told(end(), None), expect(10, "ended"));
        assert_eq!(told(end(), Some(90_000_000)), expect(60, "ended"));
    }

    #[test]
    fn losses_are_told_once() {
        let loss = |cause: &str, count| Loss {
            cause: cause.to_owned(),
            count,
            unit: "records".to_owned(),
        };
        let mut told = Told::default();
        assert!(told.news(&[loss("gap", 0)]).is_empty());
        assert_eq!(told.news(&[loss("gap", 3), loss("stray", 0)]).len(), 1);
        assert!(told.news(&[loss("gap", 3)]).is_empty());
        assert_eq!(
            told.news(&[loss("gap", 5)]),
            [Entry::Loss {
                cause: "gap".to_owned(),
                count: 2,
                unit: "records".to_owned()
            }]
        );
    }
}
