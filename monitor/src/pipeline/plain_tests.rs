//! Who is asked for, and what becomes of plaintext.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use monitor_ebpf::{
    Close, Data, Header, Open, advice, close_flag, data_flag, dir, kind, open_flag,
};

use super::super::tests::NoFiles;
use super::super::{Limits, Pipeline};
use super::{Keyless, LINGER};
use crate::access::credential::{CredentialTable, Recogniser};
use crate::access::{Access, FingerprintKey};
use crate::alert::Folder;
use crate::census::{self, Census};
use crate::host::Host;
use crate::judge::{Judge, Settings};
use crate::policy::Policy;
use crate::source::{Event, Source, SourceCounters, Wish};

type Asked = Arc<Mutex<Vec<(u32, Wish)>>>;

fn asked(list: &Asked) -> Vec<(u32, Wish)> {
    std::mem::take(&mut *list.lock().unwrap())
}

fn keyless() -> (Keyless, Asked) {
    let list = Asked::default();
    let mut keyless = Keyless::default();
    let told = Arc::clone(&list);
    keyless.ask_by(Box::new(move |pid, wish| {
        told.lock().unwrap().push((pid, wish));
        true
    }));
    (keyless, list)
}

#[test]
fn a_process_is_probed_from_its_first_such_connection_to_some_time_after_its_last() {
    let (mut keyless, list) = keyless();
    keyless.want(1, 100);
    keyless.want(1, 100);
    keyless.want(2, 100);
    keyless.want(3, 300);
    keyless.settle(0);
    assert_eq!(asked(&list), [(100, Wish::Asked), (300, Wish::Asked)]);
    keyless.gone(1, 0);
    keyless.settle(LINGER);
    assert_eq!(asked(&list), []);
    keyless.gone(2, LINGER);
    keyless.settle(2 * LINGER - 1);
    assert_eq!(asked(&list), []);
    keyless.settle(2 * LINGER);
    assert_eq!(asked(&list), [(100, Wish::Nothing)]);
    keyless.settle(9 * LINGER);
    assert_eq!(asked(&list), []);
}

#[test]
fn a_new_connection_in_time_keeps_the_probes() {
    let (mut keyless, list) = keyless();
    keyless.want(1, 100);
    keyless.settle(0);
    keyless.gone(1, 1);
    keyless.want(2, 100);
    keyless.settle(2 * LINGER);
    keyless.gone(2, 2 * LINGER);
    keyless.want(3, 100);
    keyless.gone(3, 3 * LINGER - 1);
    keyless.settle(3 * LINGER);
    assert_eq!(asked(&list), [(100, Wish::Asked)]);
    keyless.settle(4 * LINGER);
    assert_eq!(asked(&list), [(100, Wish::Nothing)]);
}

#[test]
fn a_suspect_is_probed_for_all_that_it_does() {
    let (mut keyless, list) = keyless();
    keyless.want(1, 100);
    keyless.settle(0);
    keyless.suspect(100);
    keyless.settle(0);
    assert_eq!(asked(&list), [(100, Wish::Asked), (100, Wish::All)]);
    assert!(keyless.suspects(100));
    keyless.ended(100);
    assert!(!keyless.suspects(100));
}

#[test]
fn what_is_not_heard_is_asked_again() {
    let list = Asked::default();
    let mut keyless = Keyless::default();
    let (told, hears) = (Arc::clone(&list), Arc::new(Mutex::new(false)));
    let ears = Arc::clone(&hears);
    keyless.ask_by(Box::new(move |pid, wish| {
        let hears = *ears.lock().unwrap();
        if hears {
            told.lock().unwrap().push((pid, wish));
        }
        hears
    }));
    keyless.want(1, 100);
    keyless.settle(0);
    assert_eq!(asked(&list), []);
    *hears.lock().unwrap() = true;
    keyless.settle(0);
    assert_eq!(asked(&list), [(100, Wish::Asked)]);
}

#[test]
fn processes_are_bounded() {
    let (mut keyless, list) = keyless();
    for n in 1..2000 {
        keyless.want(n.into(), n);
        keyless.suspect(n);
    }
    keyless.settle(0);
    assert_eq!(asked(&list).len(), super::MOST_PROCESSES);
    assert!(keyless.suspects.len() <= super::MOST_SUSPECTS);
}

#[derive(Clone, Copy)]
enum Made {
    Open(Open),
    Late(Data),
    Plain(Data, &'static [u8]),
    Close(Close),
}

#[derive(Default)]
struct Script {
    passes: VecDeque<Vec<Made>>,
    advised: Rc<RefCell<Vec<(u64, u32)>>>,
}

impl Source for Script {
    fn drain(&mut self, _: usize, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        let events = self.passes.pop_front().unwrap_or_default();
        for event in &events {
            match event {
                Made::Open(record) => sink(Event::Open(record)),
                Made::Late(record) => {
                    let part = monitor_ebpf::TlsData {
                        data: *record,
                        ..monitor_ebpf::TlsData::default()
                    };
                    sink(Event::Tls(&part, b""));
                }
                Made::Plain(record, bytes) => sink(Event::Plain(record, bytes)),
                Made::Close(record) => sink(Event::Close(record)),
            }
        }
        events.len()
    }

    fn lost(&mut self) -> u64 {
        0
    }

    fn advise(&mut self, sock: u64, advice: u32) {
        self.advised.borrow_mut().push((sock, advice));
    }

    fn counters(&mut self) -> SourceCounters {
        SourceCounters::default()
    }

    fn hooks(&self) -> Vec<String> {
        Vec::new()
    }
}

const SOCK: u64 = 10;
const PID: u32 = 100;
const REQUEST: &[u8] =
    b"GET /late HTTP/1.1\r\nhost: a.example\r\nauthorization: Bearer late\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A connection that was open before; which end it is, is not known.
fn open(sock: u64, tgid: u32) -> Made {
    Made::Open(Open {
        header: Header {
            kind: kind::OPEN,
            flags: open_flag::SEQUENCED,
            ..Header::default()
        },
        time: 1,
        sock,
        local_id: 0,
        peer_id: 0,
        cgroup: 0,
        netns: 0,
        tgid,
        family: 2,
        local_port: 40_000,
        remote_port: 443,
        protocol: 6,
        local: [1; 16],
        remote: [2; 16],
        tx_base: 0,
        rx_base: 0,
        exec_id: 1,
        path: [0; 108],
    })
}

fn record(seq: u32, way: u8, off: u32, bytes: &[u8]) -> Data {
    let length = u32::try_from(bytes.len()).unwrap();
    Data {
        header: Header {
            kind: kind::PLAIN,
            dir: way,
            flags: data_flag::START,
            len: length,
            ..Header::default()
        },
        time: 1000 + u64::from(seq),
        sock: SOCK,
        off,
        full: length,
        seq,
        tgid: PID,
        exec_id: 1,
        pad: 0,
    }
}

fn plain(seq: u32, way: u8, off: u32, bytes: &'static [u8]) -> Made {
    Made::Plain(record(seq, way, off, bytes), bytes)
}

fn late() -> Made {
    let mut data = record(0, dir::RX, 0, b"");
    data.header.flags |= data_flag::LATE;
    Made::Late(data)
}

fn close(seq: u32) -> Made {
    Made::Close(Close {
        header: Header {
            kind: kind::CLOSE,
            flags: close_flag::GONE,
            ..Header::default()
        },
        sock: SOCK,
        seq,
        ..Close::default()
    })
}

struct Outcome {
    accesses: Vec<Access>,
    advised: Vec<(u64, u32)>,
    asked: Vec<(u32, Wish)>,
}

fn run(script: Vec<Vec<Made>>) -> Outcome {
    let passes = script.len() as u64 + 5000;
    let advised = Rc::default();
    let source = Script {
        passes: script.into(),
        advised: Rc::clone(&advised),
    };
    let mut pipeline = Pipeline::new(
        source,
        Host::new(Box::new(NoFiles)),
        Recogniser::new(CredentialTable::builtin(), FingerprintKey::new([1; 32])),
        Judge::new(Arc::new(Policy::empty()), Settings::default()),
        Census::new(census::Limits::default()),
        Folder::default(),
        Limits::default(),
    );
    let list = Asked::default();
    let told = Arc::clone(&list);
    pipeline.ask_for_plaintext(move |pid, wish| {
        told.lock().unwrap().push((pid, wish));
        true
    });
    for pass in 1..=passes {
        pipeline.pass(pass * 1_000_000, 0);
    }
    let accesses = pipeline.state.analyst.recent.drain(..);
    Outcome {
        accesses: accesses.map(|(_, access)| access).collect(),
        advised: advised.take(),
        asked: asked(&list),
    }
}

#[test]
fn an_encrypted_connection_that_was_open_before_is_read_in_clear() {
    let length = u32::try_from(REQUEST.len()).unwrap();
    let outcome = run(vec![
        vec![open(SOCK, PID), late()],
        // Offsets begin anywhere: the rest of an answer came before.
        vec![plain(0, dir::TX, 0, REQUEST), plain(1, dir::RX, 70, ANSWER)],
        vec![plain(2, dir::TX, length, REQUEST)],
        vec![plain(3, dir::RX, 108, ANSWER), close(1)],
        // Nobody's any more.
        vec![plain(4, dir::TX, 2 * length, REQUEST)],
    ]);
    assert_eq!(outcome.accesses.len(), 2);
    for access in &outcome.accesses {
        assert_eq!(access.client.as_ref().unwrap().pid, PID);
        assert_eq!(access.status, Some(200));
        let tls = access.tls.as_ref().unwrap();
        assert_eq!((tls.version.as_deref(), &*tls.via), (None, "probes"));
    }
    assert_eq!(outcome.advised, [(SOCK, advice::LEAVE | advice::PLAIN)]);
    assert_eq!(outcome.asked, [(PID, Wish::Asked), (PID, Wish::Nothing)]);
}

#[test]
fn a_lost_record_does_not_give_an_answer_to_the_wrong_request() {
    let length = u32::try_from(REQUEST.len()).unwrap();
    let outcome = run(vec![
        vec![open(SOCK, PID), late()],
        vec![plain(0, dir::TX, 0, REQUEST)],
        // The answer, and the next request, were lost.
        vec![plain(3, dir::RX, 200, ANSWER)],
        vec![
            plain(4, dir::TX, 2 * length, REQUEST),
            plain(5, dir::RX, 238, ANSWER),
        ],
    ]);
    let known: Vec<_> = outcome
        .accesses
        .iter()
        .map(|access| access.status)
        .collect();
    assert_eq!(known, [None, Some(200)]);
}

#[test]
fn what_nobody_asked_for_is_nobodys() {
    let outcome = run(vec![
        vec![open(SOCK, PID)],
        vec![plain(0, dir::TX, 0, REQUEST), plain(1, dir::RX, 0, ANSWER)],
    ]);
    assert!(outcome.accesses.is_empty() && outcome.asked.is_empty());
}
