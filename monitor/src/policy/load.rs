//! From files to a policy.
//!
//! Files are read in the order given, a directory's `*.toml` files in the order of their names' bytes.
//! How they merge:
//! - `[environments]`, `[duties]`, `[identities]` and `[workload-environments]` merge by name. A name that a later file defines again
//!   replaces the earlier definition as a whole, and a warning names both places: every definition stands
//!   in exactly one place, and no drop-in widens another one unseen.
//! - `[[separate]]`, `[[approve]]`, `[[accept]]` and `high-value` append.
//! - Names may be used before, after and across files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Policy;
use super::compile::compile;
use super::error::{Diagnostics, Place, PolicyError, PolicyWarning, WarningKind};
use super::model::{self, Document, Entry, VERSION};
use crate::access::FingerprintKey;

/// Largest policy file, in bytes.
pub const LARGEST_FILE: usize = 16 << 20;

/// The file system as the loader sees it: the policy module itself does no I/O.
///
/// ```
/// use std::io;
/// use std::path::{Path, PathBuf};
///
/// struct Disk;
///
/// impl bailiwick::policy::Files for Disk {
///     fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
///         std::fs::read(path)
///     }
///
///     fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
///         match std::fs::read_dir(path) {
///             Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>().map(Some),
///             Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
///             Err(error) => Err(error),
///         }
///     }
/// }
/// ```
pub trait Files {
    /// The whole content of a file. The loader zeroises what held a credential; an implementation should
    /// read into one allocation, so that no copy stays behind.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Paths of a directory's entries in any order; `None` when the path is no directory.
    ///
    /// # Errors
    ///
    /// As the file system says; `NotFound` when there is nothing of that name.
    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>>;
}

/// A policy, and what a person should know about it.
#[derive(Debug)]
pub struct Loaded {
    /// The policy; its generation is 0 until the caller numbers it.
    pub policy: Policy,
    /// In no particular order of importance.
    pub warnings: Vec<PolicyWarning>,
}

/// Loads a policy that is one text in memory. `name` is what places in it are called; `file:` credentials are
/// not there.
///
/// # Errors
///
/// As [`load`].
pub fn load_text(name: &str, text: &str, key: &FingerprintKey) -> Result<Loaded, Vec<PolicyError>> {
    struct Text<'t>(&'t Path, &'t str);

    impl Files for Text<'_> {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            if path == self.0 {
                Ok(self.1.as_bytes().to_vec())
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        }

        fn list(&self, _: &Path) -> io::Result<Option<Vec<PathBuf>>> {
            Ok(None)
        }
    }

    let path = PathBuf::from(name);
    load(
        std::slice::from_ref(&path),
        Path::new(""),
        &Text(&path, text),
        key,
    )
}

/// Loads a policy from files and drop-in directories. Relative paths (of `file:` credentials too) begin at
/// `base`. No paths give the empty policy.
///
/// # Errors
///
/// Everything that is wrong with it, in the order of the places.
pub fn load(
    paths: &[PathBuf],
    base: &Path,
    files: &dyn Files,
    key: &FingerprintKey,
) -> Result<Loaded, Vec<PolicyError>> {
    let mut out = Diagnostics::default();
    let mut merged = Document::default();
    let mut whole = true;
    for file in expand(paths, base, files, &mut out) {
        let document = read(&file, files, &mut out)
            .and_then(|text| model::parse(&display(&file), &text, &mut out));
        match document {
            Some(document) => merge(&mut merged, document, &mut out),
            None => whole = false,
        }
    }
    check_version(&merged, &mut out);
    // With a file missing, every name that it defines would be reported as unknown.
    let policy = if whole {
        compile(&merged, base, files, key, &mut out)
    } else {
        Policy::empty()
    };
    out.finish().map(|warnings| Loaded { policy, warnings })
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

/// The files, in order.
fn expand(
    paths: &[PathBuf],
    base: &Path,
    files: &dyn Files,
    out: &mut Diagnostics,
) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for configured in paths {
        let path = base.join(configured);
        let directory = configured.as_os_str().as_encoded_bytes().ends_with(b"/");
        match files.list(&path) {
            Ok(Some(mut entries)) => {
                entries.retain(|entry| is_drop_in(entry));
                entries.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
                all.append(&mut entries);
            }
            Ok(None) if !directory => all.push(path),
            Ok(None) => {
                let hint = "remove the slash at its end if it is a file".to_owned();
                out.error(
                    &Place::file(&display(&path)),
                    "",
                    "not a directory",
                    Some(hint),
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory => {
                let hint = "create it, or remove it from `policy` in the configuration";
                let place = Place::file(&display(&path));
                out.warn(
                    WarningKind::MissingDirectory,
                    &place,
                    "",
                    "no such directory",
                    hint,
                );
            }
            // A file that cannot be listed may still be read, and reading has the better message.
            Err(_) => all.push(path),
        }
    }
    all
}

fn is_drop_in(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".toml") && !name.starts_with(b".")
}

fn read(path: &Path, files: &dyn Files, out: &mut Diagnostics) -> Option<String> {
    let place = Place::file(&display(path));
    let bytes = match files.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => {
                    "`policy` in the configuration names it: create it or remove it"
                }
                io::ErrorKind::PermissionDenied => "let the user that bailiwick runs as read it",
                _ => "a policy is a file, or a directory of *.toml files",
            };
            out.error(
                &place,
                "",
                format!("cannot be read: {error}"),
                Some(hint.to_owned()),
            );
            return None;
        }
    };
    if bytes.len() > LARGEST_FILE {
        let problem = format!("{} bytes are more than {LARGEST_FILE}", bytes.len());
        out.error(
            &place,
            "",
            problem,
            Some("split it into drop-ins".to_owned()),
        );
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..good).unwrap_or_default();
            let lines = before.iter().filter(|b| **b == b'\n').count();
            let line = u32::try_from(lines.saturating_add(1)).unwrap_or(u32::MAX);
            let place = Place {
                line,
                column: 1,
                ..place
            };
            out.error(
                &place,
                "",
                "not UTF-8",
                Some("TOML is UTF-8: convert the file".to_owned()),
            );
            None
        }
    }
}

fn merge(all: &mut Document, next: Document, out: &mut Diagnostics) {
    if let Some(version) = next.version {
        if version.value == VERSION {
            all.version = Some(version);
        } else {
            let hint = format!("this program reads version = {VERSION}");
            out.error(
                &version.place,
                "version",
                format!("unknown version {}", version.value),
                Some(hint),
            );
            // Said once is enough: no complaint of a missing version on top.
            all.version.get_or_insert(version);
        }
    }
    all.first = all.first.take().or(next.first);
    merge_entries(
        "environments",
        &mut all.environments,
        next.environments,
        out,
    );
    merge_entries("duties", &mut all.duties, next.duties, out);
    merge_entries("identities", &mut all.identities, next.identities, out);
    all.separate.extend(next.separate);
    all.approve.extend(next.approve);
    all.high_value.extend(next.high_value);
    all.accept.extend(next.accept);
    merge_entries(
        "workload-environments",
        &mut all.workload_environments,
        next.workload_environments,
        out,
    );
}

fn merge_entries<T>(
    table: &str,
    all: &mut Vec<Entry<T>>,
    next: Vec<Entry<T>>,
    out: &mut Diagnostics,
) {
    let known: hashbrown::HashMap<Arc<str>, usize> = all
        .iter()
        .enumerate()
        .map(|(at, entry)| (Arc::clone(&entry.name), at))
        .collect();
    for entry in next {
        let slot = known.get(&entry.name).and_then(|at| all.get_mut(*at));
        let Some(slot) = slot else {
            all.push(entry);
            continue;
        };
        let key = format!("{table}.{}", super::reader::dotted(&entry.name));
        let problem = format!("replaces the definition at {}", slot.place);
        let hint = "remove one of the two if that is not meant";
        out.warn(WarningKind::Replaced, &entry.place, key, problem, hint);
        *slot = entry;
    }
}

fn check_version(document: &Document, out: &mut Diagnostics) {
    if document.version.is_none()
        && let Some(first) = &document.first
    {
        let hint = format!("put version = {VERSION} at the top of the file");
        out.error(
            &Place {
                line: 1,
                column: 1,
                ..first.clone()
            },
            "version",
            "version is missing",
            Some(hint),
        );
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
