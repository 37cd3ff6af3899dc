//! The endpoint: `GET /metrics` over HTTP/1.1, one request a connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};

use crate::listening::{ACCEPT_PAUSE, BindError, Listen, Socket, names_this};

use super::families::{Inputs, expose};
use super::text::Form;

/// Connections at a time; more wait in the kernel's queue.
const MOST: usize = 8;
/// Time for a whole connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 8192;
/// Most header fields of a request.
const MAX_FIELDS: usize = 64;
/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
#[error("[metrics] {0}")]
pub struct MetricsError(#[from] BindError);

/// What a scrape is answered with.
pub type Source = Arc<dyn Fn() -> Inputs + Send + Sync>;

/// A listening endpoint. Its unix socket is removed when it is dropped.
pub struct MetricsServer {
    socket: Socket,
    /// Names that a request's `Host` may have beside addresses and `localhost`.
    host: Option<String>,
}

impl std::fmt::Debug for MetricsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsServer")
    }
}

impl MetricsServer {
    /// Listens. `host` is this host's own name, for an address that others reach; `group` may use a
    /// unix socket, as the control socket's.
    ///
    /// # Errors
    /// When the system refuses, or another daemon listens there.
    pub async fn bind(listen: &Listen, host: &str, group: &str) -> Result<Self, MetricsError> {
        let socket = Socket::bind(listen, group).await?;
        let host = (!listen.is_local()).then(|| host.to_owned());
        Ok(Self { socket, host })
    }

    /// The TCP address it listens at.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.address()
    }

    /// Answers until `stopped` turns true.
    pub async fn run(self, source: Source, mut stopped: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(MOST));
        // No page of a browser gets at a unix socket, so its clients may say what they like.
        let checked = matches!(self.socket, Socket::Inet(_));
        let host = Arc::new(self.host);
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%error, "no connection for metrics");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (source, host) = (Arc::clone(&source), Arc::clone(&host));
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let allowed = !checked || is_own_host(&request, host.as_deref());
                    let answer = answer(&request, allowed, &source);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .keep_alive(false)
                    .header_read_timeout(PATIENCE)
                    .max_buf_size(MAX_HEAD)
                    .max_headers(MAX_FIELDS)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that breaks off, or never reads, is its own trouble.
                let _ = tokio::time::timeout(PATIENCE, connection).await;
                drop(place);
            });
        }
    }
}

fn answer(request: &Request<Incoming>, allowed: bool, source: &Source) -> Response<Full<Bytes>> {
    let text = "text/plain; charset=utf-8";
    let plain = |status, message: &'static str| {
        respond(status, text, Bytes::from_static(message.as_bytes()))
    };
    if !allowed {
        return plain(
            StatusCode::MISDIRECTED_REQUEST,
            "this Host is not served here: ask by address, or as localhost\n",
        );
    }
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "only /metrics is here\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let accept = request.headers().get(ACCEPT);
    let form = Form::accepted(accept.and_then(|accept| accept.to_str().ok()));
    respond(
        StatusCode::OK,
        form.content_type(),
        Bytes::from(expose(&source(), form)),
    )
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    response
}

fn is_own_host(request: &Request<Incoming>, own: Option<&str>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(|host| names_this(host, own)),
        _ => false,
    }
}
