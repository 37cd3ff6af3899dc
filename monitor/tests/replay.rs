//! `replay` and `eval` as people use them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

const POLICY: &str = "version = 1\n[environments]\nprod = [\"api.example\"]\n[duties]\n\
    read = [\"GET api.example/orders/{id}\"]\n[identities.reader]\nowner = \"team-shop\"\n\
    credentials = [\"basic:user=reader\"]\nduties = [\"read\"]\nenvironments = [\"prod\"]\n";

/// One of the policy's and one of a stranger, what was lost, and what is no access.
const ACCESSES: &str = r#"{"type":"access","v":1,"time":"2026-11-24T10:00:00Z","role":"client","identity":"reader","credential":{"kind":"bearer","fingerprint":"bw1:00112233445566778899aabbccddeeff"},"client":{"pid":7,"exe":"/usr/bin/shop","user":"shop"},"peer":"192.0.2.7:443","protocol":"h2","tls":{"version":"1.3","via":"keys"},"request":{"method":"GET","host":"api.example","path":"/orders/1","route":"/orders/{id}"},"response":{"status":200}}
{"type":"access","v":1,"time":"2026-11-24T10:00:01Z","role":"client","identity":"reader","credential":{"kind":"bearer","fingerprint":"bw1:00112233445566778899aabbccddeeff"},"client":{"pid":7,"exe":"/usr/bin/shop","user":"shop"},"peer":"192.0.2.7:443","protocol":"h2","tls":{"version":"1.3","via":"keys"},"request":{"method":"DELETE","host":"api.example","path":"/orders/1","route":"/orders/{id}"},"response":{"status":200},"findings":["duty","expired-token"]}
{"type":"access","v":1,"time":"2026-11-24T10:00:02Z","role":"client","identity":"bw1:ffffffffffffffffffffffffffffffff","credential":{"kind":"api-key","fingerprint":"bw1:ffffffffffffffffffffffffffffffff"},"peer":"192.0.2.8:80","protocol":"http/1.1","request":{"method":"GET","host":"other.example","path":"/","route":"/"}}

{"type":"lost","v":1,"count":3}
{"type":"access","v":1}
no access
"#;

fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.args(arguments).env_remove("NO_COLOR");
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who names another file does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn shown(output: &Output, dir: &Path) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let shown = format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr)
    )
    .replace(&*dir.to_string_lossy(), "DIR");
    // An id is made of the time and, since clauses name the policy's file, of where that lies.
    let mut parts = shown.split("al_");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let is_id = part.len() >= 26 && part[..26].bytes().all(|b| b.is_ascii_alphanumeric());
        let (id, rest) = part.split_at(if is_id { 26 } else { 0 });
        out.push_str("al_");
        out.push_str(id.get(..10).unwrap_or_default());
        out.push_str(rest);
    }
    out
}

/// A directory with a configuration, and its policy.
fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.toml"), POLICY).unwrap();
    std::fs::write(
        dir.path().join("bailiwick.toml"),
        "policy = [\"policy.toml\"]\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("accesses.ndjson"), ACCESSES).unwrap();
    dir
}

fn replay(dir: &Path, more: &[&str], input: &str) -> Output {
    let config = dir.join("bailiwick.toml");
    let mut arguments = vec!["replay", "--config", config.to_str().unwrap()];
    arguments.extend(more);
    run(&arguments, input)
}

#[test]
fn recorded_accesses_are_judged() {
    let dir = scene();
    let file = dir.path().join("accesses.ndjson");
    let file = file.to_str().unwrap();
    let compact = replay(dir.path(), &[file], "");
    insta::assert_snapshot!("replay", shown(&compact, dir.path()));
    let json = replay(dir.path(), &[file, "-o", "json"], "");
    insta::assert_snapshot!("replay_json", shown(&json, dir.path()));

    // From standard input, compressed, and again: the same, byte for byte.
    let piped = replay(dir.path(), &["-", "-o", "json"], ACCESSES);
    let named = String::from_utf8(piped.stdout).unwrap();
    assert_eq!(
        named.replace("standard input", file).as_bytes(),
        json.stdout
    );
    let zipped = dir.path().join("accesses.gz");
    let mut gzip = GzEncoder::new(std::fs::File::create(&zipped).unwrap(), Compression::fast());
    gzip.write_all(ACCESSES.as_bytes()).unwrap();
    gzip.finish().unwrap();
    let zipped = zipped.to_str().unwrap();
    for _ in 0..3 {
        let again = replay(dir.path(), &[zipped, "-o", "json"], "");
        let named = String::from_utf8(again.stdout).unwrap();
        assert_eq!(named.replace(zipped, file).as_bytes(), json.stdout);
    }
}

#[test]
fn another_policy_and_none_can_be_named() {
    let dir = scene();
    let file = dir.path().join("accesses.ndjson");
    let strict = dir.path().join("strict.toml");
    std::fs::write(&strict, POLICY.replace("GET", "PUT")).unwrap();
    let arguments = [
        file.to_str().unwrap(),
        "--policy",
        strict.to_str().unwrap(),
        "-o",
        "json",
    ];
    let text = String::from_utf8(replay(dir.path(), &arguments, "").stdout).unwrap();
    assert!(
        text.contains("\"findings\":{\"cleartext\":1,\"duty\":2}"),
        "{text}"
    );
    std::fs::write(dir.path().join("bailiwick.toml"), "").unwrap();
    let text =
        String::from_utf8(replay(dir.path(), &[arguments[0], "-o", "json"], "").stdout).unwrap();
    assert!(text.contains("\"findings\":{\"cleartext\":1}"), "{text}");
}

#[test]
fn other_programs_logs_are_judged() {
    let dir = scene();
    let logs = [
        (
            "auto",
            "203.0.113.7 - reader [24/Nov/2026:10:00:00 +0000] \"DELETE http://api.example/orders/1 HTTP/1.1\" 200 5\n\
             203.0.113.7 - - [24/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5\n",
        ),
        (
            "envoy",
            "{\"start_time\":\"2026-11-24T10:00:00Z\",\"method\":\"DELETE\",\"path\":\"/orders/1\",\"authority\":\
             \"api.example\",\"response_code\":200,\"user\":\"reader\"}\n{}\n",
        ),
        (
            "cloudtrail",
            "{\"Records\":[{\"eventTime\":\"2026-11-24T10:00:00Z\",\"eventSource\":\"api.example\",\"eventName\":\
             \"DeleteOrder\",\"userIdentity\":{\"arn\":\"reader\"}},{\"eventTime\":1}]}",
        ),
    ];
    for (format, log) in logs {
        let output = replay(dir.path(), &["-", "--format", format, "-o", "json"], log);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{format}: {text}");
        let alert = text.lines().next().unwrap();
        assert!(
            alert.contains("\"kind\":\"read-writes\"") && alert.contains("\"identity\":\"reader\""),
            "{alert}"
        );
        let summary = text.lines().last().unwrap();
        assert!(summary.contains("\"accesses\":1,"), "{summary}");
        assert!(summary.contains("standard input:"), "{summary}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let dir = scene();
    let missing = dir.path().join("missing");
    for (name, arguments, input) in [
        ("replay_missing", vec![missing.to_str().unwrap()], ""),
        ("replay_no_format", vec!["-"], "version = 1\n"),
        (
            "replay_wrong_format",
            vec!["-", "--format", "envoy"],
            "[]\n",
        ),
    ] {
        let output = replay(dir.path(), &arguments, input);
        assert_eq!(output.status.code(), Some(65), "{output:?}");
        insta::assert_snapshot!(name, shown(&output, dir.path()));
    }
}

#[test]
fn labelled_accesses_are_measured() {
    let dir = scene();
    let labelled = ACCESSES.replace(
        "\"findings\":[\"duty\"",
        "\"label\":\"takeover\",\"attack\":\"a-1\",\"findings\":[\"duty\"",
    );
    let config = dir.path().join("bailiwick.toml");
    let config = config.to_str().unwrap();
    let split = "2026-11-24T10:00:01Z";
    let compact = run(
        &["eval", "-", "--config", config, "--split", split],
        &labelled,
    );
    insta::assert_snapshot!("eval", shown(&compact, dir.path()));
    let json = run(&["eval", "-", "--config", config, "-o", "json"], &labelled);
    insta::assert_snapshot!("eval_json", shown(&json, dir.path()));
    let wrong = run(
        &["eval", "-", "--config", config, "--split", "noon"],
        &labelled,
    );
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
}
