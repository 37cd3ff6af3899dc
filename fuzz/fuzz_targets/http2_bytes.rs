//! The two directions of an HTTP/2 connection as bytes: whether they come at once or in pieces, they say
//! the same; with holes there is one outcome for every request, and memory is bounded.
#![no_main]

use bailiwick::wire::{
    Anomaly, Connection, Dir, Exchanges, Piece, RequestHead, ResponseHead, Unanswered,
};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Kind, flags, stream, payload; to the server or to the client.
    frames: Vec<(bool, u8, u8, u8, Vec<u8>)>,
    /// Bytes that are no frames behind them.
    tails: (Vec<u8>, Vec<u8>),
    step: u8,
    midway: bool,
    /// Every how many pieces one is missing; 0 for never.
    losses: u8,
}

/// What was said, in order, up to where frames could no longer be told apart.
#[derive(Default)]
struct Said {
    lines: Vec<String>,
    outcomes: Vec<bool>,
    lost: bool,
}

impl Said {
    fn say(&mut self, line: String) {
        if !self.lost {
            self.lines.push(line);
        }
    }

    fn settle(&mut self, pending: usize) {
        assert!(
            !std::mem::replace(&mut self.outcomes[pending], true),
            "two outcomes"
        );
    }
}

impl Exchanges for Said {
    type Pending = usize;

    fn request(&mut self, head: &RequestHead<'_>) -> usize {
        assert_eq!(head.method.is_empty(), head.unknown_method);
        assert_eq!(head.target.is_empty(), head.unknown_target);
        assert!(head.headers.len() <= 257);
        self.say(format!(
            "{} {:?} {:?} {} {} {}",
            head.method, head.target, head.headers, head.unknown_fields, head.off, head.truncated
        ));
        self.outcomes.push(false);
        self.outcomes.len() - 1
    }

    fn response(&mut self, pending: usize, head: &ResponseHead<'_>) {
        assert!((200..1000).contains(&head.status));
        self.say(format!(
            "{pending} {} {:?} {:?}",
            head.status, head.grpc_status, head.headers
        ));
        self.settle(pending);
    }

    fn unanswered(&mut self, pending: usize, why: Unanswered) {
        self.say(format!("{pending} {why:?}"));
        self.settle(pending);
    }

    fn anomaly(&mut self, cause: Anomaly) {
        self.lost |= matches!(cause, Anomaly::BadFrame | Anomaly::BadRequest);
    }
}

fn said(sides: &[Vec<u8>; 2], step: usize, input: &Input) -> Said {
    let mut said = Said::default();
    let bases = (!input.midway).then_some((0, 0));
    let mut connection = Connection::inside_tls(bases, true);
    let mut count = 0_usize;
    for (dir, bytes) in [(Dir::ToServer, &sides[0]), (Dir::ToClient, &sides[1])] {
        let mut off = 0;
        for data in bytes.chunks(step) {
            count += 1;
            if input.losses == 0 || count % (usize::from(input.losses) + 1) != 0 {
                let piece = Piece {
                    dir,
                    off,
                    data,
                    hole: 0,
                    time: 1,
                    start: off == 0,
                };
                connection.feed(piece, &mut said);
            }
            if input.losses % 2 == 1 {
                connection.settle(&mut said);
            }
            assert!(connection.memory() <= 64 * 1024, "{}", connection.memory());
            off += data.len() as u32;
        }
    }
    connection.close(&mut said);
    assert_eq!(connection.memory(), 0);
    assert!(said.outcomes.iter().all(|settled| *settled), "no outcome");
    said
}

fuzz_target!(|input: Input| {
    let mut sides = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), Vec::new()];
    for (up, kind, flags, stream, payload) in &input.frames {
        let side = &mut sides[usize::from(!up)];
        side.extend(&(payload.len() as u32).to_be_bytes()[1..]);
        side.extend([kind % 11, *flags, 0, 0, 0, *stream]);
        side.extend(payload);
    }
    sides[0].extend(&input.tails.0);
    sides[1].extend(&input.tails.1);
    let whole = said(&sides, usize::MAX, &input);
    let cut = said(&sides, usize::from(input.step % 64) + 1, &input);
    if input.losses > 0 || input.midway {
        return;
    }
    let common = match whole.lost || cut.lost {
        true => whole.lines.len().min(cut.lines.len()),
        false => usize::MAX,
    };
    let head = |said: &Said| said.lines.iter().take(common).cloned().collect::<Vec<_>>();
    assert_eq!(head(&whole), head(&cut));
});
