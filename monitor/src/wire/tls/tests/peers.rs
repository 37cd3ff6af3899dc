//! Two real peers (rustls) in this process, what they wrote, and the secrets they logged.

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, KeyLog, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite,
};

use super::tape::{Event, Known};
use crate::wire::Dir;
use crate::wire::tls::Label;

/// Takes what rustls logs.
#[derive(Default)]
struct Log(Mutex<Vec<Known>>);

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().push(Known {
            label: self::label(label),
            random: Some(client_random.try_into().unwrap()),
            value: secret.to_vec(),
        });
    }
}

/// By its name in a key log.
pub(super) fn label(name: &str) -> Label {
    match name {
        "CLIENT_RANDOM" => Label::Master12,
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshake,
        "SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshake,
        "CLIENT_TRAFFIC_SECRET_0" => Label::ClientTraffic,
        "SERVER_TRAFFIC_SECRET_0" => Label::ServerTraffic,
        "CLIENT_EARLY_TRAFFIC_SECRET" => Label::ClientEarly,
        _ => Label::Exporter,
    }
}

/// A client and a server that may speak to each other more than once.
pub(super) struct Pair {
    pub(super) client: ClientConfig,
    pub(super) server: ServerConfig,
    log: Arc<Log>,
}

impl Pair {
    /// With these suites; both TLS versions that they are of.
    pub(super) fn new(suites: &[SupportedCipherSuite]) -> Self {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites.to_vec(),
            ..ring::default_provider()
        });
        let made = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let versions: Vec<_> = rustls::ALL_VERSIONS
            .iter()
            .copied()
            .filter(|version| suites.iter().any(|suite| suite.version() == *version))
            .collect();
        let log = Arc::new(Log::default());
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.key_log = Arc::<Log>::clone(&log);
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            client,
            server,
            log,
        }
    }

    pub(super) fn connect(&self) -> Talk {
        self.log.0.lock().unwrap().clear();
        let name = ServerName::try_from("api.example").unwrap();
        let client = ClientConnection::new(Arc::new(self.client.clone()), name).unwrap();
        Talk {
            client,
            server: ServerConnection::new(Arc::new(self.server.clone())).unwrap(),
            events: Vec::new(),
            log: Arc::clone(&self.log),
        }
    }
}

/// One connection.
pub(super) struct Talk {
    pub(super) client: ClientConnection,
    pub(super) server: ServerConnection,
    pub(super) events: Vec<Event>,
    log: Arc<Log>,
}

impl Talk {
    fn secrets(&mut self) {
        let new = std::mem::take(&mut *self.log.0.lock().unwrap());
        self.events.extend(new.into_iter().map(Event::Secret));
    }

    /// Carries what was written over, until nobody has anything more to say.
    pub(super) fn run(&mut self) {
        for _ in 0..100 {
            let mut moved = false;
            for dir in [Dir::ToServer, Dir::ToClient] {
                let mut bytes = Vec::new();
                match dir {
                    Dir::ToServer => {
                        while self.client.wants_write() {
                            self.client.write_tls(&mut bytes).unwrap();
                        }
                    }
                    Dir::ToClient => {
                        while self.server.wants_write() {
                            self.server.write_tls(&mut bytes).unwrap();
                        }
                    }
                }
                self.secrets();
                if bytes.is_empty() {
                    continue;
                }
                moved = true;
                self.events.push(Event::Bytes(dir, bytes.clone()));
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    match dir {
                        Dir::ToServer => {
                            self.server.read_tls(&mut rest).unwrap();
                            self.server.process_new_packets().unwrap();
                            let mut all = vec![0; 1 << 20];
                            let _ = self.server.reader().read(&mut all);
                        }
                        Dir::ToClient => {
                            self.client.read_tls(&mut rest).unwrap();
                            self.client.process_new_packets().unwrap();
                            let mut all = vec![0; 1 << 20];
                            let _ = self.client.reader().read(&mut all);
                        }
                    }
                }
                self.secrets();
            }
            if !moved {
                return;
            }
        }
        panic!("they do not come to an end");
    }

    pub(super) fn ask(&mut self, path: &str, body: usize) {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: api.example\r\nContent-Length: {body}\r\n\r\n");
        self.client.writer().write_all(head.as_bytes()).unwrap();
        self.client.writer().write_all(&vec![b'x'; body]).unwrap();
        self.run();
    }

    pub(super) fn answer(&mut self, status: u16, body: usize) {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {body}\r\n\r\n");
        self.server.writer().write_all(head.as_bytes()).unwrap();
        for part in vec![b'y'; body].chunks(16_000) {
            self.server.writer().write_all(part).unwrap();
            self.run();
        }
        self.run();
    }

    /// Head and body in one record, as far as they fit.
    pub(super) fn ask_at_once(&mut self, path: &str, body: usize) {
        let mut all =
            format!("POST {path} HTTP/1.1\r\nHost: api.example\r\nContent-Length: {body}\r\n\r\n")
                .into_bytes();
        all.resize(all.len() + body, b'x');
        self.client.writer().write_all(&all).unwrap();
        self.run();
    }

    /// As [`Self::ask_at_once`].
    pub(super) fn answer_at_once(&mut self, status: u16, body: usize) {
        let mut all = format!("HTTP/1.1 {status} X\r\nContent-Length: {body}\r\n\r\n").into_bytes();
        all.resize(all.len() + body, b'y');
        self.server.writer().write_all(&all).unwrap();
        self.run();
    }

    /// Three exchanges on one connection.
    pub(super) fn converse(&mut self) {
        self.run();
        self.ask("/a", 0);
        self.answer(200, 10);
        self.ask("/b", 3_000);
        self.answer(404, 100_000);
        self.ask("/c", 5);
        self.answer(500, 0);
    }
}

/// The lines of [`Talk::converse`].
pub(super) const CONVERSATION: [&str; 3] = ["POST /a 200", "POST /b 404", "POST /c 500"];
