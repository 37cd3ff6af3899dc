//! What the verifier made of each program, for people who work on them.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::sys;

/// One program that the kernel took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name in the object.
    pub program: String,
    /// Instructions that the verifier walked through, branches counted each time; Linux ≥ 5.16 tells.
    pub instructions: Option<u32>,
    /// How long loading took.
    pub took: Duration,
}

impl Figure {
    pub(super) fn of(program: &str, fd: BorrowedFd<'_>, took: Duration) -> Self {
        Self {
            program: program.to_owned(),
            // Not to be told is no reason not to run.
            instructions: sys::verified_instructions(fd).ok().filter(|n| *n > 0),
            took,
        }
    }
}
