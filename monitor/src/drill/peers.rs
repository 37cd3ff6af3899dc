//! The drill's processes, from the drill's side. Each ends with its guard.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ground::Ground;
use super::runner::interrupted;
use super::script::{Part, Script, Told};
use super::technique::{Actor, Piece, To};

/// A process of the drill.
pub(super) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a part.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        program: &Path,
        words: &[&str],
        env: &[(String, String)],
        dir: &Path,
    ) -> io::Result<Self> {
        Self::spawn(command(program, words, env, dir))
    }

    fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or_else(|| io::Error::other("no standard output"))?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// A line that it says; an error when it ends instead, or the drill is to.
    pub(super) fn line(&mut self) -> io::Result<String> {
        while self.output.buffer().is_empty() && !self.speaks()? {
            if interrupted() {
                return Err(io::Error::other("interrupted"));
            }
        }
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            return Err(io::Error::other(format!("ended with {status}")));
        }
        Ok(line)
    }

    /// Whether it says something, or ended, within a moment.
    fn speaks(&self) -> io::Result<bool> {
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        let mut fds = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
        match poll(&mut fds, Some(&moment)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn tell(&mut self, text: &[u8]) -> io::Result<()> {
        self.input
            .as_mut()
            .ok_or(io::ErrorKind::BrokenPipe)?
            .write_all(text)
    }

    /// Ends its input, which ends it, and returns the last line that it says.
    pub(super) fn finish(mut self) -> io::Result<String> {
        self.input = None;
        self.line()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.input = None;
        // Most end by themselves at once; a contained one leaves its group before its parent ends.
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(200) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(program: &Path, words: &[&str], env: &[(String, String)], dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("drill-peer")
        .args(words)
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// One client: what it told, and the process, which may stay for a while.
///
/// # Errors
/// What it could not do.
pub(super) fn talk(
    ground: &Ground,
    name: &str,
    actor: &Actor,
    to: To,
    pieces: &[Piece],
) -> Result<(Told, Peer), String> {
    let places = &ground.places;
    let program = places.bin.join(actor.program);
    let dir = match &actor.dotenv {
        Some(text) => ground
            .work(name, text)
            .map_err(|error| format!("a working directory: {error}"))?,
        None => "/".into(),
    };
    let entrance = match &actor.container {
        Some(id) => match ground.entrance(id) {
            Err(why) if actor.contained => return Err(why),
            other => other.ok(),
        },
        None => None,
    };
    let command = match entrance {
        None => {
            let mut command = command(&program, &["client"], &actor.env, &dir);
            if let Some(user) = actor.user {
                command.uid(user).gid(user);
            }
            command
        }
        Some(entrance) => {
            let entrance = entrance.display().to_string();
            let program = program.display().to_string();
            let user = actor.user.unwrap_or(0).to_string();
            let words = ["contain", &entrance, &user, &program];
            self::command(&places.bin.join("agent"), &words, &actor.env, &dir)
        }
    };
    if to == To::Far
        && let Some(why) = &ground.no_far
    {
        return Err(why.clone());
    }
    let script = Script {
        to: match to {
            To::Server => places.server,
            To::Far => places.far,
            To::At(address) => address,
        },
        pieces: pieces.iter().map(Part::from).collect(),
        linger_ms: u64::try_from(actor.linger.as_millis()).unwrap_or(u64::MAX),
    };
    let run = || -> io::Result<(Told, Peer)> {
        let mut peer = Peer::spawn(command)?;
        peer.tell(&serde_json::to_vec(&script)?)?;
        peer.input = None;
        let told: Told = serde_json::from_str(&peer.line()?)?;
        Ok((told, peer))
    };
    let (told, peer) = run().map_err(|error| format!("{}: {error}", program.display()))?;
    match &told.error {
        None => Ok((told, peer)),
        Some(error) => Err(format!("{}: {error}", program.display())),
    }
}

/// A process that sends requests until [`Peer::finish`], which says how many.
///
/// # Errors
/// When it cannot be started.
pub(super) fn flood(ground: &Ground, token: &str, host: &str) -> io::Result<Peer> {
    let program = ground.places.bin.join("thief");
    let mut peer = Peer::start(&program, &["flood", host], &[], Path::new("/"))?;
    peer.tell(format!("{token}\n").as_bytes())?;
    peer.line()?;
    Ok(peer)
}
