//! The operation of one access, as a pattern that a duty could list.

use std::fmt::Write as _;

use crate::access::Peer;
use crate::policy::path::Reading;
use crate::policy::{Operation, Request};

use super::evidence::LeftOut;

/// What the route of an operation of MCP begins with.
const MCP: &str = "MCP ";

/// Deepest segment that is told apart; what follows is `**`.
const MAX_DEPTH: usize = 24;

/// One segment of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// As a pattern writes it.
    Text(String),
    /// The name of a thing; with `true` it may hold an encoded delimiter.
    Object(bool),
}

/// Method, destination and route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    /// Host with its port, if it was named; or `unix:SOCKET:`.
    pub(super) target: String,
    pub(super) method: String,
    pub(super) parts: Vec<Part>,
    /// Ends in `**`.
    pub(super) rest: bool,
}

/// What is asked of a server, as it was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) peer: &'a Peer,
    /// `None` where only the route is known.
    pub(super) path: Option<&'a str>,
    pub(super) route: &'a str,
}

impl Asked<'_> {
    /// Whether a pattern grants it, judged as a running daemon would. Without a path its route is judged.
    pub(super) fn granted_by<'o>(
        &self,
        operations: impl IntoIterator<Item = &'o Operation>,
    ) -> bool {
        let (mut path, mut mcp) = (Reading::new(), Reading::new());
        let named = self.route.strip_prefix(MCP);
        path.read(self.path.unwrap_or(match named {
            Some(_) => "?",
            None => self.route,
        }));
        let request = Request::new(self.method, self.host, self.peer, &path);
        if let Some(named) = named {
            mcp.read_operation(named);
        }
        let as_mcp = named.map(|_| request.as_mcp(&mcp));
        operations.into_iter().any(|operation| {
            operation.matches(&request) || as_mcp.is_some_and(|request| operation.matches(&request))
        })
    }
}

impl Route {
    /// The narrowest pattern that grants what was asked and stands for every object of its kind.
    pub(super) fn of(asked: &Asked<'_>) -> Result<Self, LeftOut> {
        let mcp = asked.route.strip_prefix(MCP);
        let (method, path, route) = match mcp {
            Some(named) => ("MCP", named, named),
            None => {
                let path = asked.path.unwrap_or(asked.route);
                let mut reading = Reading::new();
                reading.read(path);
                if reading.ambiguity().is_some() {
                    return Err(LeftOut::Path);
                }
                let path = path.strip_prefix('/').unwrap_or(path);
                let route = asked.route.strip_prefix('/').unwrap_or(asked.route);
                (asked.method, path, route)
            }
        };
        let target = match asked.peer {
            Peer::Unix(socket) => format!("unix:{socket}:"),
            Peer::Inet(_) | Peer::Unknown => asked.host.to_owned(),
        };
        let mut parts = Vec::new();
        let mut rest = false;
        let mut lifted = route.split('/');
        for (depth, segment) in path.split('/').enumerate() {
            let lifted = lifted.next();
            if depth >= MAX_DEPTH {
                rest = true;
                break;
            }
            parts.push(part(segment, lifted, mcp.is_some()));
        }
        let whole = Self {
            target,
            method: method.to_owned(),
            parts,
            rest,
        };
        whole.made_to_fit(asked).ok_or(LeftOut::Operation)
    }

    /// Itself when it grants what was asked, else with what is odd in the path taken for the rest.
    fn made_to_fit(mut self, asked: &Asked<'_>) -> Option<Self> {
        let mut tries = 0;
        loop {
            let fits = Operation::parse(&self.text()).is_ok_and(|made| asked.granted_by([&made]));
            if fits {
                return Some(self);
            }
            // Not down to every path of the host: that is no pattern of one request.
            tries += 1;
            if tries > 3 || self.parts.len() < 2 {
                return None;
            }
            self.parts.pop();
            self.rest = true;
        }
    }

    /// `METHOD HOST/ROUTE`.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.method, self.place())
    }

    /// `HOST/ROUTE`.
    pub(super) fn place(&self) -> String {
        let mut out = self.target.clone();
        let mut objects = 0_usize;
        for part in &self.parts {
            out.push('/');
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Object(delimiters) => {
                    objects += 1;
                    let plus = if *delimiters { "+" } else { "" };
                    let _ = write!(out, "{{{plus}{}}}", capture(objects));
                }
            }
        }
        if self.rest {
            out.push_str("/**");
        }
        out
    }

    /// Name of its last object.
    pub(super) fn last_object(&self) -> Option<String> {
        let objects = self
            .parts
            .iter()
            .filter(|part| matches!(part, Part::Object(_)));
        Some(objects.count())
            .filter(|count| *count > 0)
            .map(capture)
    }

    /// Whether it grants whatever `other` grants.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let fits = |(own, other): (&Part, &Part)| match (own, other) {
            (Part::Object(own), Part::Object(other)) => *own || !*other,
            (Part::Object(own), Part::Text(text)) => {
                !text.is_empty() && !text.starts_with(';') && (*own || !text.contains(['%', '\\']))
            }
            (own, other) => own == other,
        };
        self.target == other.target
            && self.method == other.method
            && (self.rest || !other.rest)
            && match self.parts.len() {
                own if self.rest => own <= other.parts.len(),
                own => own == other.parts.len(),
            }
            && self.parts.iter().zip(&other.parts).all(fits)
    }
}

/// Name of the nth object of a route, from 1.
fn capture(number: usize) -> String {
    match number {
        0 | 1 => "id".to_owned(),
        more => format!("id{more}"),
    }
}

fn part(segment: &str, lifted: Option<&str>, mcp: bool) -> Part {
    // A tool of MCP is called by its name, whatever that looks like; and a path may hold a brace of its own.
    let object = lifted.is_some_and(|lifted| {
        lifted.contains('{') && (lifted != segment || segment.starts_with('{'))
    });
    if !mcp && object {
        let upper = segment.to_ascii_uppercase();
        let delimiter = ["%2F", "%5C", "%3F", "%23", "%25", "\\"];
        return Part::Object(delimiter.iter().any(|held| upper.contains(held)));
    }
    Part::Text(literal(segment))
}

/// A segment as a pattern writes it: what a pattern would take for more than itself is encoded.
fn literal(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for c in segment.chars() {
        if matches!(c, '{' | '}' | '*' | '?' | '#') || c.is_whitespace() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}
