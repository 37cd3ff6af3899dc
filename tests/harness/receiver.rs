//! A receiver of Standard Webhooks that checks every signature.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::wait_for;

/// The key that [`Receiver::secret`] is the text of.
const KEY: &[u8] = b"an end-to-end test's key, 32 bytes";

/// One delivery whose signature was right.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// `webhook-id`.
    pub id: String,
    /// Seconds since 1970 that were signed.
    pub timestamp: u64,
    /// Bytes as they came.
    pub raw: String,
    /// The same as a value.
    pub body: Value,
}

#[derive(Debug, Default)]
struct Kept {
    deliveries: Vec<Delivery>,
    errors: Vec<String>,
}

/// Listens on loopback and keeps what came.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Receiver {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let shared = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &kept));
            }
        });
        Ok(Self { address, kept })
    }

    /// Its signing secret as a configuration has it.
    #[must_use]
    pub fn secret() -> String {
        format!("whsec_{}", STANDARD.encode(KEY))
    }

    /// The `[[webhook]]` table for this receiver; the secret is in a file of that directory.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn config(&self, dir: &std::path::Path) -> Result<String> {
        let path = dir.join("webhook.secret");
        std::fs::write(&path, Self::secret())?;
        // Readable for a daemon that is another user; a test's key is no secret.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        Ok(format!(
            "[[webhook]]\nname = \"test\"\nurl = \"http://{}/hook\"\nsecret = {:?}\n",
            self.address,
            format!("file:{}", path.display())
        ))
    }

    /// What came so far.
    ///
    /// # Errors
    /// When anything that came was not a rightly signed webhook.
    pub fn deliveries(&self) -> Result<Vec<Delivery>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(kept.errors.is_empty(), "bad deliveries: {:#?}", kept.errors);
        Ok(kept.deliveries.clone())
    }

    /// Waits for a delivery.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait(&self, what: &str, fits: impl Fn(&Delivery) -> bool) -> Result<Delivery> {
        wait_for(what, || Ok(self.deliveries()?.into_iter().find(&fits)))
            .with_context(|| format!("came: {:#?}", self.deliveries()))
    }
}

fn serve(stream: &TcpStream, kept: &Mutex<Kept>) {
    let mut reader = BufReader::new(stream);
    loop {
        let result = receive(&mut reader);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let answer: &[u8] = match result {
            Ok(None) => return,
            Ok(Some(delivery)) => {
                kept.deliveries.push(delivery);
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            }
            Err(error) => {
                kept.errors.push(format!("{error:#}"));
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
        };
        drop(kept);
        let mut writer = stream;
        if writer.write_all(answer).is_err() {
            return;
        }
    }
}

/// One request; none when the connection ended, also in the middle of one (the daemon was killed).
fn receive(reader: &mut impl BufRead) -> Result<Option<Delivery>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) if line == "\r\n" => break,
            Ok(_) => head.push(line),
        }
    }
    let first = head.first().context("no request line")?;
    ensure!(
        first.starts_with("POST /hook HTTP/1.1"),
        "request line {first:?}"
    );
    let field = |name: &str| {
        head.iter()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .with_context(|| format!("no {name} in {head:?}"))
    };
    let length: usize = field("content-length")?.parse()?;
    ensure!(length < 1 << 20, "body of {length} bytes");
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return Ok(None);
    }
    let raw = String::from_utf8(body)?;
    let (id, timestamp) = (field("webhook-id")?, field("webhook-timestamp")?);
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY)?;
    mac.update(format!("{id}.{timestamp}.{raw}").as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let signatures = field("webhook-signature")?;
    ensure!(
        signatures.split(' ').any(|signature| signature == expected),
        "signature {signatures}, not {expected}, over {id}.{timestamp}.{raw}"
    );
    Ok(Some(Delivery {
        id: id.to_owned(),
        timestamp: timestamp.parse()?,
        body: serde_json::from_str(&raw).context("the body is not JSON")?,
        raw,
    }))
}
