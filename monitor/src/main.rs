//! The program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bailiwick::cli::main(&bailiwick::daemon::wiring::hooks())
}
