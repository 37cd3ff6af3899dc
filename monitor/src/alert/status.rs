//! How deliveries stand.

use serde::Serialize;

use crate::store::StoreStatus;

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct AlertStatus {
    /// Of each endpoint, by name.
    pub endpoints: Vec<EndpointStatus>,
    /// The store.
    pub store: StoreStatus,
    /// Updates that wait in memory for the store: not durable yet.
    pub buffered: usize,
    /// Updates stored since the start.
    pub stored: u64,
}

/// One endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointStatus {
    /// Name.
    pub name: String,
    /// Scheme and host.
    pub url: String,
    /// Messages that wait, those that are being sent included.
    pub queued: usize,
    /// Age of the oldest of them in seconds.
    pub oldest_seconds: Option<u64>,
    /// Messages delivered since the start.
    pub delivered: u64,
    /// Attempts that failed since the start.
    pub failed: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Dead letters dropped for age or room since the start.
    pub dropped: u64,
    /// Why nothing is sent until someone enables it (`send-test` or a reload).
    pub disabled: Option<String>,
    /// What went wrong last, with its time (RFC 3339).
    pub last_error: Option<String>,
    /// When a message was delivered last (RFC 3339).
    pub last_delivery: Option<String>,
}
