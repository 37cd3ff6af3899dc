//! Puts probes where plans say, as programs come and go, and keeps the book of what is probed.
//!
//! A thread of its own: attaching takes from 0.1 ms to some 10 ms, and must not keep the rings waiting.

mod fallback;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use crate::confine::{self, Part};

use super::kernel::{Hook, ProbeId, Probes};
use super::libraries::{FileId, Finder, FinderCounters, Found, Plan, ProbeKind, Requests, Scout};
pub use fallback::FallbackEntry;
use fallback::Fallbacks;

/// Most files whose probes are listed.
const MOST_FILES: usize = 4096;

/// One file in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbedFile {
    /// Its path as the process that led to it sees it.
    pub path: String,
    /// What is attached: the probe's name, and whether the kernel emulates the instruction.
    pub attached: Vec<(&'static str, bool)>,
    /// What is not, and why.
    pub missing: Vec<(&'static str, String)>,
}

/// What is probed, and what could not be.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// How probes are attached: `uprobe_multi` or `perf_event`; empty without any.
    pub means: &'static str,
    /// By device and inode, as far as there is room.
    pub files: BTreeMap<FileId, ProbedFile>,
    /// Processes with connections without keys, and what is probed in each.
    pub fallback: BTreeMap<u32, FallbackEntry>,
    /// Files that found no room above.
    pub unlisted: u64,
    /// What the search did.
    pub finder: FinderCounters,
}

impl Book {
    fn list(&mut self, id: FileId, file: ProbedFile) {
        if self.files.len() < MOST_FILES || self.files.contains_key(&id) {
            self.files.insert(id, file);
        } else {
            self.unlisted += 1;
        }
    }
}

/// The book, shared with who shows it.
pub type SharedBook = Arc<Mutex<Book>>;

/// A copy of the book as it is now.
#[must_use]
pub fn read(book: &SharedBook) -> Book {
    book.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Attaches to everything that is there now, then starts the thread that follows what comes. Tell the
/// returned [`Requests`] of processes; when it is dropped, the thread ends and the probes with it.
///
/// # Errors
/// No thread can be had.
pub fn start(mut finder: Finder, mut probes: Probes) -> io::Result<(Requests, SharedBook)> {
    let mut prober = Prober {
        fallbacks: Fallbacks::new(probes.take_ready()),
        probes,
        ids: BTreeMap::new(),
        book: SharedBook::default(),
    };
    let book = Arc::clone(&prober.book);
    prober.note(|book, probes| book.means = probes.means());
    for plan in finder.start(Duration::ZERO) {
        prober.carry_out(&plan);
    }
    let (requests, scout) = Scout::start(finder)?;
    thread::Builder::new()
        .name("prober".to_owned())
        .spawn(move || {
            confine::enter(Part::Probe, &[]);
            while let Ok(found) = scout.found.recv() {
                match found {
                    Found::Plan(plan) => prober.carry_out(&plan),
                    Found::Fallback(pid, wish) => prober.fallbacks.wish(pid, wish),
                }
                let counters = *scout
                    .counters
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let fallback = prober.fallbacks.entries();
                prober.note(|book, _| {
                    book.finder = counters;
                    book.fallback = fallback;
                });
            }
        })?;
    Ok((requests, book))
}

struct Prober {
    probes: Probes,
    fallbacks: Fallbacks,
    ids: BTreeMap<FileId, Vec<ProbeId>>,
    book: SharedBook,
}

impl Prober {
    fn note(&mut self, change: impl FnOnce(&mut Book, &Probes)) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut book, &self.probes);
    }

    fn carry_out(&mut self, plan: &Plan) {
        self.fallbacks.learn(plan);
        // The file was changed, or is another with the same number.
        for id in self.ids.remove(&plan.id).unwrap_or_default() {
            self.probes.detach(id);
        }
        let mut listed = ProbedFile {
            path: plan.path.clone(),
            attached: Vec::new(),
            missing: plan
                .missing
                .iter()
                .map(|missing| (missing.what, missing.why.clone()))
                .collect(),
        };
        if let Some(first) = plan.same_as.filter(|first| self.ids.contains_key(first)) {
            // The same inode, seen through another mount: a second probe would tell everything twice.
            return self.note(|book, _| {
                if let Some(listed) = book.files.get(&first).cloned() {
                    book.list(plan.id, listed);
                }
            });
        }
        let mut ids = Vec::new();
        let path = plan.attach_path();
        for point in &plan.points {
            let Some(hook) = hook(point.kind) else {
                continue;
            };
            match self.probes.attach_path(hook, &path, point.offset) {
                Ok(id) => {
                    ids.push(id);
                    listed.attached.push((point.kind.name(), point.emulated));
                }
                Err(error) => {
                    tracing::warn!(file = plan.path, %error, "a library is not probed");
                    listed.missing.push((point.kind.name(), error.to_string()));
                }
            }
        }
        if ids.is_empty() && listed.missing.is_empty() {
            return;
        }
        tracing::debug!(
            file = plan.path,
            probes = ids.len(),
            missing = listed.missing.len(),
            "library probed"
        );
        if !ids.is_empty() {
            self.ids.insert(plan.id, ids);
        }
        let id = plan.id;
        self.note(|book, _| book.list(id, listed));
    }
}

/// The program that reads a function's arguments; `None` for one that is only probed when keys cannot be
/// had.
fn hook(kind: ProbeKind) -> Option<Hook> {
    match kind {
        ProbeKind::OpensslKdfDerive => Some(Hook::OpensslKdf),
        ProbeKind::GnutlsPrfRaw => Some(Hook::GnutlsPrf),
        ProbeKind::GnutlsHkdfExpand => Some(Hook::GnutlsExpand),
        ProbeKind::GoWriteKeyLog => Some(Hook::GoKeyLog),
        ProbeKind::BoringLogSecret => Some(Hook::BoringLog),
        ProbeKind::HkdfExpand => Some(Hook::HkdfExpand),
        ProbeKind::Tls1Prf => Some(Hook::Tls1Prf),
        ProbeKind::SslRead | ProbeKind::SslReadEx | ProbeKind::SslWrite | ProbeKind::SslWriteEx => {
            None
        }
    }
}
