//! What identities are allowed to do.
//!
//! Pure: no I/O (files come through [`Files`]), no clock, no panic on any input. A policy is loaded as a
//! whole, never changed, and replaced by the next one. docs/policy.md describes the format.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod accept;
mod compile;
pub mod environment;
pub mod error;
pub mod high_value;
pub(crate) mod host;
pub mod hours;
pub mod identity;
pub mod load;
mod model;
pub mod overlap;
pub mod path;
pub mod pattern;
mod reader;
pub mod rules;
pub mod selector;
pub mod workload;
pub mod workload_environment;
mod workload_overlap;

use std::sync::Arc;

pub use accept::Accept;
pub(crate) use compile::unfit_name;
pub use environment::{EnvironmentId, Environments, Found};
pub use error::{Place, PolicyError, PolicyWarning, WarningKind};
pub use high_value::HighValue;
pub use hours::Hours;
pub use identity::{DutyId, Identity, IdentityId};
pub use load::{Files, Loaded, load, load_text};
pub use overlap::Witness;
pub use pattern::{Operation, Request};
pub(crate) use reader::dotted;
pub use rules::{Approval, Distinct, Separation};

use crate::access::{Access, Credential, Role, Workload};

/// A named set of operations.
#[derive(Clone, Debug)]
pub struct Duty {
    /// Name.
    pub name: Arc<str>,
    /// What it grants.
    pub operations: Box<[Operation]>,
    /// Whether a mistake or a theft would be dear: `bailiwick check` looks closer at it.
    pub privileged: bool,
    /// Whether it wants a token that shows a second factor.
    pub second_factor: bool,
    /// Where it is defined.
    pub place: Place,
    /// Where `second-factor` stands, when it does.
    pub second_factor_place: Option<Place>,
    /// The name as a list of one, shared by every access that this duty alone grants.
    pub(crate) alone: Arc<[Arc<str>]>,
}

/// Everything that was written, compiled.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Number of the policy since the program started; the caller counts.
    pub generation: u64,
    environments: Environments,
    duties: Vec<Duty>,
    identities: Vec<Arc<Identity>>,
    index: identity::Index,
    separations: Vec<Separation>,
    approvals: Vec<Approval>,
    high_value: Vec<HighValue>,
    workload_environments: workload_environment::WorkloadEnvironments,
    accepts: Vec<Accept>,
}

impl Policy {
    /// A policy that says nothing: every credential is an identity of its own.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The identity that a credential belongs to: by fingerprint, else by what it says of itself (which
    /// nobody here verifies); `None` when no identity names it.
    #[must_use]
    pub fn identify(&self, credential: &Credential) -> Option<&Arc<Identity>> {
        self.identity(self.identify_id(credential)?)
    }

    /// As [`identify`](Self::identify).
    #[must_use]
    pub fn identify_id(&self, credential: &Credential) -> Option<IdentityId> {
        self.index.find(credential)
    }

    /// The identity of this name.
    #[must_use]
    pub(crate) fn named(&self, name: &str) -> Option<IdentityId> {
        let at = self.identities.iter().position(|own| *own.name == *name)?;
        u32::try_from(at).ok().map(IdentityId)
    }

    /// An identity by id.
    #[must_use]
    pub fn identity(&self, id: IdentityId) -> Option<&Arc<Identity>> {
        self.identities.get(usize::try_from(id.0).ok()?)
    }

    /// All identities.
    pub fn identities(&self) -> impl ExactSizeIterator<Item = &Arc<Identity>> {
        self.identities.iter()
    }

    /// A duty by id.
    #[must_use]
    pub fn duty(&self, id: DutyId) -> Option<&Duty> {
        self.duties.get(usize::try_from(id.0).ok()?)
    }

    /// All duties.
    pub fn duties(&self) -> impl ExactSizeIterator<Item = &Duty> {
        self.duties.iter()
    }

    /// All environments.
    #[must_use]
    pub fn environments(&self) -> &Environments {
        &self.environments
    }

    /// Duties that one subject must not combine.
    #[must_use]
    pub fn separations(&self) -> &[Separation] {
        &self.separations
    }

    /// Duties that need approval.
    #[must_use]
    pub fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    /// Destinations that are worth most.
    #[must_use]
    pub fn high_value(&self) -> &[HighValue] {
        &self.high_value
    }

    /// Which environment a workload belongs to, where the policy says.
    #[must_use]
    pub fn workload_environment(&self, workload: &Workload) -> Option<EnvironmentId> {
        self.workload_environments
            .find(workload)
            .map(|entry| entry.environment)
    }

    /// The entry of `[workload-environments]` that says so.
    #[must_use]
    pub fn workload_environments(&self) -> &workload_environment::WorkloadEnvironments {
        &self.workload_environments
    }

    /// Findings of `bailiwick check` that are accepted.
    #[must_use]
    pub fn accepts(&self) -> &[Accept] {
        &self.accepts
    }

    /// Where an access went: by its claimed host, and by the server's address or socket (which the client
    /// sees; for [`Role::Server`] the peer is the client, so only a unix socket counts).
    #[must_use]
    pub fn environment_of(&self, access: &Access) -> Found {
        Found {
            claimed: self.environments.claimed(&access.host),
            actual: self.actual_environment(access),
        }
    }

    /// The half of [`environment_of`](Self::environment_of) that no client can choose.
    pub(crate) fn actual_environment(&self, access: &Access) -> Option<EnvironmentId> {
        let socket = matches!(access.peer, crate::access::Peer::Unix(_));
        (access.role != Role::Server || socket).then(|| self.environments.actual(&access.peer))?
    }
}
