//! The policy's duties and the role locks of gateways: written for a gateway, and compared with what one has.
//!
//! Pure: no I/O (files come through [`nginx::Files`]), no clock. Files of others are read here: nothing
//! panics on them, and everything is bounded.
//!
//! - [`lock`]: the duties as roles with operations, what every format is written from.
//! - [`language`]: sets of hosts and paths as regular expressions, and one example of every combination.
//! - [`gate`]: what a gateway decides, what every format is read into.
//! - [`compare`]: where the two differ, each with a request that shows it.
//! - one folder a format.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod compare;
pub mod envoy;
pub mod gate;
pub mod istio;
pub mod language;
pub mod lock;
pub mod nginx;
pub mod opa;
mod quote;
pub mod read;
#[cfg(test)]
mod tests;
mod yaml;

pub use compare::{Code, Comparison, GatewayFinding, compare};
pub use lock::{Lock, RoleFrom, RoleIs};
pub use read::{Format, ReadError, read};

/// Largest gateway file, in bytes.
pub const LARGEST_FILE: usize = 4 << 20;

/// Formats that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Envoy's RBAC filter.
    EnvoyRbac,
    /// Istio's AuthorizationPolicy.
    Istio,
    /// Rego for Open Policy Agent.
    Opa,
    /// nginx.
    Nginx,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The file for the gateway.
    pub text: String,
    /// Its tests, where the format has some.
    pub tests: Option<String>,
    /// What is narrower there than in the policy, and what must be true for it to hold: also in the
    /// header comment.
    pub notes: Vec<String>,
}

/// Writes the duties as a role lock.
#[must_use]
pub fn write(target: Target, lock: &Lock) -> Written {
    match target {
        Target::EnvoyRbac => envoy::write(lock),
        Target::Istio => istio::write(lock),
        Target::Opa => opa::write(lock),
        Target::Nginx => nginx::write(lock),
    }
}
