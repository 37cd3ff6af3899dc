//! The daemon under test, on the real kernel, with a configuration and a state of its own.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::Answerer;
use crate::{Process, Watch};

/// How a daemon is to be started.
#[derive(Debug, Default)]
pub struct Setup {
    policy: String,
    config: String,
    launcher: Vec<String>,
    owner: Option<(u32, u32)>,
    beside_code: bool,
    at: Option<PathBuf>,
}

impl Setup {
    /// With its files in this directory, which is made and removed. It must not be there.
    #[must_use]
    pub fn at(mut self, dir: &Path) -> Self {
        self.at = Some(dir.to_owned());
        self
    }

    /// With this policy.
    #[must_use]
    pub fn policy(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.policy);
        self
    }

    /// With these lines behind the configuration's own.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self
    }

    /// Looks for credentials beside the code of workloads. The clients of tests stand in these sources, which
    /// are full of the credentials they send: only a test that means it wants to hear of that.
    #[must_use]
    pub fn beside_code(mut self) -> Self {
        self.beside_code = true;
        self
    }

    /// Started by this command (`setpriv …`), its files owned by that user and group.
    #[must_use]
    pub fn launcher(mut self, command: Vec<String>, user: u32, group: u32) -> Self {
        self.launcher = command;
        self.owner = Some((user, group));
        self
    }

    /// Writes the configuration and starts the daemon.
    ///
    /// # Errors
    /// When it does not say that it is ready; the message has its log.
    pub fn start(self) -> Result<Daemon> {
        let mut daemon = self.prepare()?;
        daemon.restart()?;
        Ok(daemon)
    }

    /// Writes the configuration only.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare(self) -> Result<Daemon> {
        let mut builder = tempfile::Builder::new();
        let dir = match &self.at {
            None => builder.prefix("bailiwick-e2e-").tempdir()?,
            Some(at) => {
                let name = at.file_name().context("no name")?;
                let parent = at.parent().context("no parent")?;
                builder.prefix(name).rand_bytes(0).tempdir_in(parent)?
            }
        };
        let at = dir.path();
        for name in ["state", "run"] {
            fs::create_dir(at.join(name))?;
        }
        fs::write(
            at.join("bailiwick.toml"),
            format!(
                "environment = \"dev\"\npolicy = [\"policy.toml\"]\nstate_dir = {:?}\nruntime_dir = {:?}\n{}\n[scan]\nworkloads = {}\n",
                at.join("state"),
                at.join("run"),
                self.config,
                self.beside_code
            ),
        )?;
        fs::write(
            at.join("policy.toml"),
            format!("version = 1\n{}", self.policy),
        )?;
        if let Some((user, group)) = self.owner {
            use std::os::unix::fs::chown;
            for name in ["", "state", "run", "bailiwick.toml", "policy.toml"] {
                chown(at.join(name), Some(user), Some(group))?;
            }
        }
        let notify = UnixDatagram::bind(at.join("notify"))?;
        notify.set_read_timeout(Some(Duration::from_millis(100)))?;
        // The daemon may be another user.
        fs::set_permissions(
            at.join("notify"),
            std::os::unix::fs::PermissionsExt::from_mode(0o666),
        )?;
        let marker = Answerer::inet()?;
        Ok(Daemon {
            dir,
            launcher: self.launcher,
            process: None,
            notify,
            marker,
        })
    }
}

/// A daemon. Ends when dropped.
#[derive(Debug)]
pub struct Daemon {
    /// Ends before its directory is removed.
    process: Option<Process>,
    dir: TempDir,
    launcher: Vec<String>,
    notify: UnixDatagram,
    /// Answers the marks that [`Watch::until_mark`] sends.
    pub(crate) marker: Answerer,
}

/// The program under test.
///
/// # Errors
/// When it was not built.
pub fn binary() -> Result<PathBuf> {
    let path = std::env::var_os("BAILIWICK_BIN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/bailiwick"),
        PathBuf::from,
    );
    path.canonicalize()
        .with_context(|| format!("{} is not there: run `cargo xtask build`", path.display()))
}

impl Daemon {
    /// A daemon without policy.
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub fn start() -> Result<Self> {
        Setup::default().start()
    }

    /// The directory with its configuration, state and log; gone with it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Process id.
    ///
    /// # Errors
    /// When it is not running.
    pub fn id(&self) -> Result<u32> {
        self.process
            .as_ref()
            .map(Process::id)
            .context("the daemon is not running")
    }

    /// What it logged since it was first started.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir().join("log")).unwrap_or_default()).into_owned()
    }

    /// Starts it (again) and waits until it says `READY=1`.
    ///
    /// # Errors
    /// When it ends first, or takes too long.
    pub fn restart(&mut self) -> Result<()> {
        self.process = None;
        self.spawn()?;
        self.wait_notified("READY=1")
    }

    /// Starts it without waiting.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        let binary = binary()?;
        let mut words: Vec<&std::ffi::OsStr> = self.launcher.iter().map(AsRef::as_ref).collect();
        words.push(binary.as_os_str());
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(["run", "--config"])
            .arg(self.dir().join("bailiwick.toml"))
            .env("NOTIFY_SOCKET", self.dir().join("notify"))
            .env_remove("LD_LIBRARY_PATH")
            .current_dir("/");
        self.process = Some(Process::start(&mut command, &self.dir().join("log"))?);
        Ok(())
    }

    /// Waits until it notifies its service manager of something.
    ///
    /// # Errors
    /// When it ends first, or takes too long.
    pub fn wait_notified(&mut self, word: &str) -> Result<()> {
        let begin = Instant::now();
        let mut buffer = [0; 4096];
        loop {
            if let Ok(length) = self.notify.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if text.lines().any(|line| line == word) {
                    return Ok(());
                }
            }
            let process = self.process.as_mut().context("the daemon is not running")?;
            if !process.running()? {
                bail!("the daemon ended before {word}\n{}", self.log());
            }
            if begin.elapsed() > crate::scaled(Duration::from_secs(30)) {
                bail!("the daemon did not say {word}\n{}", self.log());
            }
        }
    }

    /// Waits until it ends by itself and returns its exit code.
    ///
    /// # Errors
    /// When it goes on.
    pub fn wait_exit(&mut self) -> Result<Option<i32>> {
        let mut process = self.process.take().context("the daemon is not running")?;
        Ok(process.wait(crate::scaled(Duration::from_secs(30)))?.code())
    }

    /// Asks it to end and waits until it did.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(&mut self) -> Result<()> {
        let process = self.process.take().context("the daemon is not running")?;
        process.signal(Signal::TERM)?;
        process
            .finish(crate::scaled(Duration::from_secs(30)))
            .with_context(|| self.log())
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Errors
    /// When it ended before.
    pub fn kill(&mut self) -> Result<()> {
        let killed = self
            .process
            .as_mut()
            .context("the daemon is not running")?
            .kill();
        self.process = None;
        killed.with_context(|| self.log())
    }

    /// Writes a new policy, makes the daemon read it, and waits until it has.
    ///
    /// # Errors
    /// When it does not say so.
    pub fn reload(&mut self, policy: &str) -> Result<()> {
        fs::write(
            self.dir().join("policy.toml"),
            format!("version = 1\n{policy}"),
        )?;
        self.signal(Signal::HUP)?;
        self.wait_notified("RELOADING=1")?;
        self.wait_notified("READY=1")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process
            .as_ref()
            .context("the daemon is not running")?
            .signal(signal)
    }

    /// A client command that talks to this daemon.
    ///
    /// # Errors
    /// When the program was not built.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .args(args)
            .arg("--socket")
            .arg(self.socket())
            .env_remove("LD_LIBRARY_PATH");
        Ok(command)
    }

    /// Its control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir().join("run/control.sock")
    }

    /// Runs a client command to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        Ok(self.command(args)?.output()?)
    }

    /// The lines of a client command that writes JSON.
    ///
    /// # Errors
    /// When it fails or writes something else.
    pub fn json(&self, args: &[&str]) -> Result<Vec<Value>> {
        let output = self.run(&[args, &["-o", "json"]].concat())?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success(),
            "`bailiwick {}` ended with {}: {text}{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect()
    }

    /// Its own account of what it saw and lost.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> Result<Value> {
        let lines = self.json(&["status"])?;
        ensure!(lines.len() == 1, "status is {} lines", lines.len());
        Ok(lines.into_iter().next().unwrap_or_default())
    }

    /// Follows its accesses and alerts.
    ///
    /// # Errors
    /// When `tail` does not show what happens.
    pub fn watch(&self) -> Result<Watch<'_>> {
        Watch::start(self, &[])
    }

    /// Follows some of them: further arguments of `tail`, which must let the given host through
    /// only if [`Watch::until_mark`] is not used.
    ///
    /// # Errors
    /// When `tail` cannot be started.
    pub fn watch_only(&self, args: &[&str]) -> Result<Watch<'_>> {
        Watch::start_filtered(self, args)
    }

    /// Resident memory now, in KiB.
    ///
    /// # Errors
    /// When it is not running.
    pub fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.id()?);
        let text = fs::read_to_string(&path)?;
        text.lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .with_context(|| format!("{path} has no VmRSS"))
    }
}
