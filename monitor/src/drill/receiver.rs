//! Receives the daemon's webhooks, verifies their signatures, and notes when each came.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::mint;
use super::script::monotonic_ns;
use crate::alert::secret::Secret;
use crate::alert::webhook::{MAX_BODY, sign};

/// Most webhooks kept; a drill has some hundreds.
const MOST: usize = 16_384;

/// What is read of an alert.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Alert {
    pub(super) kind: String,
    #[serde(default)]
    pub(super) identity: Option<String>,
    #[serde(default)]
    pub(super) title: String,
}

/// A webhook whose signature was right.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// CLOCK_MONOTONIC in ns when its last byte had been read.
    pub(super) at_ns: u64,
    pub(super) alert: Alert,
}

#[derive(Default)]
struct Kept {
    deliveries: Vec<Delivery>,
    /// Bodies that were not what they should be, and deliveries beyond [`MOST`].
    refused: Vec<String>,
}

#[derive(Default)]
struct Shared {
    kept: Mutex<Kept>,
    came: Condvar,
}

/// Listens on loopback of the network namespace that it was started in.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    /// The signing secret as a configuration has it.
    pub(super) secret: String,
    shared: Arc<Shared>,
}

impl Receiver {
    pub(super) fn start() -> io::Result<Self> {
        let secret = format!("whsec_{}", STANDARD.encode(mint::webhook_key()));
        let key = Secret::new(secret.as_bytes()).map_err(io::Error::other)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("drill-receiver".to_owned())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (inner, key) = (Arc::clone(&inner), key.clone());
                    std::thread::spawn(move || serve(&stream, &key, &inner));
                }
            })?;
        Ok(Self {
            address,
            secret,
            shared,
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What came so far.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.kept().deliveries.clone()
    }

    /// What came and was no rightly signed webhook.
    pub(super) fn refused(&self) -> Vec<String> {
        self.kept().refused.clone()
    }

    /// Waits for a delivery; none when it does not come in time, or `stop` says so.
    pub(super) fn wait(
        &self,
        patience: Duration,
        stop: impl Fn() -> bool,
        fits: impl Fn(&Delivery) -> bool,
    ) -> Option<Delivery> {
        const LOOK: Duration = Duration::from_millis(50);
        let begin = Instant::now();
        let mut kept = self.kept();
        loop {
            if let Some(found) = kept.deliveries.iter().find(|one| fits(one)) {
                return Some(found.clone());
            }
            let left = patience.saturating_sub(begin.elapsed());
            if left.is_zero() || stop() {
                return None;
            }
            kept = self
                .shared
                .came
                .wait_timeout(kept, left.min(LOOK))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

fn serve(stream: &TcpStream, key: &Secret, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some(message)) = read(&mut reader) {
        let at_ns = monotonic_ns();
        let result = message.open(key);
        let mut kept = shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let answer: &[u8] = match result {
            Ok(Some(alert)) if kept.deliveries.len() < MOST => {
                kept.deliveries.push(Delivery { at_ns, alert });
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            }
            // Not an alert: a test, say.
            Ok(None) => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            other => {
                let why = other.err().unwrap_or_else(|| "too many".to_owned());
                if kept.refused.len() < 16 {
                    kept.refused.push(why);
                }
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
            }
        };
        drop(kept);
        shared.came.notify_all();
        let mut writer = stream;
        if writer.write_all(answer).is_err() {
            return;
        }
    }
}

struct Message {
    id: String,
    timestamp: String,
    signatures: String,
    body: Vec<u8>,
}

impl Message {
    fn open(&self, key: &Secret) -> Result<Option<Alert>, String> {
        let timestamp = self.timestamp.parse().map_err(|_| "no timestamp")?;
        let wanted = sign(key, &self.id, timestamp, &self.body);
        if !self.signatures.split(' ').any(|one| one == wanted) {
            return Err(format!("{}: the signature is wrong", self.id));
        }
        let value: serde_json::Value =
            serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        if value.get("type").and_then(serde_json::Value::as_str) != Some("alert") {
            return Ok(None);
        }
        serde_json::from_value(value)
            .map(Some)
            .map_err(|error| error.to_string())
    }
}

/// One request; none when the connection ended.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut message = Message {
        id: String::new(),
        timestamp: String::new(),
        signatures: String::new(),
        body: Vec::new(),
    };
    let mut length = 0;
    for number in 0..100 {
        let mut line = String::new();
        if (&mut *reader).take(8192).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if number > 0 && line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "webhook-id" => value.clone_into(&mut message.id),
            "webhook-timestamp" => value.clone_into(&mut message.timestamp),
            "webhook-signature" => value.clone_into(&mut message.signatures),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    if length > MAX_BODY {
        return Err(io::Error::other("a body that is too long"));
    }
    message.body = vec![0; length];
    reader.read_exact(&mut message.body)?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;

    fn post(receiver: &Receiver, body: &str, signature: &str) -> String {
        let mut stream = TcpStream::connect(receiver.address).unwrap();
        let head = format!(
            "POST /hook HTTP/1.1\r\nWebhook-Id: a-1\r\nWebhook-Timestamp: 17\r\n\
             Webhook-Signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn only_what_is_rightly_signed_is_kept() {
        let receiver = Receiver::start().unwrap();
        let key = Secret::new(receiver.secret.as_bytes()).unwrap();
        let body = r#"{"type":"alert","kind":"canary","identity":"trap","title":"x"}"#;
        let right = sign(&key, "a-1", 17, body.as_bytes());
        let before = monotonic_ns();
        assert!(post(&receiver, body, &right).contains("200"));
        assert!(post(&receiver, body, "v1,AAAA").contains("400"));
        let wait = |kind: &str| {
            let patience = Duration::from_millis(200);
            receiver.wait(patience, || false, |one| one.alert.kind == kind)
        };
        let found = wait("canary").unwrap();
        assert_eq!(found.alert.identity.as_deref(), Some("trap"));
        assert!(found.at_ns > before);
        assert!(wait("duty").is_none());
        assert_eq!(receiver.deliveries().len(), 1);
        assert_eq!(receiver.refused(), ["a-1: the signature is wrong"]);
    }

    #[test]
    fn waiting_ends_when_it_is_told_to() {
        let receiver = Receiver::start().unwrap();
        let begin = Instant::now();
        assert!(
            receiver
                .wait(Duration::from_secs(60), || true, |_| true)
                .is_none()
        );
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
