//! Which rule follows a violation, and whether it may act now.
//!
//! Pure: the clock is given.

use std::collections::VecDeque;

use super::config::{ContainRule, Containment};
use super::protect::Protected;
use super::{Act, Violation};
use crate::alert::endpoint::matches;

/// An hour, in microseconds.
const HOUR_US: i64 = 3_600_000_000;

/// Why nothing is done about a violation that a rule follows. Counted by [`Declined::cause`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declined {
    /// It must not be touched.
    Protected(Protected),
    /// So many were done within the hour.
    Rate(u32),
    /// The process is another one by now.
    Changed(&'static str),
    /// The client is on another host: there is nobody here to refuse or stop.
    Elsewhere,
    /// The control group must not be touched.
    Group(String),
}

impl Declined {
    /// Name of the counter.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Protected(_) => "protected",
            Self::Rate(_) => "rate",
            Self::Changed(_) => "changed",
            Self::Elsewhere => "elsewhere",
            Self::Group(_) => "group",
        }
    }
}

impl std::fmt::Display for Declined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Protected(why) => why.fmt(f),
            Self::Rate(most) => write!(f, "{most} acts within an hour are the most configured"),
            Self::Changed(what) => f.write_str(what),
            Self::Elsewhere => f.write_str("the client is on another host"),
            Self::Group(why) => f.write_str(why),
        }
    }
}

impl ContainRule {
    /// Whether the rule follows the violation.
    #[must_use]
    pub fn follows(&self, violation: &Violation) -> bool {
        let Violation {
            finding, access, ..
        } = violation;
        let listed = |list: &[String], name: Option<&str>| {
            list.is_empty()
                || name.is_some_and(|name| list.iter().any(|pattern| matches(pattern, name)))
        };
        self.kinds.contains(&finding.kind)
            && finding.severity >= self.min_severity
            && listed(&self.identities, access.identity.as_deref())
            && listed(&self.environments, access.environment.as_deref())
    }
}

/// When acts were done, to bound them.
#[derive(Debug, Default)]
pub struct Budget {
    /// Time and rule, oldest first; not longer than what is allowed an hour.
    done: VecDeque<(i64, usize)>,
}

impl Budget {
    /// Takes one act of a rule, if there is one left at `now_us`.
    ///
    /// # Errors
    /// How many an hour are allowed.
    pub fn take(
        &mut self,
        containment: &Containment,
        rule: usize,
        now_us: i64,
    ) -> Result<(), Declined> {
        self.room(containment, rule, now_us)?;
        self.done.push_back((now_us, rule));
        Ok(())
    }

    /// Whether there is one left.
    ///
    /// # Errors
    /// How many an hour are allowed.
    pub fn room(
        &mut self,
        containment: &Containment,
        rule: usize,
        now_us: i64,
    ) -> Result<(), Declined> {
        // A clock that was set back must not open the gate for hours: what is in the future stays an hour.
        while let Some((time, _)) = self.done.front() {
            if now_us.saturating_sub(*time) < HOUR_US {
                break;
            }
            self.done.pop_front();
        }
        let all = containment.max_per_hour;
        if self.done.len() >= all as usize {
            return Err(Declined::Rate(all));
        }
        let own = containment.rules.get(rule).and_then(|r| r.max_per_hour);
        if let Some(own) = own {
            let used = self.done.iter().filter(|(_, of)| *of == rule).count();
            if used >= own as usize {
                return Err(Declined::Rate(own));
            }
        }
        Ok(())
    }

    /// The rules are others: their own numbers mean nothing any more, what was done still counts.
    pub fn renumber(&mut self) {
        for (_, rule) in &mut self.done {
            *rule = usize::MAX;
        }
    }
}

/// Which process a rule's act is about: the client, and, where only the server's end of the connection is on
/// this host, for a reset the server.
#[must_use]
pub fn target(act: Act, violation: &Violation) -> Option<(u32, &crate::access::Workload)> {
    let access = &violation.access;
    let end = match act {
        Act::Reset => access.client.as_ref().or(access.server.as_ref()),
        Act::Refuse | Act::Stop => access.client.as_ref(),
    };
    end.map(|end| (end.pid, &*end.workload))
}
