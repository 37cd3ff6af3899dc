//! The history of a repository, through the installed `git`: every blob that a ref reaches, each once.
//!
//! The repository may be anybody's: nothing of it is run (no hooks, no file system monitor, no lazy fetching), and
//! git's own `safe.directory` stays in force.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Longest header line of a batch, and longest name of a path.
const LONGEST_LINE: u64 = 64 * 1024;

/// A history that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("git cannot be run: {0}\nhint: install git; histories are read through it")]
    Missing(io::Error),
    /// It said no.
    #[error("{}: git says: {said}\nhint: name the directory of a repository that is yours (git's safe.directory)", path.display())]
    Refused {
        /// Repository.
        path: std::path::PathBuf,
        /// What it said.
        said: String,
    },
    /// Its answer broke off.
    #[error("reading from git: {0}")]
    Broken(#[from] io::Error),
}

fn git(path: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("--no-replace-objects")
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
        ])
        .arg("-C")
        .arg(path)
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A child that is ended when this is dropped.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may be over already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn spawn(mut command: Command) -> Result<Guard, GitError> {
    command.spawn().map(Guard).map_err(GitError::Missing)
}

/// Hands each blob to `blob`: its id, the path it had (one of them), its bytes, which must be read to the end or not at
/// all. Returns how many there were.
///
/// # Errors
/// When git is missing, refuses, or breaks off.
pub(super) fn blobs(
    path: &Path,
    blob: &mut dyn FnMut(&str, &str, &mut dyn Read) -> io::Result<()>,
) -> Result<u64, GitError> {
    let mut list = git(path);
    list.args(["rev-list", "--objects", "--all"]);
    let mut list = spawn(list)?;
    let mut batch = git(path);
    batch
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let mut batch = spawn(batch)?;
    let pipe = || io::Error::other("no pipe");
    let mut ask: ChildStdin = batch.0.stdin.take().ok_or_else(pipe)?;
    let answers: ChildStdout = batch.0.stdout.take().ok_or_else(pipe)?;
    let mut answers = BufReader::with_capacity(256 * 1024, answers);
    let listed: ChildStdout = list.0.stdout.take().ok_or_else(pipe)?;
    let mut listed = BufReader::with_capacity(256 * 1024, listed);
    let mut count = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut listed)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)?
            == 0
        {
            break;
        }
        if !line.ends_with(b"\n") {
            return Err(io::Error::other("a path in the history is longer than 64 KiB").into());
        }
        // Commits have an id alone; trees and blobs a path, the root's tree an empty one.
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        let Some((id, name)) = text.split_once(' ').filter(|(_, name)| !name.is_empty()) else {
            continue;
        };
        ask.write_all(format!("{id}\n").as_bytes())?;
        ask.flush()?;
        let mut header = Vec::new();
        (&mut answers)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut header)?;
        let header = String::from_utf8_lossy(&header).into_owned();
        let mut words = header.split_whitespace();
        let (kind, size) = (
            words.nth(1),
            words.next().and_then(|size| size.parse::<u64>().ok()),
        );
        let (Some(kind), Some(size)) = (kind, size) else {
            // `ID missing`: a partial clone.
            return Err(GitError::Refused {
                path: path.to_owned(),
                said: format!("object {id} is not here"),
            });
        };
        let mut body = (&mut answers).take(size);
        if kind == "blob" {
            count += 1;
            blob(id, name, &mut body)?;
        }
        io::copy(&mut body, &mut io::sink())?;
        // The line break behind it.
        io::copy(&mut (&mut answers).take(1), &mut io::sink())?;
    }
    let status = list.0.wait()?;
    if !status.success() {
        let mut said = String::new();
        if let Some(errors) = list.0.stderr.take() {
            drop(errors.take(4096).read_to_string(&mut said));
        }
        return Err(GitError::Refused {
            path: path.to_owned(),
            said: said.trim().to_owned(),
        });
    }
    Ok(count)
}
