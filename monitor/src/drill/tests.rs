//! The table, and what its drafts come to: every policy must load, every twin must differ from its attack.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::collections::HashSet;
use std::path::PathBuf;

use super::policy::{assemble, built_in};
use super::technique::{Act, Draft, Places, Run, Technique};
use super::{chosen, far, list, mint, techniques};

fn places() -> Places {
    Places {
        keys: PathBuf::from("/drill/keys"),
        bin: PathBuf::from("/drill/bin"),
        server: "198.18.7.7:80".parse().unwrap(),
        far: far::ADDRESS,
        now: 1_800_000_000,
    }
}

fn draft(technique: &dyn Technique, twin: bool) -> Draft {
    let places = places();
    let label = format!(
        "{}-{}",
        technique.card().name,
        if twin { "twin" } else { "1" }
    );
    technique.draft(&Run {
        label,
        twin,
        places: &places,
    })
}

#[test]
fn names_and_ids_are_well_formed() {
    let mut names = HashSet::new();
    for technique in techniques::all() {
        let card = technique.card();
        assert!(names.insert(card.name.clone()), "{} twice", card.name);
        assert!(
            card.name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        );
        assert!(!card.attack.is_empty());
        for id in card.attack {
            let (front, sub) = id.split_once('.').unwrap_or((id, "000"));
            assert!(
                front.len() == 5 && front.starts_with('T') && sub.len() == 3,
                "{id}"
            );
        }
        let number: u8 = card.owasp.strip_prefix("API").unwrap().parse().unwrap();
        assert!((1..=10).contains(&number));
    }
    assert_eq!(names.len(), list().len());
}

/// Each technique does something, its twin is not the same, and both only touch what is theirs.
#[test]
fn attacks_and_twins_differ() {
    for technique in techniques::all() {
        let (attack, twin) = (draft(&*technique, false), draft(&*technique, true));
        let name = &technique.card().name;
        assert!(!attack.acts.is_empty() && !twin.acts.is_empty(), "{name}");
        for draft in [&attack, &twin] {
            assert!(!draft.identities.is_empty(), "{name}");
            assert!(
                draft.identities.iter().all(|one| one.starts_with(&**name)),
                "{name}"
            );
            assert!(
                matches!(draft.acts.last(), Some(Act::Talk { .. })),
                "{name}"
            );
        }
        let of_twin: HashSet<_> = twin.identities.iter().collect();
        assert!(
            !attack.identities.iter().any(|one| of_twin.contains(one)),
            "{name}"
        );
        // Names of runs and tokens aside, something is done otherwise.
        let shape = |draft: &Draft, label: &str| {
            let mut text = format!("{:?} {}", draft.acts, draft.policy);
            for (number, (_, token)) in draft.keys.iter().enumerate() {
                text = text.replace(token, &format!("TOKEN{number}"));
            }
            let containers = draft.acts.iter().filter_map(|act| match act {
                Act::Talk { actor, .. } => actor.container.as_deref(),
                Act::Flood { .. } => None,
            });
            let mut known = Vec::new();
            for id in containers {
                if !known.contains(&id) {
                    known.push(id);
                }
            }
            for (number, id) in known.into_iter().enumerate() {
                text = text.replace(id, &format!("CONTAINER{number}"));
            }
            text.replace(label, "LABEL")
        };
        assert_ne!(
            shape(&attack, &format!("{name}-1")),
            shape(&twin, &format!("{name}-twin")),
            "{name}"
        );
    }
}

/// What is not in this program's policy format is not drafted, and the rest must load as one policy.
#[test]
fn the_policy_of_all_techniques_loads() {
    let drafts: Vec<Draft> = techniques::all()
        .iter()
        .filter(|technique| technique.card().kind().is_some())
        .flat_map(|technique| [draft(&**technique, false), draft(&**technique, true)])
        .collect();
    let text = assemble(
        &built_in("exe:/drill/bin/dev-agent"),
        &drafts.iter().collect::<Vec<_>>(),
    );
    let dir = tempfile::tempdir().unwrap();
    let text = drafts
        .iter()
        .flat_map(|draft| &draft.keys)
        .fold(text, |text, (name, token)| {
            let path = dir.path().join(name);
            std::fs::write(&path, token).unwrap();
            text.replace(
                &format!("/drill/keys/{name}\""),
                &format!("{}\"", path.display()),
            )
        });
    std::fs::write(dir.path().join("policy.toml"), &text).unwrap();
    let config = dir.path().join("bailiwick.toml");
    std::fs::write(&config, "policy = [\"policy.toml\"]\n").unwrap();
    let config = crate::config::load(Some(&config)).unwrap();
    let found = (crate::daemon::wiring::hooks().validate)(&config);
    let errors: Vec<String> = found
        .iter()
        .filter(|one| one.is_error())
        .map(ToString::to_string)
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
}

#[test]
fn techniques_are_chosen_by_name() {
    let names = ["canary-touched", "key-in-url"].map(str::to_owned);
    let found: Vec<String> = chosen(techniques::all(), &names)
        .unwrap()
        .iter()
        .map(|one| one.card().name.to_string())
        .collect();
    assert_eq!(found, names);
    let error = chosen(techniques::all(), &["canary-tuched".to_owned()])
        .err()
        .unwrap();
    assert!(error.usage && error.hint.unwrap().contains("canary-touched"));
    assert_eq!(chosen(techniques::all(), &[]).unwrap().len(), list().len());
}

#[test]
fn scratch_credentials_are_unique() {
    let tokens: HashSet<String> = (0..100).map(|_| mint::token()).collect();
    assert_eq!(tokens.len(), 100);
    let id = mint::id("a");
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(id, mint::id("b"));
}
