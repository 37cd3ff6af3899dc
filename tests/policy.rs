//! From a policy that is broken to a webhook that says so.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http::{Answerer, get};
use e2e::process::client;
use e2e::trial::{plain, root};
use e2e::{Daemon, Receiver, Setup, wait_for};
use libtest_mimic::Trial;
use rustix::process::Signal;
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("policy::dev_key_against_a_prod_host", dev_key_against_prod),
        root("policy::duty_and_workload", duty_and_workload),
        root("policy::canary", canary),
        root("policy::key_in_a_url", key_in_url),
        root("policy::second_factor", second_factor),
        root("policy::a_reader_writes", reader_writes),
        root("policy::outside_its_hours", outside_hours),
        root("policy::prod_key_of_a_dev_workload", workload_environment),
        root("policy::a_better_policy_is_taken_over", good_reload),
        root("policy::a_bad_policy_is_refused", bad_reload),
        root("policy::many_accesses_fold_into_one_alert", folding),
        plain("policy::check_names_file_line_and_hint", check_command),
    ]
}

/// A directory with a token in a file, as policies name credentials.
fn token_file(token: &str) -> Result<(tempfile::TempDir, String)> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("token");
    std::fs::write(&path, format!("{token}\n"))?;
    Ok((dir, format!("file:{}", path.display())))
}

/// A GET that names another host than the one it goes to.
fn get_as(server: &Answerer, host: &str, path: &str, token: &str) -> Result<u32> {
    let (id, _) = client(
        Command::new("/usr/bin/curl")
            .args(["--silent", "--show-error", "--max-time", "10"])
            .args([
                "-H",
                &format!("Host: {host}"),
                "-H",
                &format!("Authorization: Bearer {token}"),
            ])
            .arg(format!("http://{}{path}", server.address())),
    )?;
    Ok(id)
}

const ENVIRONMENTS: &str =
    "[environments]\nprod = [\"api.pay.example\"]\ndev = [\"*.dev.example\"]\n";

fn dev_key_against_prod() -> Result<()> {
    let (dir, file) = token_file("dev-key-0123456789")?;
    let receiver = Receiver::start()?;
    let daemon = Setup::default()
        .policy(&format!(
            "{ENVIRONMENTS}[duties]\nread = [\"GET */**\"]\n\
             [identities.ci-bot]\nowner = \"team-ci\"\ncredentials = [\"{file}\"]\nduties = [\"read\"]\n\
             environments = [\"dev\"]\n"
        ))
        .config(&receiver.config(dir.path())?)
        .start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;

    get_as(&server, "ci.dev.example", "/v1/x/17", "dev-key-0123456789")?;
    let id = get_as(&server, "api.pay.example", "/v1/x/17", "dev-key-0123456789")?;

    let accesses = watch.until_mark()?;
    let at = |host: &str| accesses.iter().find(|access| access.request.host == host);
    let right = at("ci.dev.example").context("no access to dev")?;
    ensure!(
        right.identity.as_deref() == Some("ci-bot"),
        "identity of {right:#?}"
    );
    ensure!(
        right.owner.as_deref() == Some("team-ci"),
        "owner of {right:#?}"
    );
    ensure!(
        right.environment.as_deref() == Some("dev"),
        "environment of {right:#?}"
    );
    ensure!(
        right.duties == ["read"] && right.findings.is_empty(),
        "verdict on {right:#?}"
    );
    ensure!(right.request.route == "/v1/x/{id}", "route of {right:#?}");
    let wrong = at("api.pay.example").context("no access to prod")?;
    ensure!(
        wrong.environment.as_deref() == Some("prod"),
        "environment of {wrong:#?}"
    );
    ensure!(wrong.findings == ["environment"], "findings of {wrong:#?}");

    let delivery = receiver.wait("the webhook", |delivery| {
        delivery.body["kind"] == "environment"
    })?;
    let alert = &delivery.body;
    ensure!(alert["type"] == "alert" && alert["v"] == 1, "{alert:#}");
    ensure!(
        alert["identity"] == "ci-bot" && alert["owner"] == "team-ci",
        "{alert:#}"
    );
    ensure!(
        alert["environment"] == "prod" && alert["count"] == 1,
        "{alert:#}"
    );
    ensure!(
        alert["clause"]
            .as_str()
            .is_some_and(|clause| clause.contains("ci-bot")),
        "{alert:#}"
    );
    for field in [
        "id",
        "severity",
        "title",
        "operation",
        "normal",
        "action",
        "first_seen",
        "last_seen",
    ] {
        ensure!(
            alert[field].as_str().is_some_and(|text| !text.is_empty()),
            "no {field} in {alert:#}"
        );
    }
    ensure!(
        alert["techniques"]
            .as_array()
            .is_some_and(|ids| !ids.is_empty()),
        "{alert:#}"
    );
    ensure!(
        alert["evidence"][0]["client"]["pid"] == id,
        "evidence of {alert:#}"
    );
    ensure!(
        delivery.id.starts_with(alert["id"].as_str().unwrap_or("-")),
        "webhook-id {}",
        delivery.id
    );

    let listed = daemon.json(&["alerts"])?;
    ensure!(
        listed.iter().any(|one| one["id"] == alert["id"]),
        "`alerts` has not {alert:#}: {listed:#?}"
    );
    let known = daemon.json(&["identities"])?;
    ensure!(
        known.iter().any(|one| one.to_string().contains("ci-bot")),
        "`identities` has no ci-bot: {known:#?}"
    );
    Ok(())
}

fn duty_and_workload() -> Result<()> {
    let (_dir, file) = token_file("bound-key-0123456789")?;
    let daemon = Setup::default()
        .policy(&format!(
            "{ENVIRONMENTS}[duties]\ndeploy = [\"POST ci.dev.example/deployments/{{id}}\"]\n\
             [identities.ci-bot]\nowner = \"team-ci\"\ncredentials = [\"{file}\"]\nduties = [\"deploy\"]\n\
             environments = [\"dev\"]\nworkloads = [\"exe:/usr/bin/wget\"]\n"
        ))
        .start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    get_as(
        &server,
        "ci.dev.example",
        "/deployments/17",
        "bound-key-0123456789",
    )?;
    let accesses = watch.exactly(1, "ci.dev.example")?;
    let mut findings = accesses[0].findings.clone();
    findings.sort();
    ensure!(
        findings == ["duty", "workload"],
        "findings of {:#?}",
        accesses[0]
    );
    Ok(())
}

fn canary() -> Result<()> {
    let (dir, file) = token_file("canary-key-0123456789")?;
    let receiver = Receiver::start()?;
    let daemon = Setup::default()
        .policy(&format!(
            "[identities.trap]\nowner = \"security\"\ncredentials = [\"{file}\"]\n"
        ))
        .config(&receiver.config(dir.path())?)
        .start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    get_as(&server, "anything.example", "/", "canary-key-0123456789")?;
    let accesses = watch.accesses_of("anything.example")?;
    ensure!(
        accesses[0].findings.iter().any(|name| name == "canary"),
        "findings of {:#?}",
        accesses[0]
    );
    let delivery = receiver.wait("the webhook", |delivery| delivery.body["kind"] == "canary")?;
    ensure!(delivery.body["identity"] == "trap", "{:#}", delivery.body);
    ensure!(
        ["high", "critical"]
            .iter()
            .any(|severity| delivery.body["severity"] == *severity),
        "{:#}",
        delivery.body
    );
    Ok(())
}

fn key_in_url() -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    get(
        server.address(),
        "/v1/models?api_key=url-key-0123456789&x=1",
        &[],
    )?;
    let accesses = watch.exactly(1, &server.address().to_string())?;
    ensure!(
        accesses[0].credential.is_some(),
        "credential of {:#?}",
        accesses[0]
    );
    ensure!(
        accesses[0].findings == ["credential-in-url"],
        "findings of {:#?}",
        accesses[0]
    );
    ensure!(
        accesses[0].request.path == "/v1/models",
        "path of {:#?}",
        accesses[0]
    );
    Ok(())
}

/// A request by curl with any method.
fn request_as(server: &Answerer, method: &str, host: &str, path: &str, token: &str) -> Result<()> {
    client(
        Command::new("/usr/bin/curl")
            .args(["--silent", "--show-error", "--max-time", "10", "-X", method])
            .args(["-H", &format!("Host: {host}")])
            .args(["-H", &format!("Authorization: Bearer {token}")])
            .arg(format!("http://{}{path}", server.address())),
    )?;
    Ok(())
}

/// Findings of the accesses to one host, in order.
fn findings_of(watch: &mut e2e::Watch<'_>, count: usize, host: &str) -> Result<Vec<Vec<String>>> {
    let accesses = watch.exactly(count, host)?;
    Ok(accesses.iter().map(|one| one.findings.clone()).collect())
}

/// An unsigned JSON Web Token with this payload: nobody here verifies it.
fn token_of(payload: &Value) -> String {
    use base64::Engine as _;
    let part = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.c2lnbmF0dXJl",
        part(r#"{"alg":"none"}"#.to_owned()),
        part(payload.to_string())
    )
}

fn second_factor() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let daemon = Setup::default()
        .policy(
            "[duties]\nlook = [\"GET factor.example/**\"]\n[duties.refund]\n\
             operations = [\"POST factor.example/refunds/{id}\"]\nprivileged = true\nsecond-factor = true\n\
             [identities.teller]\nowner = \"team-pay\"\n\
             credentials = [\"jwt:iss=https://idp.example,sub=teller\"]\nduties = [\"look\", \"refund\"]\n",
        )
        .config(&receiver.config(dir.path())?)
        .start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    let token = |methods: &[&str], id: u8| {
        token_of(&serde_json::json!({
            "iss": "https://idp.example", "sub": "teller", "amr": methods, "jti": id.to_string(),
        }))
    };
    let (strong, weak) = (token(&["pwd", "otp"], 1), token(&["pwd"], 2));
    request_as(&server, "POST", "factor.example", "/refunds/1", &strong)?;
    request_as(&server, "GET", "factor.example", "/refunds/1", &weak)?;
    request_as(&server, "POST", "factor.example", "/refunds/2", &weak)?;
    let found = findings_of(&mut watch, 3, "factor.example")?;
    ensure!(
        found == [vec![], vec![], vec!["second-factor".to_owned()]],
        "{found:?}"
    );
    let delivery = receiver.wait("the webhook", |delivery| {
        delivery.body["kind"] == "second-factor"
    })?;
    let title = delivery.body["title"].as_str().unwrap_or_default();
    ensure!(
        title.contains("refund") && title.contains("pwd"),
        "{:#}",
        delivery.body
    );
    Ok(())
}

fn reader_writes() -> Result<()> {
    let (dir, file) = token_file("reader-key-0123456789")?;
    let receiver = Receiver::start()?;
    let daemon = Setup::default()
        .policy(&format!(
            "[duties]\nread = [\"GET,HEAD reader.example/**\"]\n\
             [identities.reader]\nowner = \"team-bi\"\ncredentials = [\"{file}\"]\nduties = [\"read\"]\n"
        ))
        .config(&receiver.config(dir.path())?)
        .start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    for method in ["GET", "DELETE"] {
        request_as(
            &server,
            method,
            "reader.example",
            "/items/7",
            "reader-key-0123456789",
        )?;
    }
    let found = findings_of(&mut watch, 2, "reader.example")?;
    ensure!(
        found == [vec![], vec!["read-writes".to_owned()]],
        "{found:?}"
    );
    let delivery = receiver.wait("the webhook", |delivery| {
        delivery.body["kind"] == "read-writes"
    })?;
    ensure!(delivery.body["identity"] == "reader", "{:#}", delivery.body);
    Ok(())
}

/// One identity whose hours are always, and one whose hours are over: an hour that begins two hours
/// before now, in a zone far from UTC. (The clock is the real one: they ended an hour ago.)
fn outside_hours() -> Result<()> {
    let (_dir, always) = token_file("always-key-0123456789")?;
    let (_other, never) = token_file("never-key-0123456789")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let hour = (now.as_secs() / 3600 + 9) % 24;
    let (from, to) = ((hour + 22) % 24, (hour + 23) % 24);
    let daemon = Setup::default()
        .policy(&format!(
            "[duties]\nread = [\"GET hours.example/**\"]\n\
             [identities.always]\nowner = \"o\"\ncredentials = [\"{always}\"]\nduties = [\"read\"]\n\
             hours = [\"{from:02}-{to:02} Asia/Tokyo\", \"Mon-Sun 00-24 Europe/Berlin\"]\n\
             [identities.never]\nowner = \"o\"\ncredentials = [\"{never}\"]\nduties = [\"read\"]\n\
             hours = \"{from:02}-{to:02} Asia/Tokyo\"\n"
        ))
        .start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    get_as(&server, "hours.example", "/a", "always-key-0123456789")?;
    get_as(&server, "hours.example", "/b", "never-key-0123456789")?;
    let found = findings_of(&mut watch, 2, "hours.example")?;
    ensure!(found == [vec![], vec!["hours".to_owned()]], "{found:?}");
    let alert = wait_for("the alert", || {
        let alerts = daemon.json(&["alerts", "--kind", "hours"])?;
        Ok(alerts.into_iter().next())
    })?;
    let title = alert["title"].as_str().unwrap_or_default();
    ensure!(title.contains("Asia/Tokyo"), "{alert:#}");
    Ok(())
}

fn workload_environment() -> Result<()> {
    let (dir, file) = token_file("prod-key-0123456789")?;
    let receiver = Receiver::start()?;
    let policy = |environment: &str| {
        format!(
            "[environments]\nprod = [\"held.example\"]\ndev = []\n\
             [workload-environments]\n{environment} = [\"exe:/usr/bin/curl\"]\n\
             [duties]\nread = [\"GET held.example/**\"]\n\
             [identities.payer]\nowner = \"team-pay\"\ncredentials = [\"{file}\"]\nduties = [\"read\"]\n\
             environments = [\"prod\"]\n"
        )
    };
    let mut daemon = Setup::default()
        .policy(&policy("prod"))
        .config(&receiver.config(dir.path())?)
        .start()?;
    let server = Answerer::inet()?;
    let key = "prod-key-0123456789";
    let mut watch = daemon.watch()?;
    get_as(&server, "held.example", "/v1/x", key)?;
    let found = findings_of(&mut watch, 1, "held.example")?;
    ensure!(found == [Vec::<String>::new()], "{found:?}");
    drop(watch);
    // The same program on a developer's machine.
    daemon.reload(&policy("dev"))?;
    let mut watch = daemon.watch()?;
    get_as(&server, "held.example", "/v1/x", key)?;
    let found = findings_of(&mut watch, 1, "held.example")?;
    ensure!(
        found == [vec!["workload-environment".to_owned()]],
        "{found:?}"
    );
    let delivery = receiver.wait("the webhook", |delivery| {
        delivery.body["kind"] == "workload-environment"
    })?;
    ensure!(delivery.body["identity"] == "payer", "{:#}", delivery.body);
    Ok(())
}

fn identity_of(
    watch: &mut e2e::Watch<'_>,
    server: &Answerer,
    host: &str,
    token: &str,
) -> Result<Option<String>> {
    get_as(server, host, "/", token)?;
    let accesses = watch.exactly(1, host)?;
    Ok(accesses[0].identity.clone())
}

fn good_reload() -> Result<()> {
    let (_dir, file) = token_file("reload-key-0123456789")?;
    let mut daemon = Daemon::start()?;
    let server = Answerer::inet()?;
    let before = identity_of(
        &mut daemon.watch()?,
        &server,
        "one.example",
        "reload-key-0123456789",
    )?;
    ensure!(
        before
            .as_deref()
            .is_some_and(|name| name.starts_with("bw1:")),
        "{before:?}"
    );
    let id = daemon.id()?;
    daemon.reload(&format!(
        "[identities.named]\nowner = \"someone\"\ncredentials = [\"{file}\"]\nduties = []\n"
    ))?;
    ensure!(daemon.id()? == id, "the daemon is another process");
    let after = identity_of(
        &mut daemon.watch()?,
        &server,
        "two.example",
        "reload-key-0123456789",
    )?;
    ensure!(after.as_deref() == Some("named"), "{after:?}");
    Ok(())
}

fn bad_reload() -> Result<()> {
    let (_dir, file) = token_file("kept-key-0123456789")?;
    let good = format!("[identities.kept]\nowner = \"someone\"\ncredentials = [\"{file}\"]\n");
    let mut daemon = Setup::default().policy(&good).start()?;
    let server = Answerer::inet()?;
    std::fs::write(
        daemon.dir().join("policy.toml"),
        format!("version = 1\n{good}dutys = [\"x\"]\n"),
    )?;
    daemon.signal(Signal::HUP)?;
    // It says why, and where.
    wait_for("the complaint in the log", || {
        let log = daemon.log();
        Ok((log.contains("policy.toml") && log.contains("dutys")).then_some(()))
    })?;
    std::thread::sleep(Duration::from_millis(200));
    let name = identity_of(
        &mut daemon.watch()?,
        &server,
        "kept.example",
        "kept-key-0123456789",
    )?;
    ensure!(
        name.as_deref() == Some("kept"),
        "the old policy is gone: {name:?}"
    );
    // And takes the next good one.
    daemon.reload(&good.replace("identities.kept", "identities.mended"))?;
    let name = identity_of(
        &mut daemon.watch()?,
        &server,
        "mended.example",
        "kept-key-0123456789",
    )?;
    ensure!(name.as_deref() == Some("mended"), "{name:?}");
    Ok(())
}

fn folding() -> Result<()> {
    let (dir, file) = token_file("fold-key-0123456789")?;
    let receiver = Receiver::start()?;
    let daemon = Setup::default()
        .policy(&format!(
            "{ENVIRONMENTS}[duties]\nread = [\"GET */**\"]\n\
             [identities.bot]\nowner = \"t\"\ncredentials = [\"{file}\"]\nduties = [\"read\"]\n\
             environments = [\"dev\"]\n"
        ))
        .config(&receiver.config(dir.path())?)
        .start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    for _ in 0..40 {
        get_as(&server, "api.pay.example", "/v1/x", "fold-key-0123456789")?;
    }
    watch.until_mark()?;
    let alert = wait_for("forty accesses in one alert", || {
        let alerts = daemon.json(&["alerts"])?;
        let ours: Vec<Value> = alerts
            .into_iter()
            .filter(|one| one["kind"] == "environment")
            .collect();
        ensure!(ours.len() <= 1, "not folded: {ours:#?}");
        Ok(ours.into_iter().find(|one| one["count"] == 40))
    })?;
    let evidence = alert["evidence"].as_array().map_or(0, Vec::len);
    ensure!(
        (1..=10).contains(&evidence),
        "{evidence} pieces of evidence"
    );
    ensure!(
        alert["first_seen"].as_str() < alert["last_seen"].as_str(),
        "{alert:#}"
    );
    let deliveries = receiver.deliveries()?;
    ensure!(
        deliveries
            .iter()
            .all(|delivery| delivery.body["id"] == alert["id"]),
        "{deliveries:#?}"
    );
    Ok(())
}

fn check_command() -> Result<()> {
    let daemon = Setup::default().prepare()?;
    let config = daemon.dir().join("bailiwick.toml");
    let check = || -> Result<(Option<i32>, String)> {
        let output = Command::new(e2e::daemon::binary()?)
            .args(["check", "--warnings-ok", "--config"])
            .arg(&config)
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    };
    let (code, text) = check()?;
    ensure!(code == Some(0), "a good configuration: {code:?} {text}");
    std::fs::write(
        daemon.dir().join("policy.toml"),
        "version = 1\n\n[enviroments]\nprod = []\n",
    )?;
    let (code, text) = check()?;
    ensure!(code == Some(78), "a bad policy: {code:?} {text}");
    for expected in ["policy.toml:3", "enviroments", "hint:", "environments"] {
        ensure!(text.contains(expected), "no {expected:?} in {text}");
    }
    Ok(())
}
