//! The daemon's output as values.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bailiwick::access::record::AccessRecord;
use serde_json::Value;

use crate::{Daemon, Process, http, patience, scaled, unique};

/// `bailiwick tail -o json`, followed from now on.
#[derive(Debug)]
pub struct Watch<'a> {
    daemon: &'a Daemon,
    lines: Receiver<String>,
    process: Process,
    seen: Vec<Value>,
}

impl<'a> Watch<'a> {
    /// Starts it, and returns once it shows what happens.
    pub(crate) fn start(daemon: &'a Daemon, args: &[&str]) -> Result<Self> {
        let mut watch = Self::start_filtered(daemon, args)?;
        // Whether it is connected shows only when something comes through.
        let begin = Instant::now();
        loop {
            let path = watch.send_mark()?;
            if watch.wait_mark(&path, scaled(Duration::from_millis(500)))? {
                watch.seen.clear();
                return Ok(watch);
            }
            if begin.elapsed() > patience() {
                bail!(
                    "tail does not show a request that this test made\n{}",
                    daemon.log()
                );
            }
        }
    }

    /// Starts it with a filter that may hide marks.
    pub(crate) fn start_filtered(daemon: &'a Daemon, args: &[&str]) -> Result<Self> {
        let mut child = daemon
            .command(&[&["tail", "-o", "json"], args].concat())?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start tail")?;
        let stdout = child.stdout.take().context("tail has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            daemon,
            lines,
            process: Process::adopt(child, "bailiwick tail"),
            seen: Vec::new(),
        })
    }

    /// Makes a request that the daemon will show after everything that happened before it, waits for it,
    /// and returns all accesses shown until then.
    ///
    /// # Errors
    /// When it does not come.
    pub fn until_mark(&mut self) -> Result<Vec<AccessRecord>> {
        let path = self.send_mark()?;
        ensure!(
            self.wait_mark(&path, patience())?,
            "the last request did not appear within {:?}; tail showed {} lines\n{}",
            patience(),
            self.seen.len(),
            self.daemon.log()
        );
        // Answers that came late, and duplicates if there are any.
        self.drain(Duration::from_millis(400))?;
        let mut accesses = Vec::new();
        for value in std::mem::take(&mut self.seen) {
            if value["type"] == "access" && !is_mark(&value) {
                accesses.push(parse(value)?);
            }
        }
        Ok(accesses)
    }

    /// The accesses to one host (as the request named it) until now.
    ///
    /// # Errors
    /// As [`Self::until_mark`].
    pub fn accesses_of(&mut self, host: &str) -> Result<Vec<AccessRecord>> {
        let mut accesses = self.until_mark()?;
        accesses.retain(|access| access.request.host == host);
        Ok(accesses)
    }

    /// The accesses to one host, so many and no more.
    ///
    /// # Errors
    /// When they are another number; the message has the daemon's account of what it lost.
    pub fn exactly(&mut self, count: usize, host: &str) -> Result<Vec<AccessRecord>> {
        let accesses = self.accesses_of(host)?;
        if accesses.len() != count {
            let status = self.daemon.status()?;
            let list: Vec<String> = accesses
                .iter()
                .take(60)
                .map(|access| {
                    let status = access.response.as_ref().map(|response| response.status);
                    format!(
                        "{} {} {status:?}",
                        access.request.method, access.request.path
                    )
                })
                .collect();
            bail!(
                "{} accesses, not {count}\nlosses {}\nanomalies {}\nuncovered {}\n{}",
                accesses.len(),
                status["losses"],
                status["anomalies"],
                status["uncovered"],
                list.join("\n")
            );
        }
        Ok(accesses)
    }

    /// Reads what comes until nothing came for that long, and returns all of it.
    ///
    /// # Errors
    /// When tail ended.
    pub fn until_quiet(&mut self, quiet: Duration) -> Result<Vec<Value>> {
        self.drain(quiet)?;
        Ok(std::mem::take(&mut self.seen))
    }

    /// The first line from now on that fits.
    ///
    /// # Errors
    /// When none comes.
    pub fn find(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let begin = Instant::now();
        let mut next = 0;
        loop {
            if let Some(at) = self.seen[next..].iter().position(&fits) {
                return Ok(self
                    .seen
                    .drain(..=next + at)
                    .next_back()
                    .unwrap_or_default());
            }
            next = self.seen.len();
            if begin.elapsed() > patience() {
                bail!(
                    "tail showed no {what}, but {} other lines\n{}",
                    next,
                    self.daemon.log()
                );
            }
            self.read(Duration::from_millis(100))?;
        }
    }

    fn send_mark(&self) -> Result<String> {
        let path = format!("/mark/{}", unique("m"));
        let answer = http::get(self.daemon.marker.address(), &path, &[])?;
        ensure!(
            answer.starts_with("HTTP/1.1 200"),
            "the mark was answered with {answer}"
        );
        Ok(path)
    }

    fn wait_mark(&mut self, path: &str, patience: Duration) -> Result<bool> {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            self.read(Duration::from_millis(50))?;
            if self
                .seen
                .iter()
                .any(|value| value["request"]["path"] == path)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn drain(&mut self, quiet: Duration) -> Result<()> {
        while self.read(quiet)? {}
        Ok(())
    }

    /// Takes in what is there; waits so long for the first line. Whether there was one.
    fn read(&mut self, patience: Duration) -> Result<bool> {
        let mut line = match self.lines.recv_timeout(patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.process.wait(scaled(Duration::from_secs(1)))?;
                bail!("tail ended with {status}\n{}", self.daemon.log());
            }
        };
        loop {
            let value = serde_json::from_str(&line)
                .with_context(|| format!("tail wrote no JSON: {line}"))?;
            self.seen.push(value);
            match self.lines.try_recv() {
                Ok(next) => line = next,
                Err(_) => return Ok(true),
            }
        }
    }
}

/// An access as its documented type, which every line must fit.
///
/// # Errors
/// When it does not.
pub fn parse(value: Value) -> Result<AccessRecord> {
    let text = value.to_string();
    serde_json::from_value(value).with_context(|| format!("not an access: {text}"))
}

fn is_mark(value: &Value) -> bool {
    value["request"]["path"]
        .as_str()
        .is_some_and(|path| path.starts_with("/mark/"))
}

/// The one access with that path.
///
/// # Errors
/// When there is none, or more than one.
pub fn only<'a>(accesses: &'a [AccessRecord], path: &str) -> Result<&'a AccessRecord> {
    let found: Vec<&AccessRecord> = accesses
        .iter()
        .filter(|access| access.request.path == path)
        .collect();
    ensure!(
        found.len() == 1,
        "{path} was seen {} times, not once, among\n{accesses:#?}",
        found.len()
    );
    Ok(found[0])
}
