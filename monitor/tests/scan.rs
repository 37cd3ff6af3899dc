//! `bailiwick scan` as people and pipelines use it.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod fake;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fake::Daemon;
use serde_json::Value;

fn scan(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command
        .arg("scan")
        .args(args)
        .stdin(Stdio::null())
        .env_remove("NO_COLOR");
    command
}

/// A tree with two findings; the parts of a secret never stand together in this source.
fn tree() -> (tempfile::TempDir, [String; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let secrets = [
        "q8Zt2LmV0p".to_owned() + "Xs9RbKd3Wy7Nf5",
        "hV7!".to_owned() + "kq2LsWm9",
    ];
    fs::write(
        dir.path().join("a.py"),
        format!("# keys\napi_key = \"{}\"\n", secrets[0]),
    )
    .unwrap();
    fs::write(
        dir.path().join("\u{1b}[31m.env"),
        format!("DB_PASSWORD={}\n", secrets[1]),
    )
    .unwrap();
    fs::write(
        dir.path().join("c.py"),
        "password = getpass()\ntoken = os.environ['TOKEN']\n",
    )
    .unwrap();
    (dir, secrets)
}

/// Whatever was printed.
fn all(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn every_form_finds_both_and_shows_neither() {
    let (dir, secrets) = tree();
    let at = dir.path().to_str().unwrap();
    let absent = dir.path().join("none.sock");
    let absent = absent.to_str().unwrap();
    for form in ["compact", "json", "sarif"] {
        let output = scan(&[at, "-o", form, "--socket", absent])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{form}: {}", all(&output));
        for secret in &secrets {
            assert!(
                !all(&output).contains(secret.as_str()),
                "{form} shows {secret}"
            );
            assert!(
                !all(&output).contains(&secret[4..]),
                "{form} shows a part of {secret}"
            );
        }
        assert!(
            !all(&output).contains('\u{1b}'),
            "{form} lets a file name write escapes"
        );
        assert!(
            all(&output).contains("not compared with the credentials in use: no daemon listens"),
            "{}",
            all(&output)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        match form {
            "compact" => {
                assert!(
                    text.contains(
                        "/a.py:2:12: api-key: A key, token or secret in an assignment, 24 bytes"
                    ),
                    "{text}"
                );
                assert!(text.contains(".env:1:13: password: "), "{text}");
                assert_eq!(text.lines().count(), 2, "{text}");
            }
            "json" => {
                let records: Vec<Value> = text
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect();
                assert_eq!(records.len(), 3);
                assert_eq!(
                    (&records[2]["found"], &records[2]["files"]),
                    (&2.into(), &3.into())
                );
                assert!(records[2]["unjoined"].is_string());
            }
            _ => {
                let log: Value = serde_json::from_str(&text).unwrap();
                let results = log["runs"][0]["results"].as_array().unwrap();
                assert_eq!(results.len(), 2);
                assert_eq!(results[1]["ruleId"], "api-key");
                assert_eq!(
                    results[1]["locations"][0]["physicalLocation"]["region"]["startLine"],
                    2
                );
            }
        }
    }
}

#[test]
fn what_is_in_use_is_said_by_the_daemon() {
    let (dir, secrets) = tree();
    let daemon = Daemon::start();
    let file = dir.path().join("a.py");
    // An empty configuration: no key here, so the daemon is asked.
    let config = dir.path().join("bailiwick.toml");
    fs::write(&config, format!("state_dir = {:?}\n", dir.path())).unwrap();
    let output = scan(&["--socket"])
        .arg(&daemon.socket)
        .arg("--config")
        .arg(&config)
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", all(&output));
    assert!(
        all(&output).contains("in use: identity pay-writer used it in prod from unit:pay.service"),
        "{}",
        all(&output)
    );
    assert!(!all(&output).contains(&secrets[0]));
    assert!(
        !dir.path().join("fingerprint.key").exists(),
        "a scan makes no key"
    );
}

#[test]
fn nothing_found_is_0_and_standard_input_is_read() {
    let (dir, secrets) = tree();
    let clean = dir.path().join("c.py");
    let output = scan(&[]).arg(&clean).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", all(&output));
    assert!(all(&output).contains("0 found"), "{}", all(&output));
    let output = scan(&["-", "--no-join"])
        .stdin(fs::File::open(dir.path().join("a.py")).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        all(&output).contains("-:2:12: api-key") && !all(&output).contains(&secrets[0]),
        "{}",
        all(&output)
    );
}

#[test]
fn mistakes_are_named() {
    let (dir, _) = tree();
    let at = |name: &str| dir.path().join(name);
    fs::write(
        at("rules.toml"),
        "[[rules]]\nid = \"acme\"\nregex = '''(?!x)'''\n",
    )
    .unwrap();
    fs::write(at("allow"), "no-such-rule x\n").unwrap();
    let run = |args: &[&str], path: &Path| scan(args).arg(path).output().unwrap();
    for (output, code, words) in [
        (
            run(&["--rules"], &at("rules.toml")),
            78,
            "rule \"acme\": regex: ",
        ),
        (
            run(&["--allow"], &at("allow")),
            78,
            "there is no rule \"no-such-rule\"",
        ),
        (run(&[], &at("gone")), 65, "gone: No such file"),
        (run(&["--git"], Path::new("-")), 64, "not standard input"),
        (run(&["--git"], dir.path()), 69, "git says"),
        (
            run(&["--rules", "/nonexistent/x"], dir.path()),
            65,
            "/nonexistent/x",
        ),
    ] {
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words}: {}",
            all(&output)
        );
        assert!(
            all(&output).contains(words) && all(&output).contains("hint:"),
            "{words}: {}",
            all(&output)
        );
    }
}
