//! Reports and stories: from what the daemon holds, or from the store alone while none is running.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::CENSUS;
use super::backend::Daemon;
use super::policy;
use crate::access::record::AccessRecord;
use crate::alert::endpoint::wants;
use crate::alert::{Alert, Clock, SystemClock};
use crate::census::IdentityRecord;
use crate::cli::{Exit, Failure};
use crate::config::Config;
use crate::coverage::CoverageRecord;
use crate::explain::{self, NoStory, Story, Webhook};
use crate::judge::Remembered;
use crate::pipeline::thread::Snapshot;
use crate::policy::{Approval, Policy};
use crate::report::{
    self, ApprovalCounts, ApprovalMemory, Inputs, Ledger, NotRecorded, Report, Totals, trend,
};
use crate::store::{Lookup, Store, StoreError, StoreOptions};

/// What a report looks back on when nothing else is asked for.
const DEFAULT_PERIOD_US: i64 = 30 * 86_400_000_000;

/// Accesses that are asked of the hot thread for a story: all that it keeps.
const ALL: usize = usize::MAX;

/// The ledger as it grows.
#[derive(Debug)]
pub(super) struct Watch {
    ledger: Ledger,
    /// Counters when it was written last.
    before: Totals,
    at: Instant,
}

impl Watch {
    /// Goes on with what the store has, or begins.
    pub(super) fn resume(store: &Store) -> Self {
        let saved = store.meta_get(Ledger::KEY).ok().flatten();
        let ledger = saved.as_deref().and_then(Ledger::parse);
        Self {
            ledger: ledger.unwrap_or_else(|| Ledger::new(SystemClock.now_us())),
            before: Totals::default(),
            at: Instant::now(),
        }
    }

    /// The ledger with everything until now in it.
    fn until_now(&mut self, snapshot: &Snapshot) -> Ledger {
        let totals = Totals {
            requests: snapshot.accesses,
            with_credential: snapshot.with_credential,
            named: snapshot.census.named,
            read: snapshot.coverage.read.connections,
            other: snapshot.coverage.other.connections,
            dark: snapshot.coverage.dark.connections,
        };
        // Whole seconds; what is left over counts the next time.
        let seconds = self.at.elapsed().as_secs();
        self.at += std::time::Duration::from_secs(seconds);
        let counted = totals.since(self.before);
        self.ledger.add(SystemClock.now_us(), seconds, counted);
        self.before = totals;
        self.ledger.clone()
    }
}

/// What a report needs beside policy and store.
struct Facts {
    live: bool,
    environment: Option<String>,
    census: Vec<IdentityRecord>,
    forgotten: u64,
    coverage: Option<Vec<CoverageRecord>>,
    ledger: Option<Ledger>,
    approvals: Option<Recorded>,
}

/// What judging remembers of approvals.
struct Recorded(Remembered);

impl ApprovalMemory for Recorded {
    fn counts(
        &self,
        policy: &Policy,
        approval: &Approval,
        since_us: i64,
    ) -> Option<ApprovalCounts> {
        let (duty, by) = (policy.duty(approval.duty)?, policy.duty(approval.by)?);
        let (acts, approved) = self.0.approvals(&duty.name, &by.name, since_us)?;
        Some(ApprovalCounts { acts, approved })
    }
}

/// Makes a report, and remembers it for the next one's trend.
fn make(
    store: &Store,
    policy: &Policy,
    facts: &Facts,
    since_us: Option<i64>,
) -> Result<Report, StoreError> {
    let now_us = SystemClock.now_us();
    let since_us = since_us.unwrap_or(now_us.saturating_sub(DEFAULT_PERIOD_US));
    let mut past = store
        .meta_get(trend::KEY)?
        .map(|json| trend::parse(&json))
        .unwrap_or_default();
    let alerts = store.tally(since_us)?;
    let report = report::build(&Inputs {
        now_us,
        since_us,
        live: facts.live,
        environment: facts.environment.as_deref(),
        policy,
        census: &facts.census,
        forgotten: facts.forgotten,
        coverage: facts.coverage.as_deref(),
        alerts: &alerts,
        ledger: facts.ledger.as_ref(),
        past: &past,
        approvals: match &facts.approvals {
            Some(recorded) => recorded,
            None => &NotRecorded,
        },
    });
    trend::remember(&mut past, trend::summary(&report));
    let saved = trend::to_json(&past)
        .map_err(|error| StoreError::Refused(error.to_string()))
        .and_then(|json| store.meta_put(trend::KEY, &json));
    if let Err(error) = saved {
        tracing::warn!(%error, "the report is not remembered for the next one's trend");
    }
    Ok(report)
}

/// Tells an alert of the store.
fn tell(
    store: &Store,
    policy: &Policy,
    id: &str,
    recent: Option<&[Arc<AccessRecord>]>,
    webhooks: impl Fn(&Alert) -> Vec<Webhook>,
) -> Result<Story, NoStory> {
    let unknown = |near: Vec<String>| NoStory::Unknown {
        id: id.to_owned(),
        near,
    };
    // Ids are written in upper case; a person may not.
    let found = match store.look_up(id)? {
        Lookup::None(near) => match store.look_up(&id.to_uppercase())? {
            Lookup::None(_) => return Err(unknown(near)),
            found => found,
        },
        found => found,
    };
    let id = match found {
        Lookup::Found(id) => id,
        Lookup::Several(some) => {
            return Err(NoStory::Several {
                id: id.to_owned(),
                some,
            });
        }
        Lookup::None(near) => return Err(unknown(near)),
    };
    let Some(alert) = store.get(&id)? else {
        // It went for age or room just now.
        return Err(unknown(Vec::new()));
    };
    let undelivered = store.undelivered(&id)?;
    let webhooks = webhooks(&alert);
    Ok(explain::build(&explain::Inputs {
        alert: &alert,
        policy,
        recent,
        webhooks: &webhooks,
        undelivered: &undelivered,
    }))
}

fn webhooks(config: &Config, alert: &Alert) -> Vec<Webhook> {
    let each = config.webhooks.iter().map(|webhook| Webhook {
        name: webhook.name.clone(),
        wants: wants(webhook, alert),
        disabled: None,
    });
    each.collect()
}

/// A task of the store died: this cannot happen short of a bug.
fn died(_: tokio::task::JoinError) -> StoreError {
    StoreError::Refused("the daemon failed to answer; its log says why".to_owned())
}

impl Daemon {
    /// The ledger until now.
    pub(super) fn ledger(&self) -> Ledger {
        let snapshot = self
            .snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone();
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.until_now(&snapshot)
    }

    fn policy_now(&self) -> (Arc<Policy>, Option<String>) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (
            Arc::clone(&current.policy),
            current.config.environment.clone(),
        )
    }

    pub(super) async fn make_report(&self, since_us: Option<i64>) -> Result<Report, StoreError> {
        let (policy, environment) = self.policy_now();
        let forgotten = self
            .identities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .forgotten;
        let facts = Facts {
            live: true,
            environment,
            census: crate::serve::Backend::identities(self).await,
            forgotten,
            coverage: Some(crate::serve::Backend::coverage(self).await),
            ledger: Some(self.ledger()),
            approvals: super::memory::remembered(self).await.map(Recorded),
        };
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || make(&store, &policy, &facts, since_us))
            .await
            .unwrap_or_else(|error| Err(died(error)))
    }

    pub(super) async fn tell_story(&self, id: String) -> Result<Story, NoStory> {
        let recent = self.hub.recent(ALL).await;
        let (policy, _) = self.policy_now();
        let config = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .config
            .clone();
        let ends = self.alerts.status().endpoints;
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || {
            tell(&store, &policy, &id, Some(&recent), |alert| {
                let mut all = webhooks(&config, alert);
                for webhook in &mut all {
                    let end = ends.iter().find(|end| end.name == webhook.name);
                    webhook.disabled = end.and_then(|end| end.disabled.clone());
                }
                all
            })
        })
        .await
        .unwrap_or_else(|error| Err(died(error).into()))
    }
}

/// A report from the store, while no daemon is running.
pub(super) fn stored_report(config: &Config, since_us: Option<i64>) -> Result<Report, Failure> {
    let store = open(config)?;
    let policy = policy_of(config)?;
    let census = store.meta_get(CENSUS).map_err(|error| failure(&error))?;
    let ledger = store
        .meta_get(Ledger::KEY)
        .map_err(|error| failure(&error))?;
    let facts = Facts {
        live: false,
        environment: config.environment.clone(),
        census: census
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default(),
        forgotten: 0,
        coverage: None,
        ledger: ledger.as_deref().and_then(Ledger::parse),
        approvals: None,
    };
    let report = make(&store, &policy, &facts, since_us).map_err(|error| failure(&error));
    store.close();
    report
}

/// A story from the store, while no daemon is running.
pub(super) fn stored_story(config: &Config, id: &str) -> Result<Story, Failure> {
    let store = open(config)?;
    let policy = policy_of(config)?;
    let story = tell(&store, &policy, id, None, |alert| webhooks(config, alert));
    store.close();
    story.map_err(|none| match &none {
        NoStory::Store(error) => failure(error),
        _ => Failure::new(Exit::Data, none.to_string()).hint(none.hint()),
    })
}

/// Opens a store that is there; never makes one.
fn open(config: &Config) -> Result<Store, Failure> {
    let path = config.state_dir.join("state.redb");
    match std::fs::metadata(&path) {
        Ok(found) if found.len() > 0 => {}
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(
                Failure::new(Exit::NoPermission, format!("{}: {error}", path.display())).hint(
                    "run as root, or start the daemon and become a member of its socket_group",
                ),
            );
        }
        _ => {
            return Err(Failure::new(
                Exit::Unavailable,
                format!("no daemon is running, and there is no store at {}", path.display()),
            )
            .hint("start the daemon with `systemctl start bailiwick`, or name its configuration with --config"));
        }
    }
    Store::open(&config.state_dir, StoreOptions::default()).map_err(|error| failure(&error))
}

fn failure(error: &StoreError) -> Failure {
    let text = error.to_string();
    let (message, hint) = match error {
        StoreError::Locked { path } => (
            format!("{}: another process has this store open", path.display()),
            "a daemon is running, but not at this socket: name its --socket".to_owned(),
        ),
        _ => match text.split_once("\nhint: ") {
            Some((message, hint)) => (message.to_owned(), hint.to_owned()),
            None => (
                text,
                "start the daemon: its log says what is wrong with the store".to_owned(),
            ),
        },
    };
    Failure::new(Exit::Unavailable, message).hint(hint)
}

/// The configured policy. Fingerprints of files are not needed: the store knows identities by name.
fn policy_of(config: &Config) -> Result<Policy, Failure> {
    policy::unkeyed(config)
        .map(|loaded| loaded.policy)
        .map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Failure::new(Exit::Config, lines.join("\n"))
                .hint("`bailiwick check` shows what is wrong with the policy")
        })
}
