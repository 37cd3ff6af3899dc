//! Which server and which location a request comes to.

use std::collections::BTreeMap;

use super::super::gate::{Cond, Decision, Part, Remarks};
use super::super::language;
use super::super::quote;
use super::access::{self, Inherited};
use super::map::Maps;
use super::tokens::Directive;

/// Most prefix locations of one server: each is compared with all others.
const MOST_LOCATIONS: usize = 2_000;

/// All servers. Those that listen on one socket are told apart by name; a request that one socket lets
/// through is open.
pub(super) fn servers(
    http: &[Directive],
    inherited: &Inherited,
    maps: &Maps,
    remarks: &mut Remarks,
) -> Decision {
    let mut sockets: BTreeMap<String, Vec<(&Directive, bool)>> = BTreeMap::new();
    for server in http.iter().filter(|directive| directive.name == "server") {
        let listens: Vec<&Directive> = server
            .children()
            .iter()
            .filter(|inner| inner.name == "listen")
            .collect();
        for listen in &listens {
            let default = listen
                .words
                .iter()
                .skip(1)
                .any(|word| word == "default_server" || word == "default");
            sockets
                .entry(listen.word(0).to_owned())
                .or_default()
                .push((server, default));
        }
        if listens.is_empty() {
            sockets
                .entry("80".to_owned())
                .or_default()
                .push((server, false));
        }
    }
    let mut all = Vec::new();
    for servers in sockets.values() {
        all.push(socket(servers, inherited, maps, remarks));
    }
    Decision::Some(all)
}

/// How good a name is: exact ones before suffixes (the longest first), prefixes, regular expressions.
type Rank = (u8, std::cmp::Reverse<usize>, usize);

fn socket(
    servers: &[(&Directive, bool)],
    inherited: &Inherited,
    maps: &Maps,
    remarks: &mut Remarks,
) -> Decision {
    let mut names: Vec<(Rank, String, Decision)> = Vec::new();
    let mut default = None;
    let mut order = 0;
    for (at, (server, is_default)) in servers.iter().enumerate() {
        let decision = self::server(server, inherited, maps, remarks);
        if *is_default || (at == 0 && default.is_none()) {
            default = Some(decision.clone());
        }
        for directive in server
            .children()
            .iter()
            .filter(|inner| inner.name == "server_name")
        {
            for name in &directive.words {
                order += 1;
                match host(name) {
                    Some((kind, pattern)) => {
                        let rank = (kind, std::cmp::Reverse(name.len()), order);
                        // Regular expressions are tried as they stand.
                        let rank = if kind == 3 {
                            (3, std::cmp::Reverse(0), order)
                        } else {
                            rank
                        };
                        names.push((rank, format!("(?:{pattern})(?::[0-9]+)?"), decision.clone()));
                    }
                    None => remarks.add(
                        directive.line,
                        format!("server_name {}", quote::comment(name)),
                    ),
                }
            }
        }
    }
    names.sort_by_key(|(rank, ..)| *rank);
    let steps = names
        .into_iter()
        .map(|(_, pattern, decision)| (Cond::Matches(Part::Host, pattern), decision))
        .collect();
    Decision::First(
        steps,
        Box::new(default.unwrap_or(Decision::Verdict(None, 0))),
    )
}

/// A server's name as a regular expression without port, with its rank.
fn host(name: &str) -> Option<(u8, String)> {
    if let Some(own) = name.strip_prefix('~') {
        language::check(own).ok()?;
        return Some((3, format!("(?s:.*)(?i:{own})(?s:.*)")));
    }
    let name = name.to_ascii_lowercase();
    let label = |text: &str| {
        text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'[' | b']')
        })
    };
    if let Some(suffix) = name.strip_prefix("*.") {
        return label(suffix).then(|| (1, format!("[^:]+\\.{}", quote::regex(suffix))));
    }
    if let Some(suffix) = name.strip_prefix('.') {
        return label(suffix).then(|| (1, format!("(?:[^:]+\\.)?{}", quote::regex(suffix))));
    }
    if let Some(prefix) = name.strip_suffix(".*") {
        return label(prefix).then(|| (2, format!("{}\\.[^:]+", quote::regex(prefix))));
    }
    label(&name).then(|| (0, quote::regex(&name)))
}

pub(super) fn server(
    server: &Directive,
    inherited: &Inherited,
    maps: &Maps,
    remarks: &mut Remarks,
) -> Decision {
    block(server.children(), server.line, inherited, maps, remarks)
}

/// A server's directives.
pub(super) fn block(
    inside: &[Directive],
    line: usize,
    inherited: &Inherited,
    maps: &Maps,
    remarks: &mut Remarks,
) -> Decision {
    access::unread(inside, remarks);
    let inherited = inherited.enter(inside, remarks);
    let otherwise = access::rest(line, &inherited, remarks);
    let located = locations(inside, &inherited, maps, remarks, otherwise);
    access::rewrite(inside, maps, remarks, located)
}

struct Prefix<'d> {
    text: &'d str,
    /// `^~`
    last: bool,
    decision: Decision,
}

/// Exact locations, the longest prefix if it is `^~`, regular expressions in their order, the longest prefix.
fn locations(
    inside: &[Directive],
    inherited: &Inherited,
    maps: &Maps,
    remarks: &mut Remarks,
    otherwise: Decision,
) -> Decision {
    let (mut exact, mut expressions, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    for directive in inside
        .iter()
        .filter(|directive| directive.name == "location")
    {
        let (modifier, text) = match directive.words.as_slice() {
            [text] => attached(text),
            [modifier, text] => (modifier.as_str(), text.as_str()),
            _ => ("?", ""),
        };
        if modifier == "@" {
            continue;
        }
        let own = inherited.enter(directive.children(), remarks);
        let decision = nested(directive, &own, maps, remarks);
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'%' | b'?' | b'#' | b'\\'));
        match modifier {
            "=" if plain => exact.push((Cond::Matches(Part::Path, quote::regex(text)), decision)),
            "" | "^~" if plain => prefixes.push(Prefix {
                text,
                last: modifier == "^~",
                decision,
            }),
            "~" | "~*" if language::check(text).is_ok() => {
                let flag = if modifier == "~*" { "i" } else { "" };
                let pattern = format!("(?s:.*)(?{flag}:{text})(?s:.*)");
                expressions.push((Cond::Matches(Part::Path, pattern), decision));
            }
            _ => {
                remarks.add(
                    directive.line,
                    format!("location {}", quote::comment(&directive.words.join(" "))),
                );
                expressions.push((Cond::Unknown, decision));
            }
        }
    }
    if prefixes.len() > MOST_LOCATIONS {
        remarks.add(0, "too many locations");
        return Decision::Verdict(None, 0);
    }
    prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.text.len()));
    let mut steps: Vec<(Cond, Decision)> = exact;
    for prefix in prefixes.iter().filter(|prefix| prefix.last) {
        let longer = prefixes.iter().filter(|other| {
            other.text.len() > prefix.text.len() && other.text.starts_with(prefix.text)
        });
        let longer = longer.map(|other| begins(other.text)).collect();
        let cond = Cond::All(vec![
            begins(prefix.text),
            Cond::Not(Box::new(Cond::Either(longer))),
        ]);
        steps.push((cond, prefix.decision.clone()));
    }
    steps.extend(expressions);
    steps.extend(
        prefixes
            .into_iter()
            .map(|prefix| (begins(prefix.text), prefix.decision)),
    );
    if steps.is_empty() {
        otherwise
    } else {
        Decision::First(steps, Box::new(otherwise))
    }
}

fn begins(text: &str) -> Cond {
    Cond::Matches(Part::Path, format!("{}(?s:.*)", quote::regex(text)))
}

/// `=/path` and the like without a space.
fn attached(text: &str) -> (&'static str, &str) {
    for modifier in ["=", "^~", "~*", "~", "@"] {
        if let Some(rest) = text.strip_prefix(modifier) {
            return (modifier, rest);
        }
    }
    ("", text)
}

/// A location with those inside it, which come first.
fn nested(
    directive: &Directive,
    inherited: &Inherited,
    maps: &Maps,
    remarks: &mut Remarks,
) -> Decision {
    let own = access::location(directive, inherited, maps, remarks);
    let inner: Vec<&Directive> = directive
        .children()
        .iter()
        .filter(|inner| inner.name == "location")
        .collect();
    if inner.is_empty() {
        return own;
    }
    if let Some(expression) = inner.iter().find(|inner| {
        inner
            .words
            .first()
            .is_some_and(|word| word.starts_with('~'))
    }) {
        // Its rank among the regular expressions outside is not modelled.
        remarks.add(
            expression.line,
            "a regular expression in a location of a location",
        );
    }
    locations(directive.children(), inherited, maps, remarks, own)
}
