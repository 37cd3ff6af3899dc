//! Counters for Prometheus: what `bailiwick status` says, in the text formats that scrapers read.
//!
//! Off unless `[metrics] listen` is set. No label is taken from traffic: kinds, causes and severities are
//! fixed sets, webhooks are those configured.

mod config;
mod families;
mod latency;
mod server;
#[cfg(test)]
mod syntax;
#[cfg(test)]
mod tests;
mod text;

pub use config::{Listen, Metrics};
pub use families::{Inputs, expose};
pub use latency::Latency;
pub(crate) use server::names_this;
pub use server::{MetricsError, MetricsServer, Source};
pub use text::Form;
