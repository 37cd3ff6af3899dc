//! The kernel side of refusals: two programs on connect(2), attached to single control groups, and the table
//! that says which addresses are refused until when. Nothing is loaded before it is asked for: it takes
//! CAP_NET_ADMIN, which the service has not unless containment is configured.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Map, MapData, MapError};
use aya_obj::generated::bpf_insn;
use monitor_ebpf::Refused;

use super::probes::Code;
use super::sys::{self, Connect};

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Data(Refused);
// SAFETY: integers without padding (asserted beside its definition).
unsafe impl Pod for Data {}

/// The programs and their table.
pub struct Refusing {
    table: LpmTrie<MapData, Data, u64>,
    code: [(Connect, Vec<bpf_insn>); 2],
    license: CString,
    loaded: Option<[OwnedFd; 2]>,
}

impl std::fmt::Debug for Refusing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusing")
            .field("loaded", &self.loaded)
            .finish_non_exhaustive()
    }
}

impl Refusing {
    /// Out of the object's code, with its table.
    pub(super) fn read(code: &Code, table: Map) -> Result<Self, String> {
        let take = |which: Connect| {
            code.instructions(which.program())
                .map(|(instructions, license)| ((which, instructions), license))
                .ok_or_else(|| format!("no program {}; build again", which.program()))
        };
        let (four, license) = take(Connect::V4)?;
        let (six, _) = take(Connect::V6)?;
        Ok(Self {
            table: LpmTrie::try_from(table).map_err(|error| error.to_string())?,
            code: [four, six],
            license,
            loaded: None,
        })
    }

    /// Loads the programs, if they are not.
    ///
    /// # Errors
    /// What the kernel said, and the verifier's words.
    pub fn load(&mut self) -> Result<(), (io::Error, String)> {
        if self.loaded.is_none() {
            let [(four, first), (six, second)] = &self.code;
            self.loaded = Some([
                sys::load_connect(*four, first, &self.license)?,
                sys::load_connect(*six, second, &self.license)?,
            ]);
        }
        Ok(())
    }

    /// Attaches both to a control group (its directory). They are detached when the links are dropped.
    ///
    /// # Errors
    /// What the kernel said; also when the programs are not loaded.
    pub fn attach(&self, group: BorrowedFd<'_>) -> io::Result<[OwnedFd; 2]> {
        let Some([four, six]) = &self.loaded else {
            return Err(io::Error::other("the programs are not loaded"));
        };
        Ok([
            sys::link_group(four.as_fd(), group, Connect::V4)?,
            sys::link_group(six.as_fd(), group, Connect::V6)?,
        ])
    }

    /// Refuses what begins with so many `bits` of the key until `until` (CLOCK_MONOTONIC, ns); 0 exempts it.
    ///
    /// # Errors
    /// When the table is full.
    pub fn set(&mut self, key: Refused, bits: u32, until: u64) -> Result<(), MapError> {
        self.table.insert(&Key::new(bits, Data(key)), until, 0)
    }

    /// Forgets it.
    pub fn unset(&mut self, key: Refused, bits: u32) {
        // It is there, or what there is to do is done.
        let _ = self.table.remove(&Key::new(bits, Data(key)));
    }
}
