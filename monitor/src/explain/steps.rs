//! What to do now: concrete commands.

use super::model::{Delivery, From, Step, Who};
use crate::alert::Alert;

/// In the order in which to do them.
pub(super) fn steps(alert: &Alert, who: &Who, from: &[From], deliveries: &[Delivery]) -> Vec<Step> {
    let mut all = vec![Step {
        why: alert.action.clone(),
        command: None,
    }];
    let mut add = |why: &str, command: String| {
        all.push(Step {
            why: why.to_owned(),
            command: Some(command),
        });
    };
    if let Some(name) = &who.identity {
        add(
            "Watch what the credential does now.",
            format!("bailiwick tail --identity {}", shell(&pattern(name))),
        );
        add(
            "See what else was found of this identity.",
            format!("bailiwick alerts --identity {}", shell(name)),
        );
    }
    for one in from.iter().take(3) {
        if let Some(unit) = one
            .workload
            .as_deref()
            .and_then(|name| name.strip_prefix("unit:"))
        {
            add(
                "See what the service did and who started it.",
                format!("systemctl status {}", shell(unit)),
            );
        }
        if let Some(pid) = one.pid {
            add(
                "Look at the process, if it still runs.",
                format!("ps -o pid,ppid,user,lstart,args -p {pid}"),
            );
        }
    }
    if who.place.is_some() {
        add(
            "After a change of the policy: check it, then have it read again.",
            "bailiwick check && systemctl reload bailiwick".to_owned(),
        );
    }
    if deliveries
        .iter()
        .any(|delivery| delivery.state == "given-up")
    {
        add(
            "Queue what was given up again.",
            "bailiwick dead-letters --replay".to_owned(),
        );
    }
    all
}

/// A name as a filter's pattern: `*` and `?` of a name stand for one character each.
fn pattern(name: &str) -> String {
    name.replace('*', "?")
}

/// A word for a shell. A name that holds what no name should is not made a command of: its quoted form
/// matches nothing, and shows why.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@?+%".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_becomes_a_command() {
        assert_eq!(shell("ci.service"), "ci.service");
        assert_eq!(shell("a;rm -rf /"), "'a;rm -rf /'");
        assert_eq!(shell("it's $(x)"), "'it'\\''s $(x)'");
        assert_eq!(shell("-x"), "'-x'");
        assert_eq!(shell(""), "''");
        assert_eq!(pattern("a*"), "a?");
    }
}
