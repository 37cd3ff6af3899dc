//! What is answered to whom.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::Viewed;
use super::assets;
use super::body::Reply;
use super::feed::{self, Feed, brief};
use super::guard;
use super::passing::{asked, refused};
use super::policy::PolicyRecord;
use super::stream::{Viewer, parse_id};
use super::token::Token;
use crate::alert::NotMarked;
use crate::explain::NoStory;
use crate::filter::{Filter, Subject};
use crate::serve::mark;
use crate::serve::protocol::Command;
use crate::serve::records::AlertQuery;

/// Nothing but the page's own files, no frame around it, no markup made of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
/// Alerts answered at most.
const MOST_ALERTS: usize = 1000;
/// Identities answered at most.
const MOST_IDENTITIES: usize = 1000;
/// Workloads of coverage answered at most.
const MOST_COVERAGE: usize = 500;
/// Longest id of an alert.
const MAX_ID: usize = 64;
/// Longest body, in bytes.
const MAX_BODY: usize = 4096;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// What the page stands on.
pub(super) struct Site<B> {
    pub(super) feed: Arc<Feed<B>>,
    pub(super) token: Token,
    /// This host's own name, where others reach the page.
    pub(super) host: Option<String>,
    /// Streams at a time.
    pub(super) viewers: usize,
    /// For the body of a request.
    pub(super) patience: Duration,
}

type Answer = Response<Reply>;

impl<B: Viewed> Site<B> {
    /// Answers one request.
    pub(super) async fn answer(&self, parts: &Parts, body: Incoming) -> Answer {
        let mut answer = self.answer_bare(parts, body).await;
        let headers = answer.headers_mut();
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, POLICY),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (X_FRAME_OPTIONS, "DENY"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    async fn answer_bare(&self, parts: &Parts, body: Incoming) -> Answer {
        if let Err((status, words)) = guard::admit(parts, self.host.as_deref()) {
            return plain(status, words);
        }
        let path = parts.uri.path();
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        if let Some(asset) = assets::find(path) {
            if !reads {
                return not_allowed("GET, HEAD");
            }
            let text = Bytes::from_static(asset.text.as_bytes());
            return respond(StatusCode::OK, asset.content_type, text);
        }
        let Some(name) = path.strip_prefix("/api/") else {
            return plain(StatusCode::NOT_FOUND, "nothing is here");
        };
        if !guard::knows(parts, &self.token) {
            let mut refused = plain(
                StatusCode::UNAUTHORIZED,
                "no token, or a wrong one: `bailiwick page` prints the address with it",
            );
            refused
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return refused;
        }
        match (name, &parts.method) {
            ("mark", &Method::POST) => self.mark(parts, body).await,
            ("mark", _) => not_allowed("POST"),
            _ if reads => self.read(name, parts).await,
            _ => not_allowed("GET, HEAD"),
        }
    }

    /// Says something about an alert, in the form of the control protocol.
    async fn mark(&self, parts: &Parts, body: Incoming) -> Answer {
        let kind = parts.headers.get(CONTENT_TYPE);
        let is_json = kind
            .and_then(|kind| kind.to_str().ok())
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON));
        if !is_json {
            return plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "only application/json is read",
            );
        }
        let whole = Limited::new(body, MAX_BODY).collect();
        let Ok(Ok(whole)) = tokio::time::timeout(self.patience, whole).await else {
            return plain(StatusCode::BAD_REQUEST, "the body is too long, or too late");
        };
        let command = match serde_json::from_slice::<Command>(&whole.to_bytes()) {
            Ok(command) => command,
            Err(cause) => {
                let words = format!("not a mark: {cause}");
                return respond(StatusCode::BAD_REQUEST, TEXT, Bytes::from(words));
            }
        };
        let (id, mark) = match mark::request(command) {
            Some(Ok(asked)) => asked,
            Some(Err(words)) => return respond(StatusCode::BAD_REQUEST, TEXT, Bytes::from(words)),
            None => return plain(StatusCode::BAD_REQUEST, "that is no mark"),
        };
        // Whoever has the token: nothing says which of them.
        match self
            .feed
            .backend()
            .mark(id, mark, "the page".to_owned())
            .await
        {
            Ok(alert) => ok(&brief(&alert)),
            Err(cause) => {
                let status = match &cause {
                    NotMarked::Unknown(_) | NotMarked::Several(_) => StatusCode::NOT_FOUND,
                    NotMarked::Refused(..) => StatusCode::BAD_REQUEST,
                    NotMarked::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                let words = format!("{cause}: {}", cause.hint());
                respond(status, TEXT, Bytes::from(words))
            }
        }
    }

    async fn read(&self, name: &str, parts: &Parts) -> Answer {
        let backend = Arc::clone(self.feed.backend());
        let query = parts.uri.query().unwrap_or_default();
        match name {
            "status" => blocking(move || feed::json(&backend.status())).await,
            "filter" => check(query),
            "alerts" => match asked(query, Subject::Alert) {
                Ok(filter) => blocking(move || alerts(&*backend, &filter)).await,
                Err(bad) => bad_filter(&refused(&bad)),
            },
            "identities" => {
                let filter = match asked(query, Subject::Identity) {
                    Ok(filter) => filter,
                    Err(bad) => return bad_filter(&refused(&bad)),
                };
                let mut all = backend.identities().await;
                let more = all.len().saturating_sub(MOST_IDENTITIES);
                // Those that pass first, so that a filter finds what had no room.
                all.sort_by_cached_key(|one| {
                    let last = std::cmp::Reverse(one.last_seen.clone());
                    (!filter.matches(one), last)
                });
                all.truncate(MOST_IDENTITIES);
                let passing: Vec<&str> = all
                    .iter()
                    .filter(|one| filter.matches(*one))
                    .map(|one| one.identity.as_str())
                    .collect();
                ok(&json!({"identities": all, "more": more, "passing": passing}))
            }
            "coverage" => {
                let mut all = backend.coverage().await;
                let more = all.len().saturating_sub(MOST_COVERAGE);
                all.truncate(MOST_COVERAGE);
                ok(&json!({"coverage": all, "more": more}))
            }
            "policy" => ok(&PolicyRecord::new(&backend.policy())),
            "explain" => self.explain(query).await,
            "stream" => self.stream(query, parts).await,
            _ => plain(StatusCode::NOT_FOUND, "nothing is here"),
        }
    }

    async fn explain(&self, query: &str) -> Answer {
        let id = parameter(query, "id").unwrap_or_default();
        let plausible = !id.is_empty()
            && id.len() <= MAX_ID
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !plausible {
            return plain(StatusCode::BAD_REQUEST, "id is no alert's id");
        }
        match self.feed.backend().explain(id).await {
            Ok(story) => ok(&story),
            Err(none) => {
                let status = match none {
                    NoStory::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
                    NoStory::Unknown { .. } | NoStory::Several { .. } => StatusCode::NOT_FOUND,
                };
                respond(status, TEXT, Bytes::from(none.to_string()))
            }
        }
    }

    async fn stream(&self, query: &str, parts: &Parts) -> Answer {
        let filter = match asked(query, Subject::Access) {
            Ok(filter) => filter,
            Err(bad) => return bad_filter(&refused(&bad)),
        };
        if self.feed.viewers() >= self.viewers {
            return plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many viewers: close one",
            );
        }
        let since = parts
            .headers
            .get("last-event-id")
            .and_then(|id| parse_id(id.to_str().ok()?));
        // One piece waits here, more in the feed, where they are counted.
        let (to, pieces) = mpsc::channel(1);
        let begin = self.feed.join().await;
        let viewer = Viewer::new(self.feed.backend().run_id(), filter, to);
        // A viewer's task ends when its connection drops the body; the feed ends it with the server.
        tokio::spawn(viewer.run(begin, since));
        let mut answer = Response::new(Reply::Pieces(pieces));
        let kind = HeaderValue::from_static("text/event-stream");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    }
}

/// Whether a filter can be, of what `of` says.
fn check(query: &str) -> Answer {
    let subject = match parameter(query, "of").as_deref() {
        Some("accesses") => Subject::Access,
        Some("alerts") => Subject::Alert,
        Some("identities") => Subject::Identity,
        _ => {
            return plain(
                StatusCode::BAD_REQUEST,
                "of is accesses, alerts or identities",
            );
        }
    };
    // The question is answered either way: no failure for the browser's console.
    ok(&json!({"refused": asked(query, subject).err().map(|bad| refused(&bad))}))
}

fn bad_filter(words: &impl serde::Serialize) -> Answer {
    respond(StatusCode::BAD_REQUEST, JSON, feed::json(words))
}

fn alerts(backend: &impl Viewed, filter: &Filter) -> Bytes {
    let query = AlertQuery {
        last: Some(MOST_ALERTS),
        ..AlertQuery::default()
    };
    let all = backend.alerts(query);
    let passing: Vec<&str> = all
        .iter()
        .filter(|alert| filter.matches(*alert))
        .map(|alert| alert.id.as_str())
        .collect();
    let told: Vec<_> = all.iter().map(brief).collect();
    feed::json(&json!({"alerts": told, "most": MOST_ALERTS, "passing": passing}))
}

async fn blocking(call: impl FnOnce() -> Bytes + Send + 'static) -> Answer {
    match spawn_blocking(call).await {
        Ok(body) => respond(StatusCode::OK, JSON, body),
        Err(_) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the daemon failed to answer; its log says why",
        ),
    }
}

fn ok(value: &impl serde::Serialize) -> Answer {
    respond(StatusCode::OK, JSON, feed::json(value))
}

pub(super) fn plain(status: StatusCode, words: &'static str) -> Answer {
    respond(status, TEXT, Bytes::from_static(words.as_bytes()))
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "not this method");
    refused
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    refused
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Reply::Whole(Some(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// The first parameter of that name, decoded; `None` also for what is no UTF-8.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    })?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = "a=1&filter=%5B%7B%22x%22+%3a1%7D%5D&b";
        assert_eq!(parameter(query, "filter").as_deref(), Some("[{\"x\" :1}]"));
        assert_eq!(parameter(query, "a").as_deref(), Some("1"));
        assert_eq!(parameter(query, "b"), None);
        for bad in ["x=%", "x=%4", "x=%zz", "x=%ff"] {
            assert_eq!(parameter(bad, "x"), None, "{bad}");
        }
    }
}
