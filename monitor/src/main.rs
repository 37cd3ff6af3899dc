//! The program: everything is in the library.

use std::process::ExitCode;

use bailiwick::cli::{Exit, Failure, Hooks, main as command_line};

fn main() -> ExitCode {
    command_line(&Hooks {
        run: Box::new(|_config| Err(Failure::new(Exit::Unavailable, "this build has no monitor"))),
        validate: Box::new(|_config| Vec::new()),
        probes: Box::new(Vec::new),
    })
}
