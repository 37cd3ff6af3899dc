//! The drill: what is built in is seen, benign twins stay silent, and nothing of it is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bailiwick::drill::{SummaryRecord, TechniqueRecord};
use e2e::daemon::binary;
use e2e::process::{Process, children};
use e2e::trial::{plain, root};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("drill::what_is_built_in_is_seen", built_in),
        root("drill::a_policy_of_ones_own", own_policy),
        root("drill::an_interrupted_one_leaves_nothing", interrupted),
        plain("drill::unknown_names_are_refused", unknown),
    ]
}

/// A directory for the drill's scratch files. Other users pass through it.
fn scratch() -> Result<tempfile::TempDir> {
    let dir = tempfile::Builder::new()
        .prefix("bailiwick-e2e-")
        .tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
    Ok(dir)
}

fn drill(scratch: &Path, args: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .args(["drill", "-o", "json"])
        .args(args)
        .env("TMPDIR", scratch)
        .stdin(Stdio::null());
    Ok(command)
}

fn parse(output: &Output) -> Result<(Vec<TechniqueRecord>, SummaryRecord)> {
    let text = String::from_utf8(output.stdout.clone())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let mut techniques = Vec::new();
    let mut summary = None;
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        match value["type"].as_str() {
            Some("drill") => techniques.push(serde_json::from_value(value)?),
            Some("drill-summary") => summary = Some(serde_json::from_value(value)?),
            _ => anyhow::bail!("{line}"),
        }
    }
    let summary =
        summary.with_context(|| format!("no summary: {:?} {text}{said}", output.status))?;
    Ok((techniques, summary))
}

/// Nothing in the directory, no control group of a drill that is gone.
fn nothing_left(scratch: &Path, drill: u32) -> Result<()> {
    let left: Vec<_> = fs::read_dir(scratch)?.collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
        let group = Path::new(root).join(format!("bailiwick-drill-{drill}"));
        ensure!(!group.exists(), "{} is left", group.display());
    }
    Ok(())
}

/// Techniques that every build has a check for. Others may come; none may go.
const LEAST: [&str; 15] = [
    "proof-replayed",
    "bound-token-as-bearer",
    "proof-for-another-request",
    "expired-token-accepted",
    "stolen-token-process",
    "stolen-token-user",
    "stolen-token-container",
    "dev-key-in-prod",
    "prod-key-in-dev",
    "canary-touched",
    "key-in-url",
    "key-in-clear-text",
    "split-head",
    "pipelined-request",
    "flood-to-blind",
];

fn built_in() -> Result<()> {
    let dir = scratch()?;
    let child = drill(dir.path(), &["--times", "2"])?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let id = child.id();
    let output = child.wait_with_output()?;
    let (techniques, summary) = parse(&output)?;
    nothing_left(dir.path(), id)?;
    for name in LEAST {
        let one = techniques.iter().find(|one| one.technique == name);
        ensure!(one.is_some_and(|one| one.built_in), "{name}: {one:?}");
    }
    let mut timed = 0;
    for one in &techniques {
        if !one.built_in {
            // What cannot be seen is a miss, and says so.
            ensure!(
                !one.ok
                    && one.runs == 0
                    && one
                        .problem
                        .as_deref()
                        .is_some_and(|why| why.contains(&one.expects)),
                "{one:#?}"
            );
            continue;
        }
        ensure!(one.ok && one.seen == one.runs && one.runs > 0, "{one:#?}");
        ensure!(one.twin == "silent" && one.noise.is_empty(), "{one:#?}");
        ensure!(one.ms.iter().all(|ms| *ms > 0.0), "{one:#?}");
        // One waits a minute for what may come late, one until the processor is idle, one until a window is over.
        if !["approval", "stored-credential", "unusual"].contains(&one.expects.as_str()) {
            timed += one.ms.len();
        }
    }
    ensure!(
        summary.timed == timed && summary.p99_ms >= summary.p50_ms,
        "{summary:#?}"
    );
    ensure!(
        summary.ok == techniques.iter().all(|one| one.ok),
        "{summary:#?}"
    );
    let code = if summary.ok { 0 } else { 1 };
    ensure!(output.status.code() == Some(code), "{:?}", output.status);
    Ok(())
}

const POLICY: &str = r#"
version = 1
[environments]
prod = ["api.pay.example"]
dev = ["ci.example"]
range = ["10.99.0.0/30"]
six = ["fd00:1234::/64"]
[duties]
deploy = ["POST ci.example/deployments/{id}"]
[identities.ci-bot]
owner = "team-ci"
credentials = ["file:/nowhere/a/secret"]
workloads = ["unit:ci.service"]
duties = ["deploy"]
environments = ["dev"]
[identities.trap]
owner = "security"
credentials = ["file:/nowhere/another"]
"#;

fn own_policy() -> Result<()> {
    let dir = scratch()?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), POLICY)?;
    let path = file.path().display().to_string();
    let output = drill(dir.path(), &["--times", "1", "--policy", &path])?.output()?;
    let (techniques, summary) = parse(&output)?;
    let names: Vec<&str> = techniques
        .iter()
        .map(|one| one.technique.as_str())
        .collect();
    ensure!(
        names
            == [
                "environments-ci-bot-prod",
                "environments-ci-bot-range",
                "environments-ci-bot-six",
                "workloads-ci-bot",
                "canary-trap"
            ],
        "{names:?}"
    );
    ensure!(
        summary.ok && output.status.success(),
        "{techniques:#?} {summary:#?}"
    );
    ensure!(summary.undrilled.is_empty(), "{summary:#?}");
    Ok(())
}

fn interrupted() -> Result<()> {
    let dir = scratch()?;
    let log = tempfile::NamedTempFile::new()?;
    let mut drill = Process::start(&mut drill(dir.path(), &["--times", "100"])?, log.path())?;
    let begin = Instant::now();
    let running = loop {
        // The server, and the daemon, which is watching by then.
        let running = children(drill.id())?;
        if running.len() >= 2 {
            break running;
        }
        ensure!(
            begin.elapsed() < Duration::from_secs(30),
            "it starts nothing: {}",
            drill.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    std::thread::sleep(Duration::from_secs(2));
    drill.signal(Signal::INT)?;
    let status = drill.wait(Duration::from_secs(20))?;
    ensure!(status.code() == Some(69), "{status}: {}", drill.log());
    ensure!(drill.log().contains("interrupted"), "{}", drill.log());
    nothing_left(dir.path(), drill.id())?;
    for id in running {
        ensure!(
            !Path::new(&format!("/proc/{id}")).exists(),
            "process {id} is left"
        );
    }
    Ok(())
}

fn unknown() -> Result<()> {
    let dir = scratch()?;
    let output = drill(dir.path(), &["canary-tuched"])?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(64), "{:?}", output.status);
    ensure!(said.contains("did you mean `canary-touched`?"), "{said}");
    ensure!(output.stdout.is_empty(), "{:?}", output.stdout);
    Ok(())
}
