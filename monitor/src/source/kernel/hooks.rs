//! Which hooks the programs are attached to: the best way that this kernel has.
//!
//! - Linux ≥ 6.3: BTF tracepoints on every send and receive of a socket.
//! - Before: the functions of TCP, UDP and unix sockets as they return (fexit). What sends or receives
//!   beside them is not seen: kTLS, MPTCP, QUIC that is only received, splice out of a socket.
//!
//! What a kernel has is read from its BTF: functions that are not there were inlined, or came or went
//! with another version, and the same function takes another number of arguments in another one.

use crate::source::btf::Btf;

/// How sends and receives are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By tracepoints.
    Tracepoints,
    /// Where functions return.
    Returns,
}

impl Way {
    /// What it costs in coverage; `None`: nothing.
    #[must_use]
    pub fn shortcoming(self) -> Option<&'static str> {
        match self {
            Self::Tracepoints => None,
            Self::Returns => Some(
                "kTLS, MPTCP and splice out of a socket are not seen, and of QUIC only what is sent is counted",
            ),
        }
    }
}

/// A kernel program and where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Name of the program.
    pub program: &'static str,
    /// Name of the tracepoint or function.
    pub target: &'static str,
    /// Which of the two.
    pub kind: Kind,
}

/// Kinds of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// BTF tracepoint.
    Tracepoint,
    /// Return of a function.
    Return,
}

impl Hook {
    const fn tracepoint(program: &'static str, target: &'static str) -> Self {
        Self {
            program,
            target,
            kind: Kind::Tracepoint,
        }
    }

    const fn at_return(program: &'static str, target: &'static str) -> Self {
        Self {
            program,
            target,
            kind: Kind::Return,
        }
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Tracepoint => "tp_btf",
            Kind::Return => "fexit",
        };
        write!(f, "{kind}/{}", self.target)
    }
}

/// Of processes and connections, on every kernel. Processes first: no socket is to be seen before its owner.
const COMMON: [Hook; 5] = [
    Hook::tracepoint("process_exec", "sched_process_exec"),
    Hook::tracepoint("process_fork", "sched_process_fork"),
    Hook::tracepoint("process_exit", "sched_process_exit"),
    Hook::tracepoint("cgroup_made", "cgroup_mkdir"),
    Hook::tracepoint("sock_state", "inet_sock_set_state"),
];
const TRACEPOINTS: [Hook; 2] = [
    Hook::tracepoint("sock_send", "sock_send_length"),
    Hook::tracepoint("sock_recv", "sock_recv_length"),
];

/// A function whose return is looked at.
struct Returning {
    hook: Hook,
    /// Arguments with which the program knows it.
    arguments: usize,
    /// Without it, or another of the same name, nothing is seen.
    needed: bool,
}

const fn returning(hook: Hook, arguments: usize, needed: bool) -> Returning {
    Returning {
        hook,
        arguments,
        needed,
    }
}

const RETURNS: [Returning; 8] = [
    returning(Hook::at_return("inet_send", "tcp_sendmsg"), 3, true),
    returning(Hook::at_return("inet_recv", "tcp_recvmsg"), 5, true),
    returning(Hook::at_return("inet_recv_old", "tcp_recvmsg"), 6, true),
    returning(Hook::at_return("inet_send_page", "tcp_sendpage"), 5, false),
    returning(Hook::at_return("unix_send", "unix_stream_sendmsg"), 3, true),
    returning(Hook::at_return("unix_recv", "unix_stream_recvmsg"), 4, true),
    returning(Hook::at_return("udp_send", "udp_sendmsg"), 3, false),
    returning(Hook::at_return("udp6_send", "udpv6_sendmsg"), 3, false),
];

/// The hooks for this kernel, in the order of their attachment.
///
/// # Errors
/// The tracepoint or function without which nothing would be seen.
pub fn choose(types: &Btf<'_>) -> Result<(Way, Vec<Hook>), &'static str> {
    let mut hooks = COMMON.to_vec();
    let missing = |hook: &&Hook| !types.has_tracepoint(hook.target);
    if let Some(hook) = COMMON.iter().find(missing) {
        return Err(hook.target);
    }
    if !TRACEPOINTS.iter().any(|hook| missing(&hook)) {
        hooks.extend(TRACEPOINTS);
        return Ok((Way::Tracepoints, hooks));
    }
    for Returning { hook, needed, .. } in &RETURNS {
        let fitting = RETURNS.iter().find(|other| {
            other.hook.target == hook.target
                && types.arguments(hook.target) == Some(other.arguments)
        });
        match fitting {
            Some(other) if other.hook == *hook => hooks.push(*hook),
            Some(_) => {}
            None if *needed => return Err(hook.target),
            None => {}
        }
    }
    Ok((Way::Returns, hooks))
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
