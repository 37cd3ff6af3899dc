//! Exported Rego, evaluated by an interpreter.

use proptest::prelude::*;
use regorus::{Engine, Value};

use super::*;
use crate::access::Peer;
use crate::policy::Request;
use crate::policy::path::Reading;

fn engine(written: &Written) -> Engine {
    let mut engine = Engine::new();
    engine.set_rego_v0(false);
    engine
        .add_policy("bailiwick.rego".into(), written.text.clone())
        .unwrap_or_else(|e| panic!("{e}\n{}", written.text));
    engine
}

fn allow(engine: &mut Engine, input: serde_json::Value) -> bool {
    engine.set_input(Value::from_json_str(&input.to_string()).unwrap());
    engine
        .eval_rule("data.bailiwick.authz.allow".into())
        .unwrap()
        == Value::from(true)
}

#[test]
fn generated_tests_pass() {
    for from in sources(Target::Opa) {
        let written = write(Target::Opa, &lock(&policy(SHOP), from));
        let mut engine = engine(&written);
        let tests = written.tests.clone().unwrap();
        engine
            .add_policy("bailiwick_test.rego".into(), tests.clone())
            .unwrap();
        let names: Vec<&str> = tests
            .lines()
            .filter_map(|line| line.strip_suffix(" if {"))
            .collect();
        assert!(names.len() > 8, "{tests}");
        for name in names {
            let result = engine
                .eval_rule(format!("data.bailiwick.authz_test.{name}"))
                .unwrap();
            assert_eq!(
                result,
                Value::from(true),
                "{name}\n{tests}\n{}",
                written.text
            );
        }
    }
}

#[test]
fn hostile_names_do_not_break_out_of_rego() {
    for name in [
        "x\" }; allow := true #",
        "`",
        "x\\",
        "{}",
        "%s",
        "\"] == 1 }",
    ] {
        let policy = of_operations(&[
            (name, vec!["GET a.example/x".to_owned()]),
            ("other", vec!["GET b.example/y".to_owned()]),
        ]);
        let mut engine = engine(&write(Target::Opa, &lock(&policy, "claim:role")));
        let mut ask = |role: &str, host: &str, path: &str| {
            allow(
                &mut engine,
                serde_json::json!({"claims": {"role": role}, "method": "GET", "host": host, "path": path}),
            )
        };
        assert!(!ask("nobody", "a.example", "/x"));
        assert!(ask("other", "b.example", "/y"));
        let printable = name.chars().all(|c| matches!(c, ' '..='~'));
        assert_eq!(ask(name, "a.example", "/x"), printable, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn rego_is_never_wider(
        operations in prop::collection::vec(super::round_trip::operation(), 1..4),
        requests in prop::collection::vec(super::round_trip::request(), 30),
    ) {
        let policy = of_operations(&[("one", operations)]);
        let lock = lock(&policy, "claim:role");
        let written = write(Target::Opa, &lock);
        let mut engine = engine(&written);
        let mut reading = Reading::new();
        for (method, host, path) in requests {
            reading.read(&path);
            let request = Request::new(method, host, &Peer::Unknown, &reading);
            let Some(role) = lock.roles.first() else { continue };
            let granted = role.operations.iter().any(|operation| operation.matches(&request));
            let open = allow(&mut engine, serde_json::json!({"claims": {"role": "one"}, "method": method, "host": host, "path": path}));
            prop_assert!(granted || !open, "{} {}{}\n{}", method, host, path, written.text);
            // Plain requests are decided alike, unless an operation had to be left out.
            let plain = !path.contains(['%', ';', '*']) && lock.notes.is_empty();
            prop_assert!(!plain || granted == open || path.contains("/.") , "{} {}{}\n{}", method, host, path, written.text);
        }
    }
}
