//! `cargo xtask`: everything a person runs to develop Bailiwick.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool that talks to the person at the terminal"
)]

mod bench;
mod build;
mod ci;
mod fuzz;
mod generate;
mod object;
mod package;
mod picture;
mod project;
mod run;
mod setup;
mod shell;
mod test;
mod vm;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::project::Project;
use crate::setup::Purpose;
use crate::shell::Stop;

/// Builds, runs, tests and measures Bailiwick. Every command installs what it needs and says so.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what is missing, build both sides and run the monitor on this host's traffic.
    Run {
        /// Configuration file.
        #[arg(long, default_value = "config/bailiwick.toml")]
        config: PathBuf,
        /// Passed on to `bailiwick run`.
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Every test: unit, property and end to end.
    Test {
        /// Only tests whose name contains this.
        filter: Option<String>,
        /// Leave out the tests that watch the real kernel.
        #[arg(long)]
        no_e2e: bool,
    },
    /// Build the kernel programs and the release binary (target/release/bailiwick).
    Build,
    /// Build the kernel programs only (target/bpf/bailiwick.o).
    BuildEbpf,
    /// Install what a purpose needs and say what was installed.
    Setup {
        /// What the machine is to be prepared for.
        #[arg(value_enum, default_value_t = Purpose::Build)]
        purpose: Purpose,
    },
    /// What must hold before anything lands: format, lints, licences, tidiness, tests, fuzzing.
    Ci {
        /// Seconds that each fuzz target runs.
        #[arg(long, default_value_t = 10)]
        fuzz_seconds: u32,
    },
    /// Run the fuzz targets, each for a bounded time.
    Fuzz {
        /// Only targets whose name contains this.
        filter: Option<String>,
        /// Seconds that each target runs.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Measure; prints Markdown that docs/performance.md can take as it is.
    Bench(bench::Options),
    /// The end-to-end tests on Debian's stock kernels, in QEMU without KVM (docs/kernels.md).
    Vm(vm::Options),
    /// Make the pictures of real runs (docs/tail.svg, docs/page-*.png).
    Picture,
    /// Write manual pages and shell completions to target/gen.
    Gen,
    /// Make the Debian package (docs/packaging.md).
    Deb(package::DebOptions),
    /// Install, use, upgrade and purge the package in a machine with a real systemd (docs/systemd.md).
    Systemd(vm::systemd::Options),
    /// The part of it that runs in the machine.
    #[command(hide = true)]
    SystemdGuest {
        /// Where the packages are.
        dir: PathBuf,
    },
    /// Make a tarball with a static program.
    Tarball(package::TarballOptions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // There is no checkout in that machine.
    if let Command::SystemdGuest { dir } = &cli.command {
        vm::systemd::guest(dir);
        return ExitCode::SUCCESS;
    }
    let result = Project::find().and_then(|project| match cli.command {
        Command::Run { config, args } => run::run(&project, &config, &args),
        Command::Test { filter, no_e2e } => test::all(&project, filter.as_deref(), !no_e2e),
        Command::Build => build::all(&project).map(drop),
        Command::BuildEbpf => {
            let toolchain = setup::ensure(&project, Purpose::Build)?;
            build::ebpf(&project, &toolchain)
        }
        Command::Setup { purpose } => setup::ensure(&project, purpose).map(|toolchain| {
            println!("Ready. The kernel programs are built with {toolchain}.");
        }),
        Command::Ci { fuzz_seconds } => ci::run(&project, fuzz_seconds),
        Command::Fuzz { filter, seconds } => {
            setup::ensure(&project, Purpose::Fuzz)
                .and_then(|toolchain| build::ebpf(&project, &toolchain))?;
            fuzz::run_targets(&project, filter.as_deref(), seconds)
        }
        Command::Bench(options) => bench::run(&project, &options),
        Command::Vm(options) => vm::run(&project, &options),
        Command::Picture => picture::make(&project),
        Command::Gen => generate::all(&project),
        Command::Deb(options) => package::deb(&project, &options).map(drop),
        Command::Systemd(options) => vm::systemd::run(&project, &options),
        Command::SystemdGuest { .. } => Ok(()),
        Command::Tarball(options) => package::tarball(&project, &options).map(drop),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(error.downcast_ref::<Stop>().map_or(1, |stop| stop.code))
        }
    }
}
