//! Where an endpoint's messages go: `url` of a `[[webhook]]`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::webhook::MAX_BODY;

/// Longest path of a unix socket: `sun_path` of `sockaddr_un` without its NUL.
const MAX_PATH: usize = 107;
/// Most bytes of a message over UDP: what fits a packet wherever it passes (RFC 5426 §3.2).
const UDP_ROOM: usize = 1180;
/// Most bytes of a message to other sockets: what rsyslog takes unless told otherwise.
const LOG_ROOM: usize = 8192;

/// An `http` or `https` URL, or a log's socket. A URL's path may be a secret, so it prints as scheme and host only.
#[derive(Clone, PartialEq, Eq)]
pub enum HookUrl {
    /// `https://HOST/PATH`.
    Http(reqwest::Url),
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `udp://HOST:PORT`, as `HOST:PORT`.
    Udp(String),
    /// `tcp://HOST:PORT`, as `HOST:PORT`.
    Tcp(String),
}

impl HookUrl {
    /// Parses one.
    ///
    /// # Errors
    /// What is wrong, with a hint.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let url = reqwest::Url::parse(text)
            .map_err(|error| format!("not a URL: {error}\nhint: https://HOST/PATH"))?;
        if !matches!(url.scheme(), "http" | "https" | "udp" | "tcp") {
            return Err(format!(
                "nothing can be sent to {}:\nhint: https://HOST/PATH; for logs unix:PATH, udp://HOST:PORT, tcp://HOST:PORT",
                url.scheme()
            ));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("the URL names no host\nhint: https://HOST/PATH".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL holds a user name or password\n\
                        hint: messages are signed with the webhook's secret; remove it"
                .into());
        }
        match url.scheme() {
            "udp" => socket(&url).map(Self::Udp),
            "tcp" => socket(&url).map(Self::Tcp),
            _ => Ok(Self::Http(url)),
        }
    }

    /// The whole URL, secret parts included, where it is one of HTTP.
    #[must_use]
    pub fn http(&self) -> Option<&reqwest::Url> {
        match self {
            Self::Http(url) => Some(url),
            _ => None,
        }
    }

    /// Most bytes of a message that is sent there.
    #[must_use]
    pub fn room(&self) -> usize {
        match self {
            Self::Http(_) => MAX_BODY,
            Self::Udp(_) => UDP_ROOM,
            Self::Unix(_) | Self::Tcp(_) => LOG_ROOM,
        }
    }

    /// Whether messages cross a network in clear text.
    #[must_use]
    pub fn is_clear_text(&self) -> bool {
        let host = match self {
            Self::Unix(_) => return false,
            Self::Http(url) if url.scheme() == "https" => return false,
            Self::Http(url) => url.host_str().unwrap_or_default(),
            Self::Udp(at) | Self::Tcp(at) => {
                at.rsplit_once(':').map_or(at.as_str(), |(host, _)| host)
            }
        };
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
        host != "localhost" && !loopback
    }
}

fn unix(path: &str) -> Result<HookUrl, String> {
    // `unix:///dev/log` is the same: a URL without a host.
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.len() > MAX_PATH || path.contains('\0') {
        return Err(format!(
            "a unix socket's path is absolute, with at most {MAX_PATH} bytes\nhint: unix:/dev/log"
        ));
    }
    Ok(HookUrl::Unix(path.into()))
}

fn socket(url: &reqwest::Url) -> Result<String, String> {
    let scheme = url.scheme();
    let hint = format!("{scheme}://HOST:PORT");
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !bare {
        return Err(format!("a {scheme} address has no path\nhint: {hint}"));
    }
    let host = url.host_str().unwrap_or_default();
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if !host.chars().all(plain) {
        return Err(format!("{host:?} is no name of a host\nhint: {hint}"));
    }
    match url.port() {
        Some(port) if port > 0 => Ok(format!("{host}:{port}")),
        _ => Err(format!("a {scheme} address names its port\nhint: {hint}")),
    }
}

impl fmt::Display for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self {
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
            Self::Udp(at) => return write!(f, "udp://{at}"),
            Self::Tcp(at) => return write!(f, "tcp://{at}"),
            Self::Http(url) => url,
        };
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or("-"))?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(if url.path() == "/" { "/" } else { "/…" })
    }
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for HookUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn clear_text_is_seen() {
        let url = |text| HookUrl::parse(text).unwrap().is_clear_text();
        assert!(url("http://hooks.example/"));
        assert!(!url("https://hooks.example/"));
        assert!(!url("http://127.0.0.1:9/"));
        assert!(!url("http://[::1]:9/"));
        assert!(!url("http://localhost/"));
        assert!(!url("unix:/dev/log"));
        assert!(!url("udp://127.0.0.1:514"));
        assert!(!url("tcp://[::1]:601"));
        assert!(!url("tcp://localhost:601"));
        assert!(url("udp://log.example:514"));
    }

    #[test]
    fn sockets_are_named() {
        for (text, shown) in [
            ("unix:/dev/log", "unix:/dev/log"),
            ("unix:///dev/log", "unix:/dev/log"),
            ("udp://log.example:514", "udp://log.example:514"),
            ("tcp://[::1]:601/", "tcp://[::1]:601"),
        ] {
            assert_eq!(HookUrl::parse(text).unwrap().to_string(), shown);
        }
        let long = format!("unix:/{}", "x".repeat(MAX_PATH));
        for (text, wrong) in [
            ("unix:dev/log", "is absolute"),
            ("unix:", "is absolute"),
            (long.as_str(), "at most 107 bytes"),
            ("udp://log.example", "names its port"),
            ("tcp://log.example:601/x", "has no path"),
            ("tcp://:601", "not a URL"),
            ("udp://a b:1", "not a URL"),
            ("udp://a%20b:1", "is no name of a host"),
            ("tcp://me@log.example:601", "user name or password"),
            ("syslog://log.example:601", "nothing can be sent to syslog:"),
        ] {
            let error = HookUrl::parse(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
            assert!(error.contains("\nhint: "), "{text}: {error}");
        }
    }
}
