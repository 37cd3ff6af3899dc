//! Why the daemon does not run, with the exit code of sysexits.h that says it to scripts.

use std::path::PathBuf;

use crate::source::kernel::LoadError;

/// A failure to start, or to go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A directory that is needed.
    #[error("cannot use {}: {error}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Configuration, policy or a secret; all of what is wrong, one to a line.
    #[error("{0}")]
    Config(String),
    /// The fingerprint key.
    #[error("{0}")]
    Key(#[from] crate::config::key::KeyError),
    /// The kernel.
    #[error("{0}\nhint: {hint}", hint = .0.hint())]
    Kernel(LoadError),
    /// The store.
    #[error("{0}")]
    Store(String),
    /// The control socket.
    #[error("{0}")]
    Socket(#[from] crate::serve::ListenError),
    /// The endpoint for metrics.
    #[error("{0}")]
    Metrics(#[from] crate::metrics::MetricsError),
    /// The page.
    #[error("{0}")]
    Page(#[from] crate::page::PageError),
    /// The audit log.
    #[error("{0}")]
    Audit(#[from] crate::audit::AuditError),
    /// No runtime or thread, or the hot thread died.
    #[error("{0}")]
    Internal(String),
}

impl DaemonError {
    /// sysexits code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Key(_) => 78,
            Self::Kernel(error) => error.exit_code(),
            Self::Directory { error, .. }
                if error.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                77
            }
            Self::Socket(error) if error.is_permission() => 77,
            Self::Audit(error) => error.exit_code(),
            Self::Directory { .. }
            | Self::Store(_)
            | Self::Socket(_)
            | Self::Metrics(_)
            | Self::Page(_) => 69,
            Self::Internal(_) => 70,
        }
    }
}
