//! Containment on the real kernel: the violator feels it, its neighbour does not.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http::Answerer;
use e2e::trial::root;
use e2e::{Daemon, PATIENCE, Process, Setup, netns, unique, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

const PEER: &str = env!("CARGO_BIN_EXE_peer");
const BAD: &str = "dev-key-of-the-violator";
const GOOD: &str = "prod-key-of-the-neighbour";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root(
            "contain::a_reset_ends_the_violators_connection_alone",
            reset,
        ),
        root(
            "contain::a_reset_in_another_network_namespace",
            reset_in_namespace,
        ),
        root(
            "contain::a_refusal_is_for_its_control_group_and_time",
            refuse,
        ),
        root("contain::a_refusal_ends_with_the_daemon", refuse_and_die),
        root(
            "contain::a_stopped_process_goes_on_when_undone",
            stop_and_undo,
        ),
        root("contain::a_dry_run_only_tells", dry_run),
        root("contain::what_never_names_is_not_touched", never),
    ]
}

/// A daemon that takes `address` for prod, where one key may be used and the other may not.
/// The directory with their tokens goes with the guard.
fn daemon(address: SocketAddr, containment: &str) -> Result<(Daemon, TempDir)> {
    let dir = tempfile::tempdir()?;
    let file = |name: &str, token: &str| -> Result<String> {
        let path = dir.path().join(name);
        fs::write(&path, token)?;
        Ok(format!("file:{}", path.display()))
    };
    let identity = |name: &str, environment: &str, credential: String| {
        format!(
            "[identities.{name}]\nowner = \"team-{name}\"\ncredentials = [\"{credential}\"]\nduties = [\"read\"]\n\
             environments = [\"{environment}\"]\n"
        )
    };
    let daemon = Setup::default()
        .policy(&format!(
            "[environments]\nprod = [\"{address}\"]\ndev = [\"*.dev.example\"]\n[duties]\nread = [\"GET */**\"]\n{}{}",
            identity("violator", "dev", file("bad", BAD)?),
            identity("neighbour", "prod", file("good", GOOD)?),
        ))
        .config(containment)
        .start()?;
    Ok((daemon, dir))
}

fn rule(mode: &str, act: &str) -> String {
    format!(
        "[containment]\nmode = \"{mode}\"\n[[contain]]\nkinds = [\"environment\"]\nenvironments = [\"prod\"]\nact = {act}\n"
    )
}

/// A control group of the test's own; removed when dropped, after its processes.
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let unified = mounts
            .lines()
            .find_map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                (words.get(2) == Some(&"cgroup2")).then(|| PathBuf::from(words[1]))
            })
            .context("no unified hierarchy of control groups is mounted")?;
        let path = unified.join(unique("bailiwick-e2e"));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// A command that runs in it; the process keeps its id.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.0.join("cgroup.procs"))
            .args(arguments);
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty once its processes were waited for, but for a moment of the kernel's.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn start(command: &mut Command, dir: &Path, name: &str) -> Result<Process> {
    Process::start(command, &dir.join(name))
}

fn peer(arguments: &[&str]) -> Command {
    let mut command = Command::new(PEER);
    command.args(arguments);
    command
}

/// The alerts of acts, once there are so many.
fn contained(daemon: &Daemon, count: usize) -> Result<Vec<Value>> {
    wait_for("alerts of containment", || {
        let alerts = daemon.json(&["alerts", "--kind", "contained"])?;
        Ok((alerts.len() >= count).then_some(alerts))
    })
}

/// What a client that ends by itself wrote.
fn output(process: Process, dir: &Path, name: &str) -> Result<String> {
    process.finish(PATIENCE)?;
    Ok(fs::read_to_string(dir.join(name))?)
}

/// Microseconds until a client of `peer requests` failed.
fn failed_after(text: &str) -> Result<u64> {
    let mut words = text.split_whitespace();
    ensure!(
        words.next() == Some("failed"),
        "the violator went on: {text}"
    );
    Ok(words.next().context("no time")?.parse()?)
}

#[allow(clippy::print_stdout, reason = "the measured time is the result")]
fn measured(what: &str, micros: u64) {
    println!(
        "{what}: {}.{:03} ms from its first answer to its failure",
        micros / 1000,
        micros % 1000
    );
}

fn reset() -> Result<()> {
    let server = Answerer::inet()?;
    let address = server.address().to_string();
    let (daemon, _tokens) = daemon(server.address(), &rule("enforce", "\"reset\""))?;
    let dir = daemon.dir().to_owned();
    let good = start(&mut peer(&["requests", &address, GOOD, "4"]), &dir, "good")?;
    let mut times = Vec::new();
    for number in 0..5 {
        let name = format!("bad{number}");
        let bad = start(&mut peer(&["requests", &address, BAD, "4"]), &dir, &name)?;
        times.push(failed_after(&output(bad, &dir, &name)?)?);
    }
    times.sort_unstable();
    measured("median of 5", times[2]);
    measured("slowest of 5", times[4]);
    let good = output(good, &dir, "good")?;
    ensure!(good.starts_with("went-on "), "the neighbour: {good}");
    ensure!(
        times[4] < 2_000_000,
        "the violator went on for {} µs",
        times[4]
    );
    let alerts = contained(&daemon, 5)?;
    ensure!(
        alerts.len() == 5,
        "each act is an alert of its own: {alerts:#?}"
    );
    for alert in &alerts {
        let title = alert["title"].as_str().unwrap_or_default();
        ensure!(
            title.starts_with("reset the connection of exe:"),
            "{alert:#}"
        );
        ensure!(
            alert["identity"] == "violator" && alert["severity"] == "high",
            "{alert:#}"
        );
    }
    let list = daemon.json(&["contain", "list"])?;
    ensure!(
        list.len() == 5 && list.iter().all(|act| act["state"] == "done"),
        "{list:#?}"
    );
    let status = daemon.status()?;
    ensure!(
        status["containment"]["reset"] == 5,
        "{:#}",
        status["containment"]
    );
    Ok(())
}

fn reset_in_namespace() -> Result<()> {
    let (one, two) = netns::pair()?;
    let address: SocketAddr = format!("{}:8080", two.address).parse()?;
    let (daemon, _tokens) = daemon(address, &rule("enforce", "\"reset\""))?;
    let dir = daemon.dir().to_owned();
    let text = address.to_string();
    let _server = start(two.command(PEER).args(["answer", &text]), &dir, "server")?;
    wait_for("the server in its namespace", || {
        let output = two
            .command("/usr/bin/ss")
            .args(["-Hltn", "sport = :8080"])
            .output()?;
        Ok((!output.stdout.is_empty()).then_some(()))
    })?;
    let good = start(
        one.command(PEER).args(["requests", &text, GOOD, "2"]),
        &dir,
        "good",
    )?;
    let bad = start(
        one.command(PEER).args(["requests", &text, BAD, "4"]),
        &dir,
        "bad",
    )?;
    let time = failed_after(&output(bad, &dir, "bad")?)?;
    measured("in a namespace", time);
    ensure!(time < 2_000_000, "the violator went on for {time} µs");
    let good = output(good, &dir, "good")?;
    ensure!(good.starts_with("went-on "), "the neighbour: {good}");
    let alerts = contained(&daemon, 1)?;
    ensure!(
        alerts[0]["title"]
            .as_str()
            .is_some_and(|title| title.starts_with("reset ")),
        "{alerts:#?}"
    );
    Ok(())
}

/// The outcomes that a client of `peer connects` wrote so far, in order.
fn outcomes(path: &Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(' ').map(|(_, outcome)| outcome.to_owned()))
        .collect()
}

fn refuse() -> Result<()> {
    let server = Answerer::inet()?;
    let address = server.address().to_string();
    let (daemon, _tokens) = daemon(
        server.address(),
        &rule("enforce", "\"refuse\"\nfor = \"2s\"\nmax_per_hour = 1"),
    )?;
    let dir = daemon.dir().to_owned();
    let (one, two) = (Group::new()?, Group::new()?);
    let neighbour = start(
        &mut two.command(&[PEER, "connects", &address, GOOD, "6"]),
        &dir,
        "good",
    )?;
    let violator = start(
        &mut one.command(&[PEER, "connects", &address, BAD, "6"]),
        &dir,
        "bad",
    )?;
    let alerts = contained(&daemon, 1)?;
    ensure!(
        alerts[0]["title"]
            .as_str()
            .is_some_and(|title| title.starts_with("refused new connections")),
        "{alerts:#?}"
    );
    // Also what comes into the group only now, and whatever key it has.
    let newcomer = start(
        &mut one.command(&[PEER, "connects", &address, GOOD, "1"]),
        &dir,
        "new",
    )?;
    newcomer.finish(PATIENCE)?;
    neighbour.finish(PATIENCE)?;
    violator.finish(PATIENCE)?;
    let (good, bad, new) = (
        outcomes(&dir.join("good")),
        outcomes(&dir.join("bad")),
        outcomes(&dir.join("new")),
    );
    ensure!(good == ["ok"], "the neighbour: {good:?}");
    ensure!(
        bad == ["ok", "PermissionDenied", "ok"],
        "the violator, by its time: {bad:?}\n{}",
        daemon.log()
    );
    ensure!(
        new.first().is_some_and(|first| first == "PermissionDenied"),
        "the newcomer: {new:?}"
    );
    let list = daemon.json(&["contain", "list"])?;
    ensure!(
        list.len() == 1 && list[0]["state"] == "expired",
        "{list:#?}"
    );
    // What went on after the expiry was over the rate, and said so.
    let status = daemon.status()?;
    ensure!(
        status["containment"]["declined"]
            .to_string()
            .contains("rate"),
        "{:#}",
        status["containment"]
    );
    Ok(())
}

fn refuse_and_die() -> Result<()> {
    let server = Answerer::inet()?;
    let address = server.address().to_string();
    let (mut daemon, _tokens) = daemon(
        server.address(),
        &rule("enforce", "\"refuse\"\nfor = \"1h\""),
    )?;
    let dir = daemon.dir().to_owned();
    for end in ["kill", "stop", "undo"] {
        if end != "kill" {
            daemon.restart()?;
        }
        let group = Group::new()?;
        let violator = start(
            &mut group.command(&[PEER, "connects", &address, BAD, "30"]),
            &dir,
            end,
        )?;
        let seen = |expected: &[&str]| {
            wait_for("what the violator meets", || {
                Ok((outcomes(&dir.join(end)) == expected).then_some(()))
            })
            .with_context(|| format!("{end}: {:?}", outcomes(&dir.join(end))))
        };
        seen(&["ok", "PermissionDenied"])?;
        match end {
            "kill" => daemon.kill()?,
            "stop" => daemon.stop()?,
            _ => {
                // Undone, the violator goes on, and the rule follows it again: only that it let through shows.
                let list = daemon.json(&["contain", "list"])?;
                let id = list
                    .last()
                    .and_then(|act| act["id"].as_str())
                    .context("no act")?;
                let undone = daemon.json(&["contain", "undo", id])?;
                ensure!(undone[0]["state"] == "undone", "{undone:#?}");
                wait_for("the violator to go on", || {
                    Ok((outcomes(&dir.join(end)).len() >= 3).then_some(()))
                })?;
                drop(violator);
                continue;
            }
        }
        seen(&["ok", "PermissionDenied", "ok"])?;
        drop(violator);
    }
    Ok(())
}

/// `R`, `S`, `T` … of a process.
fn state(pid: u32) -> Result<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    stat.rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next())
        .context("no state")
}

fn stop_and_undo() -> Result<()> {
    let server = Answerer::inet()?;
    let address = server.address().to_string();
    let (daemon, _tokens) = daemon(
        server.address(),
        &rule("enforce", "\"stop\"\nmax_per_hour = 1"),
    )?;
    let dir = daemon.dir().to_owned();
    let good = start(&mut peer(&["requests", &address, GOOD, "3"]), &dir, "good")?;
    let bad = start(&mut peer(&["requests", &address, BAD, "3"]), &dir, "bad")?;
    wait_for("the violator to stop", || {
        Ok((state(bad.id())? == 'T').then_some(()))
    })?;
    ensure!(state(good.id())? != 'T', "the neighbour was stopped");
    let alerts = contained(&daemon, 1)?;
    let list = daemon.json(&["contain", "list"])?;
    let id = list[0]["id"].as_str().context("no id")?;
    ensure!(
        alerts[0]["action"]
            .as_str()
            .is_some_and(|text| text.contains(id)),
        "{alerts:#?}"
    );
    let undone = daemon.json(&["contain", "undo", id])?;
    ensure!(undone[0]["state"] == "undone", "{undone:#?}");
    wait_for("the violator to go on", || {
        Ok((state(bad.id())? != 'T').then_some(()))
    })?;
    let again = daemon.run(&["contain", "undo", id])?;
    ensure!(again.status.code() == Some(65), "undone twice: {again:?}");
    let good = output(good, &dir, "good")?;
    ensure!(good.starts_with("went-on "), "the neighbour: {good}");
    // As if nothing had been: it is not stopped again, since the rate allows one act.
    let bad = output(bad, &dir, "bad")?;
    ensure!(bad.starts_with("went-on "), "the violator: {bad}");
    Ok(())
}

fn dry_run() -> Result<()> {
    let server = Answerer::inet()?;
    let address = server.address().to_string();
    let acts = ["reset", "refuse", "stop"];
    let more: String = acts[1..]
        .iter()
        .map(|act| format!("[[contain]]\nkinds = [\"environment\"]\nact = \"{act}\"\n"))
        .collect();
    let (daemon, _tokens) = daemon(server.address(), &(rule("dry-run", "\"reset\"") + &more))?;
    let dir = daemon.dir().to_owned();
    let group = Group::new()?;
    let bad = start(
        &mut group.command(&[PEER, "requests", &address, BAD, "2"]),
        &dir,
        "bad",
    )?;
    let bad = output(bad, &dir, "bad")?;
    ensure!(bad.starts_with("went-on "), "something was done: {bad}");
    let alerts = contained(&daemon, 3)?;
    for what in [
        "reset the connection",
        "refused new connections",
        "stopped the process",
    ] {
        let title = format!("would have {what}");
        let found = alerts
            .iter()
            .filter(|alert| {
                alert["title"]
                    .as_str()
                    .is_some_and(|text| text.starts_with(&title))
            })
            .count();
        ensure!(found == 1, "{found} of {title:?} in {alerts:#?}");
    }
    // Connections are as free as before.
    let after = start(
        &mut group.command(&[PEER, "connects", &address, BAD, "1"]),
        &dir,
        "after",
    )?;
    after.finish(PATIENCE)?;
    ensure!(
        outcomes(&dir.join("after")) == ["ok"],
        "{:?}",
        outcomes(&dir.join("after"))
    );
    Ok(())
}

fn never() -> Result<()> {
    let server = Answerer::inet()?;
    let address = server.address().to_string();
    let exe = fs::canonicalize(PEER)?;
    let listed = format!("never = [\"exe:{}\"]\n[[contain]]", exe.display());
    let rules = rule("enforce", "\"reset\"").replacen("[[contain]]", &listed, 1)
        + "[[contain]]\nkinds = [\"environment\"]\nact = \"stop\"\n";
    let (daemon, _tokens) = daemon(server.address(), &rules)?;
    let dir = daemon.dir().to_owned();
    let bad = start(&mut peer(&["requests", &address, BAD, "1"]), &dir, "bad")?;
    let bad = output(bad, &dir, "bad")?;
    ensure!(bad.starts_with("went-on "), "something was done: {bad}");
    wait_for("the refusal to act", || {
        let status = daemon.status()?;
        let declined = status["containment"]["declined"].to_string();
        Ok(declined.contains("protected").then_some(()))
    })?;
    ensure!(
        daemon.log().contains("containment.never names exe:"),
        "{}",
        daemon.log()
    );
    let acts = daemon.json(&["contain", "list"])?;
    ensure!(acts.is_empty(), "{acts:#?}");
    Ok(())
}
