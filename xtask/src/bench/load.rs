//! The server, the load and the monitor of one measurement.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::process::{self, Cpu, Process};
use crate::shell::capture;

/// nginx with one worker that answers from memory, and one file.
#[derive(Debug)]
pub(crate) struct Nginx {
    master: Process,
    /// Where it listens on loopback, in clear text.
    port: u16,
    /// And over TLS 1.3.
    tls: u16,
}

/// Where requests go: scheme and address.
#[derive(Clone, Debug)]
pub(crate) struct Target(pub(crate) String);

impl Nginx {
    /// Starts it and waits until it answers.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let free = || -> Result<u16> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
        let (port, tls) = (free()?, free()?);
        certificate(dir)?;
        let config = dir.join("nginx.conf");
        let at = dir.display();
        fs::write(
            &config,
            format!(
                "daemon off; worker_processes 1; pid {at}/nginx.pid; error_log {at}/nginx.log;\n\
                 events {{ worker_connections 8192; }}\n\
                 http {{\n\
                 access_log off; keepalive_requests 1000000000;\n\
                 client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3;\n\
                 uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;\n\
                 server {{ listen 127.0.0.1:{port}; listen 127.0.0.1:{tls} ssl; ssl_protocols TLSv1.3;\n\
                 ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem;\n\
                 location / {{ return 200 \"ok\\n\"; }} location /gigabyte {{ root {at}/www; }} }}\n\
                 }}\n"
            ),
        )?;
        let mut master = Process::start(
            Command::new("/usr/sbin/nginx")
                .arg("-p")
                .arg(dir)
                .arg("-e")
                .arg(dir.join("nginx.log"))
                .arg("-c")
                .arg(&config),
        )?;
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if master.ended()? || begin.elapsed() > Duration::from_secs(10) {
                bail!("nginx does not answer; see {at}/nginx.log");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { master, port, tls })
    }

    /// Clear text.
    pub(crate) fn clear(&self) -> Target {
        Target(format!("http://127.0.0.1:{}", self.port))
    }

    /// Port of TLS 1.3.
    pub(crate) fn tls_port(&self) -> u16 {
        self.tls
    }

    /// TLS 1.3.
    pub(crate) fn tls(&self) -> Target {
        Target(format!("https://127.0.0.1:{}", self.tls))
    }

    /// CPU time of its workers.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let mut sum = Cpu::default();
        for worker in process::children(self.master.id())? {
            sum = sum + process::cpu(worker)?;
        }
        Ok(sum)
    }
}

/// A key of P-256 and a certificate for it, for a day.
fn certificate(dir: &Path) -> Result<()> {
    let status = Command::new("/usr/bin/openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-keyout"])
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .stderr(Stdio::null())
        .status()
        .context("cannot start openssl")?;
    ensure!(status.success(), "openssl made no certificate: {status}");
    Ok(())
}

/// The monitor, with a state of its own.
#[derive(Debug)]
pub(crate) struct Monitor {
    process: Process,
    binary: PathBuf,
    socket: PathBuf,
}

impl Monitor {
    /// Starts it without a policy and waits until it answers.
    pub(crate) fn start(binary: &Path, dir: &Path) -> Result<Self> {
        Self::start_with(binary, dir, "policy = []")
    }

    /// Starts it with a line of configuration and waits until it answers.
    pub(crate) fn start_with(binary: &Path, dir: &Path, line: &str) -> Result<Self> {
        let (state, runtime) = (dir.join("state"), dir.join("run"));
        fs::create_dir_all(&state)?;
        fs::create_dir_all(&runtime)?;
        let config = dir.join("bailiwick.toml");
        fs::write(
            &config,
            format!(
                "environment = \"dev\"\n{line}\nstate_dir = {state:?}\nruntime_dir = {runtime:?}\n"
            ),
        )?;
        let log = dir.join("monitor.log");
        let process = Process::start(
            Command::new(binary)
                .args(["run", "--config"])
                .arg(&config)
                .env_remove("LD_LIBRARY_PATH")
                .stdout(Stdio::null())
                .stderr(File::create(&log)?),
        )?;
        let mut monitor = Self {
            process,
            binary: binary.to_owned(),
            socket: runtime.join("control.sock"),
        };
        let begin = Instant::now();
        while monitor.status().is_err() {
            if monitor.process.ended()? || begin.elapsed() > Duration::from_secs(30) {
                bail!("the monitor does not answer; see {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(monitor)
    }

    /// CPU time it used.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        process::cpu(self.process.id())
    }

    /// Most memory it had, in KiB.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        process::peak_memory(self.process.id())
    }

    /// What one of its client commands prints.
    pub(crate) fn command(&self, args: &[&str]) -> Result<String> {
        capture(
            Command::new(&self.binary)
                .args(args)
                .arg("--socket")
                .arg(&self.socket)
                .env_remove("LD_LIBRARY_PATH"),
        )
    }

    /// Its own account of what it saw and lost.
    pub(crate) fn status(&self) -> Result<serde_json::Value> {
        let text = self.command(&["status", "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("`status -o json` wrote {text}"))
    }
}

/// What wrk measured.
#[derive(Debug, PartialEq)]
pub(crate) struct Load {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Requests per second.
    pub(crate) per_second: f64,
    /// Whether it reports errors of sockets or statuses.
    pub(crate) failed: bool,
}

/// Sends requests with a credential over kept-alive connections, or each over one of its own.
pub(crate) fn wrk(target: &Target, seconds: u32, connections: u32, each: bool) -> Result<Load> {
    let mut wrk = Command::new("/usr/bin/wrk");
    wrk.args([
        "--threads=1",
        &format!("--connections={connections}"),
        &format!("--duration={seconds}s"),
        "--header=Authorization: Bearer bench-token-0123456789abcdef",
    ]);
    if each {
        wrk.arg("--header=Connection: close");
    }
    let text = capture(wrk.arg(format!("{}/v1/items/17", target.0)))?;
    parse_wrk(&text).with_context(|| format!("wrk wrote another form:\n{text}"))
}

fn parse_wrk(text: &str) -> Option<Load> {
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())?;
    let per_second = text.lines().find_map(|line| {
        line.trim()
            .strip_prefix("Requests/sec:")?
            .trim()
            .parse()
            .ok()
    })?;
    let failed = text.contains("Socket errors") || text.contains("Non-2xx");
    Some(Load {
        requests,
        per_second,
        failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_wrk() {
        let text = "Running 1s test @ http://127.0.0.1:80/\n  1 threads and 64 connections\n  \
                    Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   1.00ms\n  \
                    62934 requests in 1.01s, 9.96MB read\nRequests/sec:  62421.55\nTransfer/sec:      9.88MB\n";
        assert_eq!(
            parse_wrk(text),
            Some(Load {
                requests: 62934,
                per_second: 62421.55,
                failed: false
            })
        );
        let bad = format!("{text}  Socket errors: connect 0, read 1, write 0, timeout 0\n");
        assert!(parse_wrk(&bad).unwrap().failed);
        assert_eq!(parse_wrk("unable to connect"), None);
    }
}
