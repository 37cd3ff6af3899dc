#![allow(clippy::unwrap_used, reason = "tests may fail by panic")]

use super::*;
use crate::audit::disk::Files as _;
use crate::audit::testing::{Content, Fault, SimDisk, key};
use crate::audit::verify::{Witness, verify};

/// Sizes of commits: within a tile, over its end, over several, exactly to one.
const COMMITS: [usize; 7] = [1, 3, 250, 10, 600, 1, 159];

fn entry(n: u64) -> Vec<u8> {
    format!("{{\"entry\":{n}}}").into_bytes()
}

fn open(disk: &SimDisk, known: Option<&Checkpoint>) -> Writer<SimDisk> {
    Writer::open(disk.clone(), key(), known)
        .map_err(|refused| refused.error)
        .unwrap()
}

fn read(note: &str) -> Checkpoint {
    Checkpoint::open(note, key().public()).unwrap()
}

/// Commits until something fails; the newest checkpoint that was acknowledged.
fn run(disk: &SimDisk) -> Option<Checkpoint> {
    let mut writer = open(disk, None);
    let mut next = 0;
    let mut acknowledged = None;
    for count in COMMITS {
        for _ in 0..count {
            assert!(writer.push(entry(next)));
            next += 1;
        }
        if writer.commit().is_err() {
            break;
        }
        acknowledged = Some(read(writer.checkpoint()));
    }
    acknowledged
}

fn witness(checkpoint: &Checkpoint) -> Witness {
    Witness {
        name: "a test".to_owned(),
        checkpoint: checkpoint.clone(),
    }
}

/// The entries of a log that is whole.
fn entries(content: &Content, witnesses: &[Witness]) -> Vec<Vec<u8>> {
    let disk = SimDisk::new(content.clone());
    let mut all = Vec::new();
    let checkpoint = verify(&disk, key().public(), witnesses, |_, entry| {
        all.push(entry.to_vec());
    })
    .unwrap();
    assert_eq!(all.len() as u64, checkpoint.size);
    all
}

/// The log verifies up to its checkpoint, has what was acknowledged, and goes on.
fn goes_on(content: Content, acknowledged: Option<&Checkpoint>) {
    let disk = SimDisk::new(content.clone());
    if disk.read(CHECKPOINT, 4096).unwrap().is_some() {
        let witnesses: Vec<Witness> = acknowledged.map(witness).into_iter().collect();
        for (n, found) in (0..).zip(entries(&content, &witnesses)) {
            assert_eq!(found, entry(n));
        }
    } else {
        assert_eq!(acknowledged, None);
    }
    let mut writer = open(&disk, acknowledged);
    let before = writer.size();
    assert!(before >= acknowledged.map_or(0, |checkpoint| checkpoint.size));
    // Enough to go over the end of a tile wherever it stood, and other entries than those that were lost.
    for n in 0..300 {
        assert!(writer.push(format!("after {n}").into_bytes()));
    }
    writer.commit().unwrap();
    let all = entries(
        &disk.after_kill(),
        &acknowledged.map(witness).into_iter().collect::<Vec<_>>(),
    );
    assert_eq!(all.len() as u64, before + 300);
}

#[test]
fn a_whole_run_is_a_whole_log() {
    let disk = SimDisk::default();
    let checkpoint = run(&disk).unwrap();
    assert_eq!(checkpoint.size, 1024);
    let all = entries(&disk.after_kill(), &[witness(&checkpoint)]);
    assert!((0..).zip(&all).all(|(n, found)| *found == entry(n)));
    // What was signed last was on the disk.
    assert_eq!(
        entries(&disk.after_power_cut(0), &[witness(&checkpoint)]),
        all
    );
    let left: Vec<String> = disk
        .after_kill()
        .into_keys()
        .filter(|path| path.contains(".p/") && !path.starts_with("tile/1/000.p/"))
        .collect();
    assert!(left.is_empty(), "partial tiles beside full ones: {left:?}");
}

#[test]
fn a_kill_or_power_cut_at_any_moment_leaves_a_log_that_goes_on() {
    let whole = SimDisk::default();
    run(&whole);
    let operations = whole.operations();
    assert!(operations > 40, "{operations}");
    for at in 0..operations {
        let disk = SimDisk::default();
        disk.fail(at, Fault::Killed);
        let acknowledged = run(&disk);
        goes_on(disk.after_kill(), acknowledged.as_ref());
        for kept in [
            0,
            u64::MAX,
            0x5555_5555_5555_5555,
            0xaaaa_aaaa_aaaa_aaaa,
            0x9e37_79b9_7f4a_7c15,
        ] {
            goes_on(disk.after_power_cut(kept), acknowledged.as_ref());
        }
    }
}

#[test]
fn a_commit_that_failed_is_tried_again_and_nothing_signed_is_taken_back() {
    let whole = SimDisk::default();
    run(&whole);
    for at in 0..whole.operations() {
        for fault in [Fault::Refused, Fault::Pretended] {
            let disk = SimDisk::default();
            disk.fail(at, fault);
            let mut writer = open(&disk, None);
            let mut next = 0;
            for count in COMMITS {
                for _ in 0..count {
                    assert!(writer.push(entry(next)));
                    next += 1;
                }
                // What failed waits for the next commit, with what comes then.
                let _ = writer.commit();
            }
            writer.commit().unwrap();
            assert_eq!(writer.size(), next);
            let seen: Vec<Witness> = disk
                .checkpoints()
                .iter()
                .map(|note| witness(&read(note)))
                .collect();
            assert_eq!(entries(&disk.after_power_cut(0), &seen).len() as u64, next);
        }
    }
}

#[test]
fn what_is_not_the_log_that_was_is_not_gone_on_with() {
    let disk = SimDisk::default();
    let checkpoint = run(&disk).unwrap();
    let refused = |content: Content, known: &Checkpoint| {
        Writer::open(SimDisk::new(content), key(), Some(known))
            .map(|_| ())
            .map_err(|refused| refused.error)
            .unwrap_err()
    };
    let whole = disk.after_kill();
    // An earlier state.
    let early = disk.checkpoints().first().unwrap().clone();
    let mut content = SimDisk::default().after_kill();
    let first = SimDisk::default();
    let mut writer = open(&first, None);
    assert!(writer.push(entry(0)));
    writer.commit().unwrap();
    assert_eq!(writer.checkpoint(), early);
    content.extend(first.after_kill());
    assert!(matches!(
        refused(content, &checkpoint),
        Unusable::RolledBack {
            found: 1,
            expected: 1024
        }
    ));
    // Nothing at all.
    assert!(matches!(
        refused(Content::new(), &checkpoint),
        Unusable::Damaged(_)
    ));
    // Another key's.
    let mut content = whole.clone();
    let other = SigningKey::new("test.example/log", zeroize::Zeroizing::new([4; 32])).unwrap();
    content.insert(CHECKPOINT.to_owned(), checkpoint.sign(&other).into_bytes());
    assert!(matches!(
        refused(content, &checkpoint),
        Unusable::Checkpoint(_)
    ));
    // A tile that the root hangs on.
    let mut content = whole.clone();
    content.get_mut("tile/1/000.p/4").unwrap().reverse();
    assert!(matches!(
        refused(content, &checkpoint),
        Unusable::Changed("tiles")
    ));
    // Other entries, signed.
    let known = Checkpoint {
        root: Hash::empty(),
        size: 300,
        ..checkpoint
    };
    assert!(matches!(refused(whole, &known), Unusable::Rewritten(300)));
}
