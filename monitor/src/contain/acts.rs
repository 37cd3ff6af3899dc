//! What containment asks of the system. The real one is [`super::RealActs`]; tests have their own.

use std::time::Duration;

use ipnet::IpNet;

use super::Socket;
use crate::access::Workload;

/// Why an act did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The socket, process or control group ended first.
    #[error("it is gone already")]
    Gone,
    /// A privilege is missing.
    #[error("{what} needs {need}, which this daemon has not")]
    Privilege {
        /// What was tried.
        what: &'static str,
        /// Which.
        need: &'static str,
    },
    /// It cannot be done to such a thing, or by this kernel.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The system said no.
    #[error("{what} failed: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Its words.
        cause: String,
    },
}

/// A process as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessNow {
    /// Its id.
    pub pid: u32,
    /// When it was born, in clock ticks since boot: with `pid` its identity.
    pub start_ticks: u64,
    /// The same, in microseconds since 1970.
    pub born_us: i64,
    /// What it is; the lineage is left out.
    pub workload: Workload,
}

/// A control group of the unified hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupNow {
    /// Its id.
    pub id: u64,
    /// Path below the root, which is `/`.
    pub path: String,
    /// Processes in it and below it.
    pub members: Vec<ProcessNow>,
    /// The daemon's own.
    pub own: String,
}

/// Addresses that are refused, or exempt from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// Which.
    pub network: IpNet,
    /// Only this port.
    pub port: Option<u16>,
    /// False: belongs to something else, and is let through although a larger range is refused.
    pub refused: bool,
}

/// The acts, and what must be known before them.
pub trait Acts {
    /// Microseconds since 1970.
    fn now_us(&self) -> i64;

    /// A process; `None` when it is gone.
    fn process(&mut self, pid: u32) -> Option<ProcessNow>;

    /// The control group of a process.
    ///
    /// # Errors
    /// When it is gone, or has too many members to look at.
    fn group(&mut self, pid: u32) -> Result<GroupNow, ActError>;

    /// Destroys a socket: its owner sees the connection aborted, the other end reset.
    ///
    /// # Errors
    /// [`ActError::Gone`] when there is no such socket any more.
    fn reset(&mut self, socket: &Socket) -> Result<(), ActError>;

    /// Refuses new connections of the group, and of those below it, for some time. `id` names the refusal.
    ///
    /// # Errors
    /// What the kernel refused.
    fn refuse(
        &mut self,
        id: &str,
        group: &GroupNow,
        ranges: &[Range],
        time: Duration,
    ) -> Result<(), ActError>;

    /// Ends a refusal early, or after its time.
    fn release(&mut self, id: &str);

    /// Stops a process (SIGSTOP), if it still is the one that was looked at.
    ///
    /// # Errors
    /// [`ActError::Gone`] when it is not.
    fn stop(&mut self, id: &str, process: &ProcessNow) -> Result<(), ActError>;

    /// Lets a stopped process go on (SIGCONT).
    ///
    /// # Errors
    /// [`ActError::Gone`] when it ended.
    fn resume(&mut self, id: &str) -> Result<(), ActError>;

    /// Whether a stopped process still exists; one that ended needs no undoing.
    fn lives(&mut self, id: &str) -> bool;
}
