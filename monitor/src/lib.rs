//! Bailiwick watches every API credential that is used on a Linux host: which process used it, for
//! which operation, against which environment; and says so when a credential leaves its bailiwick.
//!
//! Data flows one way: [`source`] → [`wire`] → [`access`] → [`judge`] → [`alert`].
//! ARCHITECTURE.md has the map and the invariants.

pub mod access;
pub mod alert;
pub mod audit;
pub mod baseline;
pub mod census;
pub mod cli;
pub mod config;
pub mod confine;
pub mod contain;
pub mod coverage;
pub mod daemon;
pub mod drill;
pub mod explain;
pub mod filter;
pub mod gateway;
pub mod host;
pub mod judge;
pub mod learn;
pub mod lint;
pub mod listening;
pub mod metrics;
pub mod page;
pub mod pipeline;
pub mod policy;
pub mod replay;
pub mod report;
pub mod sarif;
pub mod scan;
pub mod secret;
pub mod serve;
mod slots;
pub mod source;
pub mod store;
pub mod suggest;
pub mod top;
pub mod wire;
