//! Real servers from the distribution's packages, each on a port of loopback of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{children, exe};
use crate::{Process, wait_for};

/// What nginx itself says of a request, for [`crate::tls::log`].
const LOG_FORMAT: &str = "log_format truth '$request_method $uri $status $server_protocol $ssl_protocol \
     $ssl_server_name $ssl_alpn_protocol';\n";

/// A server that answers GET for any path under its root.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its executable, links followed.
    pub exe: String,
    workers: bool,
}

impl Server {
    /// `python3 -m http.server`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn python(dir: &Path) -> Result<Self> {
        let address = free()?;
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1"])
            .arg(address.port().to_string())
            .arg("--directory")
            .arg(dir);
        // Without it HTTP/1.0 is answered; that is the default, and tested as it is.
        Self::start(
            &mut command,
            &dir.join("python.log"),
            address,
            "/usr/bin/python3",
            false,
        )
    }

    /// A node server that answers 200 to everything and keeps connections.
    ///
    /// # Errors
    /// When it does not start.
    pub fn node(dir: &Path) -> Result<Self> {
        let address = free()?;
        let script = format!(
            "require('http').createServer((req, res) => {{ req.resume(); req.on('end', () => res.end('ok\\n')); }})\
             .listen({}, '127.0.0.1')",
            address.port()
        );
        let mut command = Command::new("/usr/bin/node");
        command.arg("-e").arg(script);
        Self::start(
            &mut command,
            &dir.join("node.log"),
            address,
            "/usr/bin/node",
            false,
        )
    }

    /// nginx with one worker that answers 200 to everything.
    ///
    /// # Errors
    /// When it does not start.
    pub fn nginx(dir: &Path) -> Result<Self> {
        Self::nginx_with(dir, "nginx", "", "location / { return 200 \"ok\\n\"; }")
    }

    /// nginx with one worker that passes everything on to another server.
    ///
    /// # Errors
    /// When it does not start.
    pub fn nginx_proxy(dir: &Path, upstream: SocketAddr) -> Result<Self> {
        Self::nginx_with(dir, "proxy", "", &passes_to(upstream))
    }

    /// nginx with one worker, a name for its directory, what follows the address that it listens on, and
    /// what is in its `server` block.
    ///
    /// # Errors
    /// When it does not start.
    pub fn nginx_with(dir: &Path, name: &str, listen: &str, block: &str) -> Result<Self> {
        let address = free()?;
        let home = dir.join(name);
        fs::create_dir(&home)?;
        let at = home.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .collect();
        let config = home.join("nginx.conf");
        fs::write(
            &config,
            format!(
                "daemon off; worker_processes 1; user root; pid {at}/pid; error_log {at}/error.log;\n\
                 events {{ worker_connections 4096; }}\n\
                 http {{ access_log off; keepalive_requests 1000000;\n{temporary}{LOG_FORMAT}\
                 server {{ listen {address} {listen}; {block} }} }}\n"
            ),
        )?;
        let mut command = Command::new("/usr/sbin/nginx");
        command
            .arg("-p")
            .arg(&home)
            .arg("-e")
            .arg(home.join("error.log"))
            .arg("-c")
            .arg(&config);
        Self::start(
            &mut command,
            &dir.join(format!("{name}.log")),
            address,
            "/usr/sbin/nginx",
            true,
        )
    }

    /// Any other command that will listen there.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        command: &mut Command,
        log: &Path,
        address: SocketAddr,
        path: &str,
        workers: bool,
    ) -> Result<Self> {
        let mut process = Process::start(command, log)?;
        wait_for(&format!("{path} to listen on {address}"), || {
            anyhow::ensure!(process.running()?, "{path} ended\n{}", process.log());
            Ok(
                TcpStream::connect_timeout(&address, crate::scaled(Duration::from_secs(1)))
                    .is_ok()
                    .then_some(()),
            )
        })?;
        Ok(Self {
            process,
            address,
            exe: exe(path)?,
            workers,
        })
    }

    /// The process that answers: the worker of a server that has one.
    ///
    /// # Errors
    /// When it has none.
    pub fn id(&self) -> Result<u32> {
        if !self.workers {
            return Ok(self.process.id());
        }
        let workers = children(self.process.id())?;
        workers.first().copied().context("nginx has no worker")
    }

    /// `host:port` as a client's Host field has it.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// The location of an nginx that passes everything on.
#[must_use]
pub fn passes_to(upstream: SocketAddr) -> String {
    format!(
        "location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}"
    )
}

/// A port that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free() -> Result<SocketAddr> {
    let listener = TcpListener::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))?;
    Ok(listener.local_addr()?)
}
