#![no_main]
//! Any bytes as a recording of any format: pieces end, and what is read is judged.

use std::sync::Arc;

use bailiwick::policy::Policy;
use bailiwick::replay::input::{Lines, Objects, Piece};
use bailiwick::replay::{Format, Item, Reader, Replay, Rules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let rules = Rules {
        policy: Arc::new(Policy::empty()),
        judge: bailiwick::judge::Settings::default(),
        baseline: bailiwick::baseline::Settings::default(),
        fold_window_us: 86_400_000_000,
    };
    let (mut reader, mut replay) = (Reader::default(), Replay::new(&rules));
    let mut take = |format, piece: Piece<'_>| {
        if let Piece::Whole(piece) = piece
            && let Ok(item) = reader.read(format, piece)
        {
            match item {
                Item::Access(mut access) => replay.take(&mut access),
                Item::Lost(count) => replay.lose(count),
                Item::Nothing => {}
            }
        }
    };
    let mut objects = Objects::new(bytes);
    while let Some((piece, _)) = objects.next_piece().unwrap() {
        take(Format::CloudTrail, piece);
    }
    for format in [Format::Accesses, Format::Combined, Format::Envoy] {
        let mut lines = Lines::new(bytes);
        while let Some((piece, _)) = lines.next_piece().unwrap() {
            take(format, piece);
        }
    }
    let _ = Format::guess(bytes);
    let _ = replay.end();
});
