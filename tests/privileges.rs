//! Capture works with exactly the capabilities that the unit grants, and says so when it lacks one.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::http::{Answerer, get};
use e2e::process::exe;
use e2e::trial::root;
use e2e::watch::only;
use e2e::{Setup, server::Server};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root(
            "privileges::the_units_capabilities_suffice",
            units_capabilities,
        ),
        root("privileges::without_them_it_says_so", without),
        root(
            "privileges::threads_give_up_what_they_do_not_need",
            given_up,
        ),
        root("privileges::doctor_names_what_is_missing", doctor),
    ]
}

/// Some user that is not root and owns nothing else.
const NOBODY: u32 = 65534;

/// Capabilities that the unit grants, as setpriv(1) spells them.
fn granted() -> Result<Vec<String>> {
    let value = crate::systemd::value("AmbientCapabilities")?;
    let names: Vec<String> = value
        .split(' ')
        .filter_map(|name| Some(name.strip_prefix("CAP_")?.to_lowercase()))
        .collect();
    ensure!(!names.is_empty(), "the unit grants no capability: {value}");
    Ok(names)
}

/// `setpriv` for another user that has those capabilities and no way to any other.
fn launcher(capabilities: &[String]) -> Vec<String> {
    let set = capabilities
        .iter()
        .fold("-all".to_owned(), |set, name| format!("{set},+{name}"));
    [
        "/usr/bin/setpriv",
        &format!("--reuid={NOBODY}"),
        &format!("--regid={NOBODY}"),
        "--clear-groups",
        "--no-new-privs",
        &format!("--inh-caps={set}"),
        &format!("--ambient-caps={set}"),
        &format!("--bounding-set={set}"),
        "--",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn units_capabilities() -> Result<()> {
    let token = tempfile::tempdir()?;
    let file = token.path().join("token");
    fs::write(&file, "privileged-0123456789")?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let daemon = Setup::default()
        .policy(&format!(
            "[identities.named]\nowner = \"t\"\ncredentials = [\"file:{}\"]\n",
            file.display()
        ))
        .launcher(launcher(&granted()?), NOBODY, NOBODY)
        .start()?;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id()?))?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    ensure!(
        field("Uid").is_some_and(|ids| ids.starts_with("65534")),
        "{status}"
    );
    let held = u64::from_str_radix(field("CapBnd").context("CapBnd")?, 16)?.count_ones();
    ensure!(
        held as usize == granted()?.len(),
        "{held} capabilities in the bounding set"
    );

    let node = Server::node(daemon.dir())?;
    let own = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    get(
        node.address,
        "/small",
        &[("Authorization", "Bearer privileged-0123456789")],
    )?;
    get(
        own.address(),
        "/own",
        &[("Authorization", "Bearer other-0123456789")],
    )?;
    let accesses = watch.until_mark()?;
    let access = only(&accesses, "/small")?;
    // Other users' executables are behind CAP_SYS_PTRACE, a 0600 file of another's behind CAP_DAC_READ_SEARCH.
    ensure!(
        access
            .server
            .as_ref()
            .is_some_and(|end| end.exe == node.exe),
        "server of {access:#?}"
    );
    let this = exe(&std::env::current_exe()?.display().to_string())?;
    ensure!(
        access.client.as_ref().is_some_and(|end| end.exe == this),
        "client of {access:#?}"
    );
    ensure!(
        access.identity.as_deref() == Some("named"),
        "identity of {access:#?}"
    );
    only(&accesses, "/own")?;
    Ok(())
}

/// The kernel's word on each thread, by its name.
fn threads(pid: u32) -> Result<Vec<(String, u64, bool)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(status) = fs::read_to_string(entry?.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
                .with_context(|| format!("no {name}"))
        };
        let permitted = u64::from_str_radix(field("CapPrm")?, 16)?;
        all.push((
            field("Name")?.to_owned(),
            permitted,
            field("Seccomp")? == "2",
        ));
    }
    Ok(all)
}

fn given_up() -> Result<()> {
    const READ: u64 = 1 << 2 | 1 << 19;
    const BPF: u64 = 1 << 39;
    let daemon = Setup::default().start()?;
    // The last threads are started just before it is ready, and confine themselves first thing.
    let begun = Instant::now();
    let mut all = threads(daemon.id()?)?;
    while all.iter().any(|thread| !thread.2) && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
        all = threads(daemon.id()?)?;
    }
    for (name, permitted, filtered) in &all {
        ensure!(filtered, "no filter on {name}: {all:?}");
        let most = match name.as_str() {
            "bailiwick-hot" | "bailiwick-io" => 0,
            "prober" | "bailiwick-act" => u64::MAX,
            // The search may have CAP_CHECKPOINT_RESTORE.
            "scout" => READ | 1 << 40,
            // CAP_CHOWN, for a group's files.
            "bailiwick-log" => 1,
            _ => READ,
        };
        ensure!(
            permitted & !most == 0,
            "{name} holds {permitted:#x}: {all:?}"
        );
    }
    for name in ["bailiwick-hot", "bailiwick-io", "host-files", "prober"] {
        ensure!(
            all.iter().any(|thread| thread.0 == name),
            "no thread {name}: {all:?}"
        );
    }
    let probing = all.iter().find(|thread| thread.0 == "prober");
    ensure!(
        probing.is_some_and(|thread| thread.1 & BPF != 0),
        "the prober cannot probe: {all:?}"
    );

    // What was given up is not missed: a process is named all the same.
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    get(
        server.address(),
        "/new",
        &[("Authorization", "Bearer given-up-0123456789")],
    )?;
    let accesses = watch.until_mark()?;
    let access = only(&accesses, "/new")?;
    let this = exe(&std::env::current_exe()?.display().to_string())?;
    ensure!(
        access.client.as_ref().is_some_and(|end| end.exe == this),
        "client of {access:#?}"
    );
    Ok(())
}

fn without() -> Result<()> {
    let mut daemon = Setup::default()
        .launcher(launcher(&[]), NOBODY, NOBODY)
        .prepare()?;
    daemon.spawn()?;
    let code = daemon.wait_exit()?;
    let log = daemon.log();
    ensure!(code == Some(77), "ended with {code:?}\n{log}");
    ensure!(log.contains("CAP_BPF") && log.contains("hint:"), "{log}");
    Ok(())
}

fn doctor() -> Result<()> {
    let binary = e2e::daemon::binary()?;
    let well = Command::new(&binary).arg("doctor").output()?;
    let text = String::from_utf8_lossy(&well.stdout).into_owned();
    ensure!(well.status.success(), "as root: {} {text}", well.status);
    let words = launcher(&[]);
    let ill = Command::new(&words[0])
        .args(&words[1..])
        .arg(&binary)
        .arg("doctor")
        .output()?;
    let text = String::from_utf8_lossy(&[ill.stdout, ill.stderr].concat()).into_owned();
    ensure!(
        ill.status.code() == Some(1) || ill.status.code() == Some(77),
        "{}: {text}",
        ill.status
    );
    ensure!(text.contains("CAP_BPF"), "{text}");
    Ok(())
}
