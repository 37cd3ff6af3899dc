//! The program as people use it, against a daemon made of fixed answers.

mod fake;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bailiwick::cli::quote::is_plain;
use fake::Daemon;

/// The program with nothing of this environment that changes what it prints.
fn bailiwick(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.args(line.split(' ').filter(|word| !word.is_empty()));
    command
        .env_remove("NO_COLOR")
        .env_remove("BAILIWICK_LOG")
        .env_remove("JOURNAL_STREAM");
    command.env("COLUMNS", "100").stdin(Stdio::null());
    command
}

fn run(line: &str) -> Output {
    bailiwick(line).output().unwrap()
}

fn ask(daemon: &Daemon, line: &str) -> Output {
    bailiwick(line)
        .arg("--socket")
        .arg(&daemon.socket)
        .output()
        .unwrap()
}

/// Exit code, standard output and standard error as one text; directories of this run are named DIR.
fn shown(output: &Output, dir: Option<&Path>) -> String {
    let mut text = format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output
            .status
            .code()
            .map_or("by signal".to_owned(), |code| code.to_string()),
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    );
    if let Some(dir) = dir {
        text = text.replace(&*dir.to_string_lossy(), "DIR");
    }
    text
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn assert_plain(output: &Output) {
    for bytes in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(
            text.lines().all(|line| line.chars().all(is_plain)),
            "{text:?}"
        );
    }
}

macro_rules! snapshot {
    ($name:literal, $daemon:expr, $line:literal) => {
        let output = ask(&$daemon, $line);
        assert_plain(&output);
        insta::assert_snapshot!($name, shown(&output, Some($daemon.dir.path())));
    };
}

#[test]
fn commands_that_ask_the_daemon() {
    let daemon = Daemon::start();
    snapshot!("tail", daemon, "tail --no-follow");
    snapshot!("tail_json", daemon, "tail --no-follow -o json --last 2");
    snapshot!(
        "tail_filtered",
        daemon,
        "tail --no-follow --finding --not-env dev"
    );
    snapshot!("alerts", daemon, "alerts");
    snapshot!("alerts_filtered", daemon, "alerts --kind duty");
    snapshot!("alerts_show", daemon, "alerts show alert-1");
    snapshot!("alerts_show_missing", daemon, "alerts show alert-9");
    snapshot!("identities", daemon, "identities");
    snapshot!("coverage", daemon, "coverage");
    snapshot!("status", daemon, "status");
    snapshot!("send_test", daemon, "send-test");
    snapshot!("send_test_missing", daemon, "send-test nobody");
    snapshot!("dead_letters", daemon, "dead-letters");
    snapshot!("dead_letters_replay", daemon, "dead-letters --replay");
    snapshot!(
        "dead_letters_replay_one",
        daemon,
        "dead-letters --replay letter-9"
    );
    snapshot!("report", daemon, "report");
    snapshot!("report_html_elsewhere", daemon, "status -o html");
    snapshot!("report_since_nonsense", daemon, "report --since yesterday");
    snapshot!("explain", daemon, "explain 01JDD9");
    snapshot!("explain_missing", daemon, "explain 01X");
}

#[test]
fn a_report_is_written_where_it_is_asked_for() {
    let daemon = Daemon::start();
    let page = ask(&daemon, "report -o html --since 2026-01-01");
    assert_plain(&page);
    let text = String::from_utf8(page.stdout).unwrap();
    assert!(text.contains("since 2026-01-01T00:00Z"), "{text}");
    assert!(text.contains("sub=&lt;script&gt; b"), "{text}");
    let path = daemon.dir.path().join("report.html");
    let written = ask(
        &daemon,
        &format!("report -o html --since 2026-01-01 --out {}", path.display()),
    );
    assert_eq!((code(&written), written.stdout.len()), (Some(0), 0));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let nowhere = ask(&daemon, "report --out /nowhere/report.html");
    assert_eq!(code(&nowhere), Some(69));
}

#[test]
fn without_daemon_and_store_there_is_no_report() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("bailiwick.toml");
    let text = format!(
        "state_dir = {0:?}\nruntime_dir = {0:?}\n",
        dir.path().join("none")
    );
    std::fs::write(&config, text).unwrap();
    for line in ["report", "explain 01JDD9"] {
        let output = bailiwick(line)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(code(&output), Some(69), "{said}");
        assert!(
            said.contains("there is no store") && said.contains("hint: "),
            "{said}"
        );
    }
    assert!(!dir.path().join("none").exists(), "nothing was made");
}

#[test]
fn json_output_parses_and_keeps_its_values() {
    let daemon = Daemon::start();
    for line in [
        "tail --no-follow",
        "alerts",
        "alerts show alert-1",
        "identities",
        "coverage",
        "status",
        "send-test",
        "dead-letters",
        "report",
        "explain 01JDD9",
    ] {
        let output = ask(&daemon, &format!("{line} -o json"));
        assert_plain(&output);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.is_empty(), "{line}");
        for record in text.lines() {
            assert!(record.starts_with("{\"type\":\""), "{record}");
            let value: serde_json::Value = serde_json::from_str(record).unwrap();
            assert_eq!(value["v"], 1);
        }
        if line.starts_with("tail") {
            assert!(text.contains("\\u202e"), "{text}");
        }
    }
}

#[test]
fn every_filter_is_a_flag() {
    let daemon = Daemon::start();
    let count = |flags: &str| {
        let output = ask(&daemon, &format!("tail --no-follow --last 1000 {flags}"));
        assert_eq!(code(&output), Some(0), "{flags}: {}", shown(&output, None));
        output.stdout.iter().filter(|byte| **byte == b'\n').count()
    };
    let all = count("");
    assert_eq!(all, 26);
    for (flag, value) in [
        ("identity", "ci-*"),
        ("workload", "unit:ci.service"),
        ("host", "api.example"),
        ("method", "post"),
        ("status", "4xx"),
        ("finding", "environment"),
        ("env", "prod"),
    ] {
        let with = count(&format!("--{flag} {value}"));
        let without = count(&format!("--not-{flag} {value}"));
        assert!(
            with > 0 && without > 0,
            "--{flag} {value}: {with}, {without}"
        );
        assert_eq!(with + without, all, "--{flag} {value}");
    }
    assert_eq!(count("--status 2xx --status 4xx --status none"), all);
    assert_eq!(
        count("--status 200 --status 404 --method POST --method GET"),
        count("--status 200 --status 404")
    );
}

#[test]
fn usage_is_64() {
    for line in [
        "",
        "frobnicate",
        "tail --status 9",
        "tail --finding nothing",
        "tail --last x",
        "alerts show",
        "-o xml status",
        "man nothing",
    ] {
        let output = run(line);
        assert_eq!(code(&output), Some(64), "{line}: {}", shown(&output, None));
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{line}"
        );
        assert_plain(&output);
    }
    let hostile = bailiwick("").arg("\u{1b}[31m\u{202e}").output().unwrap();
    assert_eq!(code(&hostile), Some(64));
    assert_plain(&hostile);
}

#[test]
fn no_daemon_is_69() {
    let dir = tempfile::tempdir().unwrap();
    for line in [
        "tail",
        "alerts",
        "identities",
        "coverage",
        "status",
        "send-test",
        "dead-letters",
    ] {
        let output = bailiwick(line)
            .arg("--socket")
            .arg(dir.path().join("control.sock"))
            .output()
            .unwrap();
        assert_eq!(code(&output), Some(69), "{line}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains("no daemon listens at") && error.contains("hint:"),
            "{error}"
        );
    }
}

#[test]
fn help_and_pages() {
    for line in [
        "--version",
        "--help",
        "help tail",
        "tail --help",
        "man",
        "man tail",
        "man alerts-show",
    ] {
        let output = run(line);
        assert_eq!(code(&output), Some(0), "{line}");
        assert!(
            !output.stdout.is_empty() && output.stderr.is_empty(),
            "{line}"
        );
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&format!("completions {shell}"));
        assert!(
            String::from_utf8(script.stdout)
                .unwrap()
                .contains("not-identity"),
            "{shell}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let output = bailiwick("man --dir").arg(dir.path()).output().unwrap();
    assert_eq!(code(&output), Some(0));
    let mut pages: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert_eq!(pages.len(), 16, "{pages:?}");
    assert!(
        pages.contains(&"bailiwick.1".to_owned())
            && pages.contains(&"bailiwick-alerts-show.1".to_owned())
    );
}

#[test]
fn check_and_run_report_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bailiwick.toml");
    let with = |line: &str| bailiwick(line).arg("--config").arg(&file).output().unwrap();
    assert_eq!(code(&with("check")), Some(78), "there is no file");
    std::fs::write(&file, "environment = \"prod\"\n").unwrap();
    let good = with("check");
    insta::assert_snapshot!("check_good", shown(&good, Some(dir.path())));
    std::fs::write(
        &file,
        "enviroment = \"prod\"\n[capture]\nring_mib = \"x\"\n\u{202e} = 1\n",
    )
    .unwrap();
    for (name, line) in [
        ("check_bad", "check"),
        ("check_bad_json", "check -o json"),
        ("run_bad", "run"),
    ] {
        let output = with(line);
        assert_plain(&output);
        insta::assert_snapshot!(name, shown(&output, Some(dir.path())));
    }
}

#[test]
fn colour_is_asked_for_or_not_there() {
    let daemon = Daemon::start();
    let has_colour = |line: &str, no_color: Option<&str>| {
        let mut command = bailiwick(line);
        command.arg("--socket").arg(&daemon.socket);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        command.output().unwrap().stdout.contains(&0x1b)
    };
    assert!(!has_colour("tail --no-follow", None), "not a terminal");
    assert!(!has_colour("tail --no-follow --color never", None));
    assert!(has_colour("tail --no-follow --color always", None));
    assert!(
        has_colour("tail --no-follow --color always", Some("1")),
        "the flag is the stronger word"
    );
    assert!(!has_colour("tail --no-follow --color auto", Some("1")));
    assert!(
        !has_colour("tail --no-follow --color always -o json", None),
        "JSON has none"
    );
}

/// Reads lines of a child until one holds `wanted`.
fn wait_for(reader: &mut impl BufRead, wanted: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert_ne!(
            reader.read_line(&mut line).unwrap(),
            0,
            "ended before {wanted}: {lines:?}"
        );
        let found = line.contains(wanted);
        lines.push(line);
        if found {
            return lines;
        }
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

fn exit_of(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if started.elapsed() > Duration::from_secs(10) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn follow(daemon: &Daemon, line: &str) -> Child {
    bailiwick(line)
        .arg("--socket")
        .arg(&daemon.socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn tail_follows_and_survives_a_restart_of_the_daemon() {
    let mut daemon = Daemon::start();
    let mut child = follow(&daemon, "tail");
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let past = wait_for(&mut out, "/n/25");
    assert_eq!(past.len(), 20);
    daemon.put(fake::access(100));
    assert_eq!(wait_for(&mut out, "/n/100").len(), 1);

    daemon.stop();
    wait_for(&mut errors, "waiting for it to come back");
    std::thread::sleep(Duration::from_millis(300));
    // What the new daemon saw before the client was back is not missed, and nothing comes twice.
    daemon.restart(vec![fake::access(100), fake::access(101)]);
    wait_for(&mut errors, "the daemon is back");
    let next = wait_for(&mut out, "/n/101");
    assert_eq!(next.len(), 1, "{next:?}");
    daemon.put(fake::access(102));
    assert_eq!(wait_for(&mut out, "/n/102").len(), 1);

    signal(&child, rustix::process::Signal::INT);
    assert_eq!(exit_of(&mut child), Some(0), "Ctrl-C is how it ends");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn a_reader_that_had_enough_is_a_success() {
    let daemon = Daemon::start();
    for line in [
        "tail",
        "tail --no-follow",
        "identities",
        "coverage",
        "status",
        "man",
        "completions zsh",
        "--help",
    ] {
        let mut child = follow(&daemon, line);
        // Nobody reads, from the start.
        drop(child.stdout.take());
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(5) {
            daemon.put(fake::access(100));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(exit_of(&mut child), Some(0), "{line}");
        let mut errors = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        assert_eq!(errors, "", "{line}");
    }
}

#[test]
fn alerts_are_followed() {
    let daemon = Daemon::start();
    let mut child = follow(&daemon, "alerts --follow --severity high");
    let mut out = BufReader::new(child.stdout.take().unwrap());
    wait_for(&mut out, "alert-1");
    let mut alert = fake::alert(2);
    alert.severity = bailiwick::judge::Severity::Low;
    daemon.raise(alert.clone());
    alert.severity = bailiwick::judge::Severity::Critical;
    alert.last_seen = "2026-11-24T00:00:00.000000Z".to_owned();
    daemon.raise(alert);
    let lines = wait_for(&mut out, "CRITICAL");
    assert_eq!(lines.len(), 1, "{lines:?}");
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(exit_of(&mut child), Some(0));
}

const UNSOUND: &str = r#"version = 1

[duties]
deploy  = ["POST ci.example/deployments/{id}/**"]
approve = ["POST ci.example/deployments/{id}/approve"]
left    = ["GET ci.example/left"]

[identities.bot]
owner = "no such user"
credentials = ["basic:user=bot"]
duties = ["deploy"]

[identities.boss]
owner = "no such user"
credentials = ["basic:user=boss"]
duties = ["approve"]

[[separate]]
duties = ["deploy", "approve"]

[[accept]]
code = "SOD011"
subject = "left"
reason = "comes with the next release"
until = "9999-12-31"

[[accept]]
code = "SOD004"
subject = "deploy, approve"
reason = "holidays"
until = "2026-01-06"
"#;

#[test]
fn check_lints_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bailiwick.toml");
    let own = dir.path().display();
    std::fs::write(
        &file,
        format!(
            "policy = [\"policy.toml\"]\nstate_dir = \"{own}/state\"\nruntime_dir = \"{own}\"\n"
        ),
    )
    .unwrap();
    std::fs::write(dir.path().join("policy.toml"), UNSOUND).unwrap();
    let with = |line: &str| bailiwick(line).arg("--config").arg(&file).output().unwrap();
    for (name, line) in [
        ("lint", "check"),
        ("lint_json", "check -o json"),
        ("lint_sarif", "check -o sarif"),
    ] {
        let output = with(line);
        assert_plain(&output);
        insta::assert_snapshot!(name, shown(&output, Some(dir.path())));
    }
    let lenient = with("check --warnings-ok");
    assert_eq!(code(&lenient), Some(0), "findings stop no reload");
    // A policy with errors is not linted.
    std::fs::write(
        dir.path().join("policy.toml"),
        UNSOUND.replace("owner", "ovner"),
    )
    .unwrap();
    let broken = with("check --warnings-ok");
    assert_eq!(code(&broken), Some(78));
    assert!(!String::from_utf8(broken.stdout).unwrap().contains("SOD"));
    // Only `check` has findings to write.
    assert_eq!(code(&run("identities -o sarif")), Some(64));
}

/// A configuration named by a relative path, whose policy is named relative to it, was looked for in
/// `config/config/`.
#[test]
fn relative_configuration_and_policy() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(
        config.join("bailiwick.toml"),
        "policy = [\"policy.toml\"]\nstate_dir = \"state\"\nruntime_dir = \"run\"\n",
    )
    .unwrap();
    std::fs::write(config.join("policy.toml"), "version = 1\n").unwrap();
    let output = bailiwick("check --config config/bailiwick.toml")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(0), "{}", shown(&output, None));
}

#[test]
fn check_asks_the_daemon_what_it_has_seen() {
    let daemon = Daemon::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bailiwick.toml");
    std::fs::write(&file, "policy = [\"policy.toml\"]\n").unwrap();
    let policy = "version = 1\n[duties]\nx = [\"GET x.example/\"]\n[identities.nobody-uses-this]\n\
                  owner = \"no such user\"\ncredentials = [\"basic:user=x\"]\nduties = [\"x\"]\n";
    std::fs::write(dir.path().join("policy.toml"), policy).unwrap();
    let output = bailiwick("check")
        .arg("--config")
        .arg(&file)
        .arg("--socket")
        .arg(&daemon.socket)
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("SOD012 low"), "{text}");
    assert!(text.contains("nobody-uses-this was not used"), "{text}");
}
