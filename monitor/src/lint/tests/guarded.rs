use super::*;

const PASSWD: &[u8] =
    b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nci-1:x:1001:100::/:/bin/sh\n\
bad line\nx:y\n\xff:x:7:7::\n";
const GROUP: &[u8] = b"root:x:0:\nusers:x:100:\nops:x:200:ann,bob\nteam:x:300:ci-1\n";

fn node(path: &str, uid: u32, gid: u32, mode: u32) -> Node {
    Node {
        path: path.into(),
        uid,
        gid,
        mode,
        has_acl: false,
    }
}

fn with(nodes: Vec<Node>) -> LintInput {
    LintInput {
        accounts: Accounts::parse(PASSWD, GROUP),
        guarded: vec![Guarded {
            what: "change the policy",
            level: Level::High,
            chain: nodes,
        }],
        ..input()
    }
}

fn text(owner: &str, workloads: &str) -> String {
    let rest = format!("duties = [\"x\"]\n{workloads}");
    format!(
        "[duties]\nx = [\"GET x.example/\"]\n{}",
        identity("a", owner, &rest)
    )
}

#[test]
fn reads_accounts() {
    let accounts = Accounts::parse(PASSWD, GROUP);
    assert_eq!(accounts.users.len(), 4);
    assert_eq!(accounts.groups.len(), 4);
    let ann = accounts.users[1].clone();
    assert!(accounts.is_member(&ann, 1000) && accounts.is_member(&ann, 200));
    assert!(!accounts.is_member(&ann, 100));
}

#[test]
fn who_can_write() {
    let dirs = |mode: u32, uid: u32| {
        vec![
            node("/etc/b/p.toml", 0, 0, 0o644),
            node("/etc/b", uid, 0, mode),
            node("/", 0, 0, 0o755),
        ]
    };
    for (owner, workloads, nodes, want) in [
        ("ann", "", vec![node("/p", 1000, 0, 0o444)], true),
        ("ann", "", vec![node("/p", 0, 200, 0o664)], true),
        ("ann", "", vec![node("/p", 0, 200, 0o644)], false),
        ("ann", "", vec![node("/p", 0, 100, 0o664)], false),
        ("ann", "", vec![node("/p", 0, 0, 0o646)], true),
        // The group's bits are the ones that count for its members.
        ("ann", "", vec![node("/p", 0, 200, 0o606)], false),
        ("ann", "", dirs(0o755, 0), false),
        ("ann", "", dirs(0o777, 0), true),
        ("ann", "", dirs(0o1777, 0), false),
        ("ann", "", dirs(0o1777, 1000), true),
        ("ann", "", dirs(0o755, 1000), true),
        ("team", "", vec![node("/p", 1001, 0, 0o644)], true),
        (
            "team-ci",
            "workloads = [\"user:ci-*\"]",
            vec![node("/p", 1001, 0, 0o644)],
            true,
        ),
        (
            "team-ci",
            "workloads = [\"user:xi-*\"]",
            vec![node("/p", 1001, 0, 0o644)],
            false,
        ),
        (
            "team-ci",
            "workloads = [\"unit:ci-1.service\"]",
            vec![node("/p", 1001, 0, 0o644)],
            false,
        ),
        ("stranger", "", vec![node("/p", 0, 0, 0o666)], false),
    ] {
        let want: Vec<String> = want
            .then(|| format!("SOD010 {owner}"))
            .into_iter()
            .collect();
        let text = text(owner, workloads);
        assert_eq!(
            found(&text, &with(nodes.clone())),
            want,
            "{owner} {workloads} {nodes:?}"
        );
    }
    let one = only(
        &text("ann", ""),
        codes::GUARDED,
        &with(vec![node("/p", 0, 200, 0o664)]),
    );
    assert_eq!(one.message, "ann is watched and can change the policy");
    let witness = "user ann (the owner's name) is in the group that can write /p (mode 0664)";
    assert_eq!(one.witness.as_deref(), Some(witness));
}

#[test]
fn root_and_what_is_not_known_are_said() {
    let mut input = with(vec![Node {
        has_acl: true,
        ..node("/p", 0, 0, 0o640)
    }]);
    input.unread.push("/x: permission denied".to_owned());
    let all = lint(&policy(&text("ops", "workloads = [\"user:root\"]")), &input);
    let told: Vec<&str> = all
        .iter()
        .filter(|f| f.code == codes::GUARDED)
        .inspect(|f| assert_eq!(f.level, Level::Info))
        .map(|f| &*f.message)
        .collect();
    assert_eq!(
        told,
        [
            "who can write what was not looked at everywhere: /x: permission denied",
            "/p has an access list, which is not read: who is on it may write there",
            "ops works as root (user:root of a), and root can write everything here",
        ]
    );
}
