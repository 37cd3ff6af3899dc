//! The durable identity of a process.

use std::sync::Arc;

/// What a process durably is. A pid is only how it was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Workload {
    /// Path of the executable; empty when unknown.
    pub exe: Arc<str>,
    /// systemd unit (`ci.service`, `session-3.scope`).
    pub unit: Option<Arc<str>>,
    /// Container id, first 12 characters or more as the runtime names it.
    pub container: Option<Arc<str>>,
    /// User name, else the number.
    pub user: Arc<str>,
    /// Executables of the ancestors, parent first, at most 16.
    pub lineage: Arc<[Arc<str>]>,
}
