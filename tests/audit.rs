//! The audit log of a real daemon: what stands in it, who may read it, and that tampering shows.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::daemon::binary;
use e2e::http::Answerer;
use e2e::trial::root;
use e2e::{Daemon, Receiver, Setup, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("audit::what_happens_is_in_the_log_and_is_proved", proved),
        root("audit::tampering_shows", tampering),
        root("audit::a_group_other_than_the_operators_reads_it", group),
        root("audit::killed_again_and_again_it_goes_on", killed),
    ]
}

const TRAP: &str = "audit-trap-token-0123456789";

/// A daemon with a canary and a webhook; its secrets are in the directory.
fn daemon(receiver: &Receiver, more: &str) -> Result<(Daemon, TempDir)> {
    let keys = tempfile::tempdir()?;
    fs::write(keys.path().join("trap"), TRAP)?;
    let daemon = Setup::default()
        .policy(&policy(keys.path()))
        .config(&receiver.config(keys.path())?)
        .config(more)
        .start()?;
    Ok((daemon, keys))
}

fn policy(keys: &Path) -> String {
    let trap = keys.join("trap");
    format!(
        "[identities.trap]\nowner = \"security\"\ncredentials = [\"file:{}\"]\n",
        trap.display()
    )
}

fn use_the_trap(server: &Answerer) -> Result<()> {
    let bytes = format!(
        "GET /trap HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TRAP}\r\n\r\n",
        server.address()
    );
    let mut stream = TcpStream::connect(server.address())?;
    stream.write_all(bytes.as_bytes())?;
    stream.read_exact(&mut [0])?;
    Ok(())
}

/// `bailiwick audit …`: exit code, standard output, standard error.
fn audit(args: &[&str]) -> Result<(i32, String, String)> {
    let output = Command::new(binary()?).arg("audit").args(args).output()?;
    Ok((
        output.status.code().context("ended by a signal")?,
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

/// The same, which must end with this code.
fn ends(code: i32, args: &[&str]) -> Result<(String, String)> {
    let (ended, out, error) = audit(args)?;
    ensure!(
        ended == code,
        "`audit {}` ended with {ended}: {out}{error}",
        args.join(" ")
    );
    Ok((out, error))
}

/// The same, which must go well; what it printed.
fn good(args: &[&str]) -> Result<String> {
    Ok(ends(0, args)?.0)
}

/// The same, which must find something; what it said.
fn bad(args: &[&str]) -> Result<String> {
    Ok(ends(1, args)?.1)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

fn log_of(daemon: &Daemon) -> PathBuf {
    daemon.dir().join("state/audit")
}

/// The entries that were signed so far.
fn entries(log: &Path) -> Result<Vec<Value>> {
    let lines = good(&["tail", text(log)?, "-n", "1000", "-o", "json"])?;
    let entry = |line: &str| -> Result<Value> {
        let record: Value = serde_json::from_str(line)?;
        ensure!(record["type"] == "audit" && record["v"] == 1, "{record}");
        Ok(record["entry"].clone())
    };
    lines.lines().map(entry).collect()
}

fn wait_entry(log: &Path, kind: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    wait_for(kind, || {
        let all = entries(log)?;
        Ok(all
            .into_iter()
            .find(|entry| entry["type"] == kind && fits(entry)))
    })
    .with_context(|| format!("{:#?}", entries(log)))
}

fn proved() -> Result<()> {
    let receiver = Receiver::start()?;
    let (mut daemon, keys) = daemon(&receiver, "")?;
    let server = Answerer::inet()?;
    let log = log_of(&daemon);
    let log_text = text(&log)?;
    use_the_trap(&server)?;
    let alert = wait_entry(&log, "alert", |entry| entry["kind"] == "canary")?;
    ensure!(
        alert["change"] == "begun" && alert["identity"] == "trap",
        "{alert:#}"
    );
    let id = alert["id"].as_str().context("no id")?;
    ensure!(
        daemon.json(&["alerts"])?.iter().any(|one| one["id"] == id),
        "no such alert"
    );
    // What was there before, and what people do.
    let all = entries(&log)?;
    let kinds: Vec<&str> = all
        .iter()
        .filter_map(|entry| entry["type"].as_str())
        .collect();
    ensure!(
        kinds.starts_with(&["opened", "start", "configuration", "policy"]),
        "{kinds:?}"
    );
    ensure!(
        all[3]["generation"] == 1
            && all[3]["files"][0]["sha256"]
                .as_str()
                .is_some_and(|hash| hash.len() == 64),
        "{:#}",
        all[3]
    );
    daemon.json(&["ack", id, "--note", "a test of ours"])?;
    let ack = wait_entry(&log, "acknowledged", |entry| entry["id"] == id)?;
    ensure!(
        ack["by"] == "root" && ack["note"] == "a test of ours",
        "{ack:#}"
    );
    daemon.reload(&policy(keys.path()))?;
    wait_entry(&log, "policy", |entry| entry["generation"] == 2)?;
    daemon.reload("nonsense = 1\n")?;
    wait_entry(&log, "refused", |entry| {
        entry["error"]
            .as_str()
            .is_some_and(|error| error.contains("nonsense"))
    })?;

    daemon.reload(&policy(keys.path()))?;

    // The key of the daemon's state is the one that the log names.
    let config = daemon.dir().join("bailiwick.toml");
    let key = good(&["key", "--config", text(&config)?])?;
    ensure!(fs::read_to_string(log.join("key"))? == key, "{key}");
    let key = key.trim();
    ensure!(
        fs::metadata(daemon.dir().join("state/audit.key"))?.mode() & 0o7777 == 0o600,
        "the private key may be read"
    );
    let told = good(&["verify", log_text, "--key", key])?;
    ensure!(told.contains("each is what was signed"), "{told}");
    let own = good(&["verify", "--config", text(&config)?])?;
    ensure!(
        own.contains("nothing taken back since 1 earlier checkpoint"),
        "{own}"
    );

    // A proof needs the key and nothing else.
    let proof = daemon.dir().join("proof");
    fs::write(&proof, good(&["prove", id, log_text])?)?;
    let proved = good(&["verify", "--proof", text(&proof)?, "--key", key])?;
    ensure!(
        proved.contains("acknowledged") && proved.contains(id),
        "{proved}"
    );
    fs::write(&proof, good(&["prove", "0", log_text])?)?;
    let first = good(&[
        "verify",
        "--proof",
        text(&proof)?,
        "--key",
        key,
        "-o",
        "json",
    ])?;
    ensure!(first.contains("\"opened\""), "{first}");
    let forged = fs::read_to_string(&proof)?.replacen("index 0", "index 1", 1);
    fs::write(&proof, forged)?;
    bad(&["verify", "--proof", text(&proof)?, "--key", key])?;
    let (code, _, _) = audit(&["prove", "al_nothing", log_text])?;
    ensure!(code == 65, "a proof of nothing: {code}");

    // Every receiver is a witness.
    let results = daemon.json(&["send-test"])?;
    ensure!(results[0]["ok"] == true, "{results:#?}");
    let delivery = receiver.wait("a test", |delivery| delivery.body["type"] == "test")?;
    ensure!(
        delivery.body["checkpoint"].is_string(),
        "{:#}",
        delivery.body
    );
    let witness = daemon.dir().join("message.json");
    fs::write(&witness, &delivery.raw)?;
    let told = good(&["verify", log_text, "--key", key, "--since", text(&witness)?])?;
    ensure!(told.contains("nothing taken back"), "{told}");
    let of_alert = receiver.wait("the alert", |delivery| delivery.body["id"] == id)?;
    ensure!(
        of_alert.body["checkpoint"].is_string(),
        "{:#}",
        of_alert.body
    );

    // In order to its end, and nothing that nobody may read.
    daemon.stop()?;
    let all = entries(&log)?;
    ensure!(
        all.last().is_some_and(|entry| entry["type"] == "stop"),
        "{all:#?}"
    );
    let raw = format!("{all:?}");
    ensure!(!raw.contains(TRAP), "a credential is in the log");
    daemon.restart()?;
    let gap = wait_entry(&log, "gap", |_| true)?;
    ensure!(gap["cause"] == "stopped", "{gap:#}");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

/// The file of the newest entries.
fn newest_bundle(log: &Path) -> Result<PathBuf> {
    let partial = fs::read_dir(log.join("tile/entries/000.p"))?;
    let mut widths: Vec<u32> = partial
        .map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?))
        .collect::<Result<_>>()?;
    widths.sort_unstable();
    let newest = widths.last().context("no entries")?;
    Ok(log.join(format!("tile/entries/000.p/{newest}")))
}

fn tampering() -> Result<()> {
    let receiver = Receiver::start()?;
    let (mut daemon, _keys) = daemon(&receiver, "")?;
    let server = Answerer::inet()?;
    let log = log_of(&daemon);
    use_the_trap(&server)?;
    wait_entry(&log, "alert", |_| true)?;
    let key = good(&["key", text(&log)?])?;
    let key = key.trim();
    let early = daemon.dir().join("early");
    copy(&log, &early)?;
    // A message that was sent after more had happened is kept by its receiver.
    for _ in 0..3 {
        daemon.json(&["unmark", entry_id(&log)?.as_str()])?;
    }
    wait_for("three more entries", || {
        let all = entries(&log)?;
        let marks = all
            .iter()
            .filter(|entry| entry["type"] == "unmarked")
            .count();
        Ok((marks == 3).then_some(()))
    })?;
    daemon.json(&["send-test"])?;
    let kept = receiver.wait("a test", |delivery| delivery.body["type"] == "test")?;
    let witness = daemon.dir().join("kept.json");
    fs::write(&witness, &kept.raw)?;
    daemon.stop()?;
    good(&[
        "verify",
        text(&log)?,
        "--key",
        key,
        "--since",
        text(&witness)?,
    ])?;

    let tampered = |name: &str, change: &dyn Fn(&Path) -> Result<()>| -> Result<String> {
        let at = daemon.dir().join(name);
        copy(&log, &at)?;
        change(&at)?;
        bad(&["verify", text(&at)?, "--key", key])
    };
    // An edit: the alert's identity is another.
    let edit = |at: &Path| -> Result<()> {
        let path = newest_bundle(at)?;
        let bytes = fs::read(&path)?;
        let found = bytes
            .windows(4)
            .position(|part| part == b"trap")
            .context("no identity")?;
        let mut bytes = bytes;
        bytes[found] = b'T';
        Ok(fs::write(path, bytes)?)
    };
    let told = tampered("edited", &edit)?;
    ensure!(told.contains("was changed"), "{told}");
    // A deletion, of one entry out of its file, and of the file.
    let told = tampered("deleted", &|at| {
        let path = newest_bundle(at)?;
        let bytes = fs::read(&path)?;
        let first = 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        Ok(fs::write(path, &bytes[first..])?)
    })?;
    ensure!(told.contains("items"), "{told}");
    let told = tampered("removed", &|at| Ok(fs::remove_file(newest_bundle(at)?)?))?;
    ensure!(told.contains("is missing"), "{told}");
    // A truncation, with and without the checkpoint.
    let told = tampered("cut", &|at| {
        let path = newest_bundle(at)?;
        let bytes = fs::read(&path)?;
        Ok(fs::write(path, &bytes[..bytes.len() - 100])?)
    })?;
    ensure!(told.contains("items"), "{told}");
    let told = tampered("headless", &|at| {
        Ok(fs::remove_file(at.join("checkpoint"))?)
    })?;
    ensure!(told.contains("no checkpoint"), "{told}");
    // A rollback is whole, and signed: who kept a later checkpoint sees it.
    good(&["verify", text(&early)?, "--key", key])?;
    let told = bad(&[
        "verify",
        text(&early)?,
        "--key",
        key,
        "--since",
        text(&witness)?,
    ])?;
    ensure!(told.contains("rolled back or cut off"), "{told}");

    // The daemon itself does not go on with it: it sets it aside, and says so in the new one.
    fs::remove_dir_all(&log)?;
    copy(&early, &log)?;
    daemon.restart()?;
    let opened = wait_entry(&log, "opened", |_| true)?;
    ensure!(
        opened["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("an earlier state"))
            && opened["previous"] == key,
        "{opened:#}"
    );
    let aside = fs::read_dir(&log)?
        .filter_map(Result::ok)
        .find(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("set-aside-")
        })
        .context("nothing is set aside")?;
    good(&["verify", text(&aside.path())?, "--key", key])?;
    good(&[
        "verify",
        "--config",
        text(&daemon.dir().join("bailiwick.toml"))?,
    ])?;
    Ok(())
}

fn entry_id(log: &Path) -> Result<String> {
    let all = entries(log)?;
    let alert = all.iter().find(|entry| entry["type"] == "alert");
    let id = alert.and_then(|alert| alert["id"].as_str());
    Ok(id.context("no alert")?.to_owned())
}

fn group() -> Result<()> {
    const GROUP: &str = "42424";
    let receiver = Receiver::start()?;
    let top = tempfile::tempdir()?;
    fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755))?;
    let log = top.path().join("audit");
    let (daemon, _keys) = daemon(
        &receiver,
        &format!("[audit]\ndirectory = {log:?}\ngroup = \"{GROUP}\"\n"),
    )?;
    let server = Answerer::inet()?;
    use_the_trap(&server)?;
    wait_entry(&log, "alert", |_| true)?;
    let mut directories = vec![log.clone()];
    while let Some(directory) = directories.pop() {
        let meta = fs::metadata(&directory)?;
        ensure!(
            (meta.uid(), meta.gid(), meta.mode() & 0o7777) == (0, 42424, 0o750),
            "{}: {meta:?}",
            directory.display()
        );
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                directories.push(entry.path());
            } else if entry.path().extension().is_none_or(|end| end != "new") {
                ensure!(
                    (meta.gid(), meta.mode() & 0o7777) == (42424, 0o640),
                    "{}: {meta:?}",
                    entry.path().display()
                );
            }
        }
    }
    // The program where everybody finds it.
    let program = top.path().join("bailiwick");
    fs::copy(binary()?, &program)?;
    let verify = |groups: &str| -> Result<Option<i32>> {
        let output = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", groups])
            .arg(&program)
            .args(["audit", "verify", text(&log)?])
            .output()?;
        Ok(output.status.code())
    };
    ensure!(
        verify("--groups=42424")? == Some(0),
        "a member may not read it"
    );
    ensure!(verify("--clear-groups")? == Some(77), "others may read it");
    let write = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--groups=42424",
            "touch",
        ])
        .arg(log.join("mine"))
        .output()?;
    ensure!(!write.status.success(), "a member may write to it");
    drop(daemon);
    Ok(())
}

fn killed() -> Result<()> {
    const ROUNDS: u64 = 8;
    let receiver = Receiver::start()?;
    let (mut daemon, _keys) = daemon(&receiver, "")?;
    let server = Answerer::inet()?;
    let log = log_of(&daemon);
    use_the_trap(&server)?;
    wait_entry(&log, "alert", |_| true)?;
    let id = entry_id(&log)?;
    let kept = daemon.dir().join("checkpoint-before");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..ROUNDS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        fs::copy(log.join("checkpoint"), &kept)?;
        for _ in 0..3 {
            daemon.json(&["unmark", &id])?;
        }
        // Within what gathering and writing take.
        std::thread::sleep(Duration::from_micros(state % 400_000));
        daemon.kill()?;
        good(&["verify", text(&log)?, "--since", text(&kept)?])
            .with_context(|| format!("round {round}"))?;
        daemon.restart()?;
    }
    wait_for("every start", || {
        let all = entries(&log)?;
        let count = |kind: &str| all.iter().filter(|entry| entry["type"] == kind).count() as u64;
        Ok(
            (count("start") == ROUNDS + 1 && count("gap") == ROUNDS && count("opened") == 1)
                .then_some(()),
        )
    })
    .with_context(|| format!("{:#?}", entries(&log)))?;
    let all = entries(&log)?;
    ensure!(
        all.iter()
            .filter(|entry| entry["type"] == "gap")
            .all(|gap| gap["cause"] == "ended"),
        "{all:#?}"
    );
    Ok(())
}
