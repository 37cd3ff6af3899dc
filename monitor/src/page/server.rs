//! Listens, and serves connections within bounds.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Viewed;
use super::api::Site;
use super::feed::Feed;
use super::patience::Patient;
use super::token::{Token, TokenError};
use crate::listening::{ACCEPT_PAUSE, BindError, Listen, Socket, Stream};

/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Most header fields of a request.
const MAX_FIELDS: usize = 64;
/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The socket cannot be had.
    #[error("[page] {0}")]
    Bind(#[from] BindError),
    /// The token cannot be kept.
    #[error("[page] {0}\nhint: runtime_dir must be a directory the daemon may write to")]
    Token(#[from] TokenError),
}

/// Bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// Streams among them.
    pub viewers: usize,
    /// For the head of a request, and between requests.
    pub request: Duration,
    /// How long a viewer may take nothing while something waits for it.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            viewers: 256,
            request: Duration::from_secs(15),
            stalled: Duration::from_secs(30),
        }
    }
}

/// A listening page. Its unix socket is removed when it is dropped.
pub struct PageServer {
    socket: Socket,
    token: Token,
    host: Option<String>,
}

impl std::fmt::Debug for PageServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageServer")
    }
}

impl PageServer {
    /// Listens, and keeps the token in `runtime_dir`. `host` is this host's own name, for an address that
    /// others reach; `group` may use a unix socket, as the control socket's.
    ///
    /// # Errors
    /// When the system refuses, or another daemon listens there.
    pub async fn bind(
        listen: &Listen,
        runtime_dir: &Path,
        host: &str,
        group: &str,
    ) -> Result<Self, PageError> {
        let socket = Socket::bind(listen, group).await?;
        let token = Token::keep(runtime_dir)?;
        let host = (!listen.is_local()).then(|| host.to_owned());
        Ok(Self {
            socket,
            token,
            host,
        })
    }

    /// The TCP address it listens at.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.address()
    }

    /// Answers until `stopped` turns true; then nothing of it runs any more.
    pub async fn run<B: Viewed>(
        self,
        backend: Arc<B>,
        limits: Limits,
        mut stopped: watch::Receiver<bool>,
    ) {
        let own_peer = match &self.socket {
            Socket::Inet(_) => self.address().map(|address| address.to_string()),
            Socket::Unix(socket) => Some(format!("unix:{}", socket.path().display())),
        };
        let site = Arc::new(Site {
            feed: Arc::new(Feed::new(backend, own_peer)),
            token: self.token,
            host: self.host,
            viewers: limits.viewers,
            patience: limits.request,
        });
        let places = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        loop {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
            let Ok(place) = place else { break };
            let accepted = loop {
                tokio::select! {
                    accepted = self.socket.accept() => break Some(accepted),
                    Some(_) = connections.join_next(), if !connections.is_empty() => {}
                    _ = stopped.wait_for(|stopped| *stopped) => break None,
                }
            };
            let stream = match accepted {
                None => break,
                Some(Ok(stream)) => stream,
                Some(Err(error)) => {
                    tracing::debug!(%error, "no connection for the page");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let site = Arc::clone(&site);
            connections.spawn(async move {
                serve(stream, site, limits).await;
                drop(place);
            });
        }
        connections.shutdown().await;
        site.feed.end().await;
    }
}

async fn serve<B: Viewed>(stream: Box<dyn Stream>, site: Arc<Site<B>>, limits: Limits) {
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move {
            let (parts, body) = request.into_parts();
            Ok::<_, Infallible>(site.answer(&parts, body).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.stalled)), service);
    // A client that breaks off, or never reads, is its own trouble.
    let _ = connection.await;
}
