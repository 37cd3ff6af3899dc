//! What the checks stand on: commands, requests, a server and a receiver of webhooks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell::show;

/// Where the server listens.
pub(super) const PORT: u16 = 8080;
/// Where webhooks arrive.
pub(super) const RECEIVER: u16 = 9090;

/// systemd's version.
pub(super) fn about() -> String {
    let text = output(&["systemctl", "--version"])
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let name = std::fs::read_to_string("/etc/os-release")
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("PRETTY_NAME="))
                .map(|name| name.trim_matches('"').to_owned())
        })
        .unwrap_or_default();
    format!("{name}, {}", text.lines().next().unwrap_or_default())
}

/// Runs a command to its end.
pub(super) fn output(words: &[&str]) -> Result<Output> {
    let mut command = Command::new(words.first().context("no command")?);
    command
        .args(&words[1..])
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SYSTEMD_PAGER", "");
    let shown = show(&command);
    command
        .output()
        .with_context(|| format!("cannot start `{shown}`"))
}

/// Runs a command that has to succeed; → its standard output.
pub(super) fn must(words: &[&str]) -> Result<String> {
    let output = output(words)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "`{}` failed: {}: {} {}",
            words.join(" "),
            output.status,
            text.trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(text)
}

/// A property of the service.
pub(super) fn property(name: &str) -> Result<String> {
    let text = must(&["systemctl", "show", "--value", "-p", name, "bailiwick"])?;
    Ok(text.trim().to_owned())
}

/// Waits for something, looking each half second.
pub(super) fn wait<T>(
    seconds: u64,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begun.elapsed() > Duration::from_secs(seconds) {
            bail!("{what}: not within {seconds} seconds");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Objects that a command of bailiwick writes, one a line.
pub(super) fn records(words: &[&str]) -> Result<Vec<Value>> {
    let mut all = vec!["bailiwick"];
    all.extend(words);
    all.extend(["-o", "json"]);
    must(&all)?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
        .collect()
}

/// A request in a unit of its own; `user:password`, host and path.
pub(super) fn request(unit: &str, user: &str, host: &str, path: &str) -> Result<()> {
    let unit = format!("--unit={unit}");
    let url = format!("http://{host}:{PORT}{path}");
    must(&[
        "systemd-run",
        "--wait",
        "--collect",
        "--quiet",
        &unit,
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "60",
        "--user",
        user,
        &url,
    ])
    .map(drop)
}

/// The access whose path this is, as soon as it is told.
pub(super) fn access(path: &str) -> Result<Value> {
    wait(30, &format!("an access to {path}"), || {
        let all = records(&["tail", "--no-follow", "-n", "1000"])?;
        Ok(all
            .into_iter()
            .find(|access| access["request"]["path"] == path))
    })
}

/// Answers every request.
pub(super) struct Server;

impl Server {
    /// Starts it, for as long as this program runs.
    pub(super) fn start() -> Self {
        match TcpListener::bind(("127.0.0.1", PORT)) {
            Ok(listener) => {
                std::thread::spawn(move || {
                    for stream in listener.incoming().flatten() {
                        std::thread::spawn(move || serve(stream));
                    }
                });
            }
            Err(error) => println!("no server: {error}"),
        }
        Self
    }
}

fn serve(mut stream: TcpStream) {
    let Ok(copy) = stream.try_clone() else { return };
    let mut input = BufReader::new(copy);
    while head(&mut input).is_some() {
        if stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            .is_err()
        {
            break;
        }
    }
}

/// A request's head, its names in lower case.
fn head(input: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            return Some(lines);
        }
        lines.push(match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_lowercase()),
            None => line,
        });
    }
}

/// A webhook that arrived.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) time: String,
    pub(super) signature: String,
    pub(super) body: String,
}

/// Takes webhooks.
#[derive(Clone, Debug, Default)]
pub(super) struct Receiver(Arc<Mutex<Vec<Message>>>);

impl Receiver {
    pub(super) fn start() -> Result<Self> {
        let receiver = Self::default();
        let listener = TcpListener::bind(("127.0.0.1", RECEIVER))?;
        let inner = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(message) = take(stream) {
                    inner
                        .0
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(message);
                }
            }
        });
        Ok(receiver)
    }

    pub(super) fn all(&self) -> Vec<Message> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn take(mut stream: TcpStream) -> Option<Message> {
    let mut input = BufReader::new(stream.try_clone().ok()?);
    let head = head(&mut input)?;
    let field = |name: &str| {
        head.iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    let length: u64 = field("content-length")?.parse().ok()?;
    let mut body = String::new();
    input.take(length).read_to_string(&mut body).ok()?;
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        .ok()?;
    Some(Message {
        id: field("webhook-id")?,
        time: field("webhook-timestamp")?,
        signature: field("webhook-signature")?,
        body,
    })
}
