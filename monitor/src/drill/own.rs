//! The user's own policy, clause by clause: requests that break it and requests that keep it, from its own
//! patterns. Pure but for reading the file.
//!
//! Identities are replaced by scratch ones that have the clause in question and tokens of the drill, so no
//! secret of the user's is read. Workloads are replaced by programs of the drill; so are hours, on the side
//! that the clock does not allow now.

mod clauses;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;
use toml::{Table, Value};

use super::error::DrillError;
use super::mint;
use super::policy::Base;
use super::technique::{Act, Actor, Card, Draft, Holder, Piece, Run, Technique, To, request};
use crate::access::FingerprintKey;
use crate::policy::overlap::Witness;
use crate::policy::{Duty, DutyId, EnvironmentId, Policy};

/// Port of the drill's server.
const PORT: u16 = 80;
/// Longest file that is read.
const LONGEST: usize = 16 * 1024 * 1024;
/// How deep approvals of approvals are followed.
const DEPTH: u8 = 4;

/// What a policy comes to.
#[derive(Default)]
pub(super) struct Own {
    /// Beginning of the scratch policy; none for the built-in one.
    pub(super) base: Option<Base>,
    /// A technique for each clause.
    pub(super) techniques: Vec<Box<dyn Technique>>,
    /// Clauses that cannot be drilled, each with the reason.
    pub(super) undrilled: Vec<String>,
    /// Addresses of environments, at which the drill's server must be found.
    pub(super) addresses: Vec<IpAddr>,
}

/// Reads a policy and makes techniques of its clauses.
///
/// # Errors
/// When it cannot be read, or is wrong.
pub(super) fn read(file: &Path) -> Result<Own, DrillError> {
    let fault = |why: &dyn std::fmt::Display| {
        DrillError::new(file.display(), why).hint("`bailiwick check` says more")
    };
    let text =
        std::fs::read_to_string(file).map_err(|error| DrillError::on(file.display(), &error))?;
    if text.len() > LONGEST {
        return Err(fault(&"longer than 16 MiB"));
    }
    plan(&text).map_err(|why| fault(&why))
}

/// The same from text.
fn plan(text: &str) -> Result<Own, String> {
    let mut table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    let policy = model(&table)?;
    table.remove("identities");
    // Real units and users have no part in the drill; by chance one could be the drill's own.
    let elsewhere = table.remove("workload-environments").is_some();
    let duties: Vec<(String, String)> = match table.remove("duties") {
        Some(Value::Table(duties)) => duties
            .into_iter()
            .map(|(name, value)| (name, value.to_string()))
            .collect(),
        _ => Vec::new(),
    };
    let destinations = destinations(&table, &policy);
    let texts = duties.iter().cloned().collect();
    let base = Base {
        text: toml::to_string(&table).map_err(|error| error.to_string())?,
        duties,
    };
    let mut own = Own {
        base: Some(base),
        ..Own::default()
    };
    if elsewhere {
        own.undrilled.push(
            "workload-environments: they name workloads of this host, which the drill does not start"
                .to_owned(),
        );
    }
    let book = Arc::new(Book {
        policy,
        duties: texts,
        destinations,
    });
    clauses::all(&book, &mut own);
    Ok(own)
}

/// The policy, compiled without its secrets.
fn model(table: &Table) -> Result<Policy, String> {
    let mut table = table.clone();
    if let Some(Value::Table(identities)) = table.get_mut("identities") {
        for (number, (_, identity)) in identities.iter_mut().enumerate() {
            if let Value::Table(identity) = identity {
                let stand_in = format!("jwt:iss={},sub={number}", mint::ISSUER);
                identity.insert("credentials".to_owned(), vec![stand_in].into());
            }
        }
    }
    let text = toml::to_string(&table).map_err(|error| error.to_string())?;
    let key = FingerprintKey::new([0; 32]);
    crate::policy::load_text("policy.toml", &text, &key)
        .map(|loaded| loaded.policy)
        .map_err(|errors| {
            // Places are those of the rewritten text; they would mislead.
            let first = errors
                .first()
                .map(|error| format!("{}: {}", error.key, error.problem));
            first.unwrap_or_else(|| "not a policy".to_owned())
        })
}

/// A place in an environment that a request can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Destination {
    /// By what the request claims.
    Host(String),
    /// By where it goes.
    Address(IpAddr),
}

/// One for each environment, where there is one.
fn destinations(table: &Table, policy: &Policy) -> Vec<(EnvironmentId, Destination)> {
    let mut all = Vec::new();
    let Some(Value::Table(environments)) = table.get("environments") else {
        return all;
    };
    for (name, texts) in environments {
        let Some(id) = policy.environments().find(name) else {
            continue;
        };
        let texts = texts
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let found = texts.filter_map(destination).find(|found| {
            let there = match found {
                Destination::Host(host) => policy.environments().claimed(host),
                Destination::Address(ip) => {
                    let peer = crate::access::Peer::Inet(SocketAddr::new(*ip, PORT));
                    policy.environments().actual(&peer)
                }
            };
            there == Some(id)
        });
        all.extend(found.map(|found| (id, found)));
    }
    all
}

/// Something that a destination of a policy means.
fn destination(text: &str) -> Option<Destination> {
    let text = text.trim();
    if text.starts_with("unix:") || text == "*" {
        return None;
    }
    if let Some(suffix) = text.strip_prefix("*.") {
        return Some(Destination::Host(format!("drill.{suffix}")));
    }
    if let Ok(network) = text.parse::<IpNet>() {
        let address = network.hosts().next().unwrap_or(network.addr());
        return usable(address).then_some(Destination::Address(address));
    }
    match text.parse::<IpAddr>() {
        Ok(address) => usable(address).then_some(Destination::Address(address)),
        Err(_) => Some(Destination::Host(text.to_owned())),
    }
}

/// Whether a server can have the address, on loopback.
fn usable(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && !address.is_loopback()
}

/// The user's policy, and where its environments can be found.
struct Book {
    policy: Policy,
    /// The duties as they are written, by name.
    duties: HashMap<String, String>,
    destinations: Vec<(EnvironmentId, Destination)>,
}

/// Who exercises a duty.
struct Subject {
    token: String,
    /// Where it is at work.
    actor: Actor,
}

impl Subject {
    fn ask(&self, draft: &mut Draft, witness: &Witness) {
        draft.ask_as(self.actor.clone(), message(witness, None, &self.token));
    }
}

impl Book {
    fn name(&self, duty: DutyId) -> &str {
        self.policy.duty(duty).map_or("?", |duty| &duty.name)
    }

    /// A request of a duty that can be sent over TCP.
    fn witness(&self, duty: DutyId) -> Option<Witness> {
        let duty: &Duty = self.policy.duty(duty)?;
        let mut all = duty.operations.iter().filter_map(|one| one.example());
        all.find(|witness| witness.socket.is_none())
    }

    fn needs_approval(&self, duty: DutyId) -> bool {
        self.policy.approvals().iter().any(|one| one.duty == duty)
    }

    /// A scratch identity with these duties; its tokens show two factors.
    fn subject(
        &self,
        draft: &mut Draft,
        run: &Run<'_>,
        suffix: &str,
        holder: &Holder<'_>,
    ) -> Subject {
        let subject = draft.subject(run, suffix, holder);
        Subject {
            token: token(run, &subject, &["pwd", "otp", "mfa"]),
            actor: run.apart(suffix),
        }
    }

    /// Adds the approvals that a duty needs, each by an owner of its own.
    fn approve(&self, draft: &mut Draft, run: &Run<'_>, duty: DutyId, depth: u8) -> Option<()> {
        for (number, approval) in self.policy.approvals().iter().enumerate() {
            if approval.duty != duty || depth == 0 {
                continue;
            }
            self.approve(draft, run, approval.by, depth - 1)?;
            let suffix = format!("approver-{depth}-{number}");
            let owner = run.name(&suffix);
            let holder = Holder {
                owner: &owner,
                duties: &[self.name(approval.by)],
                ..Holder::default()
            };
            let approver = self.subject(draft, run, &suffix, &holder);
            approver.ask(draft, &self.witness(approval.by)?);
        }
        Some(())
    }

    /// Adds an exercise of a duty as the policy wants it, approvals before it.
    fn exercise(
        &self,
        draft: &mut Draft,
        run: &Run<'_>,
        duty: DutyId,
        who: &Subject,
    ) -> Option<()> {
        self.approve(draft, run, duty, DEPTH)?;
        who.ask(draft, &self.witness(duty)?);
        Some(())
    }
}

/// A token that shows how its subject logged in (RFC 8176).
fn token(run: &Run<'_>, subject: &str, methods: &[&str]) -> String {
    let expires = run.places.now.saturating_add(3600);
    mint::jwt(subject, &json!({ "exp": expires, "amr": methods }))
}

/// The request that a witness stands for, at its own host or another.
fn message(witness: &Witness, host: Option<&str>, token: &str) -> String {
    let authorization = format!("Bearer {token}");
    let mut fields = vec![("Authorization", authorization.as_str())];
    if let Some(mcp) = &witness.mcp {
        let (method, name) = mcp.split_once(':').unwrap_or((mcp, ""));
        fields.push(("Mcp-Method", method));
        if !name.is_empty() {
            fields.push(("Mcp-Name", name));
        }
    }
    request(
        &witness.method,
        host.unwrap_or(&witness.host),
        &witness.path,
        &fields,
    )
}

/// How a clause is drafted; nothing, where that turns out to be impossible.
type Drafter = Box<dyn Fn(&Run<'_>) -> Option<Draft> + Sync>;

/// A clause of the user's.
struct Clause {
    card: Card,
    patience: Duration,
    draft: Drafter,
}

impl Technique for Clause {
    fn card(&self) -> &Card {
        &self.card
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn draft(&self, run: &Run<'_>) -> Draft {
        (self.draft)(run).unwrap_or_default()
    }
}
