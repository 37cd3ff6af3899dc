//! The daemon that is drilled: this program's `run`, with a configuration and a state of its own.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::error::DrillError;
use super::ground::{Ground, write};
use super::receiver::Receiver;
use super::technique::quoted;
use crate::census::IdentityRecord;
use crate::serve::records::StatusRecord;

/// Longest start of a daemon: loading the kernel programs takes about a second.
const START: Duration = Duration::from_secs(60);
/// Longest end.
const END: Duration = Duration::from_secs(10);

/// A running daemon. Ends when dropped.
pub(super) struct Watcher {
    child: Child,
    program: PathBuf,
    socket: PathBuf,
}

impl Watcher {
    /// Starts one with this policy and waits until it is ready.
    ///
    /// # Errors
    /// When it ends first, or takes too long: with its last words.
    pub(super) fn start(
        ground: &Ground,
        policy: &str,
        receiver: &Receiver,
        stop: impl Fn() -> bool,
    ) -> Result<Self, DrillError> {
        let lack = |error: io::Error| DrillError::on("a daemon for the drill", &error);
        let dir = ground.private();
        let text = |name: &str| quoted(&dir.join(name).display().to_string());
        let config = format!(
            "policy = [\"policy.toml\"]\nstate_dir = {}\nruntime_dir = {}\n\
             # Small rings: a flood is to press them.\n[capture]\nring_mib = 1\n\
             # Days cannot pass in a drill: a habit is that of a minute.\n[baseline]\nusual_after_days = 1\n\
             mature_after_days = 1\nmature_after_windows = 1\nwindow_s = 1\nalerts_per_day = 10\n\
             [[webhook]]\nname = \"drill\"\nurl = \"http://{}/hook\"\nsecret = {}\nupdate_every = \"1s\"\n\
             rate = 60000\n",
            text("state"),
            text("run"),
            receiver.address,
            quoted(&format!("file:{}", dir.join("webhook.secret").display())),
        );
        for (name, text) in [
            ("bailiwick.toml", &*config),
            ("policy.toml", policy),
            ("webhook.secret", &receiver.secret),
        ] {
            write(&dir.join(name), text).map_err(lack)?;
        }
        let notify = UnixDatagram::bind(dir.join("notify")).map_err(lack)?;
        notify
            .set_read_timeout(Some(Duration::from_millis(100)))
            .map_err(lack)?;
        let log = File::create(dir.join("log")).map_err(lack)?;
        let program = ground.places.bin.join("bailiwick");
        let mut command = Command::new(&program);
        command
            .args(["run", "--log-level", "warn", "--config"])
            .arg(dir.join("bailiwick.toml"))
            .env_clear()
            .env("NOTIFY_SOCKET", dir.join("notify"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        // SAFETY: between fork and exec it makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from)
            });
        }
        let child = command.spawn().map_err(lack)?;
        let mut watcher = Self {
            child,
            program,
            socket: dir.join("run").join(crate::config::SOCKET_NAME),
        };
        let words = || {
            let log = std::fs::read(dir.join("log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines: Vec<&str> = log.lines().rev().take(12).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        let failed = |what: &str| {
            DrillError::new("the daemon of the drill", format!("{what}\n{}", words()))
                .hint("`bailiwick doctor` shows what this kernel and these privileges allow")
        };
        let begin = Instant::now();
        let mut buffer = [0; 4096];
        loop {
            if let Ok(length) = notify.recv(&mut buffer)
                && String::from_utf8_lossy(buffer.get(..length).unwrap_or_default())
                    .lines()
                    .any(|line| line == "READY=1")
            {
                return Ok(watcher);
            }
            if let Ok(Some(status)) = watcher.child.try_wait() {
                return Err(failed(&format!("ended with {status}")));
            }
            if begin.elapsed() > START {
                return Err(failed("was not ready in time"));
            }
            if stop() {
                return Err(DrillError::new("the drill", "interrupted"));
            }
        }
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) fn status(&self) -> Result<StatusRecord, String> {
        let text = self.ask("status")?;
        serde_json::from_str(&text).map_err(|error| format!("status: {error}"))
    }

    /// How many accesses of an identity it has seen.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) fn accesses(&self, identity: &str) -> Result<u64, String> {
        let text = self.ask("identities")?;
        let all = text.lines().map(serde_json::from_str::<IdentityRecord>);
        let all: Vec<IdentityRecord> = all
            .collect::<Result<_, _>>()
            .map_err(|error| format!("identities: {error}"))?;
        let found = all.iter().find(|one| one.identity == identity);
        Ok(found.map_or(0, |one| one.accesses))
    }

    fn ask(&self, command: &str) -> Result<String, String> {
        let output = Command::new(&self.program)
            .args([command, "--output", "json", "--socket"])
            .arg(&self.socket)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // An error means that it ended before.
            let _ = kill_process(pid, Signal::TERM);
        }
        let begin = Instant::now();
        while begin.elapsed() < END {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
