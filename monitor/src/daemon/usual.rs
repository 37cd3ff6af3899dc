//! Keeps the baseline over a restart: its profiles in parts, each written whole or not at all, and the state of
//! its budget.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::backend::Daemon;
use crate::access::{Access, FingerprintKey};
use crate::alert::{Alert, Clock, SystemClock};
use crate::baseline::gate::Gate;
use crate::baseline::{Baseline, Digest, PARTS, Seed, Settings};
use crate::config::Config;
use crate::judge::FindingKind;
use crate::pipeline::thread::Command;
use crate::store::{AlertQuery, Store};

/// Key of the budget's state in the store.
const GATE: &str = "baseline.gate";
/// The version of what is stored under it.
const VERSION: u32 = 1;
/// Acknowledged alerts looked for at a start; there are a few a day.
const MOST_GRANTS: usize = 10_000;
/// Alerts are dated by their accesses, which are older than the window's end by a window and this at most.
const SLACK_US: i64 = 10_000_000;

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    v: u32,
    /// Says whether the profiles were hashed with the key that is used now.
    key: u64,
    saved_us: i64,
    gate: Gate,
}

fn part_key(part: u8) -> String {
    format!("baseline.part.{part:02}")
}

/// What the baseline is told.
pub(super) fn settings(config: &Config) -> Settings {
    let own = &config.baseline;
    Settings {
        enabled: own.enabled,
        budget: own.alerts_per_day,
        per_identity: own.alerts_per_identity,
        bytes: (own.memory_mib as usize) << 20,
        usual_after_days: own.usual_after_days,
        mature_after_days: own.mature_after_days,
        mature_after_windows: own.mature_after_windows,
        window_s: own.window_s,
    }
}

/// The baseline as it was saved, or an empty one.
pub(super) fn restore(store: &Store, key: &FingerprintKey, config: &Config) -> Baseline {
    let mut bytes = [0; 16];
    key.derive("bailiwick 2026-11 values of baselines", &mut bytes);
    let seed = Seed::new(bytes);
    let mut baseline = Baseline::new(settings(config), seed, SystemClock.now_us());
    let saved = match store.meta_get(GATE) {
        Ok(Some(json)) => serde_json::from_slice::<Saved>(&json).ok(),
        Ok(None) => return baseline,
        Err(_) => None,
    };
    let Some(saved) = saved.filter(|saved| saved.v == VERSION) else {
        tracing::warn!("the baseline of the last run is not readable; learning begins anew");
        baseline.restore_gate(Gate::empty(SystemClock.now_us()), 0);
        return baseline;
    };
    baseline.restore_gate(saved.gate, raised_since(store, saved.saved_us, config));
    if saved.key != seed.tag() {
        tracing::warn!(
            "another fingerprint key: what was learnt means nothing now, learning begins anew"
        );
        for part in 0..PARTS {
            let _ = store.meta_delete(&part_key(part));
        }
        return baseline;
    }
    restore_parts(store, &mut baseline);
    restore_grants(store, &mut baseline);
    baseline
}

fn restore_parts(store: &Store, baseline: &mut Baseline) {
    for part in 0..PARTS {
        if let Ok(Some(bytes)) = store.meta_get(&part_key(part))
            && !baseline.restore_part(&bytes).1
        {
            tracing::warn!(
                part,
                "a part of the baseline is not readable; its identities are learnt anew"
            );
        }
    }
}

/// An acknowledged alert is the grant: profiles are not trusted to remember what may have been taken back.
fn restore_grants(store: &Store, baseline: &mut Baseline) {
    let query = AlertQuery {
        limit: Some(MOST_GRANTS),
        kinds: vec![FindingKind::Unusual],
        ..AlertQuery::default()
    };
    match store.list(&query) {
        Ok(alerts) => {
            let granted = alerts.iter().filter(|alert| alert.acknowledged.is_some());
            for access in granted.flat_map(evidence) {
                baseline.grant(&access, true);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "what was acknowledged is not readable; it is unusual again");
        }
    }
}

/// What an alert tells of.
fn evidence(alert: &Alert) -> Vec<Access> {
    let mut name = |text: &str| Arc::from(text);
    let evidence = alert.evidence.iter();
    evidence
        .filter_map(|record| record.to_access(&mut name))
        .collect()
}

/// What an alert of the baseline tells of is usual from now on, or is not for that reason any more.
pub(super) fn grant(daemon: &Daemon, alert: &Alert, granted: bool) {
    if alert.kind != FindingKind::Unusual {
        return;
    }
    let command = Command::Grant(evidence(alert), granted);
    if daemon.commands.try_send(command).is_err() {
        tracing::warn!(alert = %alert.id, "the baseline hears of it at the next start only");
    }
}

/// Alerts that the saved budget does not know of. Rather too many than too few.
fn raised_since(store: &Store, saved_us: i64, config: &Config) -> u64 {
    let window_us = i64::from(config.baseline.window_s) * 1_000_000;
    let query = AlertQuery {
        limit: Some(1000),
        since_us: Some(saved_us.saturating_sub(SLACK_US + window_us)),
        kinds: vec![FindingKind::Unusual],
        ..AlertQuery::default()
    };
    match store.list(&query) {
        Ok(alerts) => alerts.iter().map(|alert| alert.count).sum(),
        Err(_) => u64::MAX,
    }
}

/// Writes what changed. The parts come first: the budget's state says that they can be read.
pub(super) async fn save(daemon: &Daemon, key: &FingerprintKey) {
    let mut bytes = [0; 16];
    key.derive("bailiwick 2026-11 values of baselines", &mut bytes);
    let tag = Seed::new(bytes).tag();
    let mut last = None;
    for part in 0..PARTS {
        let (answer, answered) = oneshot::channel();
        if daemon
            .commands
            .try_send(Command::Baseline(part, answer))
            .is_err()
        {
            return;
        }
        let Ok((gate, bytes)) = answered.await else {
            return;
        };
        last = Some(gate);
        if let Some(bytes) = bytes {
            put(daemon, part_key(part), bytes).await;
        }
    }
    let Some(gate) = last else { return };
    let saved = Saved {
        v: VERSION,
        key: tag,
        saved_us: SystemClock.now_us(),
        gate,
    };
    if let Ok(json) = serde_json::to_vec(&saved) {
        put(daemon, GATE.to_owned(), json).await;
    }
}

async fn put(daemon: &Daemon, key: String, bytes: Vec<u8>) {
    let store = daemon.store.clone();
    let written = tokio::task::spawn_blocking(move || store.meta_put(&key, &bytes)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "a part of the baseline is not saved");
    }
}

/// Says what found no budget on the day that is over.
pub(super) fn log_digest(digest: &Digest) {
    for entry in &digest.entries {
        tracing::info!(
            identity = %crate::judge::words::Quoted(&entry.identity),
            evidence = format!("{:.1} bits", entry.evidence),
            times = entry.count,
            "unusual yesterday, beyond the budget of alerts: {}",
            entry.what
        );
    }
    if digest.left_out > 0 {
        tracing::info!(
            times = digest.left_out,
            "unusual yesterday, too: weaker than those listed"
        );
    }
}
