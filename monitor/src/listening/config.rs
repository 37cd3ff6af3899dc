//! An endpoint of the configuration: `[metrics]` or `[page]`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where something is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
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
    /// Parses one. `examples` are the hint where it is none.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn parse(text: &str, examples: &str) -> Result<Self, (String, String)> {
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
                examples.to_owned(),
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

impl Listening {
    /// Checks what one key alone cannot tell; `section` is whose it is.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn check(&self, section: &str) -> Result<(), (String, String)> {
        match &self.listen {
            Some(listen) if !listen.is_local() && !self.allow_remote => Err((
                format!("[{section}] would listen at {listen}, which other hosts reach"),
                "listen at 127.0.0.1, [::1] or a unix socket, or say allow_remote = true"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let check = |text: &str, allow_remote| {
            let listen = Listen::parse(text, "").map_err(|(what, _)| what)?;
            let metrics = Listening {
                listen: Some(listen),
                allow_remote,
            };
            metrics.check("metrics").map_err(|(what, _)| what)
        };
        for good in [
            "127.0.0.1:9464",
            "[::1]:0",
            "127.9.9.9:1",
            "unix:/run/m.sock",
        ] {
            assert_eq!(check(good, false), Ok(()), "{good}");
        }
        for remote in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464"] {
            assert!(check(remote, false).is_err(), "{remote}");
            assert_eq!(check(remote, true), Ok(()), "{remote}");
        }
        for bad in [
            "",
            "9464",
            "localhost",
            "unix:",
            "unix:m.sock",
            "unix:/run/",
        ] {
            assert!(check(bad, true).is_err(), "{bad}");
        }
    }
}
