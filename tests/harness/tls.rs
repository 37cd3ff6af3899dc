//! TLS for the tests: a certificate, servers that have it, and what nginx says of its own requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::client;
use crate::server::free;
use crate::{Server, wait_for};

/// A certificate for `localhost` that is its own authority, and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM file.
    pub file: PathBuf,
    /// PEM file.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one, with a key on P-256.
    ///
    /// # Errors
    /// When openssl(1) fails.
    pub fn make(dir: &Path) -> Result<Self> {
        let this = Self {
            file: dir.join("certificate.pem"),
            key: dir.join("certificate.key"),
        };
        client(
            Command::new("/usr/bin/openssl")
                .args(["req", "-x509", "-nodes", "-days", "2", "-newkey"])
                .args(["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
                .args(["-subj", "/CN=localhost", "-addext"])
                .arg("subjectAltName=DNS:localhost,IP:127.0.0.1")
                .arg("-keyout")
                .arg(&this.key)
                .arg("-out")
                .arg(&this.file),
        )?;
        Ok(this)
    }
}

impl Server {
    /// nginx with TLS 1.2 and 1.3, sessions, tickets and early data, that answers 200 to everything but
    /// serves `…/files/NAME` from `dir/files`, and keeps a log for [`log`]. `alpn`: `http2` or empty.
    ///
    /// # Errors
    /// When it does not start.
    pub fn nginx_tls(dir: &Path, alpn: &str, certificate: &Certificate) -> Result<Self> {
        // `return` answers before it has read a body, and a client of HTTP/2 then waits for a window: what
        // has one goes through a unix socket of the same nginx.
        let inner = dir.join("inner");
        let block = format!(
            "location / {{ return 200 \"ok\\n\"; }} \
             location ~ /files/(?<file>[a-z]+)$ {{ alias {}/files/$file; }} \
             location ~ /(two|up-[a-z]+)$ {{ proxy_set_header Host inner; proxy_pass http://unix:{}; }} }} \
             server {{ listen unix:{}; client_max_body_size 64m; location / {{ return 200 \"ok\\n\"; }}",
            dir.display(),
            inner.display(),
            inner.display(),
        );
        Self::nginx_tls_with(dir, "tls", alpn, certificate, &block)
    }

    /// The same with another name and other locations.
    ///
    /// # Errors
    /// When it does not start.
    pub fn nginx_tls_with(
        dir: &Path,
        name: &str,
        alpn: &str,
        certificate: &Certificate,
        locations: &str,
    ) -> Result<Self> {
        let block = format!(
            "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3; ssl_early_data on; \
             ssl_session_cache shared:s:1m; ssl_session_tickets on; client_max_body_size 64m; \
             access_log {} truth; {locations}",
            certificate.file.display(),
            certificate.key.display(),
            dir.join(name).join("access.log").display(),
        );
        Self::nginx_with(dir, name, &format!("ssl {alpn}"), &block)
    }

    /// A script of `tests/peers`, told an address, a certificate and its key.
    ///
    /// # Errors
    /// When it does not start.
    pub fn script(
        dir: &Path,
        interpreter: &str,
        name: &str,
        kind: &str,
        certificate: &Certificate,
    ) -> Result<Self> {
        let address = free()?;
        let mut command = Command::new(interpreter);
        command
            .arg(peer(name))
            .args([kind, &address.port().to_string()])
            .arg(&certificate.file)
            .arg(&certificate.key);
        let log = dir.join(format!("{name}-{kind}.log"));
        Self::start(&mut command, &log, address, interpreter, false)
    }

    /// `localhost:port`, as clients of [`Self::https`] ask for it.
    #[must_use]
    pub fn named(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// The URL of a path, by the name that the certificate is for.
    #[must_use]
    pub fn https(&self, path: &str) -> String {
        format!("https://{}{path}", self.named())
    }
}

/// A file of `tests/peers`.
#[must_use]
pub fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// What nginx says of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Status that it answered.
    pub status: u16,
    /// As an access has it: `http/1.1`, `h2`.
    pub protocol: String,
    /// Version, server name, protocol agreed upon; `-` for what there was not.
    pub tls: [String; 3],
}

/// The requests that an nginx has answered, once they are so many.
///
/// # Errors
/// When they stay fewer, or are more.
pub fn log(dir: &Path, name: &str, count: usize) -> Result<Vec<Logged>> {
    let path = dir.join(name).join("access.log");
    let text = wait_for(&format!("{count} lines in nginx's log"), || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        Ok((text.lines().count() >= count).then_some(text))
    })?;
    let lines: Vec<Logged> = text.lines().map(parse).collect::<Result<_>>()?;
    ensure!(
        lines.len() == count,
        "{} requests in nginx's log, not {count}:\n{text}",
        lines.len()
    );
    Ok(lines)
}

fn parse(line: &str) -> Result<Logged> {
    let words: Vec<&str> = line.split(' ').collect();
    let &[method, path, status, protocol, version, sni, alpn] = words.as_slice() else {
        anyhow::bail!("nginx logged {line}");
    };
    let protocol = match protocol {
        "HTTP/2.0" => "h2".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    let version = version.strip_prefix("TLSv").unwrap_or("-");
    Ok(Logged {
        method: method.to_owned(),
        path: path.to_owned(),
        status: status
            .parse()
            .with_context(|| format!("nginx logged {line}"))?,
        protocol,
        tls: [version, sni, alpn].map(|word| if word.is_empty() { "-" } else { word }.to_owned()),
    })
}
