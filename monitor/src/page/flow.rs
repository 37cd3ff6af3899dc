//! Which workloads reached which environments lately: the edges of the page's map.

use std::collections::HashMap;

use serde::Serialize;

use crate::access::Role;
use crate::access::record::{AccessRecord, EndpointRecord};
use crate::access::workload::label_of;

/// Edges kept; accesses of more are counted together.
const MOST: usize = 200;
/// Slots of the window.
const SLOTS: usize = 6;
/// Seconds of a slot.
const SLOT_S: u64 = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    accesses: u64,
    broken: u64,
}

/// Counts of a minute, by slots of ten seconds.
#[derive(Debug, Default)]
pub(super) struct Flow {
    edges: HashMap<(String, String), [Slot; SLOTS]>,
    beyond: [u64; SLOTS],
    at: usize,
}

/// What the page is sent.
#[derive(Debug, Serialize)]
pub(super) struct FlowRecord {
    /// Seconds that the counts are of.
    seconds: u64,
    edges: Vec<Edge>,
    /// Accesses of edges that found no room.
    beyond: u64,
}

#[derive(Debug, Serialize)]
struct Edge {
    workload: String,
    /// Empty: none.
    environment: String,
    accesses: u64,
    /// Of these, with a finding.
    broken: u64,
}

/// By what the client is called in alerts; `peer:ADDRESS` for one elsewhere.
pub(super) fn workload(access: &AccessRecord) -> String {
    match (&access.client, access.role) {
        (Some(client), _) => label(client),
        (None, Role::Server) => {
            // The port of a client says nothing.
            let peer = access.peer.as_deref().unwrap_or("?");
            let address = peer.rsplit_once(':').map_or(peer, |(address, _)| address);
            format!("peer:{address}")
        }
        (None, _) => "exe:?".to_owned(),
    }
}

fn label(endpoint: &EndpointRecord) -> String {
    label_of(
        &endpoint.exe,
        endpoint.unit.as_deref(),
        endpoint.container.as_deref(),
    )
    .to_string()
}

impl Flow {
    pub(super) fn note(&mut self, access: &AccessRecord) {
        let key = (
            workload(access),
            access.environment.clone().unwrap_or_default(),
        );
        let at = self.at;
        if self.edges.len() >= MOST && !self.edges.contains_key(&key) {
            if let Some(beyond) = self.beyond.get_mut(at) {
                *beyond += 1;
            }
            return;
        }
        if let Some(slot) = self.edges.entry(key).or_default().get_mut(at) {
            slot.accesses += 1;
            slot.broken += u64::from(!access.findings.is_empty());
        }
    }

    /// Begins the next slot; edges of which nothing is left are forgotten.
    pub(super) fn turn(&mut self) {
        self.at = (self.at + 1) % SLOTS;
        let at = self.at;
        if let Some(beyond) = self.beyond.get_mut(at) {
            *beyond = 0;
        }
        self.edges.retain(|_, slots| {
            if let Some(slot) = slots.get_mut(at) {
                *slot = Slot::default();
            }
            slots.iter().any(|slot| slot.accesses > 0)
        });
    }

    pub(super) fn record(&self) -> FlowRecord {
        let mut edges: Vec<Edge> = self
            .edges
            .iter()
            .map(|((workload, environment), slots)| Edge {
                workload: workload.clone(),
                environment: environment.clone(),
                accesses: slots.iter().map(|slot| slot.accesses).sum(),
                broken: slots.iter().map(|slot| slot.broken).sum(),
            })
            .collect();
        edges.sort_by(|a, b| {
            (b.accesses, &a.workload, &a.environment).cmp(&(
                a.accesses,
                &b.workload,
                &b.environment,
            ))
        });
        FlowRecord {
            seconds: SLOTS as u64 * SLOT_S,
            edges,
            beyond: self.beyond.iter().sum(),
        }
    }
}

/// Seconds between two [`Flow::turn`]s.
pub(super) const TURN_S: u64 = SLOT_S;
