use super::*;

const PAY: &str = r#"
[duties]
read  = ["GET pay.example/v1/**"]
write = ["POST pay.example/v1/**"]
[[separate]]
duties = ["read", "write"]
"#;

fn with(before: &str, identities: &[(&str, &str, &str)]) -> String {
    let mut text = before.to_owned();
    for (name, owner, rest) in identities {
        text.push_str(&identity(name, owner, rest));
    }
    text
}

#[test]
fn combined() {
    let bad = with(
        PAY,
        &[
            ("a", "ann", "duties = [\"read\"]"),
            ("b", "ann", "duties = [\"write\"]"),
            ("c", "cob", "duties = [\"write\"]"),
        ],
    );
    assert_eq!(found(&bad, &input()), ["SOD001 ann", "SOD004 read, write"]);
    let finding = only(&bad, codes::COMBINED, &input());
    assert_eq!(
        finding.message,
        "ann holds read and write, which are separated"
    );
    assert_eq!(
        finding.witness.as_deref(),
        Some("read by a (p.toml:11:1) and write by b (p.toml:15:1)")
    );
    assert_eq!(finding.place.unwrap().to_string(), "p.toml:6:1");
    let good = with(
        PAY,
        &[
            ("a", "ann", "duties = [\"read\"]"),
            ("c", "cob", "duties = [\"write\"]"),
        ],
    );
    assert_eq!(found(&good, &input()), [""; 0]);
}

#[test]
fn reach() {
    let text = |route: &str| {
        let duties = PAY.replace("[[sep", &format!("all = [\"* {route}\"]\n[[sep"));
        with(
            &duties,
            &[
                ("a", "ann", "duties = [\"read\", \"all\"]"),
                ("c", "cob", "duties = [\"write\"]"),
            ],
        )
    };
    let bad = text("*/**");
    assert_eq!(found(&bad, &input()), ["SOD002 ann", "SOD004 read, write"]);
    let finding = only(&bad, codes::REACH, &input());
    let witness = finding.witness.unwrap();
    assert!(witness.starts_with("POST pay.example/v1 by a"), "{witness}");
    assert_eq!(found(&text("*/health"), &input()), [""; 0]);
    // Where the identity may not go it can do nothing.
    let bounded = |environment: &str| {
        let places = "[environments]\nprod = [\"pay.example\"]\ndev = [\"*.dev.example\"]\n";
        let only = format!("duties = [\"read\", \"all\"]\nenvironments = [\"{environment}\"]");
        places.to_owned() + &bad.replace("duties = [\"read\", \"all\"]", &only)
    };
    assert_eq!(found(&bounded("dev"), &input()), [""; 0]);
    assert_eq!(
        found(&bounded("prod"), &input()),
        ["SOD002 ann", "SOD004 read, write"]
    );
}

#[test]
fn overlap() {
    let text = |write: &str| {
        with(
            &PAY.replace("POST pay.example/v1/**", write),
            &[
                ("a", "ann", "duties = [\"read\"]"),
                ("c", "cob", "duties = [\"write\"]"),
            ],
        )
    };
    let bad = text("GET,POST *.example/{version}/orders");
    // And so each of the two can do all of it.
    assert_eq!(
        found(&bad, &input()),
        ["SOD003 read, write", "SOD004 read, write"]
    );
    let finding = only(&bad, codes::OVERLAP, &input());
    assert_eq!(
        finding.witness.as_deref(),
        Some("GET pay.example/v1/orders")
    );
    assert_eq!(found(&text("GET *.example/{version}"), &input()).len(), 2);
    assert_eq!(found(&text("GET *.example/v2/{id}"), &input()), [""; 0]);
}

#[test]
fn an_act_that_is_its_own_approval() {
    let text = r#"
[duties]
deploy  = ["POST ci.example/deployments/**"]
approve = ["POST ci.example/deployments/{id}/approve"]
[[approve]]
duty = "deploy"
by = "approve"
within = "1h"
"#;
    let people = [
        ("a", "ann", "duties = [\"deploy\"]"),
        ("c", "cob", "duties = [\"approve\"]"),
    ];
    let bad = with(text, &people);
    assert_eq!(found(&bad, &input()), ["SOD003 deploy, approve"]);
    let good = bad.replace("deployments/**", "deployments/{id}");
    assert_eq!(found(&good, &input()), [""; 0]);
}

#[test]
fn collusion_is_shown() {
    let text = with(
        &PAY.replace("[\"read\", \"write\"]", "[\"read\", \"write\", \"refund\"]")
            .replace("[[sep", "refund = [\"POST refund.example/\"]\n[[sep"),
        &[
            ("a", "ann", "duties = [\"read\"]"),
            ("b", "bob", "duties = [\"write\"]"),
            ("c", "cob", "duties = [\"refund\"]"),
        ],
    );
    let shown = |text: &str| {
        let all = lint(&policy(text), &input());
        all.iter()
            .filter(|f| f.code == codes::COLLUSION)
            .map(|f| (f.level, f.message.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&text),
        [(
            Level::Info,
            "it takes 3 owners to do read, write and refund".to_owned()
        )]
    );
    // Over objects, one owner may hold both; that only the monitor keeps them apart is less bad.
    let dynamic = with(
        r#"
[duties]
deploy  = ["POST ci.example/d/{id}"]
approve = ["POST ci.example/d/{id}/approve"]
[[separate]]
duties = ["deploy", "approve"]
on = "id"
within = "1d"
"#,
        &[("a", "ann", "duties = [\"deploy\", \"approve\"]")],
    );
    assert_eq!(
        shown(&dynamic),
        [(
            Level::Medium,
            "ann alone can do deploy and approve".to_owned()
        )]
    );
    let nobody = with(PAY, &[("a", "ann", "duties = [\"read\"]")]);
    let message = "no owners can do read and write: nobody is there for write";
    assert_eq!(shown(&nobody), [(Level::Info, message.to_owned())]);
}

#[test]
fn environments() {
    let text = |rest: &str, operation: &str| {
        let before = format!(
            "[environments]\nprod = [\"p.example\"]\ndev = [\"d.example\"]\nshared = [\"s.example\"]\n\
             [duties]\nx = [\"GET p.example/x\", \"{operation}\"]\n"
        );
        with(
            &before,
            &[("a", "ann", &format!("duties = [\"x\"]\n{rest}"))],
        )
    };
    for (rest, operation, want) in [
        (
            "environments = [\"prod\", \"dev\"]",
            "GET p.example/y",
            true,
        ),
        (
            "environments = [\"prod\", \"shared\"]",
            "GET d.example/y",
            false,
        ),
        ("environments = [\"prod\"]", "GET d.example/y", false),
        ("", "GET d.example/y", true),
        ("", "GET */y", true),
        ("", "GET s.example/y", false),
    ] {
        let want: &[&str] = if want { &["SOD005 a"] } else { &[] };
        assert_eq!(
            found(&text(rest, operation), &input()),
            want,
            "{rest} {operation}"
        );
    }
    for (name, want) in [
        ("prod", environments::Side::Production),
        ("production-eu", environments::Side::Production),
        ("eu.live", environments::Side::Production),
        ("Dev", environments::Side::Development),
        ("pre-prod", environments::Side::Development),
        ("nonprod", environments::Side::Development),
        ("staging", environments::Side::Development),
        ("shared", environments::Side::Other),
        ("delivery", environments::Side::Other),
        ("citadel", environments::Side::Other),
    ] {
        assert_eq!(environments::side(name), want, "{name}");
    }
}

#[test]
fn shared() {
    let text = |one: &str, other: &str| {
        with(
            PAY,
            &[
                ("a", "ann", &format!("duties = [\"read\"]\n{one}")),
                ("c", "cob", &format!("duties = [\"write\"]\n{other}")),
            ],
        )
    };
    let bad = text(
        "workloads = [\"unit:run@*.service\"]",
        "workloads = [\"exe:/x\", \"unit:*@7.service\"]",
    );
    assert_eq!(found(&bad, &input()), ["SOD006 a, c"]);
    let witness = only(&bad, codes::SHARED, &input()).witness.unwrap();
    assert!(witness.starts_with("unit:run@7.service"), "{witness}");
    for (one, other) in [
        (
            "workloads = [\"unit:a.service\"]",
            "workloads = [\"unit:b.service\"]",
        ),
        (
            "workloads = [\"unit:a.service\"]",
            "workloads = [\"user:a\"]",
        ),
        ("workloads = [\"unit:a.service\"]", ""),
    ] {
        assert_eq!(found(&text(one, other), &input()), [""; 0], "{one} {other}");
    }
    let same_duty = bad.replace("duties = [\"write\"]", "duties = [\"read\"]");
    assert_eq!(found(&same_duty, &input()), ["SOD011 write"]);
}

#[test]
fn approvers() {
    let text = |distinct: &str, identities: &[(&str, &str, &str)]| {
        let before = format!(
            "[duties]\npay = [\"POST p.example/\"]\nok = [\"POST o.example/\"]\n[[approve]]\nduty = \"pay\"\n\
             by = \"ok\"\nwithin = \"1h\"\ndistinct = \"{distinct}\"\n"
        );
        found(&with(&before, identities), &input())
    };
    let (pay, ok, both) = (
        "duties = [\"pay\"]",
        "duties = [\"ok\"]",
        "duties = [\"pay\", \"ok\"]",
    );
    assert_eq!(
        text("owner", &[("a", "ann", pay)]),
        ["SOD007 pay", "SOD011 ok"]
    );
    assert_eq!(text("owner", &[("a", "ann", both)]), ["SOD007 pay"]);
    assert_eq!(
        text("owner", &[("a", "ann", pay), ("b", "ann", ok)]),
        ["SOD007 pay"]
    );
    assert_eq!(
        text("owner", &[("a", "ann", pay), ("c", "cob", ok)]),
        [""; 0]
    );
    assert_eq!(
        text("owner", &[("a", "ann", both), ("c", "cob", both)]),
        [""; 0]
    );
    assert_eq!(text("identity", &[("a", "ann", both)]), ["SOD007 pay"]);
    // Two identities of one human approve each other, as the policy lets them.
    assert_eq!(
        text("identity", &[("a", "ann", pay), ("b", "ann", ok)]),
        ["SOD004 pay, ok"]
    );
}

#[test]
fn high_value() {
    let text = |destination: &str, write: &str| {
        let before = format!(
            "high-value = [\"{destination}\"]\n[duties]\nr = [\"GET v.example/**\", \"GET 10.0.0.7/\", \"GET unix:/run/v:/\"]\n\
             w = [\"{write}\"]\n"
        );
        with(
            &before,
            &[
                ("a", "ann", "duties = [\"r\"]"),
                ("b", "ann", "duties = [\"w\"]"),
            ],
        )
    };
    for (destination, write, want) in [
        ("v.example", "POST v.example/x", true),
        ("*.example", "DELETE *.example/x", true),
        ("v.example", "POST w.example/x", false),
        ("v.example", "GET v.example/x", false),
        ("10.0.0.0/8", "PUT 10.0.0.9/x", true),
        ("10.0.0.0/8", "PUT 11.0.0.9/x", false),
        ("10.0.0.0/8", "PUT */x", true),
        ("unix:/run/v", "POST unix:/run/v:/x", true),
        ("unix:/run/v", "POST unix:/run/w:/x", false),
    ] {
        let want: &[&str] = if want { &["SOD008 ann"] } else { &[] };
        assert_eq!(
            found(&text(destination, write), &input()),
            want,
            "{destination} {write}"
        );
    }
    let bad = text("v.example", "POST v.example/x");
    let witness = only(&bad, codes::HIGH_VALUE, &input()).witness;
    assert_eq!(
        witness.as_deref(),
        Some("GET v.example/ by a, POST v.example/x by b")
    );
}

#[test]
fn second_factor() {
    let text = |more: &str| {
        let before = format!("[duties.x]\noperations = [\"GET x.example/\"]\n{more}\n");
        found(
            &with(&before, &[("a", "ann", "duties = [\"x\"]")]),
            &input(),
        )
    };
    assert_eq!(text("privileged = true"), ["SOD009 x"]);
    assert_eq!(
        text("privileged = true\nsecond-factor = false"),
        ["SOD009 x"]
    );
    assert_eq!(text("privileged = true\nsecond-factor = true"), [""; 0]);
    assert_eq!(text(""), [""; 0]);
}

#[test]
fn unheld_and_unused() {
    let text = with(
        "[duties]\nx = [\"GET x.example/\"]\ny = [\"GET y.example/\"]\n",
        &[
            ("a", "ann", "duties = [\"x\"]"),
            ("b", "bob", "duties = [\"x\"]"),
            ("trap", "sec", ""),
        ],
    );
    assert_eq!(found(&text, &input()), ["SOD011 y"]);
    let unknown = lint(&policy(&text), &input());
    let told: Vec<_> = unknown.iter().filter(|f| f.code == codes::UNUSED).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].message,
        "identities that nobody uses were not looked for: no daemon runs"
    );
    let live = LintInput {
        live: Live::Seen {
            names: ["a".to_owned()].into_iter().collect(),
            since: "2026-01-01T00:00:00Z".to_owned(),
        },
        ..input()
    };
    assert_eq!(found(&text, &live), ["SOD011 y", "SOD012 b"]);
}

#[test]
fn acceptances() {
    let text = |code: &str, subject: &str, until: &str| {
        let before = format!(
            "[duties]\nx = [\"GET x.example/\"]\ny = [\"GET y.example/\"]\n[[accept]]\ncode = \"{code}\"\n\
             subject = \"{subject}\"\nreason = \"comes in spring\"\nuntil = \"{until}\"\n"
        );
        with(&before, &[("a", "ann", "duties = [\"x\"]")])
    };
    let good = text("SOD011", "y", "2026-11-24");
    assert_eq!(found(&good, &input()), [""; 0]);
    let all = lint(&policy(&good), &input());
    let accepted = all.iter().find(|f| f.code == codes::UNHELD).unwrap();
    assert_eq!(
        accepted.accepted,
        Some(Accepted {
            reason: "comes in spring".into(),
            until: "2026-11-24".into()
        })
    );
    let over = text("SOD011", "y", "2026-11-23");
    assert_eq!(found(&over, &input()), ["SOD013 SOD011 y", "SOD011 y"]);
    assert_eq!(
        found(&text("SOD011", "z", "2027-01-01"), &input()),
        ["SOD011 y", "SOD014 SOD011 z"]
    );
    // What could not be looked at may still be there.
    assert_eq!(
        found(&text("SOD012", "a", "2027-01-01"), &input()),
        ["SOD011 y"]
    );
    // A number is no finding, and cannot be accepted.
    assert_eq!(
        found(&text("SOD004", "x, y", "2027-01-01"), &input()),
        ["SOD011 y", "SOD014 SOD004 x, y"]
    );
}

#[test]
fn a_policy_that_says_nothing_is_good() {
    let all = lint(&Policy::empty(), &input());
    assert!(
        all.iter().all(|finding| finding.level == Level::Info),
        "{all:?}"
    );
}

#[test]
fn every_code_is_documented() {
    let docs = include_str!("../../../../docs/policy.md");
    for code in CODES {
        let row = format!("| `{}` | {} |", code.id, code.text);
        assert!(docs.contains(&row), "docs/policy.md lacks: {row}");
        assert!(
            docs.contains(code.help),
            "docs/policy.md lacks: {}",
            code.help
        );
    }
}

#[test]
fn the_example_is_good() {
    let text = include_str!("../../../../config/policy.toml").replacen("version = 1", "", 1);
    assert_eq!(found(&text, &input()), [""; 0]);
}
