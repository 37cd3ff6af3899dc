//! What this kernel and these privileges allow, and what to do about the rest.
//!
//! These probes need no eBPF program; the trial load of the programs is added by the caller.

#[path = "doctor_confine.rs"]
mod confined;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::Form;
use super::exit::{Exit, Failure};
use super::out::{Ink, Out, Table};
use super::quote;
use crate::source::btf::Btf;
use crate::source::kernel::hooks::{self, Way};

const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Something will be missing.
    Warn,
    /// The monitor cannot run.
    Fail,
}

/// One thing looked at.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
    /// Exit code of `doctor` and `run` when it failed.
    pub exit: Exit,
}

impl Probe {
    /// All is well.
    #[must_use]
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome: Outcome::Ok,
            detail: detail.into(),
            hint: None,
            exit: Exit::Success,
        }
    }

    /// Its JSON form.
    #[must_use]
    pub fn record(&self) -> ProbeRecord<'_> {
        ProbeRecord {
            r#type: "probe",
            v: 1,
            name: &self.name,
            outcome: self.outcome,
            detail: &self.detail,
            hint: self.hint.as_deref(),
        }
    }

    /// Something will be missing.
    #[must_use]
    pub fn warn(
        name: impl Into<String>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            outcome: Outcome::Warn,
            hint: Some(hint.into()),
            ..Self::ok(name, detail)
        }
    }

    /// The monitor cannot run.
    #[must_use]
    pub fn fail(
        name: impl Into<String>,
        exit: Exit,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            outcome: Outcome::Fail,
            hint: Some(hint.into()),
            exit,
            ..Self::ok(name, detail)
        }
    }
}

/// `{"type":"probe","v":1,…}`, documented in docs/json.md.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeRecord<'a> {
    r#type: &'static str,
    v: u32,
    name: &'a str,
    outcome: Outcome,
    detail: &'a str,
    hint: Option<&'a str>,
}

/// Where the kernel shows itself; other places in tests.
#[derive(Clone, Debug)]
pub struct Host {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
        }
    }
}

/// Looks at everything that needs no program to be loaded.
#[must_use]
pub fn probes(host: &Host, socket: &Path) -> Vec<Probe> {
    let mut all = vec![
        kernel(host),
        capabilities(host),
        btf(host),
        way(host),
        lockdown(host),
        memlock(host),
        cgroups(host),
        processes(host),
        daemon(socket),
        confined::landlock(),
    ];
    all.extend(confined::daemon(host, socket));
    all
}

fn release(host: &Host) -> Option<(String, (u32, u32))> {
    let text = fs::read_to_string(host.proc.join("sys/kernel/osrelease")).ok()?;
    let text = text.trim().to_owned();
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse::<u32>().ok());
    let version = (numbers.next()??, numbers.next()??);
    Some((text, version))
}

fn kernel(host: &Host) -> Probe {
    match release(host) {
        Some((text, _)) => Probe::ok("kernel", format!("Linux {text}")),
        None => Probe::warn("kernel", "its release cannot be read", "is /proc mounted?"),
    }
}

/// The effective capabilities of this process.
fn effective(host: &Host) -> Option<u64> {
    let status = fs::read_to_string(host.proc.join("self/status")).ok()?;
    let hex = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

fn capabilities(host: &Host) -> Probe {
    let Some(set) = effective(host) else {
        return Probe::warn(
            "privileges",
            "the capabilities cannot be read",
            "is /proc mounted?",
        );
    };
    let has = |capability: u32| set & 1 << capability != 0;
    if has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON)) {
        return Probe::ok("privileges", "programs may be loaded and attached");
    }
    let missing: Vec<&str> = [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(capability, _)| !has(*capability))
        .map(|(_, name)| name)
        .collect();
    Probe::fail(
        "privileges",
        Exit::NoPermission,
        format!("{} missing", missing.join(" and ")),
        "run as root, or through the systemd unit, which grants just these",
    )
}

fn btf_file(host: &Host) -> PathBuf {
    host.sys.join("kernel/btf/vmlinux")
}

fn btf(host: &Host) -> Probe {
    let path = btf_file(host);
    match fs::File::open(&path) {
        Ok(_) => Probe::ok("BTF", path.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Probe::fail(
            "BTF",
            Exit::NoPermission,
            format!("{}: {error}", path.display()),
            "run as root; the file describes the kernel's types",
        ),
        Err(error) => Probe::fail(
            "BTF",
            Exit::Unavailable,
            format!("{}: {error}", path.display()),
            "mount sysfs, or use a kernel built with CONFIG_DEBUG_INFO_BTF=y (all of the large distributions are)",
        ),
    }
}

/// Which way this kernel takes, and what that costs.
fn way(host: &Host) -> Probe {
    const NAME: &str = "sends and receives";
    let unreadable = |cause: String| {
        Probe::fail(
            NAME,
            Exit::Unavailable,
            format!("the kernel's BTF cannot be read: {cause}"),
            "see BTF above",
        )
    };
    let blob = match fs::read(btf_file(host)) {
        Ok(blob) => blob,
        Err(error) => return unreadable(error.to_string()),
    };
    let types = match Btf::parse(&blob) {
        Ok(types) => types,
        Err(error) => return unreadable(error.to_string()),
    };
    match hooks::choose(&types) {
        Ok((way, _)) => match (way, way.shortcoming()) {
            (Way::Tracepoints, None) => Probe::ok(NAME, "by tracepoints"),
            (_, shortcoming) => Probe::warn(
                NAME,
                format!(
                    "where the kernel's functions return (fexit): {}",
                    shortcoming.unwrap_or("nothing is missing")
                ),
                "Linux 6.3 or later has tracepoints that see these, too",
            ),
        },
        Err(target) => Probe::fail(
            NAME,
            Exit::Unavailable,
            format!("this kernel has no {target} that programs know how to attach to"),
            "use a kernel of a distribution, Linux 5.17 or later",
        ),
    }
}

fn lockdown(host: &Host) -> Probe {
    let Ok(text) = fs::read_to_string(host.sys.join("kernel/security/lockdown")) else {
        return Probe::ok("lockdown", "not in force, or securityfs is not mounted");
    };
    // The mode in force stands in brackets: `none [integrity] confidentiality`.
    let mode = text
        .split_whitespace()
        .find_map(|mode| mode.strip_prefix('[')?.strip_suffix(']'));
    match mode {
        Some("confidentiality") => Probe::fail(
            "lockdown",
            Exit::Unavailable,
            "confidentiality: programs may not read memory",
            "boot with lockdown=integrity, or without",
        ),
        Some(mode) => Probe::ok("lockdown", mode),
        None => Probe::warn(
            "lockdown",
            "its mode is not known",
            "see /sys/kernel/security/lockdown",
        ),
    }
}

fn memlock(host: &Host) -> Probe {
    // Since 5.11 memory of BPF is charged to the control group.
    if release(host).is_some_and(|(_, version)| version >= (5, 11)) {
        return Probe::ok(
            "locked memory",
            "charged to the control group, RLIMIT_MEMLOCK does not matter",
        );
    }
    let limits = fs::read_to_string(host.proc.join("self/limits")).unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"));
    match line.and_then(|line| line.split_whitespace().next()) {
        Some("unlimited") => Probe::ok("locked memory", "unlimited"),
        Some(bytes) => Probe::warn(
            "locked memory",
            format!("RLIMIT_MEMLOCK is {bytes} bytes"),
            "raise it with `ulimit -l unlimited` or LimitMEMLOCK=infinity",
        ),
        None => Probe::warn(
            "locked memory",
            "RLIMIT_MEMLOCK is not known",
            "is /proc mounted?",
        ),
    }
}

fn cgroups(host: &Host) -> Probe {
    let unified = host.sys.join("fs/cgroup/cgroup.controllers").exists();
    let hybrid = host
        .sys
        .join("fs/cgroup/unified/cgroup.controllers")
        .exists();
    if unified || hybrid {
        return Probe::ok(
            "control groups",
            "version 2: units and containers have names",
        );
    }
    Probe::warn(
        "control groups",
        "version 2 is not mounted at /sys/fs/cgroup",
        "units and containers are told apart by /proc/PID/cgroup alone; boot with systemd.unified_cgroup_hierarchy=1",
    )
}

fn processes(host: &Host) -> Probe {
    // With it, /proc/PID/exe of every user is readable, hidepid= or not.
    if effective(host).unwrap_or(0) & 1 << CAP_SYS_PTRACE != 0 {
        return Probe::ok("other processes", "their executables may be read");
    }
    Probe::warn(
        "other processes",
        "executables of other users' processes that ran before the monitor cannot be read",
        "grant CAP_SYS_PTRACE, as the systemd unit does",
    )
}

fn daemon(socket: &Path) -> Probe {
    let at = socket.display();
    match crate::serve::probe(socket) {
        Ok(()) => Probe::ok("daemon", format!("answers at {at}")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Probe::warn(
            "daemon",
            format!("{at}: {error}"),
            "run as root, or become a member of the group that socket_group names (bailiwick)",
        ),
        Err(error) => Probe::warn(
            "daemon",
            format!("does not run: {at}: {error}"),
            "start it with `systemctl start bailiwick` or `bailiwick run`",
        ),
    }
}

/// Prints what was found; the exit code is that of the first failure.
pub(super) fn report(probes: &[Probe], out: &mut Out) -> Result<Exit, Failure> {
    let mut table = Table::default();
    for probe in probes {
        if out.form == Form::Json {
            out.json(&probe.record())?;
            continue;
        }
        let (ink, word) = match probe.outcome {
            Outcome::Ok => (Ink::Good, "✓ ok"),
            Outcome::Warn => (Ink::Doubtful, "▲ warn"),
            Outcome::Fail => (Ink::Bad, "✗ FAIL"),
        };
        let cell = |text: &str| quote::text(text).into_owned();
        table.row([
            (Some(ink), word.to_owned()),
            (None, cell(&probe.name)),
            (None, cell(&probe.detail)),
        ]);
        if let Some(hint) = &probe.hint {
            table.row([
                (None, String::new()),
                (None, String::new()),
                (None, format!("hint: {}", cell(hint))),
            ]);
        }
    }
    for line in table.lines(out.style) {
        out.line(&line)?;
    }
    let failed = probes.iter().find(|probe| probe.outcome == Outcome::Fail);
    Ok(failed.map_or(Exit::Success, |probe| probe.exit))
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
