//! Requests of io_uring: the functions that move bytes for it are looked at as they begin and as they return.
//! Two programs are loaded once for each of them. Without them io_uring's bytes are counted only.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use super::figures::Figure;
use super::probes::Code;
use super::sys::{self, Moment};
use crate::source::btf::Btf;

/// `int NAME(struct io_kiocb *, unsigned int)`: what io_uring's table of operations points to (Linux ≥ 6.0;
/// before, they were inlined). None needs to be there.
const FUNCTIONS: [&str; 11] = [
    "io_send",
    "io_recv",
    "io_sendmsg",
    "io_recvmsg",
    "io_send_zc",
    "io_sendmsg_zc",
    "io_read",
    "io_write",
    "io_read_fixed",
    "io_write_fixed",
    "io_read_mshot",
];
/// Without these nobody's bytes would be seen.
const NEEDED: usize = 2;
const ARGUMENTS: usize = 2;

/// The functions that this kernel has, with their BTF ids; empty: requests cannot be looked at.
#[must_use]
pub fn functions(types: &Btf<'_>) -> Vec<(&'static str, u32)> {
    let known = |name: &&str| types.arguments(name) == Some(ARGUMENTS);
    if !FUNCTIONS.iter().take(NEEDED).all(known) {
        return Vec::new();
    }
    let there = FUNCTIONS.into_iter().filter(known);
    there
        .filter_map(|name| Some((name, types.function(name)?)))
        .collect()
}

/// The attached programs. Dropping it detaches them.
#[derive(Debug)]
pub(super) struct Requests {
    /// What is looked at.
    pub(super) functions: Vec<&'static str>,
    /// What the verifier made of the two programs.
    pub(super) figures: Vec<Figure>,
    _links: Vec<OwnedFd>,
}

impl Requests {
    /// Loads and attaches, each function's end before its beginning: what was begun is taken back.
    ///
    /// # Errors
    /// What the object lacks or the kernel refused, of the first function; one of the others is left out.
    pub(super) fn start(code: &Code, functions: &[(&'static str, u32)]) -> Result<Self, String> {
        let mut all = Self {
            functions: Vec::with_capacity(functions.len()),
            figures: Vec::new(),
            _links: Vec::with_capacity(2 * functions.len()),
        };
        for (name, id) in functions {
            match all.attach(code, *id) {
                Ok(links) => {
                    all._links.extend(links);
                    all.functions.push(name);
                }
                Err(error) if all.functions.is_empty() => return Err(format!("{name}: {error}")),
                Err(error) => tracing::warn!(function = name, error, "io_uring is counted there"),
            }
        }
        Ok(all)
    }

    fn attach(&mut self, code: &Code, id: u32) -> Result<[OwnedFd; 2], String> {
        let mut link = |name: &'static str, moment| {
            let (instructions, license) = code
                .instructions(name)
                .ok_or_else(|| format!("no program {name}; build again"))?;
            let begun = Instant::now();
            let program = sys::load_tracing(name, &instructions, &license, moment, id).map_err(
                |(error, log)| {
                    let last = log.trim().lines().rev().nth(1).unwrap_or_default();
                    format!("loading {name}: {error}: {last}")
                },
            )?;
            if self.figures.len() < 2 {
                let figure = Figure::of(name, program.as_fd(), begun.elapsed());
                self.figures.push(figure);
            }
            sys::link_tracing(program.as_fd()).map_err(|error| format!("attaching {name}: {error}"))
        };
        let end = link("io_end", Moment::Return)?;
        Ok([link("io_begin", Moment::Entry)?, end])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::source::btf_fixture::kernel;

    fn names(functions: &[(&str, u32)]) -> Vec<&'static str> {
        let blob = kernel(&[], functions);
        let found = super::functions(&Btf::parse(&blob).unwrap());
        found.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_a_kernel_has_is_looked_at() {
        let all = [("io_send", 2), ("io_recv", 2), ("io_read", 2)];
        assert_eq!(names(&all), ["io_send", "io_recv", "io_read"]);
        // Another function of that name.
        assert_eq!(
            names(&[("io_send", 2), ("io_recv", 2), ("io_read", 4)]),
            ["io_send", "io_recv"]
        );
    }

    #[test]
    fn sends_without_receives_are_no_conversation() {
        assert!(names(&[]).is_empty());
        assert!(names(&[("io_send", 2), ("io_read", 2)]).is_empty());
    }

    #[test]
    fn ids_are_those_of_the_functions() {
        let blob = kernel(&[], &[("io_send", 2), ("io_recv", 2)]);
        let found = super::functions(&Btf::parse(&blob).unwrap());
        // int, prototype, function, prototype, function.
        assert_eq!(found, [("io_send", 3), ("io_recv", 5)]);
    }
}
