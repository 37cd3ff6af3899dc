//! The duties as a role lock: which role may do which operations. What every format is written from, and what
//! gateways are compared with.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::language::{self, PORT};
use super::quote;
use crate::policy::host::{HostPattern, Name};
use crate::policy::pattern::anatomy::Piece;
use crate::policy::selector::{JwtSelector, Selector};
use crate::policy::{Duty, Operation, Policy};

/// What a role is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleIs {
    /// An identity of the policy, under its name.
    Identity,
    /// A duty, under its name.
    Duty,
}

/// Where the gateway has the role of a request from. It must have verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleFrom {
    /// A claim of a verified token, by its path: one key or several.
    Claim(Vec<String>),
    /// The client's SPIFFE id: this text and then the role (`spiffe://cluster.local/ns/prod/sa/`).
    Spiffe(String),
    /// A header field, in lower case, that the gateway itself sets and takes from no client.
    Header(String),
    /// A variable of nginx, without `$`.
    Variable(String),
}

impl RoleFrom {
    /// Reads `claim:NAME[.NAME…]`, `spiffe:PREFIX`, `header:NAME` or `variable:NAME`.
    ///
    /// # Errors
    /// How to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let forms = "write claim:NAME, claim:NAME.NAME, spiffe:DOMAIN/PREFIX/, header:NAME or variable:NAME";
        let (form, rest) = text.split_once(':').ok_or(forms)?;
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        match form {
            "claim" => {
                let path: Vec<String> = rest.split('.').map(str::to_owned).collect();
                let good = path
                    .iter()
                    .all(|key| !key.is_empty() && key.chars().all(word));
                good.then_some(Self::Claim(path)).ok_or_else(|| {
                    "a claim is named with letters, digits, `-` and `_`; a dot leads inside"
                        .to_owned()
                })
            }
            "spiffe" => {
                let prefix = rest.strip_prefix("//").unwrap_or(rest);
                let good =
                    !prefix.is_empty() && prefix.chars().all(|c| word(c) || matches!(c, '.' | '/'));
                good.then(|| Self::Spiffe(format!("spiffe://{prefix}")))
                    .ok_or_else(|| {
                        "write spiffe:DOMAIN/PREFIX/; the role follows the prefix".to_owned()
                    })
            }
            "header" if !rest.is_empty() && rest.chars().all(word) => {
                Ok(Self::Header(rest.to_ascii_lowercase()))
            }
            "variable" => {
                let name = rest.strip_prefix('$').unwrap_or(rest);
                let good =
                    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                good.then(|| Self::Variable(name.to_owned()))
                    .ok_or_else(|| "a variable is named with letters, digits and `_`".to_owned())
            }
            _ => Err(forms.to_owned()),
        }
    }

    /// As it is written on the command line.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Claim(path) => format!("claim:{}", path.join(".")),
            Self::Spiffe(prefix) => prefix.replacen("spiffe://", "spiffe:", 1),
            Self::Header(name) => format!("header:{name}"),
            Self::Variable(name) => format!("variable:{name}"),
        }
    }
}

/// One segment of a granted route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// In canonical form, see [`language`].
    Literal(String),
    /// Any one segment.
    Capture,
}

/// A host that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// Any.
    Any,
    /// `.dev.example`: names below.
    Suffix(String),
    /// A name or an address, as it stands in a request.
    Exact(String),
}

/// One operation that a role may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// As the policy writes it.
    pub text: Arc<str>,
    /// The duty it belongs to.
    pub duty: Arc<str>,
    /// Methods, sorted; `None` for any.
    pub methods: Option<Vec<String>>,
    /// Host.
    pub host: HostName,
    /// Its port; `None` for any.
    pub port: Option<u16>,
    /// Route.
    pub parts: Vec<Part>,
    /// Whether any path below is meant too.
    pub rest: bool,
}

impl Grant {
    fn new(operation: &Operation, duty: &Arc<str>) -> Result<(Self, Option<String>), String> {
        let host = operation
            .host_pattern()
            .ok_or("a unix socket is behind no gateway")?;
        let methods = operation.method_names();
        if operation.means_mcp() && methods.as_ref().is_some_and(Vec::is_empty) {
            return Err("a gateway does not tell operations of MCP apart".into());
        }
        let mut note = operation
            .means_mcp()
            .then(|| "without its operations of MCP".to_owned());
        let mut parts = Vec::new();
        for piece in operation.pieces() {
            parts.push(match piece {
                Piece::Literal(bytes) => Part::Literal(language::canonical(bytes).ok_or(
                    "its route holds an encoded delimiter, `;`, `%`, `*` or a character beyond ASCII, which gateways read in different ways",
                )?),
                Piece::Capture { delimiters } => {
                    if delimiters {
                        note = Some("`{+name}` is one segment without encoded slash".to_owned());
                    }
                    Part::Capture
                }
            });
        }
        let (name, port) = host_of(host);
        let grant = Self {
            text: operation.text().clone(),
            duty: duty.clone(),
            methods: methods.map(|names| names.into_iter().map(str::to_owned).collect()),
            host: name,
            port,
            parts,
            rest: operation.has_rest(),
        };
        Ok((grant, note))
    }

    /// Whether every path is meant.
    #[must_use]
    pub fn any_path(&self) -> bool {
        self.rest && self.parts.is_empty()
    }

    /// Whether the route is one plain text.
    #[must_use]
    pub fn plain(&self) -> bool {
        !self.rest
            && self
                .parts
                .iter()
                .all(|part| matches!(part, Part::Literal(_)))
    }

    /// The route up to the first capture and whether that is all of it: without `**`, no slash at its end.
    #[must_use]
    pub fn prefix(&self) -> (String, bool) {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => {
                    text.push('/');
                    text.push_str(literal);
                }
                Part::Capture => return (text, false),
            }
        }
        (text, true)
    }

    /// Paths that are meant, as one regular expression to be matched wholly; `None` for any path. Of paths
    /// that are not canonical it matches none that the policy refuses.
    #[must_use]
    pub fn path_regex(&self) -> Option<String> {
        if self.any_path() {
            return None;
        }
        let segment = language::segment();
        let mut out = String::new();
        for part in &self.parts {
            out.push('/');
            match part {
                Part::Literal(literal) => out.push_str(&quote::regex(literal)),
                Part::Capture => out.push_str(&segment),
            }
        }
        if self.rest {
            out.push_str(&format!("(?:/{segment}?)*"));
        }
        Some(out)
    }

    /// Hosts that are meant, as one regular expression in lower case to be matched wholly; `None` for any.
    #[must_use]
    pub fn host_regex(&self) -> Option<String> {
        let port = match self.port {
            None => format!("{PORT}?"),
            Some(80) => "(?::80)?".to_owned(),
            Some(port) => format!(":{port}"),
        };
        Some(match &self.host {
            HostName::Any if self.port.is_none() => return None,
            HostName::Any => format!("(?:[a-z0-9._-]+|\\[[0-9a-f:.]+\\]){port}"),
            HostName::Suffix(suffix) => format!("[a-z0-9._-]+{}{port}", quote::regex(suffix)),
            HostName::Exact(name) => format!("{}{port}", quote::regex(name)),
        })
    }
}

fn host_of(host: &HostPattern) -> (HostName, Option<u16>) {
    let name = match &host.name {
        Name::Any => HostName::Any,
        Name::Suffix(suffix) => HostName::Suffix(suffix.to_string()),
        Name::Exact(name) => HostName::Exact(name.to_string()),
        Name::Address(IpAddr::V6(ip)) => HostName::Exact(format!("[{ip}]")),
        Name::Address(ip) => HostName::Exact(ip.to_string()),
    };
    (name, host.port)
}

/// A role with what it may do.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: Arc<str>,
    /// Tokens that belong to it, by their claims.
    pub tokens: Vec<JwtSelector>,
    /// What a gateway can be told of, in the order of the policy's text; none twice.
    pub grants: Vec<Grant>,
    /// All of its operations, for comparison.
    pub operations: Vec<Operation>,
}

/// The duties as roles.
#[derive(Clone, Debug)]
pub struct Lock {
    /// Where gateways have the role from.
    pub from: RoleFrom,
    /// What a role is.
    pub is: RoleIs,
    /// Roles in the order of their names.
    pub roles: Vec<Role>,
    /// What is narrower than the policy, or left out, and why.
    pub notes: Vec<String>,
    /// Names of the policy's files, for the header.
    pub sources: Vec<String>,
}

impl Lock {
    /// The lock that a policy's duties mean. Identities and duties without operations have no role:
    /// nothing is open to them.
    #[must_use]
    pub fn new(policy: &Policy, is: RoleIs, from: RoleFrom) -> Self {
        let mut notes = BTreeSet::new();
        let mut sources = BTreeSet::new();
        let mut roles = Vec::new();
        match is {
            RoleIs::Identity => {
                for identity in policy.identities() {
                    let duties = identity.duties.iter().filter_map(|id| policy.duty(*id));
                    let tokens =
                        identity
                            .credentials
                            .iter()
                            .filter_map(|selector| match selector {
                                Selector::Jwt(jwt) => Some(jwt.clone()),
                                _ => None,
                            });
                    roles.push(role(&identity.name, duties, tokens.collect(), &mut notes));
                    sources.insert(identity.place.file.to_string());
                }
            }
            RoleIs::Duty => {
                for duty in policy.duties() {
                    roles.push(role(
                        &duty.name,
                        std::iter::once(duty),
                        Vec::new(),
                        &mut notes,
                    ));
                }
            }
        }
        sources.extend(policy.duties().map(|duty| duty.place.file.to_string()));
        roles.retain(|role| {
            let good = !role.name.is_empty() && role.name.chars().all(|c| matches!(c, ' '..='~'));
            if !good && !role.grants.is_empty() {
                notes.insert(format!(
                    "role {} is left out: a role's name in a gateway is printable ASCII",
                    quote::string(&role.name)
                ));
            }
            good && !role.operations.is_empty()
        });
        roles.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            from,
            is,
            roles,
            notes: notes.into_iter().collect(),
            sources: sources.into_iter().collect(),
        }
    }

    /// The head of a generated file, without comment signs.
    pub(super) fn header(&self, target: &str, notes: &[String]) -> Vec<String> {
        let is = match self.is {
            RoleIs::Identity => "identity",
            RoleIs::Duty => "duty",
        };
        let mut lines = vec![
            format!("Generated by `bailiwick export --to {target} --role {is} --role-from {}`", self.from.text()),
            format!("from {}. Do not edit: change the duties there.", self.sources.join(", ")),
            "Duties alone: environments, workloads, separations and approvals are watched by bailiwick.".to_owned(),
        ];
        lines.extend(notes.iter().map(|note| format!("Note: {note}")));
        lines.iter().map(|line| quote::comment(line)).collect()
    }
}

fn role<'p>(
    name: &Arc<str>,
    duties: impl Iterator<Item = &'p Duty>,
    tokens: Vec<JwtSelector>,
    notes: &mut BTreeSet<String>,
) -> Role {
    let (mut grants, mut operations): (Vec<Grant>, Vec<Operation>) = (Vec::new(), Vec::new());
    for duty in duties {
        for operation in &duty.operations {
            operations.push(operation.clone());
            match Grant::new(operation, &duty.name) {
                Ok((grant, note)) => {
                    if let Some(note) = note {
                        notes.insert(format!("{}: {}: {note}", duty.name, operation.text()));
                    }
                    if grants.iter().all(|old| old.text != grant.text) {
                        grants.push(grant);
                    }
                }
                Err(why) => {
                    notes.insert(format!(
                        "{}: {} is left out: {why}",
                        duty.name,
                        operation.text()
                    ));
                }
            }
        }
    }
    grants.sort_by(|a, b| (&a.text, &a.duty).cmp(&(&b.text, &b.duty)));
    Role {
        name: name.clone(),
        tokens,
        grants,
        operations,
    }
}
