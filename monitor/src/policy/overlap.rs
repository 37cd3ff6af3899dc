//! Whether two operations have a request in common, and which.
//!
//! An operation's set of requests is a product of methods, destinations and paths, so the intersection of
//! two is the product of the intersections, and each of these has a smallest member that can be written
//! down. What is written down is tried with [`Operation::matches`] before it is believed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::environment::Destination;
use super::host::{DEFAULT_PORT, HostPattern, Name};
use super::path::{LONGEST, Reading};
use super::pattern::{KNOWN, Methods, Operation, Part, Request, Target};
use crate::access::Peer;

/// What a capture stands for in a witness.
const OBJECT: &str = "1";
/// A host that only `*` means.
const SOME_HOST: &str = "host.example";
/// The path of a request of MCP, where none is asked for.
const MCP_PATH: &str = "/mcp";

/// A concrete request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Method; `POST` for an operation of MCP.
    pub method: String,
    /// Host with its port, as the request claims it.
    pub host: String,
    /// The unix socket that it is sent to, when there is one.
    pub socket: Option<String>,
    /// Path.
    pub path: String,
    /// The operation of MCP that its fields name, without a slash before it: `tools/call:NAME`.
    pub mcp: Option<String>,
}

impl Witness {
    /// Whether the operation grants this request.
    #[must_use]
    pub fn granted_by(&self, operation: &Operation) -> bool {
        let peer = match &self.socket {
            Some(socket) => Peer::Unix(socket.as_str().into()),
            None => Peer::Unknown,
        };
        let (mut path, mut mcp) = (Reading::default(), Reading::default());
        path.read(&self.path);
        let request = Request::new(&self.method, &self.host, &peer, &path);
        operation.matches(&request)
            || self.mcp.as_ref().is_some_and(|name| {
                mcp.read_operation(name);
                operation.matches(&request.as_mcp(&mcp))
            })
    }
}

/// As a policy writes it; what it cannot say stands in brackets behind.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, slash, path) = match &self.mcp {
            Some(operation) => ("MCP", "/", operation),
            None => (self.method.as_str(), "", &self.path),
        };
        match &self.socket {
            Some(socket) => write!(f, "{method} unix:{socket}:{slash}{path}")?,
            None => write!(f, "{method} {}{slash}{path}", self.host)?,
        }
        if self.socket.is_some() && self.host != "localhost" {
            write!(f, " (Host: {})", self.host)?;
        }
        if self.mcp.is_some() {
            write!(f, " (sent as {} {})", self.method, self.path)?;
        }
        Ok(())
    }
}

impl Operation {
    /// A request that both operations grant; `None` when there is none.
    ///
    /// A request of MCP is also one of HTTP, and an operation of either kind may grant it: so `POST
    /// mcp.example/**` and `MCP mcp.example/tools/call:x` have one in common.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Witness> {
        let place = common_place(&self.target, &other.target)?;
        // Few octets first; a path of nearly the greatest length needs the short spelling.
        [Spelling::Plain, Spelling::Short]
            .into_iter()
            .find_map(|spelling| {
                self.as_http(other, &place, spelling)
                    .or_else(|| self.as_mcp(other, &place, spelling))
            })
    }

    /// A request that the operation grants; `None` when nothing can match it (a literal that no path
    /// may hold).
    #[must_use]
    pub fn example(&self) -> Option<Witness> {
        self.intersection(self)
    }

    /// A request of HTTP that the operation grants, by one of `methods` (`GET,HEAD`) and to the destination;
    /// `None` when there is none. Of a network, only addresses that the operation names, or any.
    #[must_use]
    pub(crate) fn reaches(&self, methods: &str, destination: &Destination) -> Option<Witness> {
        let mut there = Self::parse(&format!("{methods} */**")).ok()?;
        there.target = match (destination, &self.target) {
            (Destination::Host(host), _) => Target::Host(host.clone()),
            (Destination::Unix(socket), _) => Target::Unix(socket.clone()),
            (Destination::Network(network), Target::Host(host)) => match &host.name {
                Name::Address(ip) if network.contains(ip) => self.target.clone(),
                Name::Any => Target::Host(HostPattern {
                    name: Name::Address(network.addr()),
                    port: host.port,
                }),
                _ => return None,
            },
            (Destination::Network(_), Target::Unix(_)) => return None,
        };
        let place = common_place(&self.target, &there.target)?;
        [Spelling::Plain, Spelling::Short]
            .into_iter()
            .find_map(|spelling| self.as_http(&there, &place, spelling))
    }

    fn as_http(&self, other: &Self, place: &Place, spelling: Spelling) -> Option<Witness> {
        let witness = Witness {
            method: common_method(&self.methods, &other.methods)?,
            host: place.host.clone(),
            socket: place.socket.clone(),
            path: spell(&common_route(self, other)?, spelling, "/"),
            mcp: None,
        };
        self.both(other, witness)
    }

    fn as_mcp(&self, other: &Self, place: &Place, spelling: Spelling) -> Option<Witness> {
        let path = |a, b| Some(spell(&common_route(a, b)?, spelling, "/"));
        let name = |a, b| Some(spell(&common_route(a, b)?, spelling, ""));
        // Both by what its fields say, or one by that and the other by its path.
        let ways: [(bool, Option<String>, Option<String>); 3] = [
            (
                self.methods.mcp && other.methods.mcp,
                Some(MCP_PATH.to_owned()),
                name(self, other),
            ),
            (self.methods.mcp, path(other, other), name(self, self)),
            (other.methods.mcp, path(self, self), name(other, other)),
        ];
        ways.into_iter()
            .filter(|(possible, ..)| *possible)
            .find_map(|(_, path, operation)| {
                let witness = Witness {
                    method: "POST".to_owned(),
                    host: place.host.clone(),
                    socket: place.socket.clone(),
                    path: path?,
                    mcp: Some(operation?),
                };
                self.both(other, witness)
            })
    }

    fn both(&self, other: &Self, witness: Witness) -> Option<Witness> {
        (witness.granted_by(self) && witness.granted_by(other)).then_some(witness)
    }
}

/// A method of HTTP that both sets have.
fn common_method(a: &Methods, b: &Methods) -> Option<String> {
    let known = |methods: &Methods| if methods.any { u16::MAX } else { methods.known };
    let both = known(a) & known(b);
    let first = KNOWN
        .iter()
        .enumerate()
        .find(|(at, _)| both & (1 << at) != 0);
    if let Some((_, name)) = first {
        return Some((*name).to_owned());
    }
    let has = |methods: &Methods, name: &str| {
        methods.any || methods.other.iter().any(|other| **other == *name)
    };
    let mut names = a.other.iter().chain(&b.other);
    names
        .find(|name| has(a, name) && has(b, name))
        .map(|name| name.to_string())
}

/// Where a request of both goes.
struct Place {
    host: String,
    socket: Option<String>,
}

fn common_place(a: &Target, b: &Target) -> Option<Place> {
    let (host, socket) = match (a, b) {
        (Target::Host(a), Target::Host(b)) => (common_host(a, b)?, None),
        // Over a unix socket a request claims any host it likes.
        (Target::Host(host), Target::Unix(socket)) | (Target::Unix(socket), Target::Host(host)) => {
            let host = if host.name == Name::Any && host.port.is_none() {
                "localhost".to_owned()
            } else {
                common_host(host, host)?
            };
            (host, Some(socket))
        }
        (Target::Unix(a), Target::Unix(b)) if a == b => ("localhost".to_owned(), Some(a)),
        (Target::Unix(_), Target::Unix(_)) => return None,
    };
    let socket = socket.map(|socket| socket.to_string());
    Some(Place { host, socket })
}

fn common_host(a: &HostPattern, b: &HostPattern) -> Option<String> {
    let port = match (a.port, b.port) {
        (Some(a), Some(b)) if a != b => return None,
        (a, b) => a.or(b),
    };
    let name = common_name(&a.name, &b.name)?;
    Some(match port {
        Some(port) if port != DEFAULT_PORT => format!("{name}:{port}"),
        _ => name,
    })
}

fn common_name(a: &Name, b: &Name) -> Option<String> {
    match (a, b) {
        (Name::Any, Name::Any) => Some(SOME_HOST.to_owned()),
        (Name::Any, name) | (name, Name::Any) => Some(match name {
            Name::Any => SOME_HOST.to_owned(),
            Name::Exact(name) => name.to_string(),
            Name::Suffix(suffix) => format!("x{suffix}"),
            Name::Address(ip) => written(*ip),
        }),
        (Name::Exact(a), Name::Exact(b)) => (a == b).then(|| a.to_string()),
        (Name::Exact(name), Name::Suffix(suffix)) | (Name::Suffix(suffix), Name::Exact(name)) => {
            (name.len() > suffix.len() && name.ends_with(&**suffix)).then(|| name.to_string())
        }
        (Name::Suffix(a), Name::Suffix(b)) => {
            let (longer, shorter) = if a.len() < b.len() { (b, a) } else { (a, b) };
            longer.ends_with(&**shorter).then(|| format!("x{longer}"))
        }
        (Name::Address(a), Name::Address(b)) => (a == b).then(|| written(*a)),
        // `*.4` is also the end of 192.0.2.4.
        (Name::Address(ip), Name::Suffix(suffix)) | (Name::Suffix(suffix), Name::Address(ip)) => {
            let dotted = dotted(*ip);
            let name = dotted.trim_matches(['[', ']']);
            (name.len() > suffix.len() && name.ends_with(&**suffix)).then_some(dotted)
        }
        // A pattern that can be read as an address is one.
        (Name::Exact(_), Name::Address(_)) | (Name::Address(_), Name::Exact(_)) => None,
    }
}

fn written(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// An address with its last 32 bits in dotted form (RFC 4291 §2.2, form 3).
fn dotted(ip: IpAddr) -> String {
    let ip: Ipv6Addr = match ip {
        IpAddr::V4(ip) => return ip.to_string(),
        IpAddr::V6(ip) => ip,
    };
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let [[g1, g2], [h1, h2]] = [g.to_be_bytes(), h.to_be_bytes()];
    let tail = Ipv4Addr::new(g1, g2, h1, h2);
    format!("[{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{tail}]")
}

/// The shortest list of decoded segments that both routes grant, if literals agree.
fn common_route<'o>(a: &'o Operation, b: &'o Operation) -> Option<Vec<&'o [u8]>> {
    let length = a.parts.len().max(b.parts.len());
    let fits = |operation: &Operation| operation.rest || operation.parts.len() == length;
    if !fits(a) || !fits(b) {
        return None;
    }
    (0..length)
        .map(|at| {
            let literal = |operation: &'o Operation| match operation.parts.get(at) {
                Some(Part::Literal(bytes)) => Some(&**bytes),
                Some(Part::Capture { .. }) | None => None,
            };
            match (literal(a), literal(b)) {
                (Some(a), Some(b)) => (a == b).then_some(a),
                (Some(bytes), None) | (None, Some(bytes)) => Some(bytes),
                (None, None) => Some(OBJECT.as_bytes()),
            }
        })
        .collect()
}

/// How a path is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// As programs do: unreserved characters as they are, all else percent-encoded.
    Plain,
    /// As few bytes as can be.
    Short,
}

fn spell(segments: &[&[u8]], spelling: Spelling, first: &str) -> String {
    let mut path = String::from(first);
    for (at, segment) in segments.iter().enumerate() {
        if at > 0 {
            path.push('/');
        }
        for chunk in segment.utf8_chunks() {
            chunk
                .valid()
                .chars()
                .for_each(|c| push(&mut path, c, spelling));
            // No path with these is read; the trial says so.
            chunk.invalid().iter().for_each(|b| encode(&mut path, *b));
        }
        if path.len() > LONGEST {
            break;
        }
    }
    path
}

fn push(path: &mut String, c: char, spelling: Spelling) {
    let plain = match spelling {
        Spelling::Plain => c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c),
        // U+FFFD stands for bytes that were none, U+2026 at the end for a cut.
        Spelling::Short => !"%/\\?#\u{fffd}\u{2026}".contains(c) && !c.is_control(),
    };
    if plain {
        path.push(c);
    } else {
        let mut bytes = [0; 4];
        c.encode_utf8(&mut bytes)
            .bytes()
            .for_each(|b| encode(path, b));
    }
}

fn encode(path: &mut String, byte: u8) {
    use fmt::Write as _;
    // Writing to a String cannot fail.
    _ = write!(path, "%{byte:02X}");
}

#[cfg(test)]
#[path = "overlap_tests.rs"]
mod tests;
