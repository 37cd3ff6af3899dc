//! One attempt at handing a message to a log: a datagram to a unix socket or over UDP, or a connection over TCP.
//!
//! Logs answer nothing. A unix socket takes a message or refuses it; over TCP a message counts as taken when the
//! receiver closes after it without an error, or says nothing for [`SETTLE`]; over UDP what can be known is
//! that nobody listens, and that only sometimes.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};

use super::config::HookUrl;
use super::webhook::{Answer, Reply, Request, Transport};

/// How long a refusal is waited for over UDP.
const REFUSAL: Duration = Duration::from_millis(50);
/// How long the end of a TCP connection is waited for once everything is written.
const SETTLE: Duration = Duration::from_secs(1);
/// What stands for success: logs have no status.
const TAKEN: u16 = 200;

/// Hands messages to a socket; none is kept open.
#[derive(Debug)]
pub struct Sockets {
    to: HookUrl,
}

impl Sockets {
    /// To one place.
    #[must_use]
    pub fn new(to: HookUrl) -> Self {
        Self { to }
    }
}

impl Transport for Sockets {
    fn post(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            let body = &request.body;
            let sent = async {
                match &self.to {
                    HookUrl::Unix(path) => unix(path, body).await,
                    HookUrl::Udp(at) => udp(at, body).await,
                    HookUrl::Tcp(at) => tcp(at, body).await,
                    HookUrl::Http(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
                }
            };
            match tokio::time::timeout(request.timeout, sent).await {
                Ok(Ok(())) => Ok(Reply {
                    status: TAKEN,
                    retry_after: None,
                    quote: String::new(),
                }),
                Ok(Err(error)) => Err(format!("{}: {error}", self.to)),
                Err(_) => Err(format!("{}: it did not take the message in time", self.to)),
            }
        })
    }
}

async fn unix(path: &Path, body: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // By name each time: a log that was restarted has another socket there.
    let sent = socket.send_to(body, path).await?;
    whole(sent, body)
}

async fn udp(at: &str, body: &[u8]) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in tokio::net::lookup_host(at).await? {
        let any = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let tried = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(address).await?;
            whole(socket.send(body).await?, body)?;
            // A port that nobody listens at is told of by ICMP, if at all.
            match tokio::time::timeout(REFUSAL, socket.recv(&mut [0; 1])).await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) | Err(_) => Ok(()),
            }
        };
        match tried.await {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn tcp(at: &str, body: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(at).await?;
    // RFC 6587 §3.4.1: octet counting.
    let mut framed = format!("{} ", body.len()).into_bytes();
    framed.extend_from_slice(body);
    stream.write_all(&framed).await?;
    stream.shutdown().await?;
    // A receiver that went away resets the connection; one that lives closes it, or waits.
    let mut ignored = [0; 64];
    let end = async {
        while stream.read(&mut ignored).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(SETTLE, end).await.unwrap_or(Ok(()))
}

fn whole(sent: usize, body: &[u8]) -> io::Result<()> {
    if sent == body.len() {
        return Ok(());
    }
    Err(io::Error::from(io::ErrorKind::WriteZero))
}
