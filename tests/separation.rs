//! Separated duties and approvals, by real requests to a real server.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::process::client;
use e2e::server::Server;
use e2e::trial::root;
use e2e::{Daemon, Receiver, Setup, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("separation::one_owner_with_two_keys", two_keys),
        root("separation::two_owners_are_silent", two_owners),
        root(
            "separation::self_approval_on_the_same_object",
            self_approval,
        ),
        root(
            "separation::a_missing_approval_is_told_after_the_grace",
            missing_approval,
        ),
        root(
            "separation::a_restart_in_the_middle_changes_nothing",
            restart,
        ),
        root("separation::what_was_saved_outlives_a_kill", killed),
        root(
            "separation::a_credential_in_two_workloads",
            shared_credential,
        ),
    ]
}

/// Identities: key and user name are one.
const IDENTITIES: [(&str, &str, &str); 5] = [
    ("alice-deploy", "alice", "\"deploy\", \"pay\""),
    ("alice-approve", "alice", "\"approve\", \"sign\""),
    ("bob", "bob", "\"approve\", \"sign\""),
    ("carol", "carol", "\"deploy\", \"approve\""),
    ("dan", "dan", "\"deploy\""),
];

/// A server, a daemon that watches it, and whoever hears of alerts.
struct Scene {
    daemon: Daemon,
    receiver: Receiver,
    server: Server,
    _dir: TempDir,
}

fn scene(history: &str) -> Result<Scene> {
    let dir = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let mut policy = String::from(
        "[duties]\ndeploy = [\"POST ci.example/deployments/{id}\"]\n\
         approve = [\"POST ci.example/deployments/{id}/approve\", \"PUT reviews.example/v1/{id}\"]\n\
         pay = [\"POST bank.example/transfers\"]\nsign = [\"POST bank.example/signatures\"]\n\
         [[separate]]\nduties = [\"deploy\", \"approve\"]\non = \"id\"\nwithin = \"1h\"\n\
         [[approve]]\nduty = \"pay\"\nby = \"sign\"\nwithin = \"1h\"\n",
    );
    for (name, owner, duties) in IDENTITIES {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("{}\n", key(name)))?;
        policy.push_str(&format!(
            "[identities.{name}]\nowner = \"{owner}\"\ncredentials = [\"file:{}\"]\nduties = [{duties}]\n",
            path.display()
        ));
    }
    let daemon = Setup::default()
        .policy(&policy)
        .config(&format!("[history]\n{history}\n"))
        .config(&receiver.config(dir.path())?)
        .start()?;
    let server = Server::node(dir.path())?;
    Ok(Scene {
        daemon,
        receiver,
        server,
        _dir: dir,
    })
}

fn key(name: &str) -> String {
    format!("key-of-{name}-0123456789")
}

impl Scene {
    /// `METHOD host/path` by `curl`, with somebody's key.
    fn act(&self, name: &str, what: &str) -> Result<u32> {
        self.act_as(&[], name, what)
    }

    fn act_as(&self, launcher: &[&str], name: &str, what: &str) -> Result<u32> {
        let (method, target) = what.split_once(' ').context("no method")?;
        let (host, path) = target.split_at(target.find('/').context("no path")?);
        let mut words = launcher.to_vec();
        words.push("/usr/bin/curl");
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(["--silent", "--show-error", "--max-time", "10", "-X", method])
            .args(["-H", &format!("Host: {host}")])
            .args(["-H", &format!("Authorization: Bearer {}", key(name))])
            .arg(format!("http://{}{path}", self.server.address));
        Ok(client(&mut command)?.0)
    }

    /// The alerts of a kind that exist.
    fn alerts(&self, kind: &str) -> Result<Vec<Value>> {
        let mut alerts = self.daemon.json(&["alerts"])?;
        alerts.retain(|alert| alert["kind"] == kind);
        Ok(alerts)
    }

    fn heard(&self, kind: &str) -> Result<Value> {
        let delivery = self
            .receiver
            .wait(kind, |delivery| delivery.body["kind"] == kind)?;
        Ok(delivery.body.clone())
    }

    fn silent(&self, kind: &str) -> Result<()> {
        let alerts = self.alerts(kind)?;
        ensure!(alerts.is_empty(), "{alerts:#?}");
        Ok(())
    }
}

/// Everything that was done until now is judged, and its grace is over.
fn settle(scene: &Scene) -> Result<()> {
    scene.daemon.watch()?.until_mark()?;
    // The counters are of the last second.
    std::thread::sleep(Duration::from_millis(1500));
    wait_for("nothing to wait for", || {
        let status = scene.daemon.status()?;
        Ok((status["history"]["waiting"] == 0).then_some(()))
    })?;
    std::thread::sleep(Duration::from_millis(200));
    Ok(())
}

const DEPLOY: &str = "POST ci.example/deployments/17";
const APPROVE: &str = "POST ci.example/deployments/17/approve";

fn two_keys() -> Result<()> {
    let scene = scene("grace_s = 1")?;
    let first = scene.act("alice-approve", APPROVE)?;
    let second = scene.act("alice-deploy", "POST ci.example/deployments/%31%37")?;
    let alert = scene.heard("separation")?;
    ensure!(
        alert["identity"] == "alice-deploy" && alert["owner"] == "alice",
        "{alert:#}"
    );
    ensure!(
        alert["severity"] == "high" && alert["count"] == 1,
        "{alert:#}"
    );
    let text = |field: &str| alert[field].as_str().unwrap_or_default().to_owned();
    for part in [
        "approve by alice-approve at ",
        "deploy by alice-deploy at ",
        "on id 17",
    ] {
        ensure!(text("title").contains(part), "no {part:?} in {alert:#}");
    }
    ensure!(
        text("clause").starts_with("separate.duties = [\"deploy\", \"approve\"]"),
        "{alert:#}"
    );
    let pids: Vec<&Value> = [0, 1]
        .map(|at| &alert["evidence"][at]["client"]["pid"])
        .into();
    ensure!(pids == [first, second], "evidence of {alert:#}");
    Ok(())
}

fn two_owners() -> Result<()> {
    let scene = scene("grace_s = 1")?;
    // This test is a workload that works for three owners, or it would be one lineage itself.
    scene.act("dan", "POST ci.example/deployments/9")?;
    scene.act("bob", APPROVE)?;
    scene.act("alice-deploy", DEPLOY)?;
    settle(&scene)?;
    let status = scene.daemon.status()?;
    ensure!(status["history"]["accesses"] == 3, "{status:#}");
    scene.silent("separation")
}

fn self_approval() -> Result<()> {
    let scene = scene("grace_s = 1")?;
    scene.act("carol", DEPLOY)?;
    scene.act("carol", "PUT reviews.example/v1/18")?;
    settle(&scene)?;
    scene.silent("separation")?;
    scene.act("carol", "PUT reviews.example/v1/17")?;
    let alert = scene.heard("separation")?;
    let title = alert["title"].as_str().unwrap_or_default();
    ensure!(
        title.starts_with("carol (carol) did separated duties on id 17"),
        "{alert:#}"
    );
    Ok(())
}

fn missing_approval() -> Result<()> {
    let scene = scene("grace_s = 2")?;
    scene.act("bob", "POST bank.example/signatures")?;
    scene.act("alice-deploy", "POST bank.example/transfers")?;
    settle(&scene)?;
    scene.silent("approval")?;
    // Somebody else's signature is missing here.
    let other = self::scene("grace_s = 2")?;
    other.act("alice-approve", "POST bank.example/signatures")?;
    other.act("alice-deploy", "POST bank.example/transfers")?;
    other.daemon.watch()?.until_mark()?;
    other.silent("approval")?;
    let alert = other.heard("approval")?;
    let title = alert["title"].as_str().unwrap_or_default();
    ensure!(title.contains("approved by the same hand"), "{alert:#}");
    ensure!(title.contains("nothing was watched before"), "{alert:#}");
    ensure!(
        alert["severity"] == "medium" && alert["identity"] == "alice-deploy",
        "{alert:#}"
    );
    ensure!(
        alert["evidence"].as_array().map(Vec::len) == Some(2),
        "{alert:#}"
    );
    Ok(())
}

fn restart() -> Result<()> {
    let mut scene = scene("grace_s = 1")?;
    scene.act("alice-approve", APPROVE)?;
    scene.daemon.watch()?.until_mark()?;
    scene.daemon.stop()?;
    scene.daemon.restart()?;
    let log = scene.daemon.log();
    ensure!(log.contains("earlier accesses are remembered"), "{log}");
    ensure!(!log.contains("did not end in order"), "{log}");
    scene.act("alice-deploy", DEPLOY)?;
    let alert = scene.heard("separation")?;
    ensure!(
        alert["evidence"].as_array().map(Vec::len) == Some(2),
        "{alert:#}"
    );
    let title = alert["title"].as_str().unwrap_or_default();
    ensure!(title.contains("approve by alice-approve at "), "{alert:#}");
    Ok(())
}

fn killed() -> Result<()> {
    let mut scene = scene("grace_s = 1\nsave_s = 1")?;
    scene.act("alice-approve", APPROVE)?;
    scene.daemon.watch()?.until_mark()?;
    std::thread::sleep(Duration::from_millis(2500));
    scene.daemon.kill()?;
    scene.daemon.restart()?;
    wait_for("a word about the kill", || {
        Ok(scene
            .daemon
            .log()
            .contains("did not end in order")
            .then_some(()))
    })?;
    scene.act("alice-deploy", DEPLOY)?;
    scene.heard("separation")?;
    Ok(())
}

fn shared_credential() -> Result<()> {
    let scene = scene("grace_s = 1")?;
    let nobody = [
        "/usr/bin/setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    for _ in 0..3 {
        scene.act("dan", DEPLOY)?;
    }
    settle(&scene)?;
    scene.silent("credential-shared")?;
    scene.act_as(&nobody, "dan", DEPLOY)?;
    scene.act("dan", DEPLOY)?;
    scene.act_as(&nobody, "dan", DEPLOY)?;
    let alert = scene.heard("credential-shared")?;
    ensure!(
        alert["identity"] == "dan" && alert["severity"] == "high",
        "{alert:#}"
    );
    let evidence = alert["evidence"].as_array().context("no evidence")?;
    let users: Vec<&Value> = evidence
        .iter()
        .map(|access| &access["client"]["user"])
        .collect();
    ensure!(
        users.contains(&&Value::from("nobody")) && users.contains(&&Value::from("root")),
        "{alert:#}"
    );
    Ok(())
}
