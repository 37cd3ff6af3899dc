//! `cargo xtask vm`: the end-to-end tests on Debian's stock kernels, in QEMU without KVM.
//!
//! The machine's root is this host's, read-only through virtiofs, so that clients, servers and the tests are
//! those that run here; only the kernel differs. Nothing is installed: QEMU, busybox and the kernels come
//! as packages into target/vm/. Process 1 is Debian's static busybox: a script that people can read, and no
//! further target to build for.

mod debian;
mod image;
mod machine;
mod record;
pub(crate) mod systemd;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::build;
use crate::project::Project;
use crate::shell::{capture, is_root, not_permitted, unavailable};
use debian::Debian;
use machine::Machine;
use record::{End, Record, Run};

/// Kernels without being asked for others.
const KERNELS: [&str; 3] = ["5.10", "6.1", "6.12"];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Series of Linux: 5.10, 6.1, 6.12, or sid for the newest [default: 5.10 6.1 6.12].
    kernels: Vec<String>,
    /// Only tests whose name contains this.
    #[arg(long)]
    filter: Option<String>,
    /// No tests whose name contains this; can be given again.
    #[arg(long)]
    skip: Vec<String>,
    /// Only load the programs, and say which no longer do where they did.
    #[arg(long, conflicts_with = "filter")]
    programs: bool,
    /// Most minutes for one kernel.
    #[arg(long, default_value_t = 120)]
    minutes: u64,
    /// Most minutes without a word before a machine counts as stuck.
    #[arg(long, default_value_t = 10)]
    silence: u64,
    /// Use the programs that were built before.
    #[arg(long)]
    no_build: bool,
}

impl Options {
    /// For the checks before anything lands: what was built before, on every kernel.
    pub(crate) fn loads() -> Self {
        Self {
            kernels: Vec::new(),
            filter: None,
            skip: Vec::new(),
            programs: true,
            minutes: 15,
            silence: 10,
            no_build: true,
        }
    }
}

/// Runs the tests on each kernel, then writes docs/kernels.json and the tables of docs/kernels.md.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    if !is_root() {
        return Err(not_permitted(
            "only root can show this host's files to a virtual machine as they are.\nhint: run it with sudo",
        ));
    }
    let dir = project.target().join("vm");
    if ["/tmp", "/run", "/var/tmp"]
        .iter()
        .any(|hidden| dir.starts_with(hidden))
    {
        return Err(unavailable(
            "the machines have directories of their own at /tmp, /var/tmp and /run, and this checkout lies there.\n\
             hint: move it to another place",
        ));
    }
    fs::create_dir_all(&dir)?;
    if !options.no_build {
        build::all(project)?;
    }
    // Copies: what is built meanwhile changes nothing.
    let copy = |from: &Path, name: &str| -> Result<PathBuf> {
        let to = dir.join(name);
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(to)
    };
    let tests = copy(&test_binary(project)?, "e2e")?;
    let binary = copy(&project.binary(), "bailiwick")?;
    let all = list(&tests, &[])?;
    let wanted = if options.programs {
        Vec::new()
    } else {
        list(&tests, &selection(options))?
    };
    let debian = Debian::prepare(&dir)?;
    let kept = project.root.join("docs/kernels.json");
    let mut record = Record::read(&kept)?;
    let mut bad = Vec::new();
    let series: Vec<&str> = if options.kernels.is_empty() {
        KERNELS.to_vec()
    } else {
        options.kernels.iter().map(String::as_str).collect()
    };
    for series in series {
        let kernel = debian.kernel(series)?;
        println!("Linux {} ({series})", kernel.release);
        let image = image::write(&dir, &debian, &kernel, &image::HOST)?;
        let script = guest_script(project, &binary, &tests, options)?;
        let machine = Machine {
            debian: &debian,
            kernel: &kernel,
            image: &image,
            root: machine::Root::Host(&script),
            most: Duration::from_secs(options.minutes * 60),
            silence: Duration::from_secs(options.silence * 60),
        };
        record.keep_only(series, &all);
        let mut run = Run::default();
        let begun = Instant::now();
        let end = machine.boot(&dir, &mut |line| {
            if let Some(said) = run.take(line, begun.elapsed()) {
                println!("{said}");
            }
        })?;
        run.finish(&wanted, &end);
        if options.programs {
            // What never loaded there is in the table, and no news.
            if let End::Broken(why) = &end {
                bad.push(format!("{series}: {why}"));
            } else if run.programs.is_empty() && run.refused.is_empty() {
                bad.push(format!("{series}: nothing was said of the programs"));
            }
        } else {
            bad.extend(run.failures().map(|failure| format!("{series}: {failure}")));
        }
        bad.extend(
            record
                .merge(series, &kernel.release, run)
                .into_iter()
                .map(|change| format!("{series}: {change}")),
        );
        // After each, so that what is known stays when a later one is broken off.
        record.write(&kept)?;
        table::update(&project.root.join("docs/kernels.md"), &record)?;
    }
    if !bad.is_empty() {
        bail!("{}", bad.join("\n       "));
    }
    Ok(())
}

/// Builds the tests and finds their program.
fn test_binary(project: &Project) -> Result<PathBuf> {
    let mut cargo = project.cargo();
    cargo.args([
        "test",
        "--package",
        "e2e",
        "--no-run",
        "--message-format=json",
    ]);
    let text = capture(&mut cargo)?;
    record::executable(&text)
        .map(PathBuf::from)
        .context("cargo did not say where the end-to-end tests are")
}

/// The tests that are to be run.
fn list(tests: &Path, selection: &[String]) -> Result<Vec<String>> {
    let mut command = std::process::Command::new(tests);
    let text = capture(command.arg("--list").args(selection))?;
    let names = record::listed(&text);
    ensure!(!names.is_empty(), "no test has such a name");
    Ok(names)
}

/// Arguments of the tests' program.
fn selection(options: &Options) -> Vec<String> {
    let mut all: Vec<String> = options.filter.iter().cloned().collect();
    for name in &options.skip {
        all.extend(["--skip".to_owned(), name.clone()]);
    }
    all
}

/// What process 1 runs when the root is there.
fn guest_script(
    project: &Project,
    binary: &Path,
    tests: &Path,
    options: &Options,
) -> Result<PathBuf> {
    let path = binary.with_file_name("guest.sh");
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let shown = |path: &Path| quoted(&path.display().to_string());
    let script = format!(
        "export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp CI=true E2E_PATIENCE={patience}\n\
         export BAILIWICK_BIN={binary}\n\
         ulimit -n 65536\n\
         ip link set lo up\n\
         cd {folder}\n\
         exec >/dev/ttyS1 2>&1\n\
         stty raw -echo </dev/ttyS1\n\
         {binary} doctor --programs -o json\n\
         {tests}\n\
         echo '{end}'\n\
         sleep 1\n",
        patience = machine::PATIENCE,
        binary = shown(binary),
        folder = shown(&project.root.join("tests")),
        tests = if options.programs {
            String::new()
        } else {
            let selected: Vec<String> = selection(options).iter().map(|a| quoted(a)).collect();
            format!("{} --format json {}", shown(tests), selected.join(" "))
        },
        end = record::END,
    );
    fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
