//! The page when something is amiss, on screens of all sizes, with hostile text, and for those who do not see it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::browser::Browser;
use e2e::http::Answerer;
use e2e::server::free;
use e2e::trial::root;
use e2e::{Daemon, unique};
use libtest_mimic::Trial;
use serde_json::json;

use crate::page::{ask, page, start};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("page::hostile_text_is_text", hostile),
        root("page::fits_screens_of_all_sizes", sizes),
        root("page::has_no_serious_barrier", barriers),
        root("page::says_in_which_state_it_is", states),
    ]
}

const VIEWS: [&str; 5] = ["alerts", "accesses", "identities", "map", "separation"];

fn open(browser: &mut Browser, daemon: &Daemon, view: &str) -> Result<()> {
    let url = page(daemon)?.replace("#token=", &format!("#pane={view}&token="));
    browser.open(&url)?;
    browser.until("document.querySelector('#health').innerText.includes('live')")?;
    Ok(())
}

/// Nothing that a screen obeys is in a text or a title, and no text is endless.
const TEXTS: &str = r"(() => {
  const bad = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;
  const found = [];
  let seen = 0;
  const look = (text, where) => { seen += 1; if (bad.test(text) || text.length > 2000) found.push(where + ': ' + JSON.stringify(text.slice(0, 80)) + ' of ' + text.length); };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) look(walk.currentNode.data, walk.currentNode.parentElement.tagName);
  for (const node of document.querySelectorAll('[title], [aria-label]')) look((node.getAttribute('title') || '') + (node.getAttribute('aria-label') || ''), node.tagName + ' title');
  return { seen, found, images: document.querySelectorAll('main img, main script').length };
})()";

fn harmless(browser: &mut Browser, what: &str) -> Result<()> {
    let found = browser.run(TEXTS)?;
    ensure!(found["seen"].as_u64() > Some(20), "{what}: {found}");
    ensure!(
        found["found"] == json!([]) && found["images"] == 0,
        "{what}: {found}"
    );
    let fits = browser.run("document.documentElement.scrollWidth <= innerWidth")?;
    ensure!(fits == true, "{what}: it is wider than the window");
    Ok(())
}

fn hostile() -> Result<()> {
    let address = free()?;
    let daemon = start(address)?;
    let server = Answerer::inet()?;
    let mut browser = Browser::start()?;
    browser.look(1280, 800, "light")?;
    open(&mut browser, &daemon, "accesses")?;
    // Over the wire, as no client would send it: what turns the direction of text, and markup.
    let host = format!("{}.example", unique("page"));
    let path = "/\u{202e}gpj.exe\u{200b}\u{9b}31m<script>alert(1)</script>";
    let mut stream = TcpStream::connect(server.address())?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer key-of-hostile-1\r\n\r\n"
    )?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    let shown = "/⟨U+202E⟩gpj.exe⟨U+200B⟩⟨U+009B⟩31m<script>alert(1)</script>";
    browser.until(&format!(
        "[...document.querySelectorAll('#accesses .path')].some(n => n.textContent === {})",
        json!(shown)
    ))?;
    harmless(&mut browser, "accesses of the wire")?;
    // Longer than any head that is captured: 64 KiB in every field, as if the daemon sent them.
    browser.run(
        r"(async () => {
          const long = (s) => s.repeat(Math.ceil(65536 / s.length)).slice(0, 65536);
          const evil = long('a\u202e\u0007<img src=x onerror=alert(1)>\u0000\u001b[31m');
          const live = await import('./live.js');
          const end = { pid: 1, exe: evil, unit: evil, container: evil, user: evil, lineage: [evil, evil] };
          live.take({ not_shown: 0, not_seen: 0, rows: [{ n: 9e9, workload: 'exe:' + evil, access: {
            time: evil, role: 'client', identity: evil, owner: evil, credential: { kind: evil, fingerprint: evil, hint: evil }, client: end, server: end,
            peer: evil, protocol: evil, request: { method: evil, host: long('h'), path: evil, route: evil }, response: { status: 200 },
            environment: evil, duties: [evil], findings: [evil] } }] });
          const alerts = await import('./alerts.js');
          alerts.take([{ id: 'al_hostile', kind: evil, severity: 'high', title: evil, identity: evil, owner: evil, workload: evil, operation: evil,
            environment: evil, clause: evil, count: 1, first_seen: evil, last_seen: evil }]);
          return 0; })()",
    )?;
    browser.until("document.querySelector('#accesses tbody').textContent.includes('65,536 characters') || document.querySelector('#accesses tbody').textContent.includes('65536 characters')")?;
    for (width, height) in [(1280, 800), (360, 740)] {
        browser.look(width, height, "light")?;
        for key in ["2", "1", "4"] {
            browser.press(key)?;
            std::thread::sleep(Duration::from_millis(400));
            harmless(&mut browser, &format!("view {key} at {width}"))?;
        }
    }
    browser.look(1280, 800, "light")?;
    browser.press("2")?;
    browser.run("document.querySelector('#accesses tbody tr').click()")?;
    browser.until("document.querySelector('#detail').innerText.includes('Who')")?;
    harmless(&mut browser, "the detail")
}

/// A daemon with something to show in each view.
fn lively(browser: &mut Browser) -> Result<(Daemon, Answerer)> {
    let address = free()?;
    let daemon = start(address)?;
    let server = Answerer::inet()?;
    open(browser, &daemon, "accesses")?;
    let host = format!("{}.example", unique("page"));
    for n in 0..4 {
        ask(server.address(), &host, &format!("/{n}"), "key-of-states-1")?;
    }
    ask(server.address(), &host, "/trap", crate::page::CANARY)?;
    browser.until("document.querySelectorAll('#accesses tbody tr').length >= 5")?;
    browser.until("document.querySelector('#count-alerts').textContent !== ''")?;
    Ok((daemon, server))
}

fn sizes() -> Result<()> {
    let mut browser = Browser::start()?;
    browser.look(1280, 800, "light")?;
    let (daemon, _server) = lively(&mut browser)?;
    for (width, height, least) in [(360, 740, 13), (768, 1024, 13), (3840, 2160, 17)] {
        browser.look(width, height, "dark")?;
        for view in VIEWS {
            open(&mut browser, &daemon, view)?;
            browser.until(&format!(
                "!document.getElementById('{view}').hidden && document.getElementById('{view}').innerText.length > 20"
            ))?;
            let fits = browser.run("document.documentElement.scrollWidth <= innerWidth")?;
            ensure!(fits == true, "{view} at {width}: wider than the window");
            // Nothing that can be pressed is outside of the window's width.
            let outside = browser.run(
                "[...document.querySelectorAll('button, input, [role=tab]')].filter(n => n.checkVisibility() && !n.closest('.wide, [role=tablist], .scroll')) \
                 .map(n => [n.id || n.textContent, n.getBoundingClientRect()]).filter(([, b]) => b.right > innerWidth + 1 || b.left < -1).map(([n]) => n)",
            )?;
            ensure!(outside == json!([]), "{view} at {width}: {outside}");
            let size = browser.run("parseFloat(getComputedStyle(document.body).fontSize)")?;
            ensure!(
                size.as_f64() >= Some(f64::from(least)),
                "{view} at {width}: {size} px"
            );
        }
    }
    Ok(())
}

/// axe-core as `cargo xtask setup test` fetches it, its sum checked there.
fn axe() -> Result<String> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/tools/axe-core/axe.min.js");
    std::fs::read_to_string(&path).with_context(|| {
        format!(
            "{} is missing: `cargo xtask setup test` fetches it",
            path.display()
        )
    })
}

/// What axe-core calls serious or critical, by its rules for WCAG 2.2 AA and good practice.
fn judge(browser: &mut Browser, what: &str) -> Result<usize> {
    let found = browser.run(
        "axe.run(document, { resultTypes: ['violations'] }).then(r => ({ passes: r.passes.length, violations: r.violations.map(v => \
         ({ id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + ' ' + n.failureSummary) })) }))",
    )?;
    let passes = found["passes"].as_u64().unwrap_or(0);
    ensure!(passes > 15, "{what}: axe-core looked at little: {found}");
    let all = found["violations"].as_array().context("no answer")?;
    let bad: Vec<_> = all
        .iter()
        .filter(|one| {
            ["serious", "critical"]
                .iter()
                .any(|word| one["impact"] == *word)
        })
        .collect();
    ensure!(bad.is_empty(), "{what}: {bad:#?}");
    #[allow(clippy::print_stderr, reason = "figures for whoever looks")]
    {
        let mild: Vec<_> = all.iter().map(|one| one["id"].to_string()).collect();
        eprintln!("page: axe-core on {what}: {passes} rules passed; of less weight: {mild:?}");
    }
    Ok(all.len())
}

fn barriers() -> Result<()> {
    let axe = axe()?;
    let mut browser = Browser::start()?;
    browser.look(1280, 800, "light")?;
    let (daemon, _server) = lively(&mut browser)?;
    for scheme in ["light", "dark"] {
        browser.look(1280, 800, scheme)?;
        for view in VIEWS {
            open(&mut browser, &daemon, view)?;
            browser.run(&format!("{axe}; 0"))?;
            std::thread::sleep(Duration::from_millis(500));
            judge(&mut browser, &format!("{view}, {scheme}"))?;
        }
        // A story, a mistake in the filter, the help.
        open(&mut browser, &daemon, "alerts")?;
        browser.run(&format!("{axe}; 0"))?;
        browser.until("document.querySelector('#alerts [data-open]')")?;
        browser.run("document.querySelector('#alerts [data-open]').click()")?;
        browser.until("document.querySelector('#detail').innerText.includes('What to do')")?;
        browser.run("document.querySelector('#filter').value = 'kidn == 1'; document.querySelector('#add').requestSubmit()")?;
        browser.until("!document.querySelector('#filter-error').hidden")?;
        judge(&mut browser, &format!("a story, {scheme}"))?;
        browser.press("Escape")?;
        browser.run("document.activeElement.blur()")?;
        browser.press("?")?;
        browser.until("document.querySelector('#help').open")?;
        judge(&mut browser, &format!("the help, {scheme}"))?;
    }
    browser.open(&format!("{}wrong", page(&daemon)?))?;
    browser.run(&format!("{axe}; 0"))?;
    browser.until("document.querySelector('#gate').open")?;
    judge(&mut browser, "the question for the token")?;
    // What changes by itself is spoken, once.
    let spoken = browser.run("['#notices', '#said', '#filter-error'].every(s => { const n = document.querySelector(s); return n.ariaLive === 'polite' || n.getAttribute('role') === 'alert'; })")?;
    ensure!(spoken == true, "a region that changes is silent");
    Ok(())
}

/// Without a token, with a wrong one, and with nothing to show yet; the others are told in other tests.
fn states() -> Result<()> {
    let address = free()?;
    let daemon = start(address)?;
    let mut browser = Browser::start()?;
    browser.look(1280, 700, "light")?;
    browser.open(&format!("http://{address}/"))?;
    browser.until("document.querySelector('#gate').open && document.querySelector('#gate').innerText.includes('needs its token')")?;
    browser.open(&format!("{}0", page(&daemon)?))?;
    browser.until("document.querySelector('#gate').open && document.querySelector('#gate').innerText.includes('not known')")?;
    let told = browser.run(
        "document.querySelector('#health').innerText + document.querySelector('main').innerText",
    )?;
    ensure!(
        !told.as_str().unwrap_or_default().contains("BTF"),
        "told to a stranger: {told}"
    );
    open(&mut browser, &daemon, "identities")?;
    for (view, words) in [("alerts", "No alert"), ("map", "Nothing moves")] {
        // Others use this host: what they do is not asked for.
        let none = format!("#pane={view}&alerts=false&accesses=false&identities=false&token=");
        browser.open(&page(&daemon)?.replace("#token=", &none))?;
        browser.until(&format!(
            "document.getElementById('{view}').innerText.includes({words:?}) || document.querySelector('#{view} .edge')"
        ))?;
    }
    browser.until("document.querySelector('#notices').innerText.includes('Learning')")?;
    Ok(())
}
