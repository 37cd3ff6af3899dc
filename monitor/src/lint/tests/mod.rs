//! Rules against policies that break them and twins that do not, and against brute force.

mod guarded;
mod oracle;
mod rules;

use super::*;
use crate::access::FingerprintKey;
use crate::policy::load_text;

fn policy(text: &str) -> Policy {
    let text = format!("version = 1\n{text}");
    let key = FingerprintKey::new([0; 32]);
    match load_text("p.toml", &text, &key) {
        Ok(loaded) => loaded.policy,
        Err(errors) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            panic!("{}\n{text}", errors.join("\n"))
        }
    }
}

fn input() -> LintInput {
    LintInput {
        today: jiff::civil::date(2026, 11, 24),
        guarded: Vec::new(),
        unread: Vec::new(),
        accounts: Accounts::default(),
        live: Live::Unknown("no daemon runs".to_owned()),
    }
}

/// An identity with a credential of its own.
fn identity(name: &str, owner: &str, rest: &str) -> String {
    format!(
        "[identities.{name}]\nowner = \"{owner}\"\ncredentials = [\"basic:user={name}\"]\n{rest}\n"
    )
}

/// `CODE subject` of everything that counts.
fn found(text: &str, input: &LintInput) -> Vec<String> {
    let found = lint(&policy(text), input);
    let counting = found.iter().filter(|finding| finding.counts());
    counting
        .map(|finding| format!("{} {}", finding.code.id, finding.subject))
        .collect()
}

/// The one finding of a rule.
fn only(text: &str, code: Code, input: &LintInput) -> LintFinding {
    let all = lint(&policy(text), input);
    let mut of_code = all.into_iter().filter(|f| f.code == code && f.counts());
    let one = of_code
        .next()
        .unwrap_or_else(|| panic!("no {}: {text}", code.id));
    assert_eq!(of_code.next(), None);
    one
}
