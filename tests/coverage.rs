//! What the daemon says of its own sight: traffic of every sort, and how `bailiwick coverage` calls it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use e2e::process::{client, exe};
use e2e::trial::root;
use e2e::{Daemon, Process, wait_for};
use libtest_mimic::Trial;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("coverage::every_sort_is_named", every_sort),
        root("coverage::turning_dark_is_an_alert", turning_dark),
    ]
}

const NAME: &str = "dark.example";
const REQUEST: &[u8] = b"GET /dark HTTP/1.1\r\nHost: dark.example\r\nConnection: close\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// Speaks like a client and a server of Redis, over TCP or a unix socket, and closes.
const REDIS: &str = "
import socket, sys, threading
if sys.argv[1] == 'tcp':
    listener = socket.create_server(('127.0.0.1', 0))
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
def serve():
    conn = listener.accept()[0]
    while conn.recv(4096):
        conn.sendall(b'+OK\\r\\n')
    conn.close()
server = threading.Thread(target=serve)
server.start()
client = socket.socket(listener.family)
client.connect(listener.getsockname())
for _ in range(30):
    client.sendall(b'*3\\r\\n$3\\r\\nSET\\r\\n$1\\r\\na\\r\\n$1\\r\\nb\\r\\n')
    assert client.recv(100) == b'+OK\\r\\n'
client.close()
server.join()
";

/// Stays connected, and moves 5 MiB of something that has no name.
const BULK: &str = "
import socket, sys, threading, time
listener = socket.create_server(('127.0.0.1', 0))
def serve():
    conn = listener.accept()[0]
    left = 5 << 20
    while left > 0:
        left -= len(conn.recv(65536))
    conn.sendall(b'\\1')
    time.sleep(60)
threading.Thread(target=serve, daemon=True).start()
client = socket.create_connection(listener.getsockname())
client.sendall(b'\\xfe' * (5 << 20))
client.recv(1)
print('done', flush=True)
time.sleep(60)
";

/// Datagrams to where HTTP/3 listens.
const QUIC: &str = "
import socket
for _ in range(3):
    # Nobody listens: only the first datagram of a socket leaves.
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(('127.0.0.1', 443))
    sock.send(bytes(1200))
";

/// A copy of a program is a workload of its own.
fn copy(daemon: &Daemon, program: &str, name: &str) -> Result<PathBuf> {
    let path = daemon.dir().canonicalize()?.join(name);
    fs::copy(exe(program)?, &path)?;
    Ok(path)
}

/// A certificate and its key, for servers of both sorts.
struct Identity {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Identity {
    fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
        Ok(Self {
            certificate: made.cert,
            key: made.signing_key,
        })
    }

    /// A client whose library has no probe: ring derives its keys inside.
    fn client(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    fn server(&self) -> Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)?;
        Ok(Arc::new(config))
    }

    /// One exchange with a server.
    fn ask(&self, port: u16) -> Result<()> {
        let name = ServerName::try_from(NAME)?;
        let session = ClientConnection::new(self.client()?, name)?;
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(e2e::scaled(Duration::from_secs(10))))?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(REQUEST)?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while !answer.starts_with(b"HTTP/1.") {
            let length = stream.read(&mut part)?;
            ensure!(length > 0, "no answer");
            answer.extend_from_slice(&part[..length]);
        }
        Ok(())
    }

    /// `connections` exchanges between this process and itself, neither end with a probe.
    fn talk_in_the_dark(&self, connections: usize) -> Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let config = self.server()?;
        let server = std::thread::spawn(move || -> Result<()> {
            for _ in 0..connections {
                let session = ServerConnection::new(Arc::clone(&config))?;
                let mut stream = StreamOwned::new(session, listener.accept()?.0);
                let mut request = [0; 1024];
                ensure!(stream.read(&mut request)? > 0, "no request");
                stream.write_all(RESPONSE)?;
                stream.conn.send_close_notify();
                stream.flush()?;
            }
            Ok(())
        });
        for _ in 0..connections {
            self.ask(port)?;
        }
        server
            .join()
            .map_err(|_| anyhow!("the server panicked"))??;
        Ok(port)
    }
}

/// openssl's own server: whatever client, its keys come from there.
struct Readable {
    _process: Process,
    port: u16,
}

impl Readable {
    fn start(identity: &Identity, dir: &Path) -> Result<Self> {
        let at = |name: &str| dir.join(name).display().to_string();
        fs::write(at("key.pem"), identity.key.serialize_pem())?;
        fs::write(at("cert.pem"), identity.certificate.pem())?;
        client(Command::new("/usr/bin/mkfifo").arg(at("input")))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        #[rustfmt::skip]
        let process = Process::start(
            // At the end of its input it would close connections: this one never ends.
            Command::new("/usr/bin/sh").args(["-c", "exec \"$@\" <>\"$0\"", &at("input")]).args([
                "/usr/bin/openssl", "s_server", "-www", "-accept", &format!("127.0.0.1:{port}"),
                "-key", &at("key.pem"), "-cert", &at("cert.pem"),
            ]),
            &dir.join("server.log"),
        )?;
        wait_for("the TLS server", || {
            Ok(TcpStream::connect(("127.0.0.1", port)).ok())
        })?;
        Ok(Self {
            _process: process,
            port,
        })
    }
}

/// The record of a workload, once `enough` says so.
fn covered(daemon: &Daemon, exe: &Path, enough: impl Fn(&Value) -> bool) -> Result<Value> {
    let name = format!("exe:{}", exe.display());
    let mut last = Value::Null;
    wait_for(&format!("the coverage of {name}"), || {
        let lines = daemon.json(&["coverage"])?;
        let found = lines.into_iter().find(|line| line["workload"] == *name);
        last = found.unwrap_or_default();
        Ok(enough(&last).then(|| last.clone()))
    })
    .with_context(|| format!("the last was {last:#}"))
}

/// Connections and bytes of one kind.
fn kind(record: &Value, name: &str) -> (u64, u64) {
    let kinds = record["kinds"].as_array();
    let found = kinds.and_then(|kinds| kinds.iter().find(|kind| kind["kind"] == name));
    found.map_or((0, 0), |kind| {
        let number = |field: &str| kind[field].as_u64().unwrap_or_default();
        (number("connections"), number("bytes"))
    })
}

fn every_sort() -> Result<()> {
    let daemon = Daemon::start()?;
    let talker = copy(&daemon, "/usr/bin/python3", "talker")?;
    let local = copy(&daemon, "/usr/bin/python3", "local")?;
    let bulk = copy(&daemon, "/usr/bin/python3", "bulk")?;
    let datagrams = copy(&daemon, "/usr/bin/python3", "datagrams")?;
    let reader = copy(&daemon, "/usr/bin/curl", "reader")?;
    let identity = Identity::new()?;
    let readable = Readable::start(&identity, daemon.dir())?;

    client(Command::new(&talker).args(["-c", REDIS, "tcp"]))?;
    let path = daemon.dir().join("redis.sock");
    client(Command::new(&local).args(["-c", REDIS]).arg(&path))?;
    client(Command::new(&datagrams).args(["-c", QUIC]))?;
    #[rustfmt::skip]
    client(
        Command::new(&reader)
            .args(["--silent", "--insecure", "--max-time", "10", "--output", "/dev/null"])
            .args(["--resolve", &format!("seen.example:{}:127.0.0.1", readable.port)])
            .arg(format!("https://seen.example:{}/", readable.port)),
    )?;
    let log = daemon.dir().join("bulk.log");
    let _bulk = Process::start(Command::new(&bulk).args(["-c", BULK]), &log)?;
    let port = identity.talk_in_the_dark(2)?;

    // Each end counts: 30 requests of 27 bytes, 30 answers of 5.
    let all = (2, 2 * 30 * 32);
    let record = covered(&daemon, &talker, |r| kind(r, "protocol:redis") == all)?;
    ensure!(record["dark"]["connections"] == 0, "{record:#}");
    let record = covered(&daemon, &local, |r| kind(r, "protocol:redis").0 == 2)?;
    ensure!(kind(&record, "protocol:redis").1 > 0, "{record:#}");

    let record = covered(&daemon, &reader, |r| kind(r, "tls-keys:http/1.1").0 == 1)?;
    ensure!(kind(&record, "tls-keys:http/1.1").1 > 500, "{record:#}");
    ensure!(record["read"]["connections"] == 1, "{record:#}");
    ensure!(record["dark"]["connections"] == 0, "{record:#}");

    // It is still open: to within a MiB.
    let most = 2 * ((5 << 20) + 1);
    let record = covered(&daemon, &bulk, |r| kind(r, "protocol:other").1 > 8 << 20)?;
    let (connections, bytes) = kind(&record, "protocol:other");
    ensure!(connections == 2 && bytes <= most, "{record:#}");

    let quic = |r: &Value| r["uncovered"][0].clone();
    let record = covered(&daemon, &datagrams, |r| !quic(r).is_null())?;
    ensure!(quic(&record)["cause"] == "quic", "{record:#}");
    ensure!(quic(&record)["bytes"] == 3600, "{record:#}");

    let own = std::env::current_exe()?.canonicalize()?;
    let record = covered(&daemon, &own, |r| kind(r, "opaque-tls:no-keys").0 == 4)?;
    let example = &record["examples"][0];
    ensure!(example["kind"] == "opaque-tls:no-keys", "{record:#}");
    ensure!(example["sni"] == NAME, "{record:#}");
    ensure!(
        example["address"] == format!("127.0.0.1:{port}"),
        "{record:#}"
    );

    // The library that made it readable is in the list of what is probed.
    let lines = daemon.json(&["coverage"])?;
    let probed = lines.iter().find(|line| {
        line["type"] == "probed"
            && line["file"]
                .as_str()
                .is_some_and(|file| file.contains("libcrypto.so.3"))
    });
    let probed = probed.context("libcrypto is not listed")?;
    ensure!(
        probed["attached"][0]["function"] == "openssl:EVP_KDF_derive",
        "{probed:#}"
    );
    let status = daemon.status()?;
    ensure!(
        status["coverage"]["probes"].as_u64() > Some(0),
        "{status:#}"
    );
    // Its numbers are up to a second old.
    wait_for("the line of the status", || {
        let text = String::from_utf8(daemon.run(&["status"])?.stdout)?;
        Ok(text.contains("% of connections understood").then_some(()))
    })?;
    let text = String::from_utf8(daemon.run(&["coverage"])?.stdout)?;
    ensure!(
        text.contains("✗ dark: exe:") && text.contains(NAME),
        "{text}"
    );
    Ok(())
}

/// This process is read at a server that gives its keys away, and then talks where nobody does.
fn turning_dark() -> Result<()> {
    let daemon = Daemon::start()?;
    let identity = Identity::new()?;
    let readable = Readable::start(&identity, daemon.dir())?;
    identity.ask(readable.port)?;
    let own = std::env::current_exe()?.canonicalize()?;
    covered(&daemon, &own, |r| kind(r, "tls-keys:http/1.1").0 == 1)?;
    let quiet = daemon.json(&["alerts", "--kind", "coverage-lost"])?;
    ensure!(quiet.is_empty(), "{quiet:#?}");

    identity.talk_in_the_dark(3)?;
    covered(&daemon, &own, |r| kind(r, "opaque-tls:no-keys").0 == 6)?;
    let name = format!("exe:{}", own.display());
    let alert = wait_for("the alert", || {
        let alerts = daemon.json(&["alerts", "--kind", "coverage-lost"])?;
        Ok(alerts.into_iter().find(|alert| alert["workload"] == *name))
    })?;
    ensure!(alert["severity"] == "medium", "{alert:#}");
    ensure!(alert["identity"].is_null(), "{alert:#}");
    ensure!(alert["operation"] == "opaque-tls:no-keys", "{alert:#}");
    ensure!(alert["evidence"] == serde_json::json!([]), "{alert:#}");
    let title = alert["title"].as_str().context("a title")?;
    ensure!(
        title.contains(NAME) && title.contains("1 had been read"),
        "{title}"
    );
    Ok(())
}
