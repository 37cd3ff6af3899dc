//! The whole hot path on made-up events: no kernel, no privileges.

use monitor_ebpf::{Exec, Header, PATH_BYTES, TlsData, exec_flag, kind, open_flag};

mod cover;

use super::*;
use crate::access::credential::CredentialTable;
use crate::access::{Access, FingerprintKey, Role};
use crate::census;
use crate::judge::Settings;
use crate::policy::Policy;
use crate::source::SourceCounters;
use crate::source::procfs::{HostFiles, ProcessFacts};

enum Made {
    Data(Data, Vec<u8>),
    Tls(TlsData, Vec<u8>),
    Open(Open),
    Close(Close),
    Exec(Box<Exec>),
}

/// Hands over one list of events a pass.
#[derive(Default)]
struct Script {
    passes: std::collections::VecDeque<Vec<Made>>,
    /// Told as lost.
    lost: u64,
    advised: Vec<(u64, u32)>,
}

impl Source for Script {
    fn drain(&mut self, _: usize, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        let events = self.passes.pop_front().unwrap_or_default();
        for event in &events {
            match event {
                Made::Data(record, bytes) => sink(Event::Data(record, bytes)),
                Made::Tls(record, bytes) => sink(Event::Tls(record, bytes)),
                Made::Open(record) => sink(Event::Open(record)),
                Made::Close(record) => sink(Event::Close(record)),
                Made::Exec(record) => sink(Event::Exec(record)),
            }
        }
        events.len()
    }

    fn lost(&mut self) -> u64 {
        self.lost
    }

    fn advise(&mut self, sock: u64, advice: u32) {
        self.advised.push((sock, advice));
    }

    fn counters(&mut self) -> SourceCounters {
        SourceCounters::default()
    }

    fn hooks(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A host of which files tell nothing.
pub(super) struct NoFiles;

impl HostFiles for NoFiles {
    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }
    fn process(&self, _: u32) -> Option<ProcessFacts> {
        None
    }
    fn cgroups(&self) -> Vec<(u64, String)> {
        Vec::new()
    }
    fn user(&self, _: u32) -> Option<String> {
        None
    }
}

const CLIENT: u64 = 10;
const SERVER: u64 = 20;
/// First offsets: towards the server, towards the client.
const BASES: (u32, u32) = (u32::MAX - 10, 5_000);

fn run(script: Vec<Vec<Made>>) -> (Vec<Access>, PipelineLosses) {
    run_within(script, Limits::default())
}

fn run_within(script: Vec<Vec<Made>>, limits: Limits) -> (Vec<Access>, PipelineLosses) {
    let mut pipeline = finished(script, limits);
    let accesses = pipeline
        .state
        .analyst
        .recent
        .drain(..)
        .map(|(_, access)| access)
        .collect();
    (accesses, pipeline.state.losses)
}

/// The pipeline after all of it.
fn finished(script: Vec<Vec<Made>>, limits: Limits) -> Pipeline<Script> {
    // Long enough for everything that waits to be given up.
    let passes = script.len() + 700;
    let recogniser = Recogniser::new(CredentialTable::builtin(), FingerprintKey::new([1; 32]));
    let judge = Judge::new(std::sync::Arc::new(Policy::empty()), Settings::default());
    let mut pipeline = Pipeline::new(
        Script {
            passes: script.into(),
            ..Script::default()
        },
        Host::new(Box::new(NoFiles)),
        recogniser,
        judge,
        Census::new(census::Limits::default()),
        Folder::default(),
        limits,
    );
    for pass in 1..=passes {
        pipeline.pass(pass as u64 * 1_000_000, 0);
    }
    pipeline
}

fn exec(tgid: u32, name: &[u8]) -> Made {
    let mut path = [0; PATH_BYTES];
    path[..name.len()].copy_from_slice(name);
    Made::Exec(Box::new(Exec {
        header: Header {
            kind: kind::EXEC,
            flags: exec_flag::WALKED,
            len: name.len() as u32,
            ..Header::default()
        },
        time: 0,
        cgroup: 0,
        start: 0,
        tgid,
        ppid: 0,
        uid: 0,
        exec_id: 1,
        path,
    }))
}

fn open(sock: u64, tgid: u32) -> Made {
    let client = sock == CLIENT;
    let address = |last| {
        let mut bytes = [0; 16];
        bytes[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, last]);
        bytes
    };
    let (near, far) = ((address(1), 40_000), (address(2), 80));
    let (local, remote) = if client { (near, far) } else { (far, near) };
    let (tx_base, rx_base) = if client { BASES } else { (BASES.1, BASES.0) };
    let side = if client {
        open_flag::CLIENT
    } else {
        open_flag::SERVER
    };
    Made::Open(Open {
        header: Header {
            kind: kind::OPEN,
            flags: open_flag::FRESH | open_flag::SEQUENCED | side,
            ..Header::default()
        },
        time: 0,
        sock,
        local_id: 0,
        peer_id: 0,
        cgroup: 0,
        netns: 1,
        tgid,
        family: 2,
        local_port: local.1,
        remote_port: remote.1,
        protocol: 6,
        local: local.0,
        remote: remote.0,
        tx_base,
        rx_base,
        path: [0; monitor_ebpf::NAME_BYTES],
        exec_id: 1,
    })
}

/// `at` counts from the beginning of the direction.
fn data(sock: u64, seq: u32, dir: u8, at: u32, bytes: &[u8], time: u64) -> Made {
    let to_server = (sock == CLIENT) == (dir == dir::TX);
    let base = if to_server { BASES.0 } else { BASES.1 };
    Made::Data(
        Data {
            header: Header {
                kind: kind::DATA,
                dir,
                class: 1,
                flags: u8::from(time != 0),
                len: bytes.len() as u32,
            },
            time,
            sock,
            off: base.wrapping_add(at),
            full: bytes.len() as u32,
            seq,
            tgid: if sock == CLIENT { 100 } else { 200 },
            exec_id: 1,
            pad: 0,
        },
        bytes.to_vec(),
    )
}

fn close(sock: u64, seq: u32) -> Made {
    Made::Close(Close {
        header: Header {
            kind: kind::CLOSE,
            flags: close_flag::GONE,
            ..Header::default()
        },
        sock,
        seq,
        ..Close::default()
    })
}

const REQUEST: &[u8] =
    b"GET /v1/x/17 HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer planted-token\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

use monitor_ebpf::dir::{RX, TX};

#[test]
fn both_ends_of_a_connection_are_one_access_that_names_both() {
    let (accesses, losses) = run(vec![vec![
        exec(100, b"curl\0bin\0usr\0"),
        exec(200, b"nginx\0sbin\0usr\0"),
        open(CLIENT, 100),
        open(SERVER, 200),
        data(CLIENT, 0, TX, 0, REQUEST, 1_000),
        data(SERVER, 0, RX, 0, REQUEST, 2_000),
        data(SERVER, 1, TX, 0, RESPONSE, 500_000),
        data(CLIENT, 1, RX, 0, RESPONSE, 600_000),
        close(CLIENT, 2),
        close(SERVER, 2),
    ]]);
    assert_eq!(accesses.len(), 1);
    let access = &accesses[0];
    assert_eq!(access.role, Role::Both);
    assert_eq!(
        &*access.client.as_ref().unwrap().workload.exe,
        "/usr/bin/curl"
    );
    assert_eq!(
        &*access.server.as_ref().unwrap().workload.exe,
        "/usr/sbin/nginx"
    );
    assert_eq!(&*access.route, "/v1/x/{id}");
    assert_eq!(access.status, Some(200));
    assert_eq!(access.duration_us, Some(499));
    assert!(access.credential.is_some());
    assert!(access.local);
    assert_eq!(losses, PipelineLosses::default());
}

/// RFC 9449 §7.1, sent twice.
#[test]
fn a_proof_is_noted_when_its_request_begins() {
    let proof = crate::access::dpop::tests::RESOURCE_REQUEST;
    let token = crate::access::dpop::tests::TOKEN;
    let request = format!(
        "GET /protectedresource HTTP/1.1\r\nHost: resource.example.org\r\n\
         Authorization: DPoP {token}\r\nDPoP: {proof}\r\n\r\n"
    );
    let (request, response) = (request.as_bytes(), RESPONSE);
    let (asked, answered) = (request.len() as u32, response.len() as u32);
    let (accesses, _) = run(vec![vec![
        open(CLIENT, 100),
        open(SERVER, 200),
        data(CLIENT, 0, TX, 0, request, 1_000),
        data(SERVER, 0, TX, 0, response, 500_000),
        data(CLIENT, 1, TX, asked, request, 1_000_000_000),
        data(SERVER, 1, TX, answered, response, 1_000_500_000),
    ]]);
    let found: Vec<Vec<_>> = accesses
        .iter()
        .map(|access| access.findings.iter().map(|kind| kind.name()).collect())
        .collect();
    // The example is of 2019: it is out of date as well.
    assert_eq!(
        found,
        [
            vec!["proof-mismatch"],
            vec!["proof-mismatch", "proof-replayed"]
        ]
    );
    let tickets: Vec<_> = accesses
        .iter()
        .map(|access| access.proof.as_ref().unwrap().ticket)
        .collect();
    assert_eq!(tickets, [1, 2]);
}

#[test]
fn a_response_met_before_its_request_waits_for_it() {
    // Each direction is told of by its sender only, from rings of two processors.
    let (accesses, _) = run(vec![
        vec![
            open(CLIENT, 100),
            open(SERVER, 200),
            data(SERVER, 0, TX, 0, RESPONSE, 9_000),
        ],
        vec![data(CLIENT, 0, TX, 0, REQUEST, 1_000)],
    ]);
    assert_eq!(accesses.len(), 1);
    assert_eq!(accesses[0].status, Some(200));
}

/// A relay that splices shows the client's end alone what is in the tunnel: that must not be given up
/// because the answer to CONNECT came twice.
#[test]
fn a_tunnel_is_not_left_for_the_second_copy_of_its_answer() {
    let asked = b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n";
    let answered = b"HTTP/1.1 200 Connection established\r\n\r\n";
    let tunnel = || {
        vec![
            open(CLIENT, 100),
            open(SERVER, 200),
            data(CLIENT, 0, TX, 0, asked, 1_000),
            data(SERVER, 0, RX, 0, asked, 2_000),
            data(SERVER, 1, TX, 0, answered, 500_000),
            data(CLIENT, 1, RX, 0, answered, 600_000),
        ]
    };
    assert_eq!(
        finished(vec![tunnel()], Limits::default()).source.advised,
        []
    );
    let mut ssh = tunnel();
    let at = asked.len() as u32;
    ssh.push(data(CLIENT, 2, TX, at, b"SSH-2.0-", 700_000));
    assert_eq!(
        finished(vec![ssh], Limits::default()).source.advised,
        [(CLIENT, advice::LEAVE)]
    );
}

/// A HEADERS frame (RFC 9113 §6.2).
fn headers(stream: u8, flags: u8, block: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, u8::try_from(block.len()).unwrap(), 1, 4 | flags];
    frame.extend([0, 0, 0, stream]);
    frame.extend(block);
    frame
}

/// A literal field that is not indexed (RFC 7541 §6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        field.push(u8::try_from(text.len()).unwrap());
        field.extend(text.as_bytes());
    }
    field
}

#[test]
fn requests_of_http2_wait_for_nothing() {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
    let call = [
        field(":method", "POST"),
        field(":path", "/pay.Ledger/Transfer"),
        field(":authority", "pay.example"),
        field("content-type", "application/grpc"),
        field("authorization", "Bearer planted-token"),
    ]
    .concat();
    let get = [field(":method", "GET"), field(":path", "/v1/x/17")].concat();
    let (one, two) = (headers(1, 0, &call), headers(3, 1, &get));
    let refused = [field(":status", "200"), field("grpc-status", "7")].concat();
    let ok = headers(3, 1, &field(":status", "204"));
    let end = headers(1, 1, &refused);
    let (p, o) = (preface.len() as u32, one.len() as u32);
    let (accesses, losses) = run(vec![vec![
        open(CLIENT, 100),
        open(SERVER, 200),
        // All that the server sent is met first.
        data(SERVER, 0, TX, 0, &settings, 500),
        data(SERVER, 1, TX, 9, &ok, 5_000),
        data(SERVER, 2, TX, 9 + ok.len() as u32, &end, 6_000),
        data(CLIENT, 0, TX, 0, &preface, 1_000),
        data(CLIENT, 1, TX, p, &one, 2_000),
        data(CLIENT, 2, TX, p + o, &two, 3_000),
    ]]);
    let said = |access: &Access| {
        let route = access.route.to_string();
        (access.protocol, route, access.status, access.grpc_status)
    };
    let call = "/pay.Ledger/Transfer".to_owned();
    let got: Vec<_> = accesses.iter().map(said).collect();
    assert_eq!(
        got,
        [
            ("h2", call, Some(200), Some(7)),
            ("h2", "/v1/x/{id}".to_owned(), Some(204), None),
        ]
    );
    assert!(accesses[0].refused() && accesses[0].credential.is_some());
    assert_eq!(accesses[0].duration_us, Some(4));
    assert_eq!(losses, PipelineLosses::default());
}

#[test]
fn records_of_one_socket_from_two_rings_are_put_in_order() {
    let (head, rest) = REQUEST.split_at(20);
    let (accesses, losses) = run(vec![
        vec![
            open(CLIENT, 100),
            data(CLIENT, 2, RX, 0, RESPONSE, 5_000),
            data(CLIENT, 1, TX, 20, rest, 0),
        ],
        vec![data(CLIENT, 0, TX, 0, head, 1_000)],
    ]);
    assert_eq!(accesses.len(), 1);
    assert_eq!(accesses[0].status, Some(200));
    assert_eq!(losses.gaps, 0);
}

#[test]
fn what_one_end_lost_the_other_fills_in() {
    let (accesses, losses) = run(vec![vec![
        open(CLIENT, 100),
        open(SERVER, 200),
        // The client's record 0, its request, is lost.
        data(CLIENT, 1, RX, 0, RESPONSE, 5_000),
        data(SERVER, 0, RX, 0, REQUEST, 2_000),
        data(SERVER, 1, TX, 0, RESPONSE, 4_000),
    ]]);
    assert_eq!(accesses.len(), 1);
    assert_eq!(accesses[0].status, Some(200));
    assert_eq!(losses.gaps, 1);
}

#[test]
fn a_request_whose_connection_dies_is_still_an_access() {
    let (accesses, _) = run(vec![vec![
        open(CLIENT, 100),
        data(CLIENT, 0, TX, 0, REQUEST, 1_000),
        close(CLIENT, 1),
    ]]);
    assert_eq!(accesses.len(), 1);
    assert_eq!(accesses[0].status, None);
    assert_eq!(accesses[0].role, Role::Client);
}

#[test]
fn a_close_met_before_the_last_bytes_waits_for_them() {
    let (accesses, _) = run(vec![
        vec![
            open(CLIENT, 100),
            close(CLIENT, 2),
            data(CLIENT, 0, TX, 0, REQUEST, 1_000),
        ],
        vec![data(CLIENT, 1, RX, 0, RESPONSE, 2_000)],
    ]);
    assert_eq!(accesses.len(), 1);
    assert_eq!(accesses[0].status, Some(200));
}

#[test]
fn a_socket_without_an_open_record_is_followed_from_where_it_is() {
    let (accesses, losses) = run(vec![vec![
        data(CLIENT, 7, TX, 900, REQUEST, 1_000),
        data(CLIENT, 8, RX, 100, RESPONSE, 2_000),
    ]]);
    assert_eq!(losses.strays, 1);
    assert_eq!(accesses.len(), 1);
    assert!(accesses[0].resynchronised);
}

#[test]
fn connections_beyond_the_bound_are_given_up_oldest_first() {
    let limits = Limits {
        connections: 10,
        ..Limits::default()
    };
    let script = (0..200_u64)
        .map(|n| vec![data(1_000 + n, 0, TX, 0, REQUEST, n + 1)])
        .collect();
    let (accesses, losses) = run_within(script, limits);
    assert!(losses.evicted >= 180, "{losses:?}");
    // Given up, but not lost: each request is an access without a response.
    assert!(accesses.len() as u64 >= losses.evicted);
}

#[test]
fn each_early_response_waits_for_its_own_request() {
    // The client moved to another processor: its second request is met first, and is held.
    let at = |n: u32, bytes: &[u8]| n * bytes.len() as u32;
    let (accesses, _) = run(vec![
        vec![
            open(CLIENT, 100),
            open(SERVER, 200),
            data(CLIENT, 1, TX, at(1, REQUEST), REQUEST, 3_000),
            data(SERVER, 0, TX, 0, RESPONSE, 2_000),
            data(SERVER, 1, TX, at(1, RESPONSE), RESPONSE, 4_000),
        ],
        vec![data(CLIENT, 0, TX, 0, REQUEST, 1_000)],
        vec![
            data(CLIENT, 2, TX, at(2, REQUEST), REQUEST, 5_000),
            data(SERVER, 2, TX, at(2, RESPONSE), RESPONSE, 6_000),
        ],
    ]);
    let durations: Vec<_> = accesses.iter().map(|access| access.duration_us).collect();
    assert_eq!(durations, [Some(1), Some(1), Some(1)]);
}

#[test]
fn requests_met_far_ahead_of_their_responses_wait_in_turn() {
    // The client's ring holds a hundred exchanges before the server's is read: more than a decoder keeps
    // in flight, so fed at once they would lose their responses.
    const EXCHANGES: u32 = 100;
    let at = |n: u32, bytes: &[u8]| n * bytes.len() as u32;
    let mut first = vec![open(CLIENT, 100), open(SERVER, 200)];
    first.extend((0..EXCHANGES).map(|n| {
        data(
            CLIENT,
            n,
            TX,
            at(n, REQUEST),
            REQUEST,
            u64::from(2 * n + 1) * 1_000,
        )
    }));
    let second = (0..EXCHANGES).map(|n| {
        data(
            SERVER,
            n,
            TX,
            at(n, RESPONSE),
            RESPONSE,
            u64::from(2 * n + 2) * 1_000,
        )
    });
    let (accesses, _) = run(vec![first, second.collect()]);
    let durations: Vec<_> = accesses.iter().map(|access| access.duration_us).collect();
    assert_eq!(durations, [Some(1); EXCHANGES as usize]);
}

/// The same connection over the loopback interface.
fn looped(made: Made) -> Made {
    let Made::Open(mut record) = made else {
        return made;
    };
    for address in [&mut record.local, &mut record.remote] {
        address[12..].copy_from_slice(&[127, 0, 0, 1]);
    }
    Made::Open(record)
}

#[test]
fn an_end_of_this_host_that_is_told_of_late_is_named() {
    // The client was preempted when its send returned: its record comes after the exchange is over.
    let served = vec![
        looped(open(SERVER, 200)),
        data(SERVER, 0, RX, 0, REQUEST, 2_000),
        data(SERVER, 1, TX, 0, RESPONSE, 4_000),
    ];
    let late = vec![
        looped(open(CLIENT, 100)),
        data(CLIENT, 0, TX, 0, REQUEST, 1_000),
    ];
    let (accesses, _) = run(vec![served, Vec::new(), late]);
    assert_eq!(accesses.len(), 1);
    assert_eq!(accesses[0].role, Role::Both);
    assert_eq!(accesses[0].client.as_ref().unwrap().pid, 100);
    assert_eq!(accesses[0].status, Some(200));
}

#[test]
fn an_end_of_this_host_that_is_never_told_of_is_waited_for_in_vain_but_not_for_ever() {
    let (accesses, _) = run(vec![vec![
        looped(open(SERVER, 200)),
        data(SERVER, 0, RX, 0, REQUEST, 2_000),
        data(SERVER, 1, TX, 0, RESPONSE, 4_000),
    ]]);
    assert_eq!(accesses.len(), 1);
    assert_eq!(accesses[0].role, Role::Server);
    assert!(accesses[0].client.is_none());
}

#[test]
fn an_address_that_was_seen_at_this_host_is_waited_for_too() {
    let far = |made: Made, ports: (u16, u16)| match made {
        Made::Open(mut record) => {
            let client = record.local_port == 40_000;
            (record.local_port, record.remote_port) =
                if client { ports } else { (ports.1, ports.0) };
            record.sock += u64::from(ports.0);
            Made::Open(record)
        }
        made => made,
    };
    let (accesses, _) = run(vec![
        // Something else of the client's network namespace.
        vec![far(open(CLIENT, 100), (50_000, 81))],
        vec![
            open(SERVER, 200),
            data(SERVER, 0, RX, 0, REQUEST, 2_000),
            data(SERVER, 1, TX, 0, RESPONSE, 4_000),
        ],
        vec![open(CLIENT, 100)],
    ]);
    assert_eq!(accesses.len(), 1);
    assert_eq!(accesses[0].role, Role::Both);
}
