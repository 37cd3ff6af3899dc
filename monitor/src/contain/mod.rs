//! Containment: what is done about a violation, where the operator asked for it. Off unless configured.
//!
//! A deterministic finding may have the connection reset, the workload refused new connections to the
//! environment for a time, or the process stopped. The judging thread only hands the violation over
//! ([`Trigger`]); a thread of its own ([`Keeper`]) decides ([`decide`], pure), acts through [`Acts`] and tells
//! each act as an alert. What may never be touched is in [`protect`].
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

pub mod acts;
pub mod config;
pub mod decide;
mod keeper;
mod kept;
mod netlink;
pub mod protect;
mod real;
mod real_refuse;
mod record;
mod refusal;
mod thread;
mod words;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub use acts::{ActError, Acts};
pub use config::{Act, ContainRule, Containment, Mode};
pub use keeper::{Keeper, NotUndone};
pub use netlink::can_destroy;
pub use real::{RealActs, RefusingSlot};
pub use record::{ContainmentRecord, ContainmentStatus};
pub use refusal::strange_environments;
#[cfg(test)]
pub(crate) use thread::heard;
pub use thread::{Handle, Rules, Trigger, start};

use crate::access::Access;
use crate::judge::Finding;

/// One socket of this host, as sock_diag(7) finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The kernel's cookie: names the socket among all that ever were.
    pub cookie: u64,
    /// Its own address; IPv4 as mapped into IPv6.
    pub local: [u8; 16],
    /// The other end's.
    pub remote: [u8; 16],
    /// Own port, host order.
    pub local_port: u16,
    /// The other end's.
    pub remote_port: u16,
    /// Address family: 1 unix, 2 IPv4, 10 IPv6.
    pub family: u16,
    /// Protocol number: 6 TCP, 262 MPTCP.
    pub protocol: u16,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Process that used it first; 0 when not known. Leads to the namespace.
    pub pid: u32,
    /// It is the client's end.
    pub client: bool,
}

impl Socket {
    /// The other end's address; `None` for a unix socket.
    #[must_use]
    pub fn remote_address(&self) -> Option<SocketAddr> {
        (self.family != AF_UNIX).then(|| {
            let ip = IpAddr::V6(Ipv6Addr::from(self.remote)).to_canonical();
            SocketAddr::new(ip, self.remote_port)
        })
    }
}

/// `AF_UNIX` (socket(2)).
pub(crate) const AF_UNIX: u16 = 1;

/// The sockets of one connection that are on this host.
pub type Sockets = [Option<Socket>; 2];

/// A finding on an access, with what can be done about it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What was found.
    pub finding: Finding,
    /// On what.
    pub access: Access,
    /// The connection it came through.
    pub sockets: Sockets,
}

#[cfg(test)]
mod tests;
