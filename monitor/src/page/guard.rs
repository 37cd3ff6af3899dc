//! Who may ask: by the name they ask for, by the page they ask from, by the token they show.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::token::Token;
use crate::listening::names_this;

/// Why a request is refused: status, words.
pub(super) type Refusal = (StatusCode, &'static str);

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// A field that is there exactly once and is text. `Err`: it is there, but not so.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ()> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Refuses requests that a page of somebody else made. `own` is this host's own name, where others reach it.
pub(super) fn admit(parts: &Parts, own: Option<&str>) -> Result<(), Refusal> {
    let headers = &parts.headers;
    let host = match only(headers, HOST) {
        Ok(Some(host)) if names_this(host, own) => host,
        _ => {
            return Err((
                StatusCode::MISDIRECTED_REQUEST,
                "this Host is not served here: ask by address, or as localhost",
            ));
        }
    };
    let cross = Err((
        StatusCode::FORBIDDEN,
        "requests that another site makes are refused",
    ));
    match only(headers, ORIGIN) {
        Ok(None) => {}
        Ok(Some(origin)) if is_origin(origin, host) => {}
        _ => return cross,
    }
    match only(headers, SITE) {
        Ok(None | Some("same-origin" | "none")) => Ok(()),
        // A link to the page may stand anywhere; what it opens holds nothing yet.
        Ok(Some(_)) if opens_the_page(parts) => Ok(()),
        _ => cross,
    }
}

fn is_origin(origin: &str, host: &str) -> bool {
    let rest = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}

fn opens_the_page(parts: &Parts) -> bool {
    let headers = &parts.headers;
    matches!(parts.method, Method::GET | Method::HEAD)
        && parts.uri.path() == "/"
        && only(headers, MODE) == Ok(Some("navigate"))
        && only(headers, DEST) == Ok(Some("document"))
}

/// Whether the request shows the token.
pub(super) fn knows(parts: &Parts, token: &Token) -> bool {
    let Ok(Some(shown)) = only(&parts.headers, AUTHORIZATION) else {
        return false;
    };
    match shown.split_once(' ') {
        Some((scheme, shown)) => scheme.eq_ignore_ascii_case("bearer") && token.is(shown.trim()),
        None => false,
    }
}
