//! `replay` of captures, as people use it: made ones, and what a real curl said to a server of this test.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

#[path = "../src/replay/capture/tests/made.rs"]
mod made;

use made::{Blocks, Talk};

const POLICY: &str = "version = 1\n[environments]\nprod = [\"api.example\"]\n[duties]\n\
    read = [\"GET api.example/orders/{id}\"]\n[identities.reader]\nowner = \"team-shop\"\n\
    credentials = [\"basic:user=reader\"]\nduties = [\"read\"]\nenvironments = [\"prod\"]\n";
/// What nobody may ever see.
const PASSWORD: &str = "correct-horse-battery";

fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    std::fs::write(path.join("policy.toml"), POLICY).unwrap();
    let state = path.join("state");
    std::fs::create_dir(&state).unwrap();
    let config = format!("policy = [\"policy.toml\"]\nstate_dir = {state:?}\n");
    std::fs::write(path.join("bailiwick.toml"), config).unwrap();
    dir
}

fn replay(dir: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["replay", "--config", "bailiwick.toml"])
        .args(arguments)
        .current_dir(dir)
        .env_remove("NO_COLOR")
        .output()
        .unwrap();
    for stream in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(stream).contains(PASSWORD));
    }
    output
}

/// The alerts, and the summary behind them.
fn json(dir: &Path, arguments: &[&str]) -> (Vec<Value>, Value, i32) {
    let output = replay(dir, &[arguments, &["-o", "json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap_or_else(|| {
        panic!("nothing: {}", String::from_utf8_lossy(&output.stderr));
    });
    (lines, summary, output.status.code().unwrap())
}

fn basic() -> String {
    use base64::Engine;
    let pair = format!("reader:{PASSWORD}");
    base64::engine::general_purpose::STANDARD.encode(pair)
}

/// One request that the policy grants and one that it does not, both in clear text, a lost segment, and a packet that is none.
fn made_capture() -> Vec<u8> {
    let ask = |method: &str| {
        format!(
            "{method} /orders/1 HTTP/1.1\r\nHost: api.example\r\nAuthorization: Basic {}\r\n\r\n",
            basic()
        )
    };
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n{}",
        "b".repeat(3000)
    );
    let mut segs = Talk::new("192.0.2.1:40000", "192.0.2.2:80")
        .open()
        .send(0, ask("GET"))
        .send(1, long)
        .send(0, ask("DELETE"))
        .send(1, "HTTP/1.1 204 No Content\r\n\r\n")
        .close()
        .segs;
    segs.remove(5);
    let mut packets: Vec<_> = segs.iter().map(|seg| (seg.time, seg.ethernet())).collect();
    packets.push((made::MORNING, vec![0; 60]));
    made::pcap(1, &packets)
}

#[test]
fn a_capture_is_judged() {
    let dir = scene();
    let file = made_capture();
    std::fs::write(dir.path().join("a.pcap"), &file).unwrap();
    let compact = replay(dir.path(), &["a.pcap"]);
    let text = String::from_utf8(compact.stdout.clone()).unwrap();
    // The fingerprint of an identity without a host's key is the same everywhere.
    let shown: Vec<&str> = text.lines().filter(|line| !line.contains("al_")).collect();
    insta::assert_snapshot!("capture", shown.join("\n"));
    assert_eq!(compact.status.code(), Some(1));
    assert_eq!(replay(dir.path(), &["a.pcap"]).stdout, compact.stdout);

    let (alerts, summary, exit) = json(dir.path(), &["a.pcap"]);
    let mut kinds: Vec<_> = alerts
        .iter()
        .map(|alert| alert["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!((kinds, exit), (vec!["cleartext", "read-writes"], 1));
    assert_eq!(summary["accesses"], 2);
    assert_eq!(summary["first"], "2026-11-24T08:00:00.004000Z");
    insta::assert_snapshot!(
        "capture_json",
        serde_json::to_string_pretty(&summary["capture"]).unwrap()
    );
    // From a pipe and compressed it is the same; named wrongly it is told of.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&file).unwrap();
    std::fs::write(dir.path().join("a.pcap.gz"), gzip.finish().unwrap()).unwrap();
    assert_eq!(
        json(dir.path(), &["a.pcap.gz", "--format", "pcap"]).1,
        summary
    );
    let wrong = replay(dir.path(), &["--format", "pcap", "policy.toml"]);
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert!(told.contains("policy.toml: no capture file"), "{told}");
}

#[test]
fn fingerprints_are_made_with_the_hosts_key_where_there_is_one() {
    let dir = scene();
    std::fs::write(dir.path().join("a.pcap"), made_capture()).unwrap();
    let print = |of: &(Vec<Value>, Value, i32)| {
        of.0[0]["evidence"]
            .to_string()
            .split("bw1:")
            .nth(1)
            .unwrap()[..32]
            .to_owned()
    };
    let without = json(dir.path(), &["a.pcap"]);
    std::fs::write(dir.path().join("state/fingerprint.key"), [9; 32]).unwrap();
    let with = json(dir.path(), &["a.pcap"]);
    assert_eq!(without.1["capture"]["host_key"], false);
    assert_eq!(with.1["capture"]["host_key"], true);
    assert_ne!(print(&without), print(&with));
}

#[test]
fn a_file_that_was_cut_is_read_up_to_there() {
    let dir = scene();
    let file = made_capture();
    std::fs::write(dir.path().join("a.pcap"), &file[..file.len() - 70]).unwrap();
    let output = replay(dir.path(), &["a.pcap"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("a.pcap: ends in the middle of a packet"),
        "{told}"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// What went over a socket, by whom: 0 the client, 1 the server.
type Tape = Arc<Mutex<Vec<(usize, Vec<u8>)>>>;

struct Taped(TcpStream, Tape);

impl Read for Taped {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(to)?;
        self.1.lock().unwrap().push((0, to[..read].to_vec()));
        Ok(read)
    }
}

impl Write for Taped {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let written = self.0.write(from)?;
        self.1.lock().unwrap().push((1, from[..written].to_vec()));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Answers one connection's requests, and keeps what went over it.
fn serve(listener: &TcpListener, tape: Tape) {
    let made = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let connection = ServerConnection::new(Arc::new(config)).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let mut stream = StreamOwned::new(connection, Taped(socket, tape));
    let mut asked = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        // Some clients end without saying so.
        let read = stream.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            return;
        }
        asked.extend(&buffer[..read]);
        if asked.ends_with(b"\r\n\r\n") {
            asked.clear();
            let body = "b".repeat(5000);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).unwrap();
            stream.flush().unwrap();
        }
    }
}

/// What curl says in two requests over one connection, as packets, and the key log that it wrote.
fn curl(dir: &Path, version: &str) -> (Talk, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tape = Tape::default();
    let own = Arc::clone(&tape);
    let server = std::thread::spawn(move || serve(&listener, own));
    let log = dir.join(format!("keys-{version}"));
    let url = |id: u32| format!("https://api.example:{port}/orders/{id}");
    let done = Command::new("curl")
        .args([
            "-sk",
            "--http1.1",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-o",
            "/dev/null",
        ])
        .args(["--tlsv1.2", "--tls-max", version, "-X", "DELETE"])
        .args(["--user", &format!("reader:{PASSWORD}")])
        .args(["--resolve", &format!("api.example:{port}:127.0.0.1")])
        .args([url(1), url(2)])
        .env("SSLKEYLOGFILE", &log)
        .status()
        .expect("curl runs: `cargo xtask setup` installs it");
    assert!(done.success());
    server.join().unwrap();
    let mut talk = Talk::new("192.0.2.1:40000", "192.0.2.2:443").open();
    for (end, bytes) in &*tape.lock().unwrap() {
        talk = talk.send(*end, bytes);
    }
    (talk.close(), std::fs::read_to_string(log).unwrap())
}

#[test]
fn what_curl_said_is_read_with_its_key_log() {
    let dir = scene();
    for version in ["1.2", "1.3"] {
        let (mut talk, log) = curl(dir.path(), version);
        std::fs::write(dir.path().join("plain.pcap"), made::ethernet(&talk.segs)).unwrap();
        // Another order of capture, and copies.
        talk.segs[4..].chunks_mut(3).for_each(<[_]>::reverse);
        let again = talk.segs[6].clone();
        talk.segs.insert(9, again);
        std::fs::write(dir.path().join("mixed.pcap"), made::ethernet(&talk.segs)).unwrap();
        let mut blocks = Blocks::section(false);
        blocks.interface(1, 0, &[]);
        blocks.secrets(&log);
        for seg in &talk.segs {
            blocks.packet(0, seg.time / 1000, &seg.ethernet());
        }
        std::fs::write(dir.path().join("own.pcapng"), blocks.file).unwrap();

        let keys = format!("keys-{version}");
        for arguments in [
            ["plain.pcap", "--keylog", &keys].as_slice(),
            &["mixed.pcap", "--keylog", &keys],
            &["own.pcapng"],
        ] {
            let (alerts, summary, exit) = json(dir.path(), arguments);
            assert_eq!(exit, 1, "{summary}");
            assert_eq!(
                (&summary["accesses"], &summary["named"]),
                (&2.into(), &2.into())
            );
            assert_eq!(summary["findings"]["read-writes"], 2);
            let capture = &summary["capture"];
            assert_eq!(
                (&capture["tls"], &capture["lost_bytes"]),
                (&1.into(), &0.into())
            );
            assert_eq!(capture["unread_tls"], serde_json::json!({}));
            let told = alerts[0].to_string();
            assert!(
                told.contains(&format!(r#""version":"{version}""#)),
                "{told}"
            );
        }
        let (alerts, summary, exit) = json(dir.path(), &["plain.pcap"]);
        assert_eq!((alerts.len(), exit), (0, 0));
        assert_eq!(summary["accesses"], 0);
        assert_eq!(summary["capture"]["unread_tls"]["no-keys"], 1);
    }
}
