//! Measuring.
//!
//! The cost that counts is the one on a server that is busy: nginx and wrk run with and without the
//! monitor in alternating pairs, so that what else the machine does falls on both.

pub(crate) mod load;
mod process;
mod report;
mod tls;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::build;
use crate::project::Project;
use crate::setup::{self, Purpose};
use crate::shell::{is_root, not_permitted, run as sh};
use load::{Monitor, Nginx, wrk};
use process::Cpu;
use report::Run;

/// Bounds of a measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Pairs of runs, one with and one without the monitor.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) pairs: u32,
    /// Seconds that each run lasts.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub(crate) seconds: u32,
    /// Connections that wrk keeps open.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) connections: u32,
    /// Only the throughput measurement, not the benchmarks of single functions.
    #[arg(long)]
    pub(crate) no_micro: bool,
    /// TLS instead: bare, with keys taken at the handshake, and with classic probes on reads and writes.
    #[arg(long)]
    pub(crate) tls: bool,
}

/// Runs all measurements.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    if !is_root() {
        return Err(not_permitted(
            "only root can watch the kernel, so there is nothing to measure.\nhint: run this as root",
        ));
    }
    let toolchain = setup::ensure(project, Purpose::Bench)?;
    build::ebpf(project, &toolchain)?;
    build::binary(project)?;
    let dir = project.target().join("bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    if options.tls {
        println!("{}", tls::run(project, &dir, options)?);
        return Ok(());
    }
    if !options.no_micro {
        sh(project.cargo().args(["bench", "--package", "bailiwick"]))?;
    }

    let nginx = Nginx::start(&dir)?;
    // Once before anything is measured: caches, and nginx's own memory.
    wrk(&nginx.clear(), 2, options.connections, false)?;

    let mut runs = Vec::new();
    for pair in 0..options.pairs {
        // Whoever goes second finds a warmer or hotter machine; take turns at that too.
        let order = if pair % 2 == 0 {
            [false, true]
        } else {
            [true, false]
        };
        let mut done = [None, None];
        for watched in order {
            let run = measure(project, &dir, &nginx, options, watched)?;
            eprintln!(
                "pair {}/{} {}: {:.0} requests/s",
                pair + 1,
                options.pairs,
                if watched { "with" } else { "without" },
                run.per_second
            );
            done[usize::from(watched)] = Some(run);
        }
        if let [Some(bare), Some(watched)] = done {
            runs.push((bare, watched));
        }
    }
    println!("{}", report::markdown(&runs, options)?);
    Ok(())
}

fn measure(
    project: &Project,
    dir: &std::path::Path,
    nginx: &Nginx,
    options: &Options,
    watched: bool,
) -> Result<Run> {
    let monitor = watched
        .then(|| Monitor::start(&project.binary(), dir))
        .transpose()?;
    // New connections, opened while the monitor is there, as in each bare run.
    std::thread::sleep(Duration::from_millis(500));
    let before = (
        nginx.cpu()?,
        monitor.as_ref().map(Monitor::cpu).transpose()?,
    );
    let load = wrk(&nginx.clear(), options.seconds, options.connections, false)?;
    let server = nginx.cpu()? - before.0;
    let (mut agent, mut status) = (None, None);
    if let (Some(monitor), Some(begin)) = (&monitor, before.1) {
        // What still lies in the rings is work for these requests too.
        std::thread::sleep(Duration::from_millis(300));
        agent = Some(monitor.cpu()? - begin);
        status = Some(monitor.status()?);
    }
    let peak = monitor.as_ref().map(Monitor::peak_memory).transpose()?;
    Ok(Run {
        requests: load.requests,
        per_second: load.per_second,
        failed: load.failed,
        server: per_request(server, load.requests),
        agent: agent.map(|cpu| per_request(cpu, load.requests)),
        status,
        peak,
    })
}

/// Microseconds per request.
fn per_request(cpu: Cpu, requests: u64) -> f64 {
    cpu.micros() / (requests.max(1) as f64)
}
