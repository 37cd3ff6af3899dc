//! Counters for Prometheus: what `bailiwick status` says, in the text formats that scrapers read.
//!
//! Off unless `[metrics] listen` is set. No label is taken from traffic: kinds, causes and severities are
//! fixed sets, webhooks are those configured.

mod families;
mod latency;
mod server;
#[cfg(test)]
mod syntax;
#[cfg(test)]
mod tests;
mod text;

pub use families::{Inputs, expose};
pub use latency::Latency;
pub use server::{MetricsError, MetricsServer, Source};
pub use text::Form;
