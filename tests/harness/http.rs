//! The least of HTTP that the tests themselves speak.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Answers every request with 200 and the same few bytes, in a thread of this process.
#[derive(Debug)]
pub struct Answerer {
    address: Option<SocketAddr>,
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

impl Answerer {
    /// On a port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub fn inet() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&stream, &stream));
            }
        });
        Ok(Self {
            address: Some(address),
        })
    }

    /// On a unix socket.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub fn unix(path: &Path) -> Result<Self> {
        let listener =
            UnixListener::bind(path).with_context(|| format!("cannot bind {}", path.display()))?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&stream, &stream));
            }
        });
        Ok(Self { address: None })
    }

    /// Where it listens.
    ///
    /// # Panics
    /// When it is a unix socket.
    #[must_use]
    #[allow(
        clippy::expect_used,
        reason = "a test that asks a unix socket for its port is wrong"
    )]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("a unix socket has no address")
    }
}

/// Reads heads and answers each, until the connection ends; bodies are not expected.
pub fn serve(reader: impl Read, mut writer: impl Write) {
    let mut lines = BufReader::new(reader);
    let mut line = String::new();
    let mut empty = true;
    loop {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.trim_end().is_empty() && !empty => {
                if writer.write_all(OK).is_err() {
                    return;
                }
                empty = true;
            }
            Ok(_) => empty = line.trim_end().is_empty(),
        }
    }
}

/// One GET on a connection of its own; returns the answer's head.
///
/// # Errors
/// When there is no answer.
pub fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<String> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    exchange(
        &stream,
        &stream,
        &request(path, &address.to_string(), headers),
    )
}

/// The same over a unix socket.
///
/// # Errors
/// When there is no answer.
pub fn get_unix(socket: &Path, path: &str, headers: &[(&str, &str)]) -> Result<String> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    exchange(&stream, &stream, &request(path, "localhost", headers))
}

/// A request's bytes.
#[must_use]
pub fn request(path: &str, host: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn exchange(reader: impl Read, mut writer: impl Write, request: &[u8]) -> Result<String> {
    writer.write_all(request)?;
    read_answer(&mut BufReader::new(reader))
}

/// One answer of [`Answerer`]: its head; its body is read too.
///
/// # Errors
/// When the connection ends first.
pub fn read_answer(reader: &mut impl BufRead) -> Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(
            reader.read_line(&mut head)? > 0,
            "the connection ended in the head: {head:?}"
        );
    }
    let length: usize = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(head)
}
