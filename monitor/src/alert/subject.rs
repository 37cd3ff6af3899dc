//! What a finding is about, as folding sees it.

use std::sync::Arc;

use crate::access::workload::Label;
use crate::access::{Access, Endpoint, Workload};

/// An access, or a workload as such.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Access {
        access: &'a Access,
        /// An earlier one that belongs to it.
        beside: Option<&'a Access>,
        /// Which of several clauses of its kind.
        clause: u32,
    },
    Workload {
        workload: &'a Workload,
        /// What it did, in words.
        operation: &'a str,
        /// Microseconds since 1970.
        time_us: i64,
    },
}

impl<'a> Subject<'a> {
    /// The access, where there is one: it is the evidence.
    pub(super) fn access(self) -> Option<&'a Access> {
        match self {
            Self::Access { access, .. } => Some(access),
            Self::Workload { .. } => None,
        }
    }

    /// Another access that belongs to it.
    pub(super) fn beside(self) -> Option<&'a Access> {
        match self {
            Self::Access { beside, .. } => beside,
            Self::Workload { .. } => None,
        }
    }

    pub(super) fn clause(self) -> u32 {
        match self {
            Self::Access { clause, .. } => clause,
            Self::Workload { .. } => 0,
        }
    }

    pub(super) fn label(self) -> Option<Label<'a>> {
        match self {
            Self::Access { access, .. } => {
                let client = access.client.as_ref();
                client.map(|Endpoint { workload, .. }| workload.label())
            }
            Self::Workload { workload, .. } => Some(workload.label()),
        }
    }

    pub(super) fn identity(self) -> Option<&'a Arc<str>> {
        self.access().and_then(|access| access.identity.as_ref())
    }

    pub(super) fn owner(self) -> Option<&'a Arc<str>> {
        self.access().and_then(|access| access.owner.as_ref())
    }

    pub(super) fn environment(self) -> Option<&'a Arc<str>> {
        self.access().and_then(|access| access.environment.as_ref())
    }

    pub(super) fn time_us(self) -> i64 {
        match self {
            Self::Access { access, .. } => access.time_us,
            Self::Workload { time_us, .. } => time_us,
        }
    }

    /// `METHOD host/route`, or what a workload did.
    pub(super) fn operation(self) -> String {
        let access = match self {
            Self::Access { access, .. } => access,
            Self::Workload { operation, .. } => return operation.to_owned(),
        };
        let mut text =
            String::with_capacity(access.method.len() + 2 + access.host.len() + access.route.len());
        text.push_str(&access.method);
        text.push(' ');
        text.push_str(&access.host);
        if !access.route.starts_with('/') {
            text.push(' ');
        }
        text.push_str(&access.route);
        text
    }
}
