//! `[metrics]` of the configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where counters are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// `None`: nowhere.
    pub listen: Option<Listen>,
    /// Whether `listen` may be an address that other hosts reach.
    pub allow_remote: bool,
}

/// `"127.0.0.1:9464"`, `"[::1]:9464"` or `"unix:/run/bailiwick/metrics.sock"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP.
    Inet(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Longest path of a unix socket (sun_path without the NUL).
const MAX_SOCKET_PATH: usize = 107;

impl Listen {
    /// Parses one.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let hint = "\"127.0.0.1:9464\" or \"unix:/run/bailiwick/metrics.sock\"";
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') || path.len() > MAX_SOCKET_PATH || path.ends_with('/') {
                return Err((
                    format!("\"{text}\" names no socket"),
                    format!("unix: and an absolute path of at most {MAX_SOCKET_PATH} bytes"),
                ));
            }
            return Ok(Self::Unix(path.into()));
        }
        text.parse().map(Self::Inet).map_err(|_| {
            (
                format!("\"{text}\" is no address to listen at"),
                hint.to_owned(),
            )
        })
    }

    /// Whether only this host can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Inet(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Metrics {
    /// Checks what one key alone cannot tell.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn check(&self) -> Result<(), (String, String)> {
        match &self.listen {
            Some(listen) if !listen.is_local() && !self.allow_remote => Err((
                format!("[metrics] would listen at {listen}, which other hosts reach"),
                "listen at 127.0.0.1, [::1] or a unix socket, or say allow_remote = true"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }
}
