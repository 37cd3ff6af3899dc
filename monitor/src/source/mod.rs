//! Where events come from. A [`Source`] hands over what it has, in the order in which each socket
//! made it; the pipeline asks again a few milliseconds later.

pub mod asked;
pub mod btf;
#[cfg(test)]
pub(crate) mod btf_fixture;
pub mod elf;
pub mod kernel;
pub mod key_logs;
pub mod libraries;
pub mod prober;
pub mod procfs;

use monitor_ebpf::{Cgroup, Close, Data, Exec, Exit, Fork, Key, Open, TlsData};

/// One thing that happened on the host.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Bytes of a socket; the captured ones follow.
    Data(&'a Data, &'a [u8]),
    /// Part of a TLS record of a socket; its bytes follow.
    Tls(&'a TlsData, &'a [u8]),
    /// Plaintext of a socket, from its TLS library; the captured bytes follow. Offsets count from the first
    /// byte that was seen, record numbers are the library's connection's own.
    Plain(&'a Data, &'a [u8]),
    /// A socket was seen for the first time.
    Open(&'a Open),
    /// A socket closed, or its peer will send no more.
    Close(&'a Close),
    /// A process replaced its image.
    Exec(&'a Exec),
    /// A process was born.
    Fork(&'a Fork),
    /// A process ended.
    Exit(&'a Exit),
    /// A control group was made.
    Cgroup(&'a Cgroup),
    /// A process is about to use a TLS secret. The record is overwritten after this.
    Key(&'a Key),
}

/// What is wanted of a process' calls of its TLS library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// What goes through sockets that were asked for ([`monitor_ebpf::advice::PLAIN`]).
    Asked,
    /// What goes through others, too, as long as nothing was said of them: it has no keys in general, and
    /// the first request of a connection comes before one can ask for it.
    All,
}

/// Losses a source knows of, by cause, since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCounters {
    /// Name and count, as in `monitor_ebpf::loss::NAMES`.
    pub counters: Vec<(&'static str, u64)>,
    /// Bytes that no buffer could be had for, by process and cause, largest first.
    pub uncovered: Vec<Uncovered>,
    /// Processes whose capture was cut short to keep the rings fair, most first.
    pub shed: Vec<Shed>,
}

/// Bytes of one process that were not covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// Process.
    pub pid: u32,
    /// `io_uring`, `sendfile`, `mmsg`, `compat` or `other`.
    pub cause: &'static str,
    /// How many.
    pub bytes: u64,
}

/// Calls of one process that were reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shed {
    /// Process.
    pub pid: u32,
    /// Reduced to 64 bytes.
    pub short: u64,
    /// Reduced to counting.
    pub counted: u64,
}

/// A supply of events.
pub trait Source {
    /// Hands over what there is now, at most about `budget` events; returns how many.
    /// Control events (opens, processes) come before the bytes that may depend on them.
    fn drain(&mut self, budget: usize, sink: &mut dyn FnMut(Event<'_>)) -> usize;

    /// How many records were lost or left out so far: while this stands still, a record that is missing
    /// is only late. Cheap.
    fn lost(&mut self) -> u64;

    /// Says what is wanted of a socket from now on ([`monitor_ebpf::advice`]).
    fn advise(&mut self, sock: u64, advice: u32);

    /// Losses so far.
    fn counters(&mut self) -> SourceCounters;

    /// How the source is attached, for people: one line a hook.
    fn hooks(&self) -> Vec<String>;
}
