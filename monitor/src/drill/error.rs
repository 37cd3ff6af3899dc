//! Why there is no drill.

use std::fmt::Display;

/// Why a drill could not be held, or not to its end.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct DrillError {
    /// What could not be had.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether a privilege is missing.
    pub permission: bool,
    /// Whether what was asked for is wrong.
    pub usage: bool,
}

impl DrillError {
    pub(super) fn new(what: impl Display, why: impl Display) -> Self {
        Self {
            what: what.to_string(),
            why: why.to_string(),
            hint: None,
            permission: false,
            usage: false,
        }
    }

    /// From an error of the system.
    pub(super) fn on(what: impl Display, error: &std::io::Error) -> Self {
        Self {
            permission: error.kind() == std::io::ErrorKind::PermissionDenied,
            ..Self::new(what, error)
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
