//! Whom a request is for, by its `Host`.

use std::net::IpAddr;

use hyper::Uri;

/// Whether a `Host` is an address, `localhost` or this host's own name. A name of somebody else that leads
/// here is how a page in a browser would reach what listens at loopback.
pub(crate) fn names_this(host: &str, own: Option<&str>) -> bool {
    let Ok(uri) = host.parse::<Uri>() else {
        return false;
    };
    let Some(authority) = uri
        .authority()
        .filter(|authority| authority.as_str() == host && !host.contains('@'))
    else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok()
        || own.is_some_and(|own| !own.is_empty() && name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_served() {
        for (host, own, expected) in [
            ("127.0.0.1:9464", None, true),
            ("127.0.0.1", None, true),
            ("[::1]:9464", None, true),
            ("localhost:9464", None, true),
            ("LOCALHOST", None, true),
            ("evil.example:9464", None, false),
            ("localhost.evil.example", None, false),
            ("127.0.0.1.evil.example", None, false),
            ("web-1", None, false),
            ("web-1:9464", Some("web-1"), true),
            ("web-2", Some("web-1"), false),
            ("x@localhost", None, false),
            ("http://localhost", None, false),
            ("localhost/x", None, false),
            ("", Some(""), false),
        ] {
            assert_eq!(names_this(host, own), expected, "{host}");
        }
    }
}
