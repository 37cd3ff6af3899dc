//! What `bailiwick check` is told of this host: who can write which files, local accounts, what was seen.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::CENSUS;
use crate::alert::{Clock as _, SystemClock};
use crate::census::IdentityRecord;
use crate::config::{Config, SOCKET_NAME};
use crate::lint::{Accounts, Guarded, Level, LintFinding, LintInput, Live, Node, lint};
use crate::store::peek_meta;

use super::policy;

/// Largest account file that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Lints the configured policy, which can be used. `seen` is what a running daemon knows; the store is
/// asked when there is none.
pub(super) fn check(config: &Config, seen: Option<Vec<IdentityRecord>>) -> Vec<LintFinding> {
    match policy::unkeyed(config) {
        Ok(loaded) => lint(&loaded.policy, &input(config, policy::base(config), seen)),
        // Said by the validation, in words.
        Err(_) => Vec::new(),
    }
}

fn input(config: &Config, base: &Path, seen: Option<Vec<IdentityRecord>>) -> LintInput {
    let mut unread = Vec::new();
    let mut read = |path: &str| {
        let size = fs::metadata(path).map(|meta| meta.len());
        match size.and_then(|size| {
            if size > LARGEST {
                Ok(None)
            } else {
                fs::read(path).map(Some)
            }
        }) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                unread.push(format!("{path}: too large"));
                Vec::new()
            }
            Err(error) => {
                unread.push(format!("{path}: {error}"));
                Vec::new()
            }
        }
    };
    let accounts = Accounts::parse(&read("/etc/passwd"), &read("/etc/group"));
    let guarded = guarded(config, base, &mut unread);
    LintInput {
        today: today(),
        guarded,
        unread,
        accounts,
        live: live(config, seen),
    }
}

fn today() -> jiff::civil::Date {
    let now = jiff::Timestamp::from_microsecond(SystemClock.now_us()).unwrap_or_default();
    jiff::tz::TimeZone::UTC.to_datetime(now).date()
}

fn live(config: &Config, seen: Option<Vec<IdentityRecord>>) -> Live {
    let records = match seen {
        Some(records) => records,
        None => match peek_meta(&config.state_dir, CENSUS) {
            Ok(Some(json)) => match serde_json::from_slice(&json) {
                Ok(records) => records,
                Err(error) => return Live::Unknown(format!("the store's list: {error}")),
            },
            Ok(None) => return Live::Unknown("no daemon runs, and there is no store".to_owned()),
            Err(error) => return Live::Unknown(error.to_string()),
        },
    };
    live_of(&records)
}

/// Of identities that were used, not refused.
fn live_of(records: &[IdentityRecord]) -> Live {
    let used = || records.iter().filter(|record| record.accesses > 0);
    match used().filter_map(|record| record.first_seen.as_ref()).min() {
        Some(since) => Live::Seen {
            names: used().map(|record| record.identity.clone()).collect(),
            since: since.clone(),
        },
        None => Live::Unknown("no credential was seen yet".to_owned()),
    }
}

fn guarded(config: &Config, base: &Path, unread: &mut Vec<String>) -> Vec<Guarded> {
    const POLICY: &str = "change the policy";
    const CONFIGURATION: &str = "change the configuration";
    const STATE: &str = "change what the monitor keeps: alerts, what was sent, the fingerprint key";
    const SOCKET: &str = "ask the daemon for everything that it sees, and have alerts sent again";
    let mut files: Vec<(&'static str, Level, PathBuf)> = Vec::new();
    for configured in &config.policy {
        let path = base.join(configured);
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        let drop_ins = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
        files.extend(drop_ins.map(|path| (POLICY, Level::High, path)));
        files.push((POLICY, Level::High, path));
    }
    for file in &config.files {
        files.push((CONFIGURATION, Level::High, file.clone()));
    }
    if let Some(file) = config.file().and_then(Path::parent) {
        files.push((CONFIGURATION, Level::High, file.join("conf.d")));
    }
    let state = &config.state_dir;
    files.push((STATE, Level::High, state.join("state.redb")));
    files.push((STATE, Level::High, state.join("fingerprint.key")));
    files.push((SOCKET, Level::Medium, config.runtime_dir.join(SOCKET_NAME)));
    let mut all: Vec<Guarded> = Vec::new();
    for (what, level, path) in files {
        let absolute = std::path::absolute(&path).unwrap_or(path);
        let resolved = fs::canonicalize(&absolute).ok();
        // A link is as good as the directories on both of its sides.
        for path in std::iter::once(absolute.clone()).chain(resolved.filter(|r| *r != absolute)) {
            let chain = chain(&path, unread);
            if !chain.is_empty() {
                all.push(Guarded { what, level, chain });
            }
        }
    }
    all
}

/// The file and what is above it; what does not exist is left out: who can write above can make it.
fn chain(path: &Path, unread: &mut Vec<String>) -> Vec<Node> {
    path.ancestors()
        .filter_map(|path| match node(path) {
            Ok(node) => Some(node),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                unread.push(format!("{}: {error}", path.display()));
                None
            }
        })
        .collect()
}

fn node(path: &Path) -> io::Result<Node> {
    let meta = fs::symlink_metadata(path)?;
    // A link's own mode is always 0777 and means nothing.
    let mode = if meta.is_symlink() {
        0
    } else {
        meta.mode() & 0o7777
    };
    Ok(Node {
        path: path.to_owned(),
        uid: meta.uid(),
        gid: meta.gid(),
        mode,
        has_acl: !meta.is_symlink() && has_acl(path),
    })
}

fn has_acl(path: &Path) -> bool {
    let mut none: [u8; 0] = [];
    rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut none).is_ok_and(|size| size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_seen_as_they_are() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.toml");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        std::os::unix::fs::symlink(&file, dir.path().join("link")).unwrap();
        let mut unread = Vec::new();
        let all = chain(&file, &mut unread);
        assert_eq!(all.len(), file.ancestors().count());
        assert_eq!((all[0].mode, all[1].mode), (0o664, 0o1777));
        assert_eq!(all[0].uid, fs::metadata(&file).unwrap().uid());
        assert!(!all[0].has_acl);
        assert_eq!(node(&dir.path().join("link")).unwrap().mode, 0);
        // What does not exist yet.
        let missing = chain(&dir.path().join("a/b"), &mut unread);
        assert_eq!(missing[0].path, dir.path());
        assert!(unread.is_empty(), "{unread:?}");
    }

    #[test]
    fn only_what_was_used_counts_as_used() {
        let record = |name: &str, accesses: u64, first: Option<&str>| IdentityRecord {
            r#type: "identity".into(),
            v: 1,
            identity: name.into(),
            owner: None,
            kinds: Vec::new(),
            fingerprints: Default::default(),
            hints: Default::default(),
            first_seen: first.map(Into::into),
            last_seen: None,
            last_refused: None,
            accesses,
            refused: 3,
            findings: Default::default(),
            workloads: Default::default(),
            environments: Default::default(),
            hosts: Default::default(),
            operations: Default::default(),
            usage: None,
            baseline: None,
        };
        let none = live_of(&[record("a", 0, None)]);
        assert!(matches!(none, Live::Unknown(_)));
        let some = live_of(&[
            record("a", 2, Some("2026-02-01T00:00:00Z")),
            record("b", 1, Some("2026-01-01T00:00:00Z")),
            record("c", 0, None),
        ]);
        let Live::Seen { names, since } = some else {
            panic!("seen")
        };
        assert_eq!(since, "2026-01-01T00:00:00Z");
        assert!(names.contains("a") && names.contains("b") && !names.contains("c"));
    }
}
