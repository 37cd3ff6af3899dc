//! The two directions of a connection as bytes: whether they come at once or in pieces, they say the
//! same, up to where the thread is lost. `-dict=fuzz/http1.dict` helps.
#![no_main]

use bailiwick::wire::{
    Anomaly, Connection, Dir, Exchanges, Piece, RequestHead, ResponseHead, Unanswered,
};
use libfuzzer_sys::fuzz_target;

/// What was said, in order, up to where messages could no longer be told apart.
#[derive(Default)]
struct Said {
    lines: Vec<String>,
    requests: usize,
    lost: bool,
}

impl Said {
    fn say(&mut self, line: String) {
        if !self.lost {
            self.lines.push(line);
        }
    }
}

fn fields(headers: &[impl std::fmt::Debug]) -> String {
    format!("{headers:?}")
}

impl Exchanges for Said {
    type Pending = usize;

    fn request(&mut self, head: &RequestHead<'_>) -> usize {
        let RequestHead {
            method,
            target,
            version,
            headers,
            off,
            truncated,
            ..
        } = *head;
        self.say(format!(
            "{method} {target:?} {version:?} {} {off} {truncated}",
            fields(headers)
        ));
        // Behind it comes HTTP or a tunnel.
        self.lost |= method == "CONNECT";
        self.requests += 1;
        self.requests
    }

    fn response(&mut self, pending: usize, head: &ResponseHead<'_>) {
        self.say(format!(
            "{pending} {} {}",
            head.status,
            fields(head.headers)
        ));
    }

    fn unanswered(&mut self, pending: usize, why: Unanswered) {
        self.say(format!("{pending} {why:?}"));
    }

    fn anomaly(&mut self, _: Anomaly) {
        self.lost = true;
    }
}

/// All requests, then all responses, in pieces of `step` bytes.
fn said(up: &[u8], down: &[u8], step: usize) -> Said {
    let mut said = Said::default();
    let mut connection = Connection::new(Some((0, 0)));
    for (dir, bytes) in [(Dir::ToServer, up), (Dir::ToClient, down)] {
        let mut off = 0;
        for data in bytes.chunks(step) {
            let start = off == 0;
            connection.feed(
                Piece {
                    dir,
                    off,
                    data,
                    hole: 0,
                    time: 1,
                    start,
                },
                &mut said,
            );
            assert!(connection.memory() <= 64 * 1024);
            off += data.len() as u32;
        }
    }
    connection.close(&mut said);
    said
}

// The first byte is the pieces' length; a zero byte divides the directions.
fuzz_target!(|input: &[u8]| {
    let Some((step, bytes)) = input.split_first() else {
        return;
    };
    let mut sides = bytes.splitn(2, |byte| *byte == 0);
    let (up, down) = (
        sides.next().unwrap_or_default(),
        sides.next().unwrap_or_default(),
    );
    let whole = said(up, down, usize::MAX);
    let cut = said(up, down, usize::from(step % 64) + 1);
    let common = match whole.lost || cut.lost {
        true => whole.lines.len().min(cut.lines.len()),
        false => usize::MAX,
    };
    let head = |said: &Said| said.lines.iter().take(common).cloned().collect::<Vec<_>>();
    assert_eq!(head(&whole), head(&cut));
});
