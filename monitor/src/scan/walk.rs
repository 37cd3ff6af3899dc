//! What is scanned: trees, archives, histories, standard input; in parallel.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ignore::{WalkBuilder, WalkState};

use super::allow::AllowFile;
use super::engine::{Buffer, Scanned, Scanner};
use super::finding::{Candidate, Finding, Unread};
use super::git::{self, GitError};
use super::{Hit, archive};

/// Findings of one run; more are counted.
const MOST_FINDINGS: usize = 100_000;
/// Files named that could not be read; more are counted.
const MOST_NAMED: usize = 1000;

/// What to scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file or a directory.
    Path(PathBuf),
    /// The history of a repository.
    History(PathBuf),
    /// Standard input.
    Input,
}

/// How.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads.
    pub threads: usize,
    /// Whether `.gitignore` counts.
    pub respect_ignores: bool,
    /// What may stay.
    pub allow: AllowFile,
}

/// How far it is. Read while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files and blobs done.
    pub files: AtomicU64,
    /// Bytes done.
    pub bytes: AtomicU64,
    /// Findings.
    pub found: AtomicU64,
}

/// What it came to.
#[derive(Default)]
#[expect(
    missing_debug_implementations,
    reason = "it holds secrets until they are compared"
)]
pub struct Summary {
    /// By path, line and column; each with what is to be compared.
    pub findings: Vec<(Finding, Option<Candidate>)>,
    /// Files, members and blobs.
    pub files: u64,
    /// Bytes.
    pub scanned: Scanned,
    /// Findings that a comment or the allow file lets stay.
    pub allowed: u64,
    /// What was not read.
    pub unread: Vec<Unread>,
    /// How much more was not read.
    pub more_unread: u64,
    /// Findings beyond the bound.
    pub more_findings: u64,
}

struct Run<'a> {
    scanner: &'a Scanner,
    settings: &'a Settings,
    progress: &'a Progress,
    summary: Mutex<Summary>,
}

/// Scans everything. Never fails as a whole: what could not be read is in the summary.
///
/// # Errors
/// When a history cannot be read.
pub fn run(
    targets: &[Target],
    scanner: &Scanner,
    settings: &Settings,
    progress: &Progress,
) -> Result<Summary, GitError> {
    let run = Run {
        scanner,
        settings,
        progress,
        summary: Mutex::new(Summary::default()),
    };
    for target in targets {
        match target {
            Target::Path(path) => run.walk(path),
            Target::Input => {
                let mut buffer = Buffer::default();
                run.open("-", &mut io::stdin().lock(), &mut buffer);
            }
            Target::History(path) => run.history(path)?,
        }
    }
    let mut summary = run
        .summary
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    summary.findings.sort_by(|(a, _), (b, _)| {
        (&a.path, &a.within, a.line, a.column, &a.rule)
            .cmp(&(&b.path, &b.within, b.line, b.column, &b.rule))
    });
    summary.unread.sort();
    Ok(summary)
}

impl Run<'_> {
    fn summary(&self) -> std::sync::MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unread(&self, path: String, why: String) {
        let mut summary = self.summary();
        if summary.unread.len() < MOST_NAMED {
            summary.unread.push(Unread { path, why });
        } else {
            summary.more_unread += 1;
        }
    }

    fn walk(&self, root: &Path) {
        let respect = self.settings.respect_ignores;
        let walk = WalkBuilder::new(root)
            .hidden(false)
            .ignore(false)
            .git_ignore(respect)
            .git_exclude(respect)
            // The same on every machine.
            .git_global(false)
            .parents(respect)
            .require_git(false)
            .follow_links(false)
            .threads(self.settings.threads)
            .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git")
            .build_parallel();
        walk.run(|| {
            let mut buffer = Buffer::default();
            Box::new(move |entry| {
                match entry {
                    Ok(entry) => {
                        if let Some(error) = entry.error() {
                            self.unread(entry.path().display().to_string(), error.to_string());
                        }
                        let file = entry.file_type().is_some_and(|kind| kind.is_file());
                        // A link that was named is followed; those that are met are not.
                        let named =
                            entry.depth() == 0 && entry.path_is_symlink() && entry.path().is_file();
                        if file || named {
                            self.file(entry.path(), &mut buffer);
                        }
                    }
                    Err(error) => {
                        let why = error
                            .io_error()
                            .map_or_else(|| error.to_string(), ToString::to_string);
                        self.unread(
                            place_of(&error).unwrap_or_else(|| root.display().to_string()),
                            why,
                        );
                    }
                }
                WalkState::Continue
            })
        });
    }

    fn file(&self, path: &Path, buffer: &mut Buffer) {
        let name = path.display().to_string();
        if self.scanner.leaves_out(name.as_bytes()) {
            return;
        }
        match open(path) {
            Ok(mut file) => self.open(&name, &mut file, buffer),
            Err(error) => self.unread(name, error.to_string()),
        }
    }

    /// A file, a member at a time.
    fn open(&self, path: &str, reader: &mut dyn Read, buffer: &mut Buffer) {
        let result = archive::go_through(
            "",
            reader,
            0,
            &mut |within, reader| self.plain(path, within, reader, buffer),
            &mut |within, why| self.unread(full(path, within), why),
        );
        if let Err(error) = result {
            self.unread(path.to_owned(), error.to_string());
        }
    }

    fn plain(
        &self,
        path: &str,
        within: &str,
        reader: &mut dyn Read,
        buffer: &mut Buffer,
    ) -> io::Result<()> {
        let inner = within
            .rsplit('!')
            .next()
            .filter(|name| !name.is_empty())
            .unwrap_or(path);
        let result = self.scanner.scan(inner.as_bytes(), reader, buffer, |hit| {
            self.hit(path, within, hit)
        });
        let mut summary = self.summary();
        summary.files += 1;
        self.progress.files.fetch_add(1, Ordering::Relaxed);
        let scanned = result?;
        self.progress
            .bytes
            .fetch_add(scanned.bytes, Ordering::Relaxed);
        summary.scanned.add(scanned);
        Ok(())
    }

    fn hit(&self, path: &str, within: &str, hit: &Hit<'_>) {
        let rule = self.scanner.id(hit.rule);
        let mut summary = self.summary();
        if hit.allowed || self.settings.allow.allows(rule, path) {
            summary.allowed += 1;
            return;
        }
        if summary.findings.len() >= MOST_FINDINGS {
            summary.more_findings += 1;
            return;
        }
        self.progress.found.fetch_add(1, Ordering::Relaxed);
        let finding = Finding {
            r#type: "stored-credential".to_owned(),
            v: 1,
            rule: rule.to_owned(),
            text: self.scanner.text(hit.rule).to_owned(),
            path: path.to_owned(),
            within: (!within.is_empty()).then(|| within.to_owned()),
            line: hit.line,
            column: hit.column,
            offset: hit.offset,
            hint: (!hit.prefix.is_empty()).then(|| hit.prefix.to_owned()),
            length: hit.secret.len() as u64,
            fingerprint: None,
            live: None,
        };
        summary.findings.push((finding, Candidate::of(hit)));
    }

    fn history(&self, root: &Path) -> Result<(), GitError> {
        let threads = self.settings.threads.max(1);
        let (sender, receiver) =
            std::sync::mpsc::sync_channel::<(String, String, Vec<u8>)>(2 * threads);
        let receiver = Mutex::new(receiver);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut buffer = Buffer::default();
                    loop {
                        let next = receiver
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .recv();
                        let Ok((id, name, bytes)) = next else {
                            return;
                        };
                        self.blob(&id, &name, &mut bytes.as_slice(), &mut buffer);
                    }
                });
            }
            let mut buffer = Buffer::default();
            let result = git::blobs(root, &mut |id, name, body| {
                if self.scanner.leaves_out(name.as_bytes()) {
                    return Ok(());
                }
                let mut bytes = Vec::new();
                (&mut *body).take(MOST_AT_ONCE).read_to_end(&mut bytes)?;
                if bytes.len() as u64 == MOST_AT_ONCE {
                    // Too large to be handed on: here, as it comes.
                    self.blob(id, name, &mut bytes.as_slice().chain(body), &mut buffer);
                } else if sender
                    .send((id.to_owned(), name.to_owned(), bytes))
                    .is_err()
                {
                    return Err(io::Error::other("the scanning threads ended"));
                }
                Ok(())
            });
            drop(sender);
            result.map(|_| ())
        })
    }

    fn blob(&self, id: &str, name: &str, reader: &mut dyn Read, buffer: &mut Buffer) {
        let short = id.get(..12).unwrap_or(id);
        let result = archive::go_through(
            "",
            reader,
            0,
            &mut |within, reader| {
                let file = within
                    .rsplit('!')
                    .next()
                    .filter(|inner| !inner.is_empty())
                    .unwrap_or(name);
                let at = if within.is_empty() {
                    format!("blob {short}")
                } else {
                    format!("blob {short}!{within}")
                };
                let result = self.scanner.scan(file.as_bytes(), reader, buffer, |hit| {
                    self.hit(name, &at, hit)
                });
                let mut summary = self.summary();
                summary.files += 1;
                self.progress.files.fetch_add(1, Ordering::Relaxed);
                let scanned = result?;
                self.progress
                    .bytes
                    .fetch_add(scanned.bytes, Ordering::Relaxed);
                summary.scanned.add(scanned);
                Ok(())
            },
            &mut |within, why| self.unread(full(&format!("{name} (blob {short})"), within), why),
        );
        if let Err(error) = result {
            self.unread(format!("{name} (blob {short})"), error.to_string());
        }
    }
}

/// Bytes of a blob that are held to be handed to another thread.
const MOST_AT_ONCE: u64 = 8 * 1024 * 1024;

fn full(path: &str, within: &str) -> String {
    if within.is_empty() {
        path.to_owned()
    } else {
        format!("{path}!{within}")
    }
}

fn place_of(error: &ignore::Error) -> Option<String> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path.display().to_string()),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            place_of(err)
        }
        _ => None,
    }
}

/// Opens a regular file without waiting for anything: a pipe that took its place would block.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("no regular file"))
}
