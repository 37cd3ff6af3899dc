//! One attempt at delivering one message: signing, posting, and reading the answer.
//!
//! Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` and `webhook-signature: v1,` with the
//! base64 of HMAC-SHA256 over `id.timestamp.body`.

use std::error::Error as _;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::config::WebhookConfig;
use super::secret::Secret;

/// Largest body sent, in bytes (the specification asks for less than 20 kB).
pub const MAX_BODY: usize = 20_000;
/// Most of an answer's body that is read: enough to say what it was, and to keep the connection.
const MAX_ANSWER: usize = 4096;
/// Most of it that is kept with the error.
const MAX_QUOTED: usize = 200;

/// `v1,` and the signature of a message.
#[must_use]
pub fn sign(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> String {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let encoded = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    format!("v1,{encoded}")
}

/// One message, ready to be posted.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`, seconds since 1970: of this attempt.
    pub timestamp: i64,
    /// `webhook-signature`; `None` where the receiver checks none: then `webhook-id` and
    /// `webhook-timestamp` are not sent either.
    pub signature: Option<String>,
    /// `bailiwick-checkpoint`: the audit log's newest checkpoint in base64, where the body has it not.
    pub checkpoint: Option<String>,
    /// `content-type`.
    pub content_type: &'static str,
    /// UTF-8 JSON, or a line of a log. May hold a routing key.
    pub body: Vec<u8>,
    /// Time for the whole attempt.
    pub timeout: Duration,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// `Retry-After`, as sent.
    pub retry_after: Option<String>,
    /// Beginning of the body of an answer that is no success, escaped.
    pub quote: String,
}

/// Posts messages to one place. A trait so that tests can answer in its stead.
pub trait Transport: Send + Sync {
    /// Posts one message.
    ///
    /// # Errors
    /// Why no answer came, without the URL's path.
    fn post(&self, request: Request) -> Answer<'_>;
}

/// What [`Transport::post`] will say.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply, String>> + Send + 'a>>;

/// Posts over HTTP/1.1, TLS by rustls with ring. Redirects are not followed, proxies of the
/// environment are not used.
pub struct Http {
    url: reqwest::Url,
    client: ClientKey,
    clients: Clients,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its path may be a secret.
        f.debug_struct("Http")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

impl Http {
    /// For one endpoint; clients are shared among endpoints that trust and route alike.
    #[must_use]
    pub fn new(url: reqwest::Url, config: &WebhookConfig, clients: &Clients) -> Self {
        Self {
            client: ClientKey {
                tls: url.scheme() == "https",
                ca_file: config.ca_file.clone(),
                proxy: config
                    .proxy
                    .as_ref()
                    .and_then(|proxy| proxy.http())
                    .cloned(),
            },
            clients: clients.clone(),
            url,
        }
    }
}

impl Transport for Http {
    fn post(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            let client = self.clients.get(&self.client).await?;
            let mut post = client
                .post(self.url.clone())
                .timeout(request.timeout)
                .header("content-type", request.content_type);
            if let Some(signature) = &request.signature {
                post = post
                    .header("webhook-id", &request.id)
                    .header("webhook-timestamp", request.timestamp)
                    .header("webhook-signature", signature);
            }
            if let Some(checkpoint) = &request.checkpoint {
                post = post.header("bailiwick-checkpoint", checkpoint);
            }
            let answer = post.body(request.body).send().await.map_err(explain)?;
            let status = answer.status().as_u16();
            let retry_after = answer
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok())
                .map(|value| value.chars().take(64).collect());
            // The head has decided; a body that breaks off changes nothing.
            let body = read_some(answer).await;
            let quote = if (200..300).contains(&status) {
                String::new()
            } else {
                quote(&body)
            };
            Ok(Reply {
                status,
                retry_after,
                quote,
            })
        })
    }
}

async fn read_some(mut answer: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER {
        match answer.chunk().await {
            Ok(Some(chunk)) => {
                let room = MAX_ANSWER - body.len();
                body.extend(chunk.iter().take(room));
            }
            Ok(None) | Err(_) => break,
        }
    }
    body
}

/// The beginning of an answer, safe to print.
fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let escaped = text.trim().chars().take(MAX_QUOTED).flat_map(|c| {
        let printable = c == ' ' || (!c.is_control() && c.is_ascii());
        let whole = printable.then_some(c);
        let escape = (!printable).then(|| c.escape_unicode());
        whole.into_iter().chain(escape.into_iter().flatten())
    });
    escaped.take(MAX_QUOTED).collect()
}

/// An error's causes in one line, without the URL (its path may be a secret).
fn explain(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let line = inner.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = inner.source();
    }
    quote(text.as_bytes())
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ClientKey {
    tls: bool,
    ca_file: Option<PathBuf>,
    proxy: Option<reqwest::Url>,
}

/// HTTP clients by what they trust and which way they go. Built at the first use, off the async
/// threads, since the system's certificates are read from disk; a failure is tried again.
#[derive(Clone, Default)]
pub struct Clients(Arc<Mutex<Vec<(ClientKey, reqwest::Client)>>>);

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clients(…)")
    }
}

impl Clients {
    async fn get(&self, key: &ClientKey) -> Result<reqwest::Client, String> {
        if let Some(client) = self.find(key) {
            return Ok(client);
        }
        let wanted = key.clone();
        let client = tokio::task::spawn_blocking(move || build(&wanted))
            .await
            .map_err(|_| "the HTTP client could not be built".to_owned())??;
        if let Some(client) = self.find(key) {
            return Ok(client);
        }
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.push((key.clone(), client.clone()));
        Ok(client)
    }

    fn find(&self, key: &ClientKey) -> Option<reqwest::Client> {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients
            .iter()
            .find(|(have, _)| have == key)
            .map(|(_, client)| client.clone())
    }
}

fn build(key: &ClientKey) -> Result<reqwest::Client, String> {
    // Fails only when one is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only()
        .connect_timeout(Duration::from_secs(10))
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(2);
    if let Some(path) = &key.ca_file {
        let shown = path.display();
        let pem = std::fs::read(path).map_err(|error| format!("ca_file {shown}: {error}"))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| format!("ca_file {shown}: {}", explain(error)))?;
        if certificates.is_empty() {
            return Err(format!("ca_file {shown}: no PEM certificate in it"));
        }
        builder = builder.tls_certs_only(certificates);
    } else if !key.tls
        && key
            .proxy
            .as_ref()
            .is_none_or(|proxy| proxy.scheme() == "http")
    {
        // No TLS, so nothing to trust: works on hosts without any certificates, too.
        builder = builder.tls_certs_only([]);
    }
    if let Some(proxy) = &key.proxy {
        let proxy = reqwest::Proxy::all(proxy.clone())
            .map_err(|error| format!("proxy: {}", explain(error)))?;
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| {
        format!(
            "the HTTP client could not be built: {} (hint: install ca-certificates or set ca_file)",
            explain(error)
        )
    })
}

/// Seconds or an HTTP date (RFC 9110 §10.2.3), counted from `now_us`; dates gone by are zero.
#[must_use]
pub fn retry_after(value: &str, now_us: i64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a very long time.
        return Some(Duration::from_secs(
            value.parse().unwrap_or(u64::from(u32::MAX)),
        ));
    }
    let parse = |format: &str| {
        jiff::civil::DateTime::strptime(format, value)
            .ok()
            .and_then(|time| jiff::tz::Offset::UTC.to_timestamp(time).ok())
    };
    // IMF-fixdate, then the two obsolete forms (§5.6.7).
    let then = parse("%a, %d %b %Y %H:%M:%S GMT")
        .or_else(|| parse("%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|| parse("%a %b %e %H:%M:%S %Y"))?;
    let wait = then.as_microsecond().saturating_sub(now_us);
    Some(Duration::from_micros(u64::try_from(wait).unwrap_or(0)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn signs_as_published() {
        // The vector of the Standard Webhooks reference libraries.
        let secret = Secret::new(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            sign(
                &secret,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn reads_retry_after() {
        let seconds = |value, now| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("120", 0), Some(120));
        assert_eq!(seconds(" 0 ", 0), Some(0));
        assert_eq!(
            seconds("99999999999999999999999", 0),
            Some(u64::from(u32::MAX))
        );
        let now = 784_111_777_000_000 - 90_000_000;
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(90));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT", now), Some(90));
        assert_eq!(seconds("Sun Nov  6 08:49:37 1994", now), Some(90));
        assert_eq!(
            seconds("Sun, 06 Nov 1994 08:49:37 GMT", now + 100_000_000),
            Some(0)
        );
        for bad in ["", "soon", "-1", "1.5", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(seconds(bad, 0), None, "{bad}");
        }
    }

    #[test]
    fn quotes_safely() {
        assert_eq!(
            quote(b"no\x1b[31m such\xe2\x80\xae hook\n"),
            "no\\u{1b}[31m such\\u{202e} hook"
        );
        assert_eq!(quote(&[b'x'; 5000]).len(), MAX_QUOTED);
        assert_eq!(quote(&[0; 5000]).len(), MAX_QUOTED);
    }
}
