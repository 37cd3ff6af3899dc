//! What is written: snapshots, order, hostile names.

use super::*;

#[test]
fn exports_of_a_shop() {
    let policy = policy(SHOP);
    for (name, target, from) in [
        ("envoy", Target::EnvoyRbac, "claim:role"),
        ("istio", Target::Istio, "claim:role"),
        ("opa", Target::Opa, "claim:role"),
        ("nginx", Target::Nginx, "variable:bailiwick_role"),
    ] {
        let written = write(target, &lock(&policy, from));
        insta::assert_snapshot!(format!("{name}_of_a_shop"), written.text);
        if let Some(tests) = written.tests {
            insta::assert_snapshot!(format!("{name}_tests_of_a_shop"), tests);
        }
        for note in &written.notes {
            assert!(
                written
                    .text
                    .contains(&quote::comment(&format!("Note: {note}"))),
                "{note}"
            );
        }
    }
}

#[test]
fn roles_may_be_duties() {
    let lock = Lock::new(
        &policy(SHOP),
        RoleIs::Duty,
        RoleFrom::Header("x-duty".into()),
    );
    let names: Vec<&str> = lock.roles.iter().map(|role| &*role.name).collect();
    assert_eq!(
        names,
        ["approve", "deploy", "files", "pay-read", "pay-write"]
    );
}

#[test]
fn the_order_of_a_policy_does_not_matter() {
    let one = [
        (
            "a",
            vec![
                "GET a.example/x".to_owned(),
                "POST b.example/{y}".to_owned(),
            ],
        ),
        ("b", vec!["GET c.example/**".to_owned()]),
    ];
    // Duties are numbered by place, so that only operations and roles are turned around.
    let two = [
        ("b", vec!["GET c.example/**".to_owned()]),
        (
            "a",
            vec![
                "POST b.example/{y}".to_owned(),
                "GET a.example/x".to_owned(),
            ],
        ),
    ];
    for target in [Target::EnvoyRbac, Target::Istio, Target::Nginx, Target::Opa] {
        let text = |roles: &[(&str, Vec<String>)]| {
            let text = write(target, &lock(&of_operations(roles), sources(target)[0])).text;
            text.lines()
                .filter(|line| !line.trim_start().starts_with('#'))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(text(&one), text(&two));
    }
}

pub(super) const HOSTILE: [&str; 13] = [
    "x\" 1;\n    default 1;\n    \"y",
    "x\" 1; default 1; \"y",
    "x\"}}, {any: true}, {{\"",
    "*/ #",
    "$bailiwick_role",
    ".*",
    "a|b",
    "(?i)x",
    "x\\",
    "x' or 1",
    "{{ x }}",
    "\u{2028}\u{85}\u{feff}",
    "role GET evil.example:80 /",
];

#[test]
fn hostile_names_do_not_break_out() {
    let mut tried = 0;
    for name in HOSTILE {
        // A role beside it that must not profit.
        let roles = [
            (name, vec!["GET good.example/x".to_owned()]),
            ("other", vec!["GET b.example/y".to_owned()]),
        ];
        let Ok(policy) = try_of_operations(&roles) else {
            continue;
        };
        tried += 1;
        for target in READABLE {
            for from in sources(target) {
                let lock = lock(&policy, from);
                let written = write(target, &lock);
                let gate = read_back(target, &written);
                assert_eq!(gate.unread, [], "{}", written.text);
                let ask = |role: Option<&str>, request| {
                    compare::decide(&lock, &gate, role, request).unwrap()
                };
                assert_eq!(
                    ask(Some("other"), ("GET", "b.example", "/y")),
                    Some(true),
                    "{name:?} {}",
                    written.text
                );
                for role in [None, Some("other")] {
                    for request in [
                        ("GET", "good.example", "/x"),
                        ("GET", "evil.example", "/"),
                        ("POST", "b.example", "/y"),
                    ] {
                        assert_eq!(
                            ask(role, request),
                            Some(false),
                            "{name:?} {request:?}\n{}",
                            written.text
                        );
                    }
                }
                if lock.roles.iter().any(|role| *role.name == *name)
                    && !(target == Target::Istio && name.contains('*'))
                {
                    assert_eq!(
                        ask(Some(name), ("GET", "good.example", "/x")),
                        Some(true),
                        "{name:?}\n{}",
                        written.text
                    );
                    assert_eq!(
                        ask(Some(name), ("GET", "b.example", "/y")),
                        Some(false),
                        "{name:?}\n{}",
                        written.text
                    );
                } else {
                    assert!(
                        written.notes.iter().any(|note| note.contains("left out")),
                        "{name:?}"
                    );
                }
            }
        }
    }
    assert!(tried >= 10, "the policy refuses the others: {tried}");
}

#[test]
fn hostile_operations_stay_operations() {
    let operations = [
        "GET a.example/x\"y",
        "GET a.example/a'b;c",
        "GET a.example/$uri",
        "GET a.example/(.*)",
        "GET a.example/a%0Ab",
        "GET a.example/%2A",
        "GET a.example/a[b]",
        "A|B a.example/z",
        "GET a.example/\\d",
        "GET a.example/a+b",
        "`x` a.example/x",
    ];
    let good: Vec<String> = operations
        .iter()
        .filter(|text| crate::policy::Operation::parse(text).is_ok())
        .map(|t| (*t).to_owned())
        .collect();
    assert!(good.len() >= 8, "{good:?}");
    let policy = of_operations(&[("r", good)]);
    for target in READABLE {
        let lock = lock(&policy, sources(target)[0]);
        let gate = read_back(target, &write(target, &lock));
        let ask =
            |path| compare::decide(&lock, &gate, Some("r"), ("GET", "a.example", path)).unwrap();
        assert_eq!(gate.unread, []);
        assert_eq!(ask("/$uri"), Some(true));
        assert_eq!(ask("/(.x)"), Some(false));
        assert_eq!(ask("/aab"), Some(false));
        assert_eq!(ask("/a+b"), Some(true));
        assert_eq!(ask("/x"), Some(false));
        assert_eq!(
            compare::decide(&lock, &gate, Some("r"), ("A", "a.example", "/z")).unwrap(),
            Some(false)
        );
    }
}
