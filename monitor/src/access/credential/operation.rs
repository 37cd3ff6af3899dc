//! Operations that header fields tell of: gRPC methods, and MCP's methods and tools.

use std::fmt::Write as _;

/// Longest part of such an operation that is kept.
const MAX_PART: usize = 128;

/// What the header fields of a request say of its operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    /// Content-Type begins with `application/grpc`.
    pub(super) grpc: bool,
    /// `Mcp-Method`.
    pub(super) method: Claim<'a>,
    /// `Mcp-Name`.
    pub(super) name: Claim<'a>,
}

/// The value of a field that stands in a request once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Claim<'a> {
    #[default]
    None,
    Is(&'a [u8]),
    /// Several times, with values that differ.
    Differs,
}

impl<'a> Claim<'a> {
    pub(super) fn add(&mut self, value: &'a [u8]) {
        *self = match *self {
            Self::None => Self::Is(value),
            Self::Is(before) if before == value => Self::Is(before),
            Self::Is(_) | Self::Differs => Self::Differs,
        };
    }
}

/// The path of a gRPC call, if it has the form of one: `/package.Service/Method`. It is its own route.
pub(super) fn grpc_route(path: &[u8]) -> Option<&str> {
    let path = str::from_utf8(path).ok()?;
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let word = |text: &str| {
        !text.is_empty()
            && text.len() <= MAX_PART
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
    };
    (word(service) && word(method) && !method.contains('.')).then_some(path)
}

/// The route of an MCP request: `MCP tools/call:delete_issue`. `?` stands for what cannot be told or is no
/// method or name. False: it is no MCP request.
///
/// A name is kept of tools and prompts, which a server has some of. That of a resource is an address, which
/// is an object rather than an operation and may hold a secret.
pub(super) fn mcp_route(said: &Said<'_>, secret: impl Fn(&[u8]) -> bool, out: &mut String) -> bool {
    if said.method == Claim::None {
        return false;
    }
    out.clear();
    out.push_str("MCP ");
    let method = match said.method {
        Claim::Is(method) => part(method, b"_-./$"),
        Claim::None | Claim::Differs => None,
    };
    let Some(method) = method.filter(|method| !method.starts_with('/')) else {
        out.push('?');
        return true;
    };
    out.push_str(method);
    if !matches!(method, "tools/call" | "prompts/get") {
        return true;
    }
    let name = match said.name {
        Claim::None => return true,
        Claim::Is(name) if secret(name) => Some("{secret}"),
        Claim::Is(name) => part(name, b"_-./ "),
        Claim::Differs => None,
    };
    out.push(':');
    for c in name.unwrap_or("?").chars() {
        match c {
            '/' | ' ' => drop(write!(out, "%{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    true
}

/// A value as it is, if it is short and made of letters, digits and `others`.
fn part<'a>(value: &'a [u8], others: &[u8]) -> Option<&'a str> {
    let sound = !value.is_empty()
        && value.len() <= MAX_PART
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || others.contains(byte));
    str::from_utf8(value).ok().filter(|_| sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc() {
        for path in ["/a/B", "/grpc.health.v1.Health/Check", "/p.S_2/M_1"] {
            assert_eq!(grpc_route(path.as_bytes()), Some(path));
        }
        for path in [
            "", "/", "/a", "/a/", "//b", "/a/b/c", "/a/b.c", "/a-b/c", "/a/b?c", "a/b",
        ] {
            assert_eq!(grpc_route(path.as_bytes()), None, "{path}");
        }
        let long = format!("/{}/M", "s".repeat(MAX_PART + 1));
        assert_eq!(grpc_route(long.as_bytes()), None);
    }

    #[test]
    fn mcp() {
        let route = |method: &[&str], name: &[&str]| {
            let mut said = Said::default();
            method
                .iter()
                .for_each(|value| said.method.add(value.as_bytes()));
            name.iter()
                .for_each(|value| said.name.add(value.as_bytes()));
            let mut out = "before".to_owned();
            mcp_route(&said, |name| name == b"ghp_x", &mut out).then_some(out)
        };
        for (method, name, want) in [
            (
                &["tools/call"][..],
                &["delete_issue"][..],
                "MCP tools/call:delete_issue",
            ),
            (
                &["tools/call"; 2],
                &["delete_issue"; 2],
                "MCP tools/call:delete_issue",
            ),
            (&["tools/call"], &[], "MCP tools/call"),
            (
                &["prompts/get"],
                &["code review"],
                "MCP prompts/get:code%20review",
            ),
            (&["tools/call"], &["a/../b"], "MCP tools/call:a%2F..%2Fb"),
            (&["tools/list"], &["x"], "MCP tools/list"),
            (
                &["resources/read"],
                &["file:///k?token=s"],
                "MCP resources/read",
            ),
            (&["tools/call"], &["ghp_x"], "MCP tools/call:{secret}"),
            (&["tools/call"], &["a", "b"], "MCP tools/call:?"),
            (&["tools/call"], &["a\u{202e}"], "MCP tools/call:?"),
            (&["tools/call", "tools/list"], &["a"], "MCP ?"),
            (&["tools call"], &["a"], "MCP ?"),
            (&["/tools"], &[], "MCP ?"),
            (&[""], &[], "MCP ?"),
        ] {
            assert_eq!(
                route(method, name).as_deref(),
                Some(want),
                "{method:?} {name:?}"
            );
        }
        assert_eq!(route(&[], &["a"]), None);
        let long = "x".repeat(MAX_PART + 1);
        assert_eq!(
            route(&["tools/call"], &[&long]).as_deref(),
            Some("MCP tools/call:?")
        );
    }
}
