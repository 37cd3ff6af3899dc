#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::config::{Capture, CheckSetting, Dpop, History, Log, LogFormat, LogLevel, SecretSource};
use crate::judge::{FindingKind, Severity};
use crate::listening::{Listen, Listening};

fn one(text: &str) -> Result<Config, LoadError> {
    parse(vec![(
        "/etc/bailiwick/bailiwick.toml".into(),
        text.to_owned(),
    )])
}

fn errors(text: &str) -> String {
    let error = parse(vec![("bailiwick.toml".into(), text.to_owned())]).unwrap_err();
    error.to_string()
}

const SHIPPED: &str = include_str!("../../../config/bailiwick.toml");

#[test]
fn the_shipped_file_loads_strictly() {
    let config = one(SHIPPED).unwrap();
    assert_eq!(config.environment.as_deref(), Some("prod"));
    assert_eq!(
        config.policy,
        [
            Path::new("/etc/bailiwick/policy.toml"),
            Path::new("/etc/bailiwick/policy.d/")
        ]
    );
    assert!(
        config.page.listen.as_ref().is_some_and(Listen::is_local),
        "the page is on, for this host alone"
    );
    let defaults = Config {
        files: config.files.clone(),
        page: config.page.clone(),
        environment: config.environment.clone(),
        policy: config.policy.clone(),
        ..Config::default()
    };
    assert_eq!(
        format!("{config:?}"),
        format!("{defaults:?}"),
        "the rest is the defaults"
    );
}

/// The keys in comments are right too: with them in force the file still loads, and where the comment
/// promises a default it is the default.
#[test]
fn the_shipped_files_comments_are_keys_that_load() {
    let text: String = SHIPPED
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with([' ', '#']) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = one(&text).unwrap();
    assert_eq!(config.capture, Capture::default());
    assert_eq!(config.log, Log::default());
    assert_eq!(config.dpop, Dpop::default());
    assert_eq!(config.history, History::default());
    assert_eq!(config.socket_group, Config::default().socket_group);
    assert_eq!(config.cookies, ["session", "__Host-sid"]);
    assert_eq!(config.webhooks.len(), 1);
    assert_eq!(config.credentials.len(), 1);
    for kind in FindingKind::ALL {
        assert_ne!(
            config.checks.get(kind),
            CheckSetting::Default,
            "{} is explained",
            kind.name()
        );
    }
}

#[test]
fn every_key_is_read() {
    let config = one(r#"
        environment = "dev"
        policy = ["/p/a.toml", "b"]
        state_dir = "/s"
        runtime_dir = "r"
        socket_group = "wheel"
        fingerprint_key = "file:/k"
        cookies = ["sid"]
        [log]
        level = "debug"
        format = "json"
        [capture]
        ring_mib = 64
        drain_interval_ms = 2
        process_share_mib_s = 0
        cgroup_share_mib_s = 7
        max_connection_memory_mib = 8
        [checks]
        duty = "low"
        canary = "off"
        [dpop]
        proof_window_s = 60
        key_window_s = 7
        verify_ms_per_second = 0
        [history]
        grace_s = 5
        memory_mib = 2
        save_s = 10
        [tls]
        key_logs = ["/k/log", "keys"]
        [[webhook]]
        name = "a"
        url = "https://a.example/"
        secret = "env:A"
        [[credential]]
        header = "x-key"
    "#)
    .unwrap();
    assert_eq!(config.environment.as_deref(), Some("dev"));
    assert_eq!(
        config.policy,
        [Path::new("/p/a.toml"), Path::new("/etc/bailiwick/b")]
    );
    assert_eq!(config.state_dir, Path::new("/s"));
    assert_eq!(
        config.tls.key_logs,
        [Path::new("/k/log"), Path::new("/etc/bailiwick/keys")]
    );
    assert_eq!(
        config.dpop,
        Dpop {
            proof_window_s: 60,
            key_window_s: 7,
            verify_ms_per_second: 0,
        }
    );
    assert_eq!(
        config.history,
        History {
            grace_s: 5,
            memory_mib: 2,
            save_s: 10,
        }
    );
    assert_eq!(config.socket(), Path::new("/etc/bailiwick/r/control.sock"));
    assert_eq!(config.socket_group, "wheel");
    assert_eq!(
        config.fingerprint_key,
        Some(SecretSource::File("/k".into()))
    );
    assert_eq!(
        config.log,
        Log {
            level: LogLevel::Debug,
            format: LogFormat::Json
        }
    );
    let capture = Capture {
        ring_mib: 64,
        drain_interval: Duration::from_millis(2),
        process_share_mib_s: 0,
        cgroup_share_mib_s: 7,
        max_connection_memory_mib: 8,
    };
    assert_eq!(config.capture, capture);
    assert_eq!(
        config.checks.severity(FindingKind::Duty, Severity::High),
        Some(Severity::Low)
    );
    assert_eq!(
        config.checks.severity(FindingKind::Canary, Severity::High),
        None
    );
    assert_eq!(
        config
            .checks
            .severity(FindingKind::Workload, Severity::High),
        Some(Severity::High)
    );
    assert_eq!(
        config.webhooks[0].secret,
        Some(SecretSource::Env("A".to_owned()))
    );
    assert_eq!(
        config.credentials[0].table["header"].as_str(),
        Some("x-key")
    );
    assert_eq!(config.credentials[0].place.line, 35);
}

#[test]
fn drop_ins_merge_in_lexical_order() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("bailiwick.toml");
    let drop_in = dir.path().join("conf.d");
    fs::create_dir(&drop_in).unwrap();
    let hook =
        |name: &str| format!("[[webhook]]\nname='{name}'\nurl='https://x/'\nsecret='env:X'\n");
    fs::write(
        &main,
        format!("environment='prod'\n[capture]\nring_mib=8\n{}", hook("one")),
    )
    .unwrap();
    fs::write(drop_in.join("20-b.toml"), "environment='c'\n").unwrap();
    fs::write(
        drop_in.join("10-a.toml"),
        format!("policy=['p.toml']\nenvironment='b'\n{}", hook("two")),
    )
    .unwrap();
    fs::write(drop_in.join("30.toml.bak"), "nonsense").unwrap();
    fs::write(drop_in.join(".30.toml"), "nonsense").unwrap();
    fs::write(drop_in.join("30.toml"), "[capture]\ndrain_interval_ms=9\n").unwrap();
    let config = load(Some(&main)).unwrap();
    assert_eq!(config.environment.as_deref(), Some("c"));
    assert_eq!(
        config.policy,
        [drop_in.join("p.toml")],
        "relative to the file that names it"
    );
    assert_eq!(
        (
            config.capture.ring_mib,
            config.capture.drain_interval.as_millis()
        ),
        (8, 9)
    );
    assert_eq!(
        config
            .webhooks
            .iter()
            .map(|hook| &*hook.name)
            .collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert_eq!(config.files.len(), 4);
    assert_eq!(config.file(), Some(&*main));

    fs::write(drop_in.join("40.toml"), hook("one")).unwrap();
    let error = load(Some(&main)).unwrap_err().to_string();
    assert!(
        error.contains("40.toml:1:1: a second [[webhook]] is called \"one\""),
        "{error}"
    );
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let error = load(Some(Path::new("/nonexistent/bailiwick.toml"))).unwrap_err();
    assert!(!error.is_permission());
    let shown = error.into_diagnostics().remove(0).to_string();
    assert!(
        shown.contains("/nonexistent/bailiwick.toml") && shown.contains("hint:"),
        "{shown}"
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    insta::assert_snapshot!(errors(concat!(
        "enviroment = \"prod\"\n",
        "policy = \"policy.toml\"\n",
        "state_dir = \"\"\n",
        "cookies = [\"a=b\"]\n",
        "[capture]\n",
        "ring_mib = 0\n",
        "drain_intervall_ms = 3\n",
        "max_connection_memory_mib = \"much\"\n",
        "[checks]\n",
        "canary = \"hi\"\n",
        "duty = \"hihg\"\n",
        "dutty = \"low\"\n",
        "[log]\n",
        "level = \"inf\"\n",
        "[[webhook]]\n",
        "nmae = \"x\"\n",
        "[[webhook]]\n",
        "name = \"y\"\n",
        "url = \"https://y.example/\"\n",
    )));
}

#[test]
fn tables_of_the_wrong_shape() {
    insta::assert_snapshot!(errors(
        "capture = 3\nchecks = [1]\n[webhook]\nname = \"x\"\n"
    ));
}

#[test]
fn syntax_errors() {
    insta::assert_snapshot!(errors("environment = prod\nstate_dir = \"/x\nx = 1\n"));
}

#[test]
fn a_key_twice() {
    insta::assert_snapshot!(errors("environment = \"a\"\nenvironment = \"b\"\n"));
}

#[test]
fn a_secret_in_the_file_is_not_repeated() {
    let shown = errors(concat!(
        "fingerprint_key = \"planted-1\"\n",
        "[[webhook]]\nname = \"x\"\nurl = \"https://x/\"\nsecret = \"planted-2\"\n",
        "[[webhook]]\nname = \"y\"\nurl = \"https://x/\"\nsecret = [\"planted-3\"]\n",
        "[[webhook]]\nname = \"z\"\nurl = { a = \"planted-4\" }\nsecret = \"env:X\"\n",
    ));
    assert!(!shown.contains("planted"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_socket_path_that_no_kernel_takes() {
    let error = errors(&format!("runtime_dir = \"/{}\"\n", "x".repeat(120)));
    assert!(error.contains("more than 107"), "{error}");
}

#[test]
fn clients_need_only_the_runtime_directory() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("b.toml");
    fs::write(&main, "runtime_dir = \"/run/x\"\nunknown = 1\n").unwrap();
    let (socket, remark) = client_socket(None, Some(&main)).unwrap();
    assert_eq!(
        (socket.as_path(), remark),
        (Path::new("/run/x/control.sock"), None)
    );
    let (socket, _) = client_socket(Some(Path::new("/s")), Some(&main)).unwrap();
    assert_eq!(socket, Path::new("/s"));
    fs::write(&main, "runtime_dir = 7\n").unwrap();
    assert!(client_socket(None, Some(&main)).is_err());
    assert!(client_socket(None, Some(&dir.path().join("none"))).is_err());
}

#[test]
fn no_text_makes_the_reader_panic() {
    let mut runner = proptest::test_runner::TestRunner::default();
    let pieces = proptest::collection::vec(
        proptest::sample::select(vec![
            "environment",
            "webhook",
            "[capture]",
            "[[webhook]]",
            "\n",
            "=",
            "\"",
            "x",
            "[",
            "]",
            "{",
            "}",
            "é",
            ",",
            "ring_mib",
            "1",
            "-9999999999999999999999",
            "'",
            "\u{202e}",
            "\\u",
            "#",
            ".",
            "1979-05-27",
            "secret",
        ]),
        0..40,
    );
    runner
        .run(&pieces, |pieces| {
            if let Err(error) = one(&pieces.concat()) {
                let shown = error.to_string();
                assert!(
                    shown
                        .lines()
                        .all(|line| line.chars().all(crate::cli::quote::is_plain)),
                    "{shown}"
                );
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_page_is_served_only_where_it_is_said() {
    assert_eq!(one("").unwrap().page.listen, None);
    let config = one("[page]\nlisten = \"0.0.0.0:1\"\nallow_remote = true\n").unwrap();
    assert!(config.page.listen.is_some_and(|listen| !listen.is_local()));
    let error = errors("[page]\nlisten = \"0.0.0.0:1\"\n");
    assert!(
        error.contains("other hosts reach") && error.contains("allow_remote"),
        "{error}"
    );
    let error = errors("[page]\nlisten = \"here\"\n");
    assert!(
        error.contains("no address") && error.contains("9465"),
        "{error}"
    );
    assert!(errors("[page]\nport = 1\n").contains("port"));
}

#[test]
fn metrics_are_served_only_where_it_is_said() {
    assert_eq!(one("").unwrap().metrics, Listening::default());
    let config = one("[metrics]\nlisten = \"0.0.0.0:1\"\nallow_remote = true\n").unwrap();
    assert!(
        config
            .metrics
            .listen
            .is_some_and(|listen| !listen.is_local())
    );
    let error = errors("[metrics]\nlisten = \"0.0.0.0:1\"\n");
    assert!(
        error.contains("other hosts reach") && error.contains("allow_remote"),
        "{error}"
    );
    assert!(errors("[metrics]\nlisten = \"here\"\n").contains("no address"));
    assert!(errors("[metrics]\nport = 1\n").contains("port"));
}

#[test]
fn a_format_without_its_key_is_refused_where_it_stands() {
    let error =
        errors("\n[[webhook]]\nname = \"p\"\nurl = \"https://x/\"\nformat = \"pagerduty\"\n");
    assert!(
        error.contains("bailiwick.toml:2:1") && error.contains("routing_key"),
        "{error}"
    );
}

/// A mistake in a webhook's filter is told with its own line and column, however the string is written.
#[test]
fn a_filter_of_a_webhook_is_checked() {
    let hook = "[[webhook]]\nname = \"soc\"\nurl = \"https://x/\"\nsecret = \"env:X\"\n";
    let config = one(&format!("{hook}where = 'severity >= \"high\"'\n")).unwrap();
    assert!(config.webhooks[0].only.is_some());
    for (line, place) in [
        ("where = 'count > 1 and onwer == \"a\"'", "5:24"),
        ("where = \"count > 1 and onwer == 'a'\"", "5:24"),
        (
            r#"where = "title == \"é\\u00e9\" and onwer == 'a'""#,
            "5:36",
        ),
        (r#"where = "title == \"\u00e9\" and onwer == 'a'""#, "5:34"),
        ("where = '''\ncount > 1\nand onwer == \"a\"'''", "7:5"),
        ("where = 'status == 200'", "5:10"),
        ("where = ''", "5:10"),
    ] {
        let errors = errors(&format!("{hook}{line}\n"));
        let expected = format!("error: bailiwick.toml:{place}: where: ");
        assert!(errors.starts_with(&expected), "{line}\n{errors}");
        assert_eq!(errors.matches("error:").count(), 1, "{errors}");
    }
    let errors = errors(&format!("{hook}where = 'onwer == \"a\"'\n"));
    assert!(
        errors.contains("^^^^^\n  hint: did you mean `owner`?"),
        "{errors}"
    );
}
