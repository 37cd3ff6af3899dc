#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail by panic"
)]

use std::fs;
use std::path::Path;

use super::*;
use crate::audit::disk::{Directory, OwnDirectory};
use crate::audit::proof::{self, ProofError};
use crate::audit::testing::key;
use crate::audit::tile::{add_entry, entries};
use crate::audit::tree::prove;
use crate::audit::writer::Writer;

fn entry(n: u64) -> Vec<u8> {
    format!("{{\"entry\":{n}}}").into_bytes()
}

/// A log of so many entries in a directory; its checkpoint.
fn write(dir: &Path, count: u64, entry: impl Fn(u64) -> Vec<u8>) -> String {
    let disk = OwnDirectory::open(dir, None).unwrap();
    let mut writer = Writer::open(disk, key(), None)
        .map_err(|refused| refused.error)
        .unwrap();
    for n in writer.size()..count {
        assert!(writer.push(entry(n)));
    }
    writer.commit().unwrap();
    writer.checkpoint().to_owned()
}

fn witness(note: &str) -> Witness {
    Witness {
        name: "what a receiver kept".to_owned(),
        checkpoint: Checkpoint::open(note, key().public()).unwrap(),
    }
}

fn check(dir: &Path, witnesses: &[Witness]) -> Result<Checkpoint, Finding> {
    verify(&Directory::new(dir), key().public(), witnesses, |_, _| {})
}

/// A log of 700 entries that was changed; what is found.
fn found(change: impl Fn(&Path)) -> Finding {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 700, entry);
    check(dir.path(), &[]).unwrap();
    change(dir.path());
    check(dir.path(), &[]).unwrap_err()
}

fn rewrite(path: &Path, change: impl Fn(&mut Vec<Vec<u8>>)) {
    let bytes = fs::read(path).unwrap();
    let mut all: Vec<Vec<u8>> = entries(&bytes).map(|e| e.unwrap().to_vec()).collect();
    change(&mut all);
    let mut bytes = Vec::new();
    for entry in &all {
        assert!(add_entry(&mut bytes, entry));
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_edit_is_found_where_it_is() {
    let edit = |dir: &Path| rewrite(&dir.join("tile/entries/001"), |all| all[44][1] ^= 1);
    assert!(matches!(found(edit), Finding::Entry(300)));
    // With the hash above it changed, too, the tile does not fit what is above that.
    let both = |dir: &Path| {
        edit(dir);
        let entry = entries(&fs::read(dir.join("tile/entries/001")).unwrap())
            .nth(44)
            .unwrap()
            .unwrap()
            .to_vec();
        let tile = dir.join("tile/0/001");
        let mut hashes = fs::read(&tile).unwrap();
        hashes[44 * 32..45 * 32].copy_from_slice(&Hash::leaf(&entry).0);
        fs::write(tile, hashes).unwrap();
    };
    assert!(matches!(found(both), Finding::Tile(path) if path == "tile/1/000.p/2"));
    // And with all tiles changed, the root is not the signed one.
    let all = |dir: &Path| {
        let note = fs::read(dir.join("checkpoint")).unwrap();
        fs::remove_dir_all(dir).unwrap();
        write(dir, 700, |n| {
            if n == 300 {
                b"other".to_vec()
            } else {
                entry(n)
            }
        });
        fs::write(dir.join("checkpoint"), note).unwrap();
    };
    assert!(matches!(found(all), Finding::Root));
}

#[test]
fn a_deletion_is_found() {
    let one = |dir: &Path| rewrite(&dir.join("tile/entries/001"), |all| drop(all.remove(44)));
    assert!(matches!(
        found(one),
        Finding::Damaged(Damage::Short { found: 255, .. })
    ));
    // With the next bundle's entries moved up, the first moved one is in the wrong place.
    let moved = |dir: &Path| {
        rewrite(&dir.join("tile/entries/001"), |all| {
            all.remove(44);
            all.push(entry(512));
        });
    };
    assert!(matches!(found(moved), Finding::Entry(300)));
    let file = |dir: &Path| fs::remove_file(dir.join("tile/entries/000")).unwrap();
    assert!(
        matches!(found(file), Finding::Damaged(Damage::Missing(path)) if path == "tile/entries/000")
    );
    let hashes = |dir: &Path| fs::remove_file(dir.join("tile/1/000.p/2")).unwrap();
    assert!(matches!(
        found(hashes),
        Finding::Damaged(Damage::Missing(_))
    ));
}

#[test]
fn a_truncation_is_found() {
    let cut = |dir: &Path| {
        let path = dir.join("tile/entries/002.p/188");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    };
    assert!(matches!(found(cut), Finding::Damaged(Damage::Short { .. })));
    let gone = |dir: &Path| fs::remove_file(dir.join("checkpoint")).unwrap();
    assert!(matches!(found(gone), Finding::NoCheckpoint));
    let forged = |dir: &Path| {
        let text = fs::read_to_string(dir.join("checkpoint")).unwrap();
        fs::write(dir.join("checkpoint"), text.replace("\n700\n", "\n699\n")).unwrap();
    };
    assert!(matches!(
        found(forged),
        Finding::Checkpoint(NoteError::False(_))
    ));
    let nothing = |dir: &Path| fs::write(dir.join("checkpoint"), [0xff; 10]).unwrap();
    assert!(matches!(found(nothing), Finding::Checkpoint(_)));
    let endless = |dir: &Path| fs::write(dir.join("tile/0/000"), vec![0; 8193]).unwrap();
    assert!(matches!(
        found(endless),
        Finding::Damaged(Damage::Unreadable { .. })
    ));
}

#[test]
fn a_rollback_and_a_rewritten_log_are_found_by_who_kept_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let early = write(dir.path(), 300, entry);
    // The whole directory as it was, kept by the attacker.
    let kept = tempfile::tempdir().unwrap();
    write(kept.path(), 300, entry);
    let late = write(dir.path(), 700, entry);
    let witnesses = [witness(&early), witness(&late)];
    assert_eq!(check(dir.path(), &witnesses).unwrap().size, 700);
    // The older one is whole and signed: only a witness of the newer one can tell.
    assert_eq!(check(kept.path(), &witnesses[..1]).unwrap().size, 300);
    assert!(matches!(
        check(kept.path(), &witnesses).unwrap_err(),
        Finding::RolledBack {
            found: 300,
            expected: 700,
            ..
        }
    ));
    // Who has the key can sign other entries; not so that they were those that a witness saw.
    let other = tempfile::tempdir().unwrap();
    write(other.path(), 800, |n| {
        if n == 5 { b"other".to_vec() } else { entry(n) }
    });
    assert!(check(other.path(), &[]).is_ok());
    assert!(matches!(
        check(other.path(), &witnesses).unwrap_err(),
        Finding::Rewritten { size: 300, .. }
    ));
}

#[test]
fn a_log_with_three_levels_is_verified_and_proved() {
    let dir = tempfile::tempdir().unwrap();
    let size = 65_536 + 300;
    let note = write(dir.path(), size, entry);
    for tile in [
        "tile/1/000",
        "tile/1/001.p/1",
        "tile/2/000.p/1",
        "tile/0/x000/257.p/44",
        "tile/0/257.p/44",
    ] {
        let there = dir.path().join(tile).exists();
        assert_eq!(there, !tile.contains("x000"), "{tile}");
    }
    assert_eq!(check(dir.path(), &[witness(&note)]).unwrap().size, size);
    // Goes on from what is on the disk.
    let note = write(dir.path(), size + 1, entry);
    let mut reader = Reader::new(Directory::new(dir.path()), size + 1);
    for index in [0, 255, 256, 65_535, 65_536, size] {
        let hashes = prove(&mut reader, index, size + 1).unwrap();
        let text = proof::write(index, &entry(index), &hashes, &note);
        let proved = proof::check(&text, key().public()).unwrap();
        assert_eq!((proved.index, proved.entry), (index, entry(index)));
    }
}

#[test]
fn a_proof_that_was_changed_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let note = write(dir.path(), 700, entry);
    let mut reader = Reader::new(Directory::new(dir.path()), 700);
    let hashes = prove(&mut reader, 300, 700).unwrap();
    let good = proof::write(300, &entry(300), &hashes, &note);
    let public = key().public().clone();
    assert!(proof::check(&good, &public).is_ok());
    let other = proof::write(300, &entry(301), &hashes, &note);
    assert_eq!(proof::check(&other, &public), Err(ProofError::NotInLog));
    let place = proof::write(301, &entry(300), &hashes, &note);
    assert_eq!(proof::check(&place, &public), Err(ProofError::NotInLog));
    let short = proof::write(300, &entry(300), &hashes[1..], &note);
    assert_eq!(proof::check(&short, &public), Err(ProofError::NotInLog));
    let signed = good.replace("\n700\n", "\n701\n");
    assert!(matches!(
        proof::check(&signed, &public),
        Err(ProofError::Checkpoint(_))
    ));
    for bad in [
        String::new(),
        good.replace("@v1", "@v2"),
        good.replace("extra ", "extra !"),
        good.replace("index 300", "index 0300"),
        good.replace("index 300", "index -1"),
        good.replace("\n\n", "\n"),
        good.replacen('=', "!", 2),
    ] {
        assert!(proof::check(&bad, &public).is_err(), "{bad}");
    }
}
