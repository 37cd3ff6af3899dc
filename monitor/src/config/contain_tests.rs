#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;
use std::time::Duration;

use super::super::{Config, LoadError, parse};
use crate::contain::{Act, Mode};
use crate::judge::{FindingKind, Severity};

fn read(text: &str) -> Result<Config, LoadError> {
    parse(vec![(PathBuf::from("/etc/b.toml"), text.to_owned())])
}

#[test]
fn is_off_unless_configured() {
    let config = read("").unwrap();
    assert_eq!(config.containment.mode, Mode::Off);
    assert!(config.containment.rules.is_empty());
    assert_eq!(config.containment.max_per_hour, 10);
    // A rule alone switches nothing on.
    let config = read("[[contain]]\nkinds = [\"canary\"]\nact = \"reset\"\n").unwrap();
    assert_eq!(config.containment.mode, Mode::Off);
}

#[test]
fn everything_is_read() {
    let config = read(
        r#"
[containment]
mode = "dry-run"
max_per_hour = 3
never = ["unit:postgresql.service", "exe:/usr/sbin/haproxy"]

[[contain]]
kinds = ["environment", "canary"]
identities = ["ci-*"]
environments = ["prod"]
min_severity = "high"
act = "refuse"
for = "2m"
max_per_hour = 2
"#,
    )
    .unwrap();
    let containment = &config.containment;
    assert_eq!(containment.mode, Mode::DryRun);
    assert_eq!((containment.max_per_hour, containment.never.len()), (3, 2));
    let rule = &containment.rules[0];
    assert_eq!(rule.kinds, [FindingKind::Environment, FindingKind::Canary]);
    assert_eq!(
        (rule.act, rule.lasts()),
        (Act::Refuse, Duration::from_secs(120))
    );
    assert_eq!(
        (rule.min_severity, rule.max_per_hour),
        (Severity::High, Some(2))
    );
    assert_eq!(rule.place.line, 7);
}

#[test]
fn mistakes_are_named_with_place_and_hint() {
    let rule = |lines: &str| format!("[[contain]]\n{lines}\n");
    for (text, expected) in [
        (
            "[containment]\nmode = \"on\"".to_owned(),
            "unknown value `on`",
        ),
        (
            "[containment]\nnever = [\"sshd\"]".to_owned(),
            "`sshd` is no workload",
        ),
        (
            "[containment]\nmax_per_hour = 0".to_owned(),
            "0 is out of range",
        ),
        ("[containment]\nmax = 3".to_owned(), "unknown key `max`"),
        (rule("act = \"reset\""), "missing key `kinds`"),
        (rule("kinds = []\nact = \"reset\""), "kinds is empty"),
        (
            rule("kinds = [\"environmnet\"]\nact = \"reset\""),
            "did you mean `environment`?",
        ),
        (
            rule("kinds = [\"coverage-lost\"]\nact = \"reset\""),
            "never follows `coverage-lost`",
        ),
        (
            rule("kinds = [\"contained\"]\nact = \"reset\""),
            "never follows `contained`",
        ),
        (rule("kinds = [\"unusual\"]\nact = \"reset\""), "`unusual`"),
        (
            rule("kinds = [\"canary\"]\nact = \"kill\""),
            "unknown value `kill`",
        ),
        (
            rule("kinds = [\"canary\"]\nact = \"reset\"\nfor = \"10m\""),
            "`for` has no meaning",
        ),
        (
            rule("kinds = [\"canary\"]\nact = \"refuse\"\nfor = \"2d\""),
            "is out of range",
        ),
        (
            rule("kinds = [\"canary\"]\nact = \"stop\"\nmax_per_hour = 0"),
            "out of range",
        ),
        ("[checks]\ncontained = \"off\"".to_owned(), "is always told"),
    ] {
        let Err(error) = read(&text) else {
            panic!("taken: {text}");
        };
        let words = error.to_string();
        assert!(words.contains(expected), "{text}\n{words}");
        assert!(
            words.contains("/etc/b.toml:") && words.contains("hint:"),
            "{words}"
        );
    }
}
