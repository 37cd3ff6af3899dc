#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail by panic")]

use std::fs;

use super::*;
use crate::audit::disk::Directory;
use crate::audit::verify::verify;

const NOW: &str = "2026-11-24T09:00:00Z";

fn place(top: &Path, directory: &str) -> Place {
    let state_dir = top.join("state");
    fs::create_dir_all(&state_dir).unwrap();
    Place {
        directory: top.join(directory),
        state_dir,
        group: None,
        host: "web1".to_owned(),
    }
}

/// Begins it, writes what is pending, and remembers that.
fn begin(place: &Place) -> Begun {
    let mut begun = place.begin(NOW).unwrap();
    begun.writer.commit().unwrap();
    begun
        .store
        .remember(&Known {
            directory: place.directory.clone(),
            checkpoint: begun.writer.checkpoint().to_owned(),
        })
        .unwrap();
    begun
}

fn add(begun: &mut Begun, entry: Entry) {
    assert!(begun.writer.push(to_json(entry, NOW.to_owned())));
    begun.writer.commit().unwrap();
}

/// The entries of a log, by its own public key.
fn entries(directory: &Path) -> Vec<Entry> {
    let key = fs::read_to_string(directory.join(PUBLIC_KEY)).unwrap();
    let mut all = Vec::new();
    verify(
        &Directory::new(directory),
        &key.parse().unwrap(),
        &[],
        |_, entry| {
            all.push(serde_json::from_slice::<Written>(entry).unwrap().entry);
        },
    )
    .unwrap();
    all
}

#[test]
fn is_begun_once_and_then_gone_on_with() {
    let top = tempfile::tempdir().unwrap();
    let place = place(top.path(), "audit");
    let mut first_run = begin(&place);
    assert_eq!(first_run.last, None);
    add(&mut first_run, Entry::Stop {});
    let key = first_run.writer.key().public().clone();
    // Nobody else writes to it meanwhile.
    let second = place.begin(NOW).unwrap_err().to_string();
    assert!(second.contains("another daemon"), "{second}");
    drop(first_run);
    let again = begin(&place);
    assert_eq!(again.writer.key().public(), &key);
    assert!(matches!(again.last.unwrap().entry, Entry::Stop {}));
    assert!(again.alive_us.is_some());
    let all = entries(&place.directory);
    assert_eq!(all.len(), 2);
    assert!(matches!(
        all.first(),
        Some(Entry::Opened { previous: None, .. })
    ));
    use std::os::unix::fs::MetadataExt as _;
    let mode = |path: &str| fs::metadata(place.directory.join(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode(""), 0o750);
    assert_eq!(mode("tile/entries"), 0o750);
    assert_eq!(mode("checkpoint"), 0o640);
    assert_eq!(mode("key"), 0o640);
}

/// A log that was tampered with while the daemon was down is kept aside, and the new one says so.
fn set_aside(change: impl Fn(&Place)) -> String {
    let top = tempfile::tempdir().unwrap();
    let place = place(top.path(), "audit");
    let mut begun = begin(&place);
    for _ in 0..300 {
        assert!(begun.writer.push(to_json(Entry::Stop {}, NOW.to_owned())));
    }
    begun.writer.commit().unwrap();
    let newest = begun.writer.checkpoint().to_owned();
    let known = Known {
        directory: place.directory.clone(),
        checkpoint: newest.clone(),
    };
    begun.store.remember(&known).unwrap();
    let old = begun.writer.key().public().to_string();
    drop(begun);
    change(&place);
    let begun = begin(&place);
    assert_ne!(begun.writer.key().public().to_string(), old);
    let all = entries(&place.directory);
    let Some(Entry::Opened {
        reason,
        previous,
        previous_checkpoint,
    }) = all.first()
    else {
        panic!("{all:?}");
    };
    assert_eq!(previous.as_ref(), Some(&old));
    assert_eq!(previous_checkpoint.as_ref(), Some(&newest));
    // Nothing is destroyed.
    let aside = fs::read_dir(&place.directory)
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("set-aside-")
        })
        .count();
    assert!(aside == 1 || !reason.contains("tile"));
    reason.clone()
}

#[test]
fn a_log_that_was_changed_is_set_aside() {
    let rolled = set_aside(|place| {
        // The log as it was after its first entry.
        let other = tempfile::tempdir().unwrap();
        let key = KeyStore::new(&place.state_dir).key().unwrap().unwrap();
        let disk = OwnDirectory::open(other.path(), None).unwrap();
        let mut writer = Writer::open(disk, key, None)
            .map_err(|refused| refused.error)
            .unwrap();
        assert!(writer.push(b"{}".to_vec()));
        writer.commit().unwrap();
        fs::remove_dir_all(place.directory.join("tile")).unwrap();
        for part in ["tile", "checkpoint"] {
            let moved = std::process::Command::new("cp")
                .arg("-a")
                .arg(other.path().join(part))
                .arg(&place.directory)
                .status()
                .unwrap();
            assert!(moved.success());
        }
    });
    assert!(rolled.contains("an earlier state"), "{rolled}");
    let gone = set_aside(|place| fs::remove_dir_all(&place.directory).unwrap());
    assert!(gone.contains("checkpoint is missing"), "{gone}");
    let edited = set_aside(|place| {
        let path = place.directory.join("tile/entries/001.p/45");
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().skip(3).take(1).for_each(|byte| *byte ^= 1);
        fs::write(path, bytes).unwrap();
    });
    assert!(edited.contains("entries"), "{edited}");
}

#[test]
fn another_directory_closes_the_log_and_the_two_name_each_other() {
    let top = tempfile::tempdir().unwrap();
    let old = place(top.path(), "audit");
    let begun = begin(&old);
    let first_key = begun.writer.key().public().to_string();
    drop(begun);
    let new = place(top.path(), "audit-2027");
    let begun = begin(&new);
    let next_key = begun.writer.key().public().to_string();
    drop(begun);
    let closed = entries(&old.directory);
    assert!(
        matches!(closed.last(), Some(Entry::Closed { next, .. }) if *next == next_key),
        "{closed:?}"
    );
    let opened = entries(&new.directory);
    let checkpoint = fs::read_to_string(old.directory.join("checkpoint")).unwrap();
    assert!(
        matches!(opened.first(), Some(Entry::Opened { previous: Some(previous), previous_checkpoint: Some(note), .. })
            if *previous == first_key && *note == checkpoint),
        "{opened:?}"
    );
    // And is gone on with.
    assert_eq!(begin(&new).writer.key().public().to_string(), next_key);
}

#[test]
fn a_log_without_its_key_is_set_aside() {
    let top = tempfile::tempdir().unwrap();
    let place = place(top.path(), "audit");
    begin(&place);
    fs::remove_file(place.state_dir.join(crate::audit::key::KEY_FILE)).unwrap();
    begin(&place);
    let all = entries(&place.directory);
    assert!(
        matches!(all.first(), Some(Entry::Opened { reason, .. }) if reason.contains("not its key")),
        "{all:?}"
    );
}
