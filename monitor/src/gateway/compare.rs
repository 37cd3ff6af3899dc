//! Where a gateway and the duties differ.
//!
//! Hosts, paths and methods are sorted into classes that neither side tells apart further, and one example of
//! each combination is asked of both: of the policy through [`Operation::matches`] itself, of the gateway
//! through its decisions. So every difference among plain requests is found, and every witness is one.

use std::collections::{BTreeMap, HashMap};

use super::gate::{Attribute, Cond, Decision, Gate, Matches, Part, Unread, Who};
use super::language::{self, Example, HOSTS, Matched, RegexError, Sorter};
use super::lock::{Lock, Role};
use crate::access::Peer;
use crate::policy::path::Reading;
use crate::policy::{Operation, Request};

/// Most requests that are asked of both sides.
pub const MOST_REQUESTS: usize = 2_000_000;

/// Methods that witnesses use first.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// `GW001`: open to a role, and in none of its duties.
    BeyondDuties,
    /// `GW002`: open to anyone, and in nobody's duties.
    OpenToAnyone,
    /// `GW003`: somebody's duty, and open to everybody else as well.
    RoleNotAsked,
    /// `GW004`: a duty that the gateway refuses.
    Refused,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::BeyondDuties,
        Self::OpenToAnyone,
        Self::RoleNotAsked,
        Self::Refused,
    ];

    /// Stable code.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::BeyondDuties => "GW001",
            Self::OpenToAnyone => "GW002",
            Self::RoleNotAsked => "GW003",
            Self::Refused => "GW004",
        }
    }

    /// Name for machines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeyondDuties => "gateway-beyond-duties",
            Self::OpenToAnyone => "gateway-open-to-anyone",
            Self::RoleNotAsked => "gateway-role-not-asked",
            Self::Refused => "gateway-refuses-duty",
        }
    }

    /// What it finds.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::BeyondDuties => "The gateway lets a role do what none of its duties grants.",
            Self::OpenToAnyone => "The gateway lets anyone do what nobody's duties grant.",
            Self::RoleNotAsked => "The gateway lets anyone do what is the duty of some.",
            Self::Refused => "The gateway refuses what a duty grants.",
        }
    }

    /// What to do.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::BeyondDuties | Self::OpenToAnyone => {
                "close it at the gateway, or add it to a duty; `bailiwick export` writes a lock from the duties"
            }
            Self::RoleNotAsked => {
                "ask for the role at the gateway; `bailiwick export` writes a lock that does"
            }
            Self::Refused => "open it at the gateway, or take it out of the duty",
        }
    }
}

/// One difference, with a request that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayFinding {
    /// What differs.
    pub code: Code,
    /// Line of the gateway's file that decides; 0 when none does alone.
    pub line: usize,
    /// Who asks; `None` for somebody without any role.
    pub role: Option<String>,
    /// The witness' method.
    pub method: String,
    /// Its host, with a port if one matters.
    pub host: String,
    /// Its path.
    pub path: String,
    /// Who has it as a duty (`RoleNotAsked`), or the operation that grants it (`Refused`).
    pub granted: Vec<String>,
    /// How many kinds of requests show the same.
    pub kinds: usize,
}

impl GatewayFinding {
    /// In words.
    #[must_use]
    pub fn message(&self) -> String {
        let request = format!("{} {}{}", self.method, self.host, self.path);
        let more = match self.kinds {
            0 | 1 => String::new(),
            n => format!(" (and {} more kinds of requests)", n - 1),
        };
        let role = self.role.as_deref().unwrap_or("nobody");
        match self.code {
            Code::BeyondDuties => format!("open to {role}, in none of its duties: {request}{more}"),
            Code::OpenToAnyone => format!("open to anyone, in nobody's duties: {request}{more}"),
            Code::RoleNotAsked => {
                format!(
                    "open to anyone, a duty of {} alone: {request}{more}",
                    self.granted.join(", ")
                )
            }
            Code::Refused => {
                format!(
                    "refused to {role}, whose duty it is ({}): {request}{more}",
                    self.granted.join(", ")
                )
            }
        }
    }
}

/// The result for one gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Differences, in the order of their codes, lines and roles.
    pub findings: Vec<GatewayFinding>,
    /// What was not understood of the gateway's file.
    pub unread: Vec<Unread>,
    /// How many more places there were.
    pub unread_more: usize,
    /// Kinds of requests of which nothing can be said because of that.
    pub undecided: usize,
    /// Kinds of requests that were asked of both sides.
    pub asked: usize,
    /// What was left out of the comparison, and why.
    pub notes: Vec<String>,
}

/// The patterns of one part, by number.
struct Index {
    numbers: HashMap<String, usize>,
    sorter: Sorter,
}

impl Index {
    fn new(patterns: Vec<String>) -> Result<Self, RegexError> {
        let mut numbers = HashMap::new();
        let mut unique = Vec::new();
        for pattern in patterns {
            let next = unique.len();
            numbers.entry(pattern.clone()).or_insert_with(|| {
                unique.push(pattern);
                next
            });
        }
        Ok(Self {
            numbers,
            sorter: Sorter::new(unique)?,
        })
    }

    fn holds(&self, matched: &Matched, pattern: &str) -> Option<bool> {
        matched.get(*self.numbers.get(pattern)?).copied()
    }
}

/// Both sides' patterns, ready to be asked.
struct Asker {
    methods: Index,
    hosts: Index,
    paths: Index,
    texts: Index,
    values: HashMap<String, Matched>,
}

struct Asked<'a> {
    asker: &'a Asker,
    method: &'a Matched,
    host: &'a Matched,
    path: &'a Matched,
}

impl Matches for Asked<'_> {
    fn part(&self, part: Part, pattern: &str) -> Option<bool> {
        match part {
            Part::Method => self.asker.methods.holds(self.method, pattern),
            Part::Host => self.asker.hosts.holds(self.host, pattern),
            Part::Path => self.asker.paths.holds(self.path, pattern),
        }
    }

    fn text(&self, value: &str, pattern: &str) -> Option<bool> {
        match self.asker.values.get(value) {
            Some(matched) => self.asker.texts.holds(matched, pattern),
            None => self
                .asker
                .texts
                .holds(&self.asker.texts.sorter.sort(value), pattern),
        }
    }
}

impl Asker {
    fn new(lock: &Lock, gate: &Gate) -> Result<Self, RegexError> {
        let (mut methods, mut hosts, mut paths, mut texts) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        gate.decision.visit(&mut |part, pattern| {
            let list = match part {
                Some(Part::Method) => &mut methods,
                Some(Part::Host) => &mut hosts,
                Some(Part::Path) => &mut paths,
                None => &mut texts,
            };
            list.push(pattern.to_owned());
        });
        for grant in lock.roles.iter().flat_map(|role| &role.grants) {
            methods.extend(
                grant
                    .methods
                    .iter()
                    .flatten()
                    .map(|name| super::quote::regex(name)),
            );
            hosts.extend(grant.host_regex());
            paths.extend(grant.path_regex());
        }
        let texts = Index::new(texts)?;
        let mut values = HashMap::new();
        for role in &lock.roles {
            for value in [
                role.name.to_string(),
                format!("{}{}", prefix(lock), role.name),
            ] {
                let matched = texts.sorter.sort(&value);
                values.insert(value, matched);
            }
        }
        Ok(Self {
            methods: Index::new(methods)?,
            hosts: Index::new(hosts)?,
            paths: Index::new(paths)?,
            texts,
            values,
        })
    }

    /// One method of each class, common ones first.
    fn methods(&self) -> Result<(Vec<Example>, bool), RegexError> {
        let (found, whole) = self.methods.sorter.examples("[A-Z][A-Z-]*")?;
        let mut all: Vec<Example> = Vec::new();
        let names = METHODS.iter().map(|name| (*name).to_owned());
        for text in names.chain(found.into_iter().map(|example| example.text)) {
            let matched = self.methods.sorter.sort(&text);
            if all.iter().all(|old| old.matched != matched) {
                all.push(Example { text, matched });
            }
        }
        Ok((all, whole))
    }
}

fn prefix(lock: &Lock) -> &str {
    match &lock.from {
        super::RoleFrom::Spiffe(prefix) => prefix,
        _ => "",
    }
}

/// What the gateway makes of one request, for tests and the evaluation of exports: whether it is let through,
/// `None` when that is not known. `role` is the name of one of the lock's roles.
///
/// # Errors
/// When a pattern is too large.
pub fn decide(
    lock: &Lock,
    gate: &Gate,
    role: Option<&str>,
    request: (&str, &str, &str),
) -> Result<Option<bool>, RegexError> {
    let asker = Asker::new(lock, gate)?;
    let (method, host, path) = request;
    let asked = Asked {
        asker: &asker,
        method: &asker.methods.sorter.sort(method),
        host: &asker.hosts.sorter.sort(host),
        path: &asker.paths.sorter.sort(path),
    };
    let role = role.and_then(|name| lock.roles.iter().find(|role| *role.name == *name));
    let who = role.map_or(Who::Nobody, |role| Who::Role(role, &lock.from));
    Ok(gate.decision.decide(&who, &asked).0)
}

/// Compares a gateway with the duties.
///
/// # Errors
/// When a pattern is too large to be compared.
pub fn compare(lock: &Lock, gate: &Gate) -> Result<Comparison, RegexError> {
    let asker = Asker::new(lock, gate)?;
    let (methods, whole_methods) = asker.methods()?;
    let (hosts, whole_hosts) = asker.hosts.sorter.examples(HOSTS)?;
    let (paths, whole_paths) = asker.paths.sorter.examples(&language::paths())?;
    let mut result = Comparison {
        unread: gate.unread.clone(),
        unread_more: gate.unread_more,
        notes: notes(lock, gate, &asker, &hosts),
        ..Comparison::default()
    };
    if !(whole_methods && whole_hosts && whole_paths) {
        result
            .notes
            .push("its patterns are too many to be compared in every combination".into());
    }
    let mut named = Vec::new();
    gate.decision.visit(&mut |part, pattern| {
        if part == Some(Part::Host) {
            named.push(pattern);
        }
    });
    let mut found: BTreeMap<Key, GatewayFinding> = BTreeMap::new();
    let mut reading = Reading::new();
    let mut left = MOST_REQUESTS;
    'all: for host in &hosts {
        let served = named.is_empty()
            || named
                .iter()
                .any(|pattern| asker.hosts.holds(&host.matched, pattern) == Some(true));
        for path in &paths {
            reading.read(&path.text);
            for method in &methods {
                if left < lock.roles.len() + 1 {
                    result.notes.push(format!(
                        "only the first {MOST_REQUESTS} kinds of requests were compared"
                    ));
                    break 'all;
                }
                left -= lock.roles.len() + 1;
                let asked = Asked {
                    asker: &asker,
                    method: &method.matched,
                    host: &host.matched,
                    path: &path.matched,
                };
                let request = Request::new(&method.text, &host.text, &Peer::Unknown, &reading);
                let witness = Witness {
                    method: &method.text,
                    host: &host.text,
                    path: &path.text,
                };
                one(
                    lock,
                    gate,
                    &asked,
                    &request,
                    &witness,
                    served,
                    &mut found,
                    &mut result,
                );
            }
        }
    }
    result.findings = found.into_values().collect();
    Ok(result)
}

type Key = (Code, usize, Option<String>, Vec<String>);

struct Witness<'w> {
    method: &'w str,
    host: &'w str,
    path: &'w str,
}

#[allow(clippy::too_many_arguments, reason = "one step of one loop")]
fn one(
    lock: &Lock,
    gate: &Gate,
    asked: &Asked<'_>,
    request: &Request<'_>,
    witness: &Witness<'_>,
    served: bool,
    found: &mut BTreeMap<Key, GatewayFinding>,
    result: &mut Comparison,
) {
    let mut add = |code, line, role: Option<&Role>, granted: Vec<String>| {
        let role = role.map(|role| role.name.to_string());
        let finding = found
            .entry((code, line, role.clone(), granted.clone()))
            .or_insert_with(|| GatewayFinding {
                code,
                line,
                role,
                method: witness.method.to_owned(),
                host: witness.host.to_owned(),
                path: witness.path.to_owned(),
                granted,
                kinds: 0,
            });
        finding.kinds += 1;
    };
    let granting = |role: &Role| -> Option<String> {
        let operation: &Operation = role
            .operations
            .iter()
            .find(|operation| operation.matches(request))?;
        Some(operation.text().to_string())
    };
    let (to_nobody, line) = gate.decision.decide(&Who::Nobody, asked);
    result.asked += 1;
    let granted: Vec<Option<String>> = lock.roles.iter().map(granting).collect();
    let mut undecided = to_nobody.is_none();
    if to_nobody == Some(true) {
        let who: Vec<String> = lock
            .roles
            .iter()
            .zip(&granted)
            .filter(|(_, grant)| grant.is_some())
            .map(|(role, _)| role.name.to_string())
            .collect();
        if who.is_empty() {
            add(Code::OpenToAnyone, line, None, Vec::new());
        } else {
            add(Code::RoleNotAsked, line, None, who);
        }
    }
    for (role, grant) in lock.roles.iter().zip(granted) {
        let (open, line) = gate.decision.decide(&Who::Role(role, &lock.from), asked);
        undecided |= open.is_none();
        match (open, grant) {
            (Some(true), None) if to_nobody != Some(true) => {
                add(Code::BeyondDuties, line, Some(role), Vec::new())
            }
            (Some(false), Some(operation)) if served => {
                add(Code::Refused, line, Some(role), vec![operation])
            }
            _ => {}
        }
    }
    result.undecided += usize::from(undecided);
}

/// What the comparison leaves out.
fn notes(lock: &Lock, gate: &Gate, asker: &Asker, hosts: &[Example]) -> Vec<String> {
    let mut notes: Vec<String> = lock.notes.clone();
    let mut attributes = Vec::new();
    attributes_of(&gate.decision, &mut attributes);
    attributes.sort();
    attributes.dedup();
    for attribute in attributes {
        let known = lock
            .roles
            .iter()
            .any(|role| Who::Role(role, &lock.from).knows(attribute));
        if !known && !lock.roles.is_empty() {
            notes.push(format!(
                "it tells clients apart by {}, and nothing says which role that is (--role-from)",
                attribute_words(attribute)
            ));
        }
    }
    // Duties on hosts that the gateway does not name are another gateway's.
    let mut named = Vec::new();
    gate.decision.visit(&mut |part, pattern| {
        if part == Some(Part::Host) {
            named.push(pattern.to_owned());
        }
    });
    if !named.is_empty() {
        for grant in lock.roles.iter().flat_map(|role| &role.grants) {
            let Some(pattern) = grant.host_regex() else {
                continue;
            };
            let meets = hosts.iter().any(|host| {
                asker.hosts.holds(&host.matched, &pattern) == Some(true)
                    && named
                        .iter()
                        .any(|own| asker.hosts.holds(&host.matched, own) == Some(true))
            });
            if !meets {
                notes.push(format!(
                    "{}: {}: the gateway names no such host",
                    grant.duty, grant.text
                ));
            }
        }
    }
    notes.sort();
    notes.dedup();
    notes
}

fn attributes_of<'g>(decision: &'g Decision, out: &mut Vec<&'g Attribute>) {
    fn of_cond<'g>(cond: &'g Cond, out: &mut Vec<&'g Attribute>) {
        match cond {
            Cond::All(all) | Cond::Either(all) => all.iter().for_each(|cond| of_cond(cond, out)),
            Cond::Not(cond) => of_cond(cond, out),
            Cond::Who(attribute, _) => out.push(attribute),
            Cond::Any | Cond::Unknown | Cond::Known | Cond::Matches(..) => {}
        }
    }
    match decision {
        Decision::Verdict(..) => {}
        Decision::First(steps, otherwise) => {
            for (cond, decision) in steps {
                of_cond(cond, out);
                attributes_of(decision, out);
            }
            attributes_of(otherwise, out);
        }
        Decision::Every(all) | Decision::Some(all) => {
            all.iter().for_each(|one| attributes_of(one, out))
        }
    }
}

fn attribute_words(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Claim(path) => format!("claim {}", path.join(".")),
        Attribute::RequestPrincipal => "issuer and subject of their token".to_owned(),
        Attribute::Spiffe => "their SPIFFE id".to_owned(),
        Attribute::Header(name) => format!("header {name}"),
        Attribute::Variable(name) => format!("${name}"),
    }
}
