//! What a connection said, in a form that tests can compare.

use std::collections::BTreeMap;

use crate::wire::{
    Anomaly, Connection, Dir, Exchanges, Piece, RequestHead, ResponseHead, Unanswered, Version,
};

/// A request and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exchange {
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    pub(super) version: Version,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) unknown_fields: u16,
    pub(super) secure: bool,
    pub(super) off: u32,
    pub(super) time: u64,
    pub(super) resynchronised: bool,
    pub(super) truncated: bool,
    pub(super) outcome: Option<Outcome>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Status(u16, Vec<(String, Vec<u8>)>),
    /// Status and grpc-status.
    Grpc(u16, u32),
    Unanswered(Unanswered),
}

#[derive(Default)]
pub(super) struct Recorder {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) anomalies: BTreeMap<Anomaly, usize>,
}

fn owned(headers: &[httparse::Header<'_>]) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .map(|header| (header.name.to_owned(), header.value.to_vec()))
        .collect()
}

impl Exchanges for Recorder {
    type Pending = usize;

    fn request(&mut self, head: &RequestHead<'_>) -> usize {
        self.exchanges.push(Exchange {
            method: head.method.to_owned(),
            target: head.target.to_vec(),
            version: head.version,
            headers: owned(head.headers),
            unknown_fields: head.unknown_fields,
            secure: head.secure,
            off: head.off,
            time: head.time,
            resynchronised: head.resynchronised,
            truncated: head.truncated,
            outcome: None,
        });
        self.exchanges.len() - 1
    }

    fn response(&mut self, pending: usize, head: &ResponseHead<'_>) {
        let outcome = match head.grpc_status {
            Some(grpc) => Outcome::Grpc(head.status, grpc),
            None => Outcome::Status(head.status, owned(head.headers)),
        };
        assert_eq!(
            self.exchanges[pending].outcome.replace(outcome),
            None,
            "answered twice"
        );
    }

    fn unanswered(&mut self, pending: usize, why: Unanswered) {
        let outcome = Outcome::Unanswered(why);
        assert_eq!(
            self.exchanges[pending].outcome.replace(outcome),
            None,
            "answered twice"
        );
    }

    fn anomaly(&mut self, cause: Anomaly) {
        *self.anomalies.entry(cause).or_default() += 1;
    }
}

impl Recorder {
    /// `GET /path 200` per exchange; `?` while in flight; `~` resynchronised, `…` truncated.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |exchange: &Exchange| {
            let outcome = match &exchange.outcome {
                None => "?".to_owned(),
                Some(Outcome::Status(status, _)) => status.to_string(),
                Some(Outcome::Grpc(status, grpc)) => format!("{status}/{grpc}"),
                Some(Outcome::Unanswered(why)) => format!("{why:?}"),
            };
            let marks = [(exchange.resynchronised, "~"), (exchange.truncated, "…")];
            let marks: String = marks
                .iter()
                .filter(|mark| mark.0)
                .map(|mark| mark.1)
                .collect();
            let target = String::from_utf8_lossy(&exchange.target);
            format!("{marks}{} {target} {outcome}", exchange.method)
        };
        self.exchanges.iter().map(line).collect()
    }

    pub(super) fn causes(&self) -> Vec<Anomaly> {
        self.anomalies.keys().copied().collect()
    }

    pub(super) fn header(&self, exchange: usize, name: &str) -> Option<&[u8]> {
        let headers = &self.exchanges[exchange].headers;
        headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_slice())
    }
}

/// A connection, what it said, and where its directions stand.
pub(super) struct Talk {
    pub(super) connection: Connection<usize>,
    pub(super) said: Recorder,
    offs: [u32; 2],
    last: Option<Dir>,
    clock: u64,
    /// Settle after each piece, as for a connection of which one end is tapped.
    pub(super) settles: bool,
    /// Most heap ever held.
    pub(super) peak: usize,
}

impl Talk {
    pub(super) fn new() -> Self {
        Self::at(1000, 2000)
    }

    pub(super) fn at(up: u32, down: u32) -> Self {
        Self::over(Connection::new(Some((up, down))), up, down)
    }

    pub(super) fn of(connection: Connection<usize>) -> Self {
        Self::over(connection, 1000, 2000)
    }

    pub(super) fn midway() -> Self {
        Self::over(Connection::new(None), 7_000, 8_000)
    }

    fn over(connection: Connection<usize>, up: u32, down: u32) -> Self {
        let said = Recorder::default();
        let offs = [up, down];
        Self {
            connection,
            said,
            offs,
            last: None,
            clock: 0,
            settles: true,
            peak: 0,
        }
    }

    /// A piece as the kernel would send it up: `start` when the direction turned.
    pub(super) fn piece(&mut self, dir: Dir, data: &[u8], hole: u32) {
        let start = self.last.replace(dir) != Some(dir);
        self.raw(dir, data, hole, start);
    }

    pub(super) fn raw(&mut self, dir: Dir, data: &[u8], hole: u32, start: bool) {
        self.clock += 10;
        let off = self.offs[dir as usize];
        self.put(Piece {
            dir,
            off,
            data,
            hole,
            time: if start { self.clock } else { 0 },
            start,
        });
        self.offs[dir as usize] = off.wrapping_add(data.len() as u32).wrapping_add(hole);
    }

    pub(super) fn put(&mut self, piece: Piece<'_>) {
        self.connection.feed(piece, &mut self.said);
        self.peak = self.peak.max(self.connection.memory());
        if self.settles {
            self.connection.settle(&mut self.said);
        }
        self.peak = self.peak.max(self.connection.memory());
    }

    pub(super) fn up(&mut self, data: impl AsRef<[u8]>) -> &mut Self {
        self.piece(Dir::ToServer, data.as_ref(), 0);
        self
    }

    pub(super) fn down(&mut self, data: impl AsRef<[u8]>) -> &mut Self {
        self.piece(Dir::ToClient, data.as_ref(), 0);
        self
    }

    /// Bytes of which nothing is heard.
    pub(super) fn miss(&mut self, dir: Dir, bytes: u32) -> &mut Self {
        self.last = Some(dir);
        self.offs[dir as usize] = self.offs[dir as usize].wrapping_add(bytes);
        self
    }

    /// Bytes sent up one by one.
    pub(super) fn bytewise(&mut self, dir: Dir, data: impl AsRef<[u8]>) -> &mut Self {
        for byte in data.as_ref() {
            self.piece(dir, std::slice::from_ref(byte), 0);
        }
        self
    }

    /// The direction is known to have carried so many bytes more.
    pub(super) fn reached(&mut self, dir: Dir, bytes: u32) -> &mut Self {
        let off = self.offs[dir as usize].wrapping_add(bytes);
        self.connection.reached(dir, off, &mut self.said);
        self
    }

    pub(super) fn end(&mut self, dir: Dir) -> &mut Self {
        self.connection.end(dir, &mut self.said);
        self
    }

    pub(super) fn settle(&mut self) -> &mut Self {
        self.connection.settle(&mut self.said);
        self
    }

    pub(super) fn close(&mut self) -> &mut Self {
        self.connection.close(&mut self.said);
        self
    }

    #[track_caller]
    pub(super) fn expect(&self, lines: &[&str], causes: &[Anomaly]) {
        let mut causes = causes.to_vec();
        causes.sort();
        assert_eq!(self.said.lines(), lines);
        assert_eq!(self.said.causes(), causes, "{:?}", self.said.anomalies);
    }
}

/// The shortest good answer.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A request with a credential.
pub(super) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer abc\r\n\r\n")
}
