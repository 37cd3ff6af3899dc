//! What findings mean, in the words of those who name attacks.

use super::model::{Meaning, Reference};
use crate::alert::Alert;

/// Techniques by id (MITRE ATT&CK for Enterprise, attack.mitre.org) that checks name.
const TECHNIQUES: [(&str, &str); 17] = [
    ("T1040", "Network Sniffing"),
    ("T1078", "Valid Accounts"),
    ("T1078.004", "Valid Accounts: Cloud Accounts"),
    (
        "T1098.001",
        "Account Manipulation: Additional Cloud Credentials",
    ),
    ("T1110", "Brute Force"),
    ("T1119", "Automated Collection"),
    ("T1213", "Data from Information Repositories"),
    ("T1528", "Steal Application Access Token"),
    ("T1539", "Steal Web Session Cookie"),
    (
        "T1550.001",
        "Use Alternate Authentication Material: Application Access Token",
    ),
    ("T1552", "Unsecured Credentials"),
    ("T1552.001", "Unsecured Credentials: Credentials In Files"),
    ("T1552.004", "Unsecured Credentials: Private Keys"),
    (
        "T1552.005",
        "Unsecured Credentials: Cloud Instance Metadata API",
    ),
    ("T1552.007", "Unsecured Credentials: Container API"),
    ("T1562", "Impair Defenses"),
    ("T1606", "Forge Web Credentials"),
];

/// Risks by number (OWASP API Security Top 10, 2023).
const RISKS: [&str; 5] = [
    "API1:2023 Broken Object Level Authorization",
    "API2:2023 Broken Authentication",
    "API5:2023 Broken Function Level Authorization",
    "API8:2023 Security Misconfiguration",
    "API9:2023 Improper Inventory Management",
];

/// What a kind means, and the risks it belongs to, by kind's name.
const KINDS: [(&str, &str, &[&str]); 23] = [
    (
        "duty",
        "A valid credential did something that it was not made for: its holder went beyond their task, or it is in other hands.",
        &["API5", "API2"],
    ),
    (
        "environment",
        "A credential of one environment was used in another: what separates test from production does not hold for it.",
        &["API2", "API8"],
    ),
    (
        "workload",
        "A credential was used by a program that it does not belong to: it was copied, or stolen.",
        &["API2"],
    ),
    (
        "canary",
        "A credential that nobody has a reason to use was used: whoever did found it where it was left as a trap.",
        &["API2"],
    ),
    (
        "cleartext",
        "Whoever sits on the path can read the credential and use it.",
        &["API8", "API2"],
    ),
    (
        "credential-in-url",
        "URLs end in logs, histories and referrers, and the credential with them.",
        &["API8", "API2"],
    ),
    (
        "expired-token",
        "The server took a token after its end: it does not check that, and stolen tokens live for ever.",
        &["API2"],
    ),
    (
        "bound-token-as-bearer",
        "A token that is bound to a key was accepted without the key: it is as good as stolen once it is copied.",
        &["API2"],
    ),
    (
        "proof-missing",
        "A bound token came without the proof that its holder has the key.",
        &["API2"],
    ),
    (
        "proof-mismatch",
        "The proof belongs to another request, token or key: somebody tries what they have copied.",
        &["API2"],
    ),
    (
        "proof-replayed",
        "A proof was used a second time: somebody recorded a request and repeats it.",
        &["API2"],
    ),
    (
        "key-shared",
        "Two workloads hold one private key: it was copied, and a bound token protects nothing any more.",
        &["API2"],
    ),
    (
        "coverage-lost",
        "Traffic that could be read cannot be any more: what happens there now is not seen.",
        &["API9"],
    ),
    (
        "separation",
        "One owner did two things that the policy keeps apart: nobody else has to agree to a fraud or a mistake.",
        &["API5"],
    ),
    (
        "approval",
        "Something that needs the consent of another was done without it.",
        &["API5"],
    ),
    (
        "credential-shared",
        "One credential lives in two places at a time: it was copied, and nobody can say who used it.",
        &["API2"],
    ),
    (
        "second-factor",
        "A privileged act was done with a token that shows no second factor: a stolen password is enough.",
        &["API2"],
    ),
    (
        "read-writes",
        "A credential that should only read has changed something.",
        &["API5", "API1"],
    ),
    (
        "hours",
        "A credential was used when its owner does not work.",
        &["API2"],
    ),
    (
        "workload-environment",
        "A workload of one environment used a credential in another.",
        &["API8", "API2"],
    ),
    (
        "stored-credential",
        "A credential that is in use lies in a file or an environment where others find it.",
        &["API8", "API2"],
    ),
    (
        "unusual",
        "What the credential did is unlike what it did before. That alone proves nothing.",
        &["API9"],
    ),
    (
        "contained",
        "Not an attack but the answer to one: Bailiwick acted on a violation, or would have, as its configuration says.",
        &[],
    ),
];

/// Of an alert.
pub(super) fn of(alert: &Alert) -> Meaning {
    let kind = alert.kind.name();
    let known = KINDS.iter().find(|(name, ..)| *name == kind);
    let techniques = alert.techniques.iter().map(|id| Reference {
        id: id.clone(),
        name: TECHNIQUES
            .iter()
            .find(|(known, _)| known == id)
            .map_or_else(
                || "ATT&CK technique".to_owned(),
                |(_, name)| (*name).to_owned(),
            ),
    });
    let risks = known.into_iter().flat_map(|(_, _, risks)| *risks);
    let risks = risks.filter_map(|risk| {
        let full = RISKS
            .iter()
            .find(|full| full.starts_with(&format!("{risk}:")))?;
        let (id, name) = full.split_once(' ')?;
        Some(Reference {
            id: id.to_owned(),
            name: format!("OWASP: {name}"),
        })
    });
    Meaning {
        words: known.map_or_else(
            || "What broke is the clause above.".to_owned(),
            |(_, words, _)| (*words).to_owned(),
        ),
        references: techniques.chain(risks).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::FindingKind;

    #[test]
    fn every_kind_has_words_and_every_risk_a_name() {
        for kind in FindingKind::ALL {
            assert!(
                KINDS.iter().any(|(name, ..)| *name == kind.name()),
                "{}",
                kind.name()
            );
        }
        for (name, words, risks) in KINDS {
            assert!(!words.is_empty() && !risks.is_empty(), "{name}");
            for risk in risks {
                assert!(
                    RISKS
                        .iter()
                        .any(|full| full.starts_with(&format!("{risk}:"))),
                    "{risk}"
                );
            }
        }
    }

    #[test]
    fn every_technique_that_a_check_names_has_a_name() {
        let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/src/judge");
        let mut found = 0;
        for entry in std::fs::read_dir(judge).unwrap() {
            let Ok(text) = std::fs::read_to_string(entry.unwrap().path()) else {
                continue;
            };
            for id in text.split('"').filter(|word| {
                let digits = word.strip_prefix('T').unwrap_or("");
                digits.len() >= 4 && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
            }) {
                found += 1;
                assert!(TECHNIQUES.iter().any(|(known, _)| *known == id), "{id}");
            }
        }
        assert!(found >= 13, "{found}");
    }
}
