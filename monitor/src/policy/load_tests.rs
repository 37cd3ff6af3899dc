//! Loading: merging, messages, and that nothing makes it panic.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::rules::Distinct;
use super::*;
use crate::access::{Claims, Credential, CredentialKind, Workload};

/// Files in memory.
#[derive(Default)]
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    fn with(files: &[(&str, &str)]) -> Self {
        Self(
            files
                .iter()
                .map(|(path, text)| (path.into(), text.as_bytes().to_vec()))
                .collect(),
        )
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        if self.0.contains_key(path) {
            return Ok(None);
        }
        let within: Vec<_> = self
            .0
            .keys()
            .filter(|file| file.parent() == Some(path))
            .cloned()
            .collect();
        // Any order: the loader sorts.
        let within: Vec<_> = within.into_iter().rev().collect();
        if within.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(Some(within))
        }
    }
}

fn key() -> FingerprintKey {
    FingerprintKey::new([1; 32])
}

fn load_from(files: &[(&str, &str)], paths: &[&str]) -> Result<Loaded, Vec<PolicyError>> {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    load(&paths, Path::new("/etc/bw"), &Memory::with(files), &key())
}

fn load_text(text: &str) -> Result<Loaded, Vec<PolicyError>> {
    load_from(&[("/etc/bw/p.toml", text)], &["p.toml"])
}

fn words(result: &Result<Loaded, Vec<PolicyError>>) -> String {
    let mut out = String::new();
    match result {
        Ok(loaded) => {
            loaded
                .warnings
                .iter()
                .for_each(|w| writeln!(out, "{:?} {w}", w.kind).unwrap());
        }
        Err(errors) => errors.iter().for_each(|e| writeln!(out, "{e}").unwrap()),
    }
    out
}

fn bearer(secret: &str) -> Credential {
    Credential {
        kind: CredentialKind::Bearer,
        fingerprint: key().fingerprint(secret.as_bytes()),
        hint: None,
        claims: Claims::default(),
        default_identity: "x".into(),
    }
}

fn name_of(policy: &Policy, credential: &Credential) -> Option<String> {
    policy
        .identify(credential)
        .map(|identity| identity.name.to_string())
}

#[test]
fn every_form_parses() {
    let loaded = load_from(
        &[
            ("/etc/bw/p.toml", include_str!("fixtures/design.toml")),
            ("/etc/ci/token", "  s3cret\n"),
            ("/root/.aws/old-key", "AKIAIOSFODNN7EXAMPLE"),
        ],
        &["p.toml"],
    )
    .unwrap();
    assert_eq!(
        words(&Ok(Loaded {
            policy: Policy::empty(),
            warnings: loaded.warnings
        })),
        ""
    );
    let policy = loaded.policy;
    assert_eq!(policy.identities().len(), 2);
    assert_eq!(policy.duties().len(), 4);
    assert_eq!(
        name_of(&policy, &bearer("s3cret")).as_deref(),
        Some("ci-bot"),
        "trimmed"
    );
    let trap = policy.identify(&bearer("AKIAIOSFODNN7EXAMPLE")).unwrap();
    assert!(trap.is_canary());
    let ci = policy.identify(&bearer("s3cret")).unwrap();
    assert_eq!(
        (&*ci.owner, ci.credentials.len(), ci.place.line),
        ("team-ci", 3, 13)
    );
    assert_eq!(ci.places.environments.as_ref().map(|p| p.line), Some(18));

    let name = |id| policy.duty(id).unwrap().name.to_string();
    let separations = policy.separations();
    assert_eq!(separations.len(), 2);
    assert_eq!(separations[0].on, None);
    assert_eq!(separations[1].on.as_deref(), Some("id"));
    assert_eq!(
        separations[1].within.map(|d| d.as_secs()),
        Some(30 * 86_400)
    );
    assert_eq!(
        separations[1]
            .duties
            .iter()
            .map(|d| name(*d))
            .collect::<Vec<_>>(),
        ["deploy", "approve"]
    );
    let [approval] = policy.approvals() else {
        panic!()
    };
    assert_eq!(
        (name(approval.duty), name(approval.by)),
        ("pay-write".into(), "approve".into())
    );
    assert_eq!(
        (approval.distinct, approval.within.as_secs()),
        (Distinct::Owner, 3600)
    );
}

#[test]
fn what_checks_look_at_is_compiled() {
    let text = "version = 1\nhigh-value = [\"api.example\", \"10.0.0.0/8\"]\n[environments]\ndev = []\n\
                [workload-environments]\ndev = [\"user:dev\"]\n[duties]\nx = [\"GET a.example/x\"]\n\
                [duties.y]\noperations = [\"POST a.example/y\"]\nprivileged = true\nsecond-factor = true\n\
                [identities.i]\nowner = \"o\"\ncredentials = [\"basic:user=i\"]\nduties = [\"x\"]\n\
                hours = [\"Mon-Fri 07-19 Europe/Berlin\", \"22-06\"]\n";
    let more = "high-value = [\"unix:/run/docker.sock\"]\n";
    let files = [("/etc/bw/a.toml", text), ("/etc/bw/b.toml", more)];
    let policy = load_from(&files, &["a.toml", "b.toml"]).unwrap().policy;
    let duties: Vec<_> = policy
        .duties()
        .map(|d| (&*d.name, d.operations.len(), d.privileged, d.second_factor))
        .collect();
    assert_eq!(duties, [("x", 1, false, false), ("y", 1, true, true)]);
    let places: Vec<_> = policy
        .duties()
        .map(|d| d.second_factor_place.as_ref().map(|p| p.line))
        .collect();
    assert_eq!(places, [None, Some(12)]);
    let worth: Vec<_> = policy.high_value().iter().map(|v| &*v.text).collect();
    assert_eq!(
        worth,
        ["api.example", "10.0.0.0/8", "unix:/run/docker.sock"]
    );
    let identity = policy.identities().next().unwrap();
    let hours: Vec<_> = identity.hours.as_ref().unwrap().texts().collect();
    assert_eq!(hours, ["Mon-Fri 07-19 Europe/Berlin", "22-06"]);
    assert_eq!(identity.places.hours.as_ref().map(|p| p.line), Some(17));
}

fn workload(exe: &str, unit: Option<&str>, user: &str) -> Workload {
    Workload {
        exe: exe.into(),
        unit: unit.map(Into::into),
        container: None,
        user: user.into(),
        lineage: Arc::from([]),
    }
}

#[test]
fn the_most_precise_entry_decides() {
    let policy = load_text(
        "version = 1\n[environments]\nprod = []\ndev = []\nlab = []\n[workload-environments]\n\
         prod = [\"unit:pay.service\", \"user:*\", \"exe:/opt/*\"]\n\
         dev = [\"unit:*.service\", \"user:dev\", \"exe:/opt/ci/*\"]\nlab = [\"exe:/opt/ci/lab\"]\n",
    )
    .unwrap()
    .policy;
    let of = |exe: &str, unit: Option<&str>, user: &str| {
        policy
            .workload_environment(&workload(exe, unit, user))
            .and_then(|id| policy.environments().name(id))
            .map(ToString::to_string)
    };
    for (exe, unit, user, want) in [
        ("/bin/a", Some("pay.service"), "dev", Some("prod")),
        ("/bin/a", Some("other.service"), "root", Some("dev")),
        ("/opt/ci/lab", None, "dev", Some("lab")),
        ("/opt/ci/x", None, "root", Some("dev")),
        ("/opt/x", None, "dev", Some("prod")),
        ("/bin/a", None, "dev", Some("dev")),
        ("/bin/a", None, "root", Some("prod")),
        // Nothing is known of it: nothing is said.
        ("/bin/a", None, "", None),
    ] {
        assert_eq!(
            of(exe, unit, user).as_deref(),
            want,
            "{exe} {unit:?} {user}"
        );
    }
}

macro_rules! golden {
    ($name:ident, $file:literal) => {
        #[test]
        fn $name() {
            let files = [
                ("/etc/bw/p.toml", include_str!(concat!("fixtures/", $file))),
                ("/etc/bw/same", "one secret"),
                ("/etc/bw/same2", "one secret\n"),
            ];
            let result = load_from(&files, &["p.toml"]);
            assert!(result.is_err());
            let words = words(&result);
            assert!(!words.contains("hunter2"), "a message repeats what may be a secret");
            insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!($file, words);
            });
        }
    };
}

golden!(unknown_keys, "unknown-keys.toml");
golden!(unknown_names, "unknown-names.toml");
golden!(bad_values, "bad-values.toml");
golden!(syntax, "syntax.toml");
golden!(version, "version.toml");
golden!(no_version, "no-version.toml");
golden!(bad_rules, "bad-rules.toml");

#[test]
fn files_that_are_not_there() {
    let result = load_from(&[], &["p.toml"]);
    assert!(
        words(&result).starts_with("/etc/bw/p.toml: cannot be read"),
        "{}",
        words(&result)
    );
    let result = load_from(&[], &["p.d/"]);
    assert!(words(&result).starts_with("MissingDirectory /etc/bw/p.d/: no such directory"));
    let result = load_from(&[("/etc/bw/p.toml", "")], &["p.toml/"]);
    assert!(
        words(&result).contains("not a directory"),
        "{}",
        words(&result)
    );
    assert_eq!(load_from(&[], &[]).unwrap().policy.identities().len(), 0);
    assert!(load_text("# nothing\n").is_ok());
}

#[test]
fn not_utf8_and_too_large() {
    let mut files = Memory::default();
    files
        .0
        .insert("/etc/bw/p.toml".into(), b"version = 1\n# \xff\n".to_vec());
    let errors = load(&["p.toml".into()], Path::new("/etc/bw"), &files, &key()).unwrap_err();
    assert!(
        errors[0]
            .to_string()
            .starts_with("/etc/bw/p.toml:2:1: not UTF-8"),
        "{}",
        errors[0]
    );
    files
        .0
        .insert("/etc/bw/p.toml".into(), vec![b'#'; LARGEST_FILE + 1]);
    let errors = load(&["p.toml".into()], Path::new("/etc/bw"), &files, &key()).unwrap_err();
    assert!(errors[0].problem.contains("more than"), "{}", errors[0]);
}

#[test]
fn drop_ins_merge_in_the_order_of_their_names() {
    let files = [
        (
            "/etc/bw/p.toml",
            "version = 1\n[environments]\nprod = [\"a.example\"]\ndev = [\"d.example\"]\n",
        ),
        (
            "/etc/bw/p.d/20-b.toml",
            "[environments]\nprod = [\"b.example\"]\nlab = [\"l.example\"]\n",
        ),
        (
            "/etc/bw/p.d/10-a.toml",
            "[environments]\nprod = [\"c.example\"]\n[duties]\nx = [\"GET a.example/x\"]\n\
             y = [\"GET a.example/y\"]\n[[separate]]\nduties = [\"x\", \"y\"]\n",
        ),
        (
            "/etc/bw/p.d/30-c.toml",
            "[[separate]]\nduties = [\"y\", \"x\"]\n[identities.i]\nowner = \"o\"\n\
             credentials = [\"basic:user=i\"]\nduties = [\"x\"]\nenvironments = [\"dev\", \"lab\"]\n",
        ),
        ("/etc/bw/p.d/99-ignored.toml.bak", "nonsense"),
        ("/etc/bw/p.d/.#99-ignored.toml", "nonsense"),
        ("/etc/bw/p.d/README", "nonsense"),
    ];
    let loaded = load_from(&files, &["p.toml", "p.d/"]).unwrap();
    let all = loaded.policy.environments();
    let claimed = |host| {
        all.claimed(host)
            .and_then(|id| all.name(id))
            .map(|name| name.to_string())
    };
    assert_eq!(claimed("a.example"), None, "replaced as a whole");
    assert_eq!(claimed("c.example"), None, "replaced twice");
    assert_eq!(claimed("b.example").as_deref(), Some("prod"));
    assert_eq!(claimed("d.example").as_deref(), Some("dev"));
    assert_eq!(claimed("l.example").as_deref(), Some("lab"));
    assert_eq!(loaded.policy.separations().len(), 2, "lists append");
    let warnings: Vec<_> = loaded
        .warnings
        .iter()
        .map(|w| (w.kind, w.to_string()))
        .collect();
    assert_eq!(warnings.len(), 2);
    assert_eq!(warnings[0].0, WarningKind::Replaced);
    assert_eq!(
        warnings[1].1,
        "/etc/bw/p.d/20-b.toml:2:1: environments.prod: replaces the definition at \
         /etc/bw/p.d/10-a.toml:2:1\n  hint: remove one of the two if that is not meant"
    );
    assert!(!loaded.warnings[0].fails_check());
}

#[test]
fn an_identity_is_replaced_as_a_whole() {
    let first = "version = 1\n[duties]\nx = [\"GET a.example/x\"]\n[identities.i]\nowner = \"o\"\n\
                 credentials = [\"basic:user=i\"]\nduties = [\"x\"]\n";
    let second = "[identities.i]\nowner = \"p\"\ncredentials = [\"basic:user=j\"]\n";
    let files = [("/etc/bw/a.toml", first), ("/etc/bw/b.toml", second)];
    let loaded = load_from(&files, &["a.toml", "b.toml"]).unwrap();
    let [identity] = &loaded.policy.identities().collect::<Vec<_>>()[..] else {
        panic!()
    };
    assert_eq!((&*identity.owner, identity.is_canary()), ("p", true));
}

#[test]
fn a_broken_file_does_not_hide_what_is_wrong_in_another() {
    let files = [
        ("/etc/bw/a.toml", "version = 1\n[duties\n"),
        (
            "/etc/bw/b.toml",
            "[identities.i]\nowner = \"o\"\ncredentials = [\"basic:user=i\"]\nduties = [\"x\"]\nz = 1\n",
        ),
    ];
    let words = words(&load_from(&files, &["a.toml", "b.toml"]));
    assert!(words.contains("a.toml:2:"), "{words}");
    assert!(
        words.contains("b.toml:5:1: identities.i.z: unknown key"),
        "{words}"
    );
    assert!(
        !words.contains("there is no duty"),
        "x may stand in the broken file: {words}"
    );
}

#[test]
fn credential_files() {
    let text = "version = 1\n[identities.i]\nowner = \"o\"\n\
                credentials = [\"file:one\", \"file:/abs/two\", \"file:gone\", \"file:empty\", \"file:many\", \
                \"file:jwt\"]\n";
    let files = [
        ("/etc/bw/p.toml", text),
        ("/etc/bw/one", "1111\n"),
        ("/abs/two", "2222"),
        ("/etc/bw/empty", " \n"),
        ("/etc/bw/many", "a\nb\n"),
        ("/etc/bw/jwt", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln\n"),
    ];
    let loaded = load_from(&files, &["p.toml"]).unwrap();
    for secret in ["1111", "2222", "a\nb"] {
        assert_eq!(
            name_of(&loaded.policy, &bearer(secret)).as_deref(),
            Some("i"),
            "{secret}"
        );
    }
    let failing: Vec<String> = loaded
        .warnings
        .iter()
        .filter(|w| w.fails_check())
        .map(|w| w.what.key.clone())
        .collect();
    assert_eq!(
        failing,
        ["identities.i.credentials[2]", "identities.i.credentials[3]"]
    );
    let words = words(&Ok(loaded));
    assert!(words.contains("/etc/bw/gone cannot be read"), "{words}");
    assert!(words.contains("holds a JWT"), "{words}");
    for secret in ["1111", "2222", "eyJ"] {
        assert!(!words.contains(secret), "{words}");
    }
}

#[test]
fn the_example_policy_loads_without_any_other_file() {
    let files = [
        (
            "/etc/bw/policy.toml",
            include_str!("../../../config/policy.toml"),
        ),
        (
            "/etc/bw/policy.d/50-example.toml",
            include_str!("../../../config/policy.d/50-example.toml"),
        ),
    ];
    let loaded = load_from(&files, &["policy.toml", "policy.d/"]).unwrap_or_else(|errors| {
        panic!("{}", words(&Err(errors)));
    });
    assert_eq!(words(&Ok(loaded)), "");
}

/// The first policy of docs/policy.md, as it stands there.
#[test]
fn a_whole_policy_is_short() {
    let page = include_str!("../../../docs/policy.md");
    let (_, section) = page.split_once("## A whole one\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let lines: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    assert!((20..30).contains(&lines.len()), "{}", lines.len());
    let text = lines.join("\n");
    let files = [
        ("/etc/bw/p.toml", text.as_str()),
        ("/etc/ci/token", "one"),
        ("/etc/bi/token", "two"),
    ];
    let loaded = load_from(&files, &["p.toml"]).unwrap_or_else(|errors| {
        panic!("{}", words(&Err(errors)));
    });
    let policy = &loaded.policy;
    let names: Vec<_> = policy
        .identities()
        .map(|i| (&*i.name, i.only_reads))
        .collect();
    assert_eq!(
        names,
        [
            ("ci-bot", false),
            ("reports", true),
            ("alice", false),
            ("bob", false),
            ("trap", false)
        ]
    );
    assert_eq!(policy.high_value().len(), 1);
    assert!(policy.duties().any(|duty| duty.second_factor));
    assert_eq!(words(&Ok(loaded)), "");
}

/// Text that is nearly a policy: known keys and values in wrong places.
fn nearly() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "version",
        "environments",
        "duties",
        "identities",
        "separate",
        "approve",
        "owner",
        "credentials",
        "on",
        "within",
        "distinct",
        "by",
        "duty",
        "x",
        "\"\"",
        "workloads",
        "hours",
        "high-value",
        "workload-environments",
        "second-factor",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "\"x\"",
        "[]",
        "[\"GET a/x\"]",
        "[\"*.a\", 1]",
        "{ x = [\"a\"] }",
        "{}",
        "[[]]",
        "\"30d\"",
        "1979-05-27",
        "nan",
        "true",
        "\"Mon-Fri 07-19 Europe/Berlin\"",
        "{ x = { operations = [\"GET a/x\"], privileged = true, second-factor = true } }",
        "[\"jwt:iss=a,sub=b\", \"file:x\"]",
        "[{ duties = [\"x\", \"y\"], on = \"z\" }]",
        "{ x = { owner = \"o\", credentials = [\"basic:user=a\"], duties = [\"x\"] } }",
        "0x",
        "\"",
    ]);
    let line = (name.clone(), name, value, 0..5_u8).prop_map(|(a, b, value, form)| match form {
        0 => format!("{a} = {value}"),
        1 => format!("[{a}]\n{b} = {value}"),
        2 => format!("[[{a}]]\n{b} = {value}"),
        3 => format!("[{a}.{b}]"),
        _ => format!("{a}.{b} = {value}"),
    });
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn never_panics_on_near_misses(text in nearly()) {
        if let Err(errors) = load_text(&text) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                let words = error.to_string();
                prop_assert!(words.starts_with("/etc/bw/p.toml"), "{}", words);
            }
        }
    }

    #[test]
    fn never_panics_on_anything(text in "(?s).{0,200}") {
        let _ = load_text(&text);
    }

    #[test]
    fn never_panics_on_cut_and_changed_policies(cut in 0..1700_usize, at in 0..1700_usize, with in any::<char>()) {
        let whole = include_str!("fixtures/design.toml");
        let _ = load_text(whole.get(..cut).unwrap_or(whole));
        let mut changed: Vec<char> = whole.chars().collect();
        if let Some(slot) = changed.get_mut(at) {
            *slot = with;
        }
        let _ = load_text(&changed.into_iter().collect::<String>());
    }
}
