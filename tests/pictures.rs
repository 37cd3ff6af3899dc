//! A story on the page, pictured: what docs/page-*.png show.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::browser::Browser;
use e2e::http::Answerer;
use e2e::process::client;
use e2e::server::free;
use e2e::{Daemon, Setup, wait_for};
use serde_json::{Value, json};

use crate::page::page;

const DEMO: &str = r#"
[environments]
prod = ["api.pay.example"]
dev  = ["ci.example", "*.dev.example"]
[duties]
deploy    = ["POST ci.example/deployments/{id}"]
approve   = ["POST ci.example/deployments/{id}/approve"]
pay-read  = ["GET api.pay.example/v1/**"]
pay-write = ["POST,PUT,DELETE api.pay.example/v1/**"]
[identities.ci-bot]
owner        = "team-ci"
credentials  = ["jwt:iss=https://idp.example,sub=ci-bot"]
duties       = ["deploy"]
environments = ["dev"]
[identities.release-bot]
owner        = "team-release"
credentials  = ["jwt:iss=https://idp.example,sub=release-bot"]
duties       = ["approve", "deploy"]
[identities.billing]
owner        = "team-pay"
credentials  = ["jwt:iss=https://idp.example,sub=billing"]
duties       = ["pay-read"]
environments = ["prod"]
[identities.refunds]
owner        = "team-refunds"
credentials  = ["jwt:iss=https://idp.example,sub=refunds"]
duties       = ["pay-write"]
[identities.old-key]
owner       = "security"
credentials = ["jwt:iss=https://idp.example,sub=old-key"]
[[separate]]
duties = ["pay-read", "pay-write"]
[[separate]]
duties = ["deploy", "approve"]
on     = "id"
within = "30d"
"#;

/// Makes docs/page-*.png of a real run, where `BAILIWICK_PICTURES` names a directory; checks the states at any
/// rate.
pub(crate) fn pictures() -> Result<()> {
    let wanted = std::env::var_os("BAILIWICK_PICTURES");
    let address = free()?;
    // Paths of programs and of the policy are on the pictures.
    let mut daemon = Setup::default()
        .at(Path::new("/opt/demo"))
        .policy(DEMO)
        .config(&format!("[page]\nlisten = \"{address}\"\n"))
        .start()?;
    let mut browser = Browser::start()?;
    browser.look(1280, 700, "light")?;
    let url = page(&daemon)?;
    let keep = |browser: &mut Browser, name: &str| -> Result<()> {
        std::thread::sleep(Duration::from_millis(700));
        // What the programs of the story descend from is this test, and says nothing to whoever looks at it.
        browser.run("[...document.querySelectorAll('#detail dt')].filter(n => n.textContent === 'Started by').forEach(n => n.parentElement.remove())")?;
        let picture = browser.picture()?;
        ensure!(picture.starts_with(b"\x89PNG"), "no picture");
        match &wanted {
            Some(dir) => Ok(std::fs::write(
                Path::new(dir).join(format!("page-{name}.png")),
                picture,
            )?),
            None => Ok(()),
        }
    };
    browser.look(1280, 460, "light")?;
    browser.open(&format!("http://{address}/"))?;
    browser.until("document.querySelector('#gate').innerText.includes('needs its token')")?;
    keep(&mut browser, "no-token")?;
    browser.open(&format!("{url}0"))?;
    browser.until("document.querySelector('#gate').innerText.includes('not known')")?;
    keep(&mut browser, "wrong-token")?;
    browser.open(&url)?;
    browser.until("document.querySelector('#health').innerText.includes('live')")?;
    browser.open(&url.replace(
        "#token=",
        "#pane=alerts&alerts=not+identity+startsWith+%22bw1:%22&token=",
    ))?;
    browser.until("document.querySelector('#notices').innerText.includes('Learning') && document.querySelector('#alerts .empty')")?;
    keep(&mut browser, "empty")?;
    browser.look(1280, 700, "light")?;
    // Others use this host too: their alerts, if any, are not what is pictured.
    // Nor are the requests without a credential by which tests tell where they are.
    let own = ["alerts", "accesses", "identities"]
        .map(|view| format!("&{view}=has(identity)+and+not+identity+startsWith+%22bw1:%22"));
    let own = own.concat();
    story(&daemon)?;
    let pane = |name: &str| url.replace("#token=", &format!("#pane={name}{own}&token="));
    browser.open(&pane("alerts"))?;
    browser.until("document.querySelectorAll('#alerts [data-open]').length >= 2")?;
    browser.run("[...document.querySelectorAll('#alerts [data-open]')].find(r => r.textContent.includes('environment')).click()")?;
    browser.until("document.querySelector('#detail').innerText.includes('Usual against seen')")?;
    keep(&mut browser, "alerts")?;
    browser.run("[...document.querySelectorAll('#detail h3')].find(h => h.textContent === 'Usual against seen').scrollIntoView()")?;
    keep(&mut browser, "story")?;
    browser.look(1280, 760, "dark")?;
    browser.open(&pane("accesses"))?;
    browser.until("document.querySelectorAll('#accesses tbody tr').length > 10")?;
    keep(&mut browser, "accesses")?;
    browser.look(1280, 760, "light")?;
    browser.open(&pane("identities"))?;
    browser.until("document.querySelectorAll('#identities .card').length >= 4")?;
    keep(&mut browser, "identities")?;
    browser.look(1280, 800, "light")?;
    browser.open(&pane("map"))?;
    browser.until("document.querySelectorAll('.edge.broken:not(.past)').length > 1")?;
    keep(&mut browser, "map")?;
    browser.look(1280, 560, "dark")?;
    browser.open(&pane("separation"))?;
    browser.until("document.querySelector('.matrix')?.innerText.includes('team-release')")?;
    keep(&mut browser, "separation")?;
    browser.look(360, 740, "light")?;
    browser.open(&pane("alerts"))?;
    browser.until("document.querySelectorAll('#alerts [data-open]').length >= 2")?;
    keep(&mut browser, "narrow")?;
    browser.look(1280, 400, "light")?;
    browser.open(&pane("accesses"))?;
    browser.until("document.querySelectorAll('#accesses tbody tr').length > 3")?;
    browser.run("document.querySelector('#filter').value = 'environment == \"prod\" and respone.status >= 400'; document.querySelector('#add').requestSubmit()")?;
    browser.until("!document.querySelector('#filter-error').hidden")?;
    keep(&mut browser, "filter")?;
    browser.look(3840, 2160, "light")?;
    browser.open(&pane("alerts"))?;
    browser.until("document.querySelectorAll('#alerts [data-open]').length >= 2")?;
    browser.run("document.querySelector('#alerts [data-open]').click()")?;
    browser.until("document.querySelector('#detail').innerText.includes('What to do')")?;
    keep(&mut browser, "wide")?;
    browser.look(1280, 400, "light")?;
    browser.open(&pane("accesses"))?;
    browser.until("document.querySelectorAll('#accesses tbody tr').length > 3")?;
    daemon.stop()?;
    browser.until("document.querySelector('#notices').innerText.includes('Disconnected')")?;
    keep(&mut browser, "disconnected")?;
    drop(daemon);
    degraded(&mut browser, &keep)
}

/// A daemon that cannot keep up, and whose webhook nobody answers.
fn degraded(browser: &mut Browser, keep: &dyn Fn(&mut Browser, &str) -> Result<()>) -> Result<()> {
    let address = free()?;
    let nobody = free()?;
    let daemon = Setup::default()
        .at(Path::new("/opt/demo"))
        .policy(DEMO)
        .config(&format!(
            "[page]\nlisten = \"{address}\"\n[capture]\nring_mib = 1\nprocess_share_mib_s = 1\ndrain_interval_ms = 100\n\
             [[webhook]]\nname = \"soc\"\nurl = \"http://{nobody}/\"\nformat = \"slack\"\n"
        ))
        .start()?;
    browser.look(1280, 500, "light")?;
    let none = "#pane=alerts&alerts=not+identity+startsWith+%22bw1:%22&token=";
    browser.open(&page(&daemon)?.replace("#token=", none))?;
    browser.until("document.querySelector('#health').innerText.includes('live')")?;
    story(&daemon)?;
    client(Command::new(env!("CARGO_BIN_EXE_peer")).args(["flood", "3"]))?;
    browser.until("document.querySelector('#notices').innerText.includes('Webhook soc')")?;
    browser.until(
        "[...document.querySelectorAll('.fact.warn dt')].some(n => n.textContent === 'Lost')",
    )?;
    browser.until("document.querySelectorAll('#alerts [data-open]').length >= 2")?;
    keep(browser, "degraded")
}

/// What the pictures show: programs of four teams, and two that leave their bailiwick.
fn story(daemon: &Daemon) -> Result<()> {
    let server = Answerer::inet()?;
    let programs = daemon.dir().join("bin");
    std::fs::create_dir(&programs)?;
    let send = |program: &str, subject: &str, method: &str, host: &str, path: &str| {
        let file = programs.join(program);
        if !file.exists() {
            std::fs::copy("/usr/bin/curl", &file)?;
        }
        let token = jwt(subject);
        let url = format!("http://{}{path}", server.address());
        let host = format!("Host: {host}");
        let bearer = format!("Authorization: Bearer {token}");
        client(
            Command::new(&file)
                .args(["--silent", "--max-time", "10", "-X", method])
                .args(["-H", &host, "-H", &bearer, &url]),
        )
        .map(drop)
    };
    for n in 10..16 {
        send(
            "runner",
            "ci-bot",
            "POST",
            "ci.example",
            &format!("/deployments/{n}"),
        )?;
        send(
            "invoices",
            "billing",
            "GET",
            "api.pay.example",
            &format!("/v1/invoices/{n}"),
        )?;
        if n < 14 {
            send(
                "release",
                "release-bot",
                "POST",
                "ci.example",
                &format!("/deployments/{n}/approve"),
            )?;
        }
    }
    send(
        "refunds",
        "refunds",
        "POST",
        "api.pay.example",
        "/v1/refunds/3",
    )?;
    send(
        "wiki-sync",
        "wiki",
        "GET",
        "wiki.dev.example",
        "/pages/start",
    )?;
    send(
        "runner",
        "ci-bot",
        "POST",
        "api.pay.example",
        "/v1/refunds/17",
    )?;
    send(
        "backup",
        "old-key",
        "GET",
        "api.pay.example",
        "/v1/customers/1",
    )?;
    wait_for("alerts", || {
        let alerts = daemon.json(&["alerts"])?;
        Ok((alerts.len() >= 2).then_some(()))
    })
}

/// A token that nobody signed.
fn jwt(subject: &str) -> String {
    use base64::Engine;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = |value: Value| engine.encode(value.to_string());
    let head = part(json!({"alg": "RS256"}));
    let claims = part(json!({"iss": "https://idp.example", "sub": subject}));
    format!("{head}.{claims}.c2ln")
}
