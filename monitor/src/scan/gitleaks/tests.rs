//! Rule files are taken whole, or refused with the rule's name.

use super::super::{Buffer, Scanner};
use super::parse;

fn found(rules: &str, path: &str, text: &str) -> Vec<(String, String, bool)> {
    let scanner = Scanner::new(parse(rules).unwrap().rules).unwrap();
    let mut all = Vec::new();
    scanner
        .scan(
            path.as_bytes(),
            text.as_bytes(),
            &mut Buffer::default(),
            |hit| {
                let secret = String::from_utf8_lossy(hit.secret).into_owned();
                all.push((scanner.id(hit.rule).to_owned(), secret, hit.allowed));
            },
        )
        .unwrap();
    all
}

/// A rule file of one rule.
fn one(more: &str) -> String {
    format!(
        "title = \"x\"\n[[rules]]\nid = \"acme\"\nregex = '''acme_([a-z]+)([0-9]*)'''\nkeywords = [\"ACME_\"]\n{more}"
    )
}

fn secrets(rules: &str, path: &str, text: &str) -> Vec<String> {
    found(rules, path, text)
        .into_iter()
        .map(|(_, secret, _)| secret)
        .collect()
}

#[test]
fn groups_keywords_paths_and_entropy_count() {
    assert_eq!(secrets(&one(""), "a", "x acme_abc7 y"), ["abc"]);
    assert_eq!(secrets(&one("secretGroup = 2"), "a", "acme_abc7"), ["7"]);
    assert_eq!(
        secrets(&one("entropy = 1.5"), "a", "acme_abc acme_aaa"),
        ["abc"]
    );
    // More than, not at least: two kinds of letters in equal parts are one bit.
    assert_eq!(secrets(&one("entropy = 1.0"), "a", "acme_ab"), [""; 0]);
    let path = one("path = '''\\.env$'''");
    assert_eq!(secrets(&path, "a.env", "acme_abc"), ["abc"]);
    assert_eq!(secrets(&path, "a.txt", "acme_abc"), [""; 0]);
    // Without its keyword the rule does not look.
    let keyword = one("").replace("ACME_", "other");
    assert_eq!(secrets(&keyword, "a", "acme_abc"), [""; 0]);
    assert_eq!(secrets(&keyword, "a", "OTHER acme_abc"), ["abc"]);
    // A rule of a path alone.
    let file = "[[rules]]\nid = \"p12\"\npath = '''\\.p12$'''\n";
    assert_eq!(found(file, "a/b.p12", "x").len(), 1);
    assert_eq!(found(file, "a/b.txt", "x").len(), 0);
}

#[test]
fn classes_are_those_of_go_and_bytes_need_not_be_text() {
    let rules = "[[rules]]\nid = \"w\"\nregex = '''k=(\\w+)'''\n";
    assert_eq!(secrets(rules, "a", "k=caf\u{e9}"), ["caf"]);
    let scanner = Scanner::new(parse(rules).unwrap().rules).unwrap();
    let mut count = 0;
    scanner
        .scan(
            b"a",
            &b"\xff\x00k=abc\xfe"[..],
            &mut Buffer::default(),
            |_| count += 1,
        )
        .unwrap();
    assert_eq!(count, 1);
}

#[test]
fn allowlists_allow() {
    for (list, expected) in [
        ("[rules.allowlist]\nstopwords = [\"TEST\"]", vec!["real"]),
        (
            "[[rules.allowlists]]\nregexes = ['''^test''']",
            vec!["real"],
        ),
        (
            "[[rules.allowlists]]\nregexTarget = \"match\"\nregexes = ['''acme_t''']",
            vec!["real"],
        ),
        (
            "[[rules.allowlists]]\nregexTarget = \"line\"\nregexes = ['''# ok''']",
            vec!["real"],
        ),
        (
            "[[rules.allowlists]]\npaths = ['''^b''']",
            vec!["testy", "real"],
        ),
        ("[[rules.allowlists]]\npaths = ['''^a''']", vec![]),
        (
            "[[rules.allowlists]]\ncondition = \"AND\"\npaths = ['''^a''']\nstopwords = [\"test\"]",
            vec!["real"],
        ),
        (
            "[[rules.allowlists]]\ncondition = \"AND\"\npaths = ['''^b''']\nstopwords = [\"test\"]",
            vec!["testy", "real"],
        ),
        ("[allowlist]\nregexes = ['''test''']", vec!["real"]),
        (
            "[[allowlists]]\ntargetRules = [\"acme\"]\nstopwords = [\"test\"]",
            vec!["real"],
        ),
    ] {
        assert_eq!(
            secrets(&one(list), "a", "acme_testy # ok\nacme_real\n"),
            expected,
            "{list}"
        );
    }
    let other = format!(
        "{}\n[[rules]]\nid = \"b\"\nregex = \"zzz\"\n[[allowlists]]\ntargetRules = [\"b\"]\nstopwords = [\"test\"]",
        one("")
    );
    assert_eq!(secrets(&other, "a", "acme_testy"), ["testy"]);
    let commented = found(
        &one(""),
        "a",
        "acme_x # gitleaks:allow\nacme_y # bailiwick:allow\nacme_z\n",
    );
    let allowed: Vec<bool> = commented
        .into_iter()
        .map(|(_, _, allowed)| allowed)
        .collect();
    assert_eq!(allowed, [true, true, false]);
}

#[test]
fn what_cannot_be_taken_names_the_rule() {
    for (rules, words) in [
        (
            "[[rules]]\nid = \"a\"\nregex = '''(?=x)'''",
            "rule \"a\": regex: look-around",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = '''\\Qx\\E'''",
            "rule \"a\": regex: ",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = '''(((a{1000}){1000}){1000})'''",
            "rule \"a\": regex: ",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\nsecretGroup = 1",
            "rule \"a\": secretGroup 1",
        ),
        (
            "[[rules]]\nid = \"a\"",
            "rule \"a\": it has neither regex nor path",
        ),
        ("[[rules]]\nregex = 'x'", "rule \"number 1\": "),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\n[[rules]]\nid = \"a\"\nregex = 'y'",
            "rule \"a\": there is another",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\nfuture = 1",
            "rule \"a\": unknown field `future`",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\n[[rules.required]]\nid = \"b\"",
            "rule \"a\": unknown field `required`",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\nentropy = nan",
            "rule \"a\": its entropy",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\nkeywords = [\"\"]",
            "rule \"a\": keyword",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\n[rules.allowlist]\ncommits = [\"1\"]",
            "rule \"a\": its allowlist names commits",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\n[rules.allowlist]\nregexTarget = \"all\"",
            "rule \"a\": regexTarget \"all\"",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\n[rules.allowlist]\ncondition = \"XOR\"\nstopwords=[\"x\"]",
            "rule \"a\": condition \"XOR\"",
        ),
        (
            "[[rules]]\nid = \"a\"\nregex = 'x'\n[rules.allowlist]\ndescription = \"\"",
            "rule \"a\": its allowlist is empty",
        ),
        (
            "[allowlist]\npaths = ['''(''']",
            "rule \"global allowlist\": allowlist, paths",
        ),
        (
            "[[allowlists]]\ntargetRules = [\"b\"]\npaths = ['x']",
            "rule \"b\", which is not in the file",
        ),
        (
            "[extend]\npath = \"x.toml\"",
            "names another file (\"x.toml\")",
        ),
        (
            "[extend]\nuseDefault = true\ndisabledRules = [\"b\"]",
            "disables rule \"b\"",
        ),
        ("nonsense", "not a rule file of gitleaks"),
        ("[[rule]]\nid = \"a\"", "unknown field `rule`"),
    ] {
        let error = parse(rules).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains(words),
            "{rules}\n gave: {error}\n not: {words}"
        );
    }
}

#[test]
fn what_is_taken_otherwise_is_said() {
    let read = parse("title = \"x\"\nminVersion = \"8\"\n[extend]\nuseDefault = true\n").unwrap();
    assert_eq!(read.remarks.len(), 1);
    assert!(read.rules.is_empty());
    let allowed = parse("[allowlist]\npaths = ['''(^|/)vendor/''']")
        .unwrap()
        .rules;
    assert!(allowed.leaves_out(b"a/vendor/b") && !allowed.leaves_out(b"a/vendors"));
}
