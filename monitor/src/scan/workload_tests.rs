//! What lies beside code, and its twins that do not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::super::corpus::{ALNUM, random, summed};
use super::super::gitleaks::ForeignRules;
use super::*;
use crate::access::credential::{Canon, CredentialTable};
use crate::access::{Fingerprint, FingerprintKey};

/// One credential is in use.
struct One(Mutex<Canon>, Fingerprint);

impl One {
    fn new(secret: &str) -> Self {
        let mut canon = Canon::new(&CredentialTable::builtin(), FingerprintKey::new([7; 32]));
        let live = canon.token(secret.as_bytes());
        Self(Mutex::new(canon), live)
    }
}

impl Asked for One {
    fn live(&self, candidate: &Candidate) -> Option<LiveUse> {
        let print = candidate.fingerprint(&mut self.0.lock().unwrap())?;
        (print == self.1).then(|| LiveUse {
            identity: "pay-writer".to_owned(),
            owner: None,
            environments: vec!["prod".to_owned()],
            workloads: Vec::new(),
            last_seen: Some("2026-11-24T09:00:00Z".to_owned()),
        })
    }
}

fn look(secret: &str, root: &Path, bounds: Bounds) -> (Looked, Vec<(String, u64)>) {
    let scanner = Scanner::new(ForeignRules::default()).unwrap();
    let asked = One::new(secret);
    let look = Look {
        scanner: &scanner,
        asked: &asked,
        bounds,
    };
    let fd = OwnedFd::from(File::open(root).unwrap());
    let (looked, found) = look
        .directory(&fd, &mut Buffer::default(), Instant::now())
        .unwrap();
    (
        looked,
        found
            .into_iter()
            .map(|found| (found.name, found.line))
            .collect(),
    )
}

#[test]
fn finds_what_is_in_use_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let live = summed("ghp_", 71);
    // No rule knows this one: it is called nothing, and looks like anything.
    let opaque = random(ALNUM, 24, 72);
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(
        root.join("a/b/deploy.sh"),
        format!("#!/bin/sh\n\ncurl -H 'X-Auth: {live}' u\n"),
    )
    .unwrap();
    fs::write(root.join("idle.env"), format!("T={}\n", summed("ghp_", 73))).unwrap();
    fs::write(root.join("notes"), format!("\n\nx={opaque}\n")).unwrap();
    assert_eq!(
        look(&live, root, Bounds::default()).1,
        [("a/b/deploy.sh".to_owned(), 3)]
    );
    assert_eq!(
        look(&opaque, root, Bounds::default()).1,
        [("notes".to_owned(), 3)]
    );
    assert_eq!(
        look("something-else-0123456789", root, Bounds::default()).1,
        []
    );
}

#[test]
fn follows_no_link_waits_for_no_pipe_and_keeps_its_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let root = dir.path();
    let live = summed("ghp_", 74);
    fs::write(outside.path().join("key"), &live).unwrap();
    symlink(outside.path().join("key"), root.join("link")).unwrap();
    symlink(outside.path(), root.join("directory")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    fs::create_dir(root.join(".git")).unwrap();
    fs::write(root.join(".git/config"), &live).unwrap();
    let (looked, found) = look(&live, root, Bounds::default());
    assert_eq!((found.len(), looked.files), (0, 0));

    fs::create_dir_all(root.join("1/2/3")).unwrap();
    fs::write(root.join("1/2/3/deep"), &live).unwrap();
    for n in 0..20 {
        fs::write(root.join(format!("f{n}")), "nothing").unwrap();
    }
    fs::write(root.join("large"), vec![b'x'; 4096]).unwrap();
    let shallow = Bounds {
        depth: 2,
        ..Bounds::default()
    };
    assert_eq!(look(&live, root, shallow).1, []);
    assert_eq!(
        look(&live, root, Bounds::default()).1,
        [("1/2/3/deep".to_owned(), 1)]
    );
    let few = Bounds {
        files: 5,
        ..Bounds::default()
    };
    let (looked, _) = look(&live, root, few);
    assert_eq!((looked.files, looked.cut), (5, true));
    let small = Bounds {
        bytes: 8 * 1024,
        ..Bounds::default()
    };
    assert_eq!(look(&live, root, small).0.large, 1);
    let no_time = Bounds {
        time: Duration::ZERO,
        ..Bounds::default()
    };
    assert!(look(&live, root, no_time).0.cut);
}

#[test]
fn an_environment_tells_the_variable() {
    let live = random(ALNUM, 32, 75);
    let scanner = Scanner::new(ForeignRules::default()).unwrap();
    let asked = One::new(&live);
    let look = Look {
        scanner: &scanner,
        asked: &asked,
        bounds: Bounds::default(),
    };
    let names = |environ: String| -> Vec<String> {
        let found = look.environment(environ.as_bytes(), &mut Buffer::default());
        found.into_iter().map(|found| found.name).collect()
    };
    assert_eq!(names(format!("PATH=/bin\0API_KEY={live}\0")), ["API_KEY"]);
    assert_eq!(names(format!("OPTS=--token {live} -v\0")), ["OPTS"]);
    assert_eq!(
        names(format!("PATH=/bin\0API_KEY={}\0", random(ALNUM, 32, 76))),
        [""; 0]
    );
}

#[test]
fn places_made_for_credentials_are_kept_apart() {
    let named = ["/srv/app/key".to_owned()];
    let apart = |path: &str, mode: u32| {
        is_kept_apart(path, mode, Some("/home/me"), Some("/run/c/x"), &named)
    };
    for (path, mode, expected) in [
        ("/srv/app/key", 0o644, true),
        ("/srv/app/.env", 0o600, false),
        ("/srv/app/key2", 0o600, false),
        ("/etc/app/token", 0o600, true),
        ("/etc/app/token", 0o640, false),
        ("/etcetera/token", 0o600, false),
        ("/run/credentials/web.service/token", 0o440, true),
        ("/run/c/x/token", 0o444, true),
        ("/run/app/token", 0o644, false),
        ("/home/me/.netrc", 0o600, true),
        ("/home/me/.netrc", 0o644, false),
        ("/home/me/app/.env", 0o600, false),
        ("/home/you/.netrc", 0o600, false),
    ] {
        assert_eq!(apart(path, mode), expected, "{path} {mode:o}");
    }
    assert!(!is_kept_apart("/.env", 0o600, Some("/"), None, &[]));
    for (path, expected) in [
        ("/", true),
        ("/tmp", true),
        ("/tmp/x", false),
        ("/proc/1", true),
        ("/processes", false),
        ("/srv/app", false),
    ] {
        assert_eq!(is_system(path), expected, "{path}");
    }
}
