//! What two peers wrote, as the kernel program would tell it, and what a session makes of it.

use crate::wire::tls::{Chunk, Keyring, Label, NewSecret, Plain, Secret, Session};
use crate::wire::{
    Anomaly, Connection, Dir, Exchanges, Piece, RequestHead, ResponseHead, Unanswered,
};

/// A secret as a test keeps it.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) label: Label,
    pub(super) random: Option<[u8; 32]>,
    pub(super) value: Vec<u8>,
}

impl Known {
    pub(super) fn new_secret(&self, time: u64) -> NewSecret {
        NewSecret {
            label: self.label,
            client_random: self.random,
            server_random: None,
            value: Secret::new(&self.value).unwrap(),
            tgid: 7,
            socket_hint: 0,
            time,
        }
    }
}

/// One write of one peer, or a secret that came.
#[derive(Clone)]
pub(super) enum Event {
    Bytes(Dir, Vec<u8>),
    Secret(Known),
}

/// A chunk that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) dir: Dir,
    pub(super) record: u32,
    pub(super) at: u32,
    pub(super) length: u16,
    pub(super) outer: u8,
    pub(super) data: Vec<u8>,
    /// As [`Chunk::passed`].
    pub(super) passed: Option<u32>,
}

impl Cut {
    pub(super) fn chunk(&self, time: u64) -> Chunk<'_> {
        Chunk {
            dir: self.dir,
            record: self.record,
            at: self.at,
            length: self.length,
            outer: self.outer,
            data: &self.data,
            time,
            passed: self.passed,
        }
    }
}

pub(super) enum Step {
    Chunk(Cut),
    Secret(Known),
}

/// Records in order, captured up to `cap` bytes of their body when they are long and encrypted.
pub(super) fn steps(events: &[Event], cap: usize) -> Vec<Step> {
    let mut rest: [Vec<u8>; 2] = Default::default();
    let mut numbers = [0, 0];
    let mut changed = [false, false];
    let mut steps = Vec::new();
    for event in events {
        match event {
            Event::Secret(known) => steps.push(Step::Secret(known.clone())),
            Event::Bytes(dir, bytes) => {
                let n = usize::from(*dir == Dir::ToClient);
                rest[n].extend_from_slice(bytes);
                while let Some(header) = rest[n].first_chunk::<5>().copied() {
                    let length = u16::from_be_bytes([header[3], header[4]]);
                    let end = 5 + usize::from(length);
                    if rest[n].len() < end {
                        break;
                    }
                    let record: Vec<u8> = rest[n].drain(..end).collect();
                    changed[n] |= header[0] == 20;
                    let clear = header[0] != 23 && !changed[n];
                    let kept = if clear || length <= 1_200 {
                        end
                    } else {
                        end.min(5 + cap)
                    };
                    steps.push(Step::Chunk(Cut {
                        dir: *dir,
                        record: numbers[n],
                        at: 0,
                        length,
                        outer: header[0],
                        data: record[..kept].to_vec(),
                        passed: None,
                    }));
                    numbers[n] += 1;
                }
            }
        }
    }
    steps
}

/// Exchanges in words: `GET /path 200`.
#[derive(Default)]
pub(super) struct Said {
    pub(super) lines: Vec<String>,
    pub(super) anomalies: Vec<Anomaly>,
}

impl Exchanges for Said {
    type Pending = usize;

    fn request(&mut self, head: &RequestHead<'_>) -> usize {
        let target = String::from_utf8_lossy(head.target);
        self.lines.push(format!("{} {target}", head.method));
        self.lines.len() - 1
    }

    fn response(&mut self, pending: usize, head: &ResponseHead<'_>) {
        self.lines[pending] += &format!(" {}", head.status);
    }

    fn unanswered(&mut self, pending: usize, why: Unanswered) {
        self.lines[pending] += &format!(" {why:?}");
    }

    fn anomaly(&mut self, cause: Anomaly) {
        self.anomalies.push(cause);
    }
}

/// A piece: position, bytes, hole, start.
pub(super) type Told = (u32, Vec<u8>, u32, bool);

/// Takes plaintext into an HTTP connection, and keeps it.
pub(super) struct Out {
    pub(super) http: Connection<usize>,
    pub(super) said: Said,
    /// Per direction.
    pub(super) pieces: [Vec<Told>; 2],
    pub(super) losses: usize,
}

impl Out {
    pub(super) fn new() -> Self {
        Self {
            http: Connection::new(Some((0, 0))),
            said: Said::default(),
            pieces: Default::default(),
            losses: 0,
        }
    }

    /// All bytes of a direction; `None` where some are missing.
    pub(super) fn bytes(&self, dir: Dir) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        for (off, data, hole, _) in &self.pieces[usize::from(dir == Dir::ToClient)] {
            if *off as usize != all.len() || *hole > 0 {
                return None;
            }
            all.extend_from_slice(data);
        }
        Some(all)
    }
}

impl Plain for Out {
    fn piece(&mut self, piece: Piece<'_>) {
        self.pieces[usize::from(piece.dir == Dir::ToClient)].push((
            piece.off,
            piece.data.to_vec(),
            piece.hole,
            piece.start,
        ));
        self.http.feed(piece, &mut self.said);
        self.http.settle(&mut self.said);
    }

    fn lost_records(&mut self) {
        self.losses += 1;
        self.http.lost_records();
    }
}

/// A session with its keyring, fed step by step.
pub(super) struct Play {
    pub(super) session: Session,
    pub(super) ring: Keyring,
    pub(super) out: Out,
    pub(super) clock: u64,
    /// Settle after each chunk.
    pub(super) settles: bool,
}

impl Play {
    pub(super) fn new() -> Self {
        let mut ring = Keyring::new();
        let mut session = Session::new(1);
        session.tap(7, 70, &mut ring);
        Self {
            session,
            ring,
            out: Out::new(),
            clock: 1_000,
            settles: false,
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Chunk(cut) => self.chunk(cut),
            Step::Secret(known) => self.secret(known.new_secret(self.clock)),
        }
    }

    pub(super) fn chunk(&mut self, cut: &Cut) {
        self.clock += 1_000;
        let chunk = cut.chunk(self.clock);
        self.session.chunk(&chunk, &mut self.ring, &mut self.out);
        assert!(self.session.memory() < 192 * 1024);
        if self.settles {
            self.session.settle(&mut self.ring, &mut self.out);
        }
    }

    pub(super) fn secret(&mut self, new: NewSecret) {
        for id in self.ring.add(new) {
            assert_eq!(id, 1);
            self.session.offer(&mut self.ring, &mut self.out);
        }
    }

    pub(super) fn steps(mut self, steps: &[Step]) -> Self {
        for step in steps {
            self.step(step);
        }
        self
    }

    /// What was said, with the connection closed.
    pub(super) fn lines(&mut self) -> Vec<String> {
        self.session.settle(&mut self.ring, &mut self.out);
        self.out.http.close(&mut self.out.said);
        self.out.said.lines.clone()
    }
}
