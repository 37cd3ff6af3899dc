//! Processes that end with the test.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// A child process: asked to end when dropped, then made to.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: Option<PathBuf>,
}

impl Process {
    /// Starts it, its output in a file beside the test's other files.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            child,
            name,
            log: Some(log.to_owned()),
        })
    }

    /// Takes over a child that somebody else started with its own pipes.
    #[must_use]
    pub fn adopt(child: Child, name: &str) -> Self {
        Self {
            child,
            name: name.to_owned(),
            log: None,
        }
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = pid(self.id())?;
        kill_process(pid, signal).with_context(|| format!("{} is gone", self.name))
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within that time.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begin.elapsed() > patience {
                bail!(
                    "{} did not end within {patience:?}\n{}",
                    self.name,
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it ended, and fails unless it ended well.
    ///
    /// # Errors
    /// When it does not end within that time, or with another code than 0.
    pub fn finish(mut self, patience: Duration) -> Result<()> {
        let status = self.wait(patience)?;
        ensure!(
            status.success(),
            "{} ended with {status}\n{}",
            self.name,
            self.log()
        );
        Ok(())
    }

    /// Kills it at once, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// When it was gone already.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        let status = self.wait(crate::scaled(Duration::from_secs(10)))?;
        ensure!(
            status.signal() == Some(9),
            "{} ended with {status} before it was killed",
            self.name
        );
        Ok(())
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.as_ref().map_or_else(String::new, |path| {
            String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Errors mean that it ended in between.
        let _ = self.signal(Signal::TERM);
        if self.wait(crate::scaled(Duration::from_secs(5))).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A process id as the kernel's.
fn pid(id: u32) -> Result<Pid> {
    Pid::from_raw(i32::try_from(id)?).context("no process has id 0")
}

/// What curl writes to its standard output; ten seconds at most.
///
/// # Errors
/// As [`client`].
pub fn curl(args: &[&str]) -> Result<String> {
    let (_, text) = client(
        Command::new("/usr/bin/curl")
            .args(["--silent", "--show-error", "--max-time", "10"])
            .args(args),
    )?;
    Ok(text)
}

/// Runs a client to its end and returns its process id and what it wrote.
///
/// # Errors
/// When it cannot be started or ends with another code than 0.
pub fn client(command: &mut Command) -> Result<(u32, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let id = child.id();
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{name} ended with {}: {text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((id, text))
}

/// The executable that a program's name leads to, links followed: what the kernel calls it.
///
/// # Errors
/// When there is no such file.
pub fn exe(path: &str) -> Result<String> {
    let real = Path::new(path)
        .canonicalize()
        .with_context(|| format!("{path} is not installed"))?;
    Ok(real.display().to_string())
}

/// Children of a process.
///
/// # Errors
/// When /proc cannot be read.
pub fn children(parent: u32) -> Result<Vec<u32>> {
    let mut text = String::new();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(id) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        text.clear();
        // A process may end between the listing and the reading.
        if File::open(format!("/proc/{id}/status"))
            .and_then(|mut f| f.read_to_string(&mut text))
            .is_err()
        {
            continue;
        }
        let its = text
            .lines()
            .find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
        if its == Some(parent) {
            found.push(id);
        }
    }
    Ok(found)
}
