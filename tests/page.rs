//! The page as strangers, scripts and a browser get it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::browser::Browser;
use e2e::http::Answerer;
use e2e::process::{client, curl};
use e2e::server::free;
use e2e::trial::root;
use e2e::{Daemon, Server, Setup, scaled, unique};
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("page::refuses_strangers", refuses_strangers),
        root("page::over_a_unix_socket", over_a_unix_socket),
        root(
            "page::a_stream_is_taken_up_again",
            a_stream_is_taken_up_again,
        ),
        root("page::in_a_browser", in_a_browser),
        root("page::many_accesses_in_a_browser", many_accesses),
        root("page::pictures", crate::pictures::pictures),
    ]
}

pub(crate) const CANARY: &str = "canary-of-the-page-0123456789";

/// A daemon with a page, and a policy that knows one credential, which is a canary.
pub(crate) fn start(address: SocketAddr) -> Result<Daemon> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("canary");
    std::fs::write(&file, CANARY)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    let daemon = Setup::default()
        .policy(&format!(
            "[identities.trap]\nowner = \"security\"\ncredentials = [\"file:{}\"]\n",
            file.display()
        ))
        .config(&format!("[page]\nlisten = \"{address}\"\n"))
        .start()?;
    // Read at the start; a reload would want it again.
    drop(dir);
    Ok(daemon)
}

fn token(daemon: &Daemon) -> Result<String> {
    let text = std::fs::read_to_string(daemon.dir().join("run/page.token"))?;
    Ok(text.trim().to_owned())
}

pub(crate) fn page(daemon: &Daemon) -> Result<String> {
    let output = daemon
        .command(&["page"])?
        .arg("--config")
        .arg(daemon.dir().join("bailiwick.toml"))
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// One request from a process of its own.
pub(crate) fn ask(server: SocketAddr, host: &str, path: &str, key: &str) -> Result<()> {
    let host = format!("Host: {host}");
    let key = format!("Authorization: Bearer {key}");
    let url = format!("http://{server}{path}");
    curl(&["--path-as-is", "-H", &host, "-H", &key, &url]).map(drop)
}

fn refuses_strangers() -> Result<()> {
    let address = free()?;
    let daemon = start(address)?;
    let file = daemon.dir().join("run/page.token");
    ensure!(std::fs::metadata(&file)?.mode() & 0o777 == 0o600, "mode");
    let token = token(&daemon)?;
    let url = page(&daemon)?;
    ensure!(url == format!("http://{address}/#token={token}"), "{url}");

    let code = ["-o", "/dev/null", "-w", "%{http_code}"];
    let status = format!("http://{address}/api/status");
    let bearer = format!("Authorization: Bearer {token}");
    let of = |more: &[&str]| curl(&[&code[..], more, &[&status]].concat());
    for (expected, fields) in [
        ("200", vec!["-H", &bearer]),
        ("401", vec![]),
        ("401", vec!["-H", "Authorization: Bearer wrong"]),
        ("401", vec!["-H", "Cookie: token=x"]),
        ("421", vec!["-H", &bearer, "-H", "Host: evil.example"]),
        (
            "403",
            vec!["-H", &bearer, "-H", "Origin: http://evil.example"],
        ),
        (
            "403",
            vec!["-H", &bearer, "-H", "Sec-Fetch-Site: cross-site"],
        ),
        ("405", vec!["-H", &bearer, "-X", "POST"]),
    ] {
        let got = of(&fields)?;
        ensure!(got == expected, "{fields:?}: {got}");
    }
    let lost = format!("http://{address}/../../etc/passwd");
    ensure!(
        curl(&[&code[..], &["--path-as-is", &lost]].concat())? == "404",
        "a path"
    );
    let text: Value = serde_json::from_str(&curl(&["-H", &bearer, &status])?)?;
    ensure!(
        text["type"] == "status" && text["hooks"].as_array().is_some_and(|h| !h.is_empty()),
        "{text}"
    );
    Ok(())
}

fn over_a_unix_socket() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("page.sock");
    let mut daemon = Setup::default()
        .config(&format!("[page]\nlisten = \"unix:{}\"\n", socket.display()))
        .start()?;
    let path = socket.to_str().context("path")?;
    let bearer = format!("Authorization: Bearer {}", token(&daemon)?);
    let url = "http://localhost:9465/api/alerts";
    let text = curl(&["--unix-socket", path, "-H", &bearer, url])?;
    ensure!(text.contains("\"alerts\":["), "{text}");
    let html = curl(&["--unix-socket", path, "http://localhost:9465/"])?;
    ensure!(html.contains("<title>Bailiwick</title>"), "{html}");
    ensure!(
        page(&daemon)?.starts_with("http://localhost:9465/#token="),
        "{}",
        page(&daemon)?
    );
    daemon.stop()?;
    ensure!(!socket.exists(), "the socket is left behind");
    Ok(())
}

/// Events of a stream.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(daemon: &Daemon, address: SocketAddr, since: Option<&str>) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(scaled(Duration::from_secs(20))))?;
        let since = since.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        write!(
            &stream,
            "GET /api/stream HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{since}\r\n",
            token(daemon)?
        )?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        ensure!(line.contains("200"), "{line}");
        while line.trim() != "" {
            line.clear();
            reader.read_line(&mut line)?;
        }
        Ok(Self(reader))
    }

    /// Id, event, data.
    fn next(&mut self) -> Result<(String, String, Value)> {
        let mut all = (String::new(), String::new(), Value::Null);
        loop {
            let mut line = String::new();
            ensure!(self.0.read_line(&mut line)? > 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut all.0),
                Some(("event", event)) => event.clone_into(&mut all.1),
                Some(("data", data)) => all.2 = serde_json::from_str(data)?,
                _ => return Ok(all),
            }
        }
    }

    /// Paths of accesses to a host, until that many were seen; and the last id.
    fn paths(&mut self, host: &str, count: usize) -> Result<(Vec<String>, String)> {
        let mut paths = Vec::new();
        loop {
            let (id, event, data) = self.next()?;
            if event == "accesses" {
                let rows = data["rows"].as_array().context("no rows")?;
                let ours = rows
                    .iter()
                    .filter(|row| row["access"]["request"]["host"] == host);
                paths.extend(
                    ours.filter_map(|row| row["access"]["request"]["path"].as_str())
                        .map(str::to_owned),
                );
            }
            if paths.len() >= count {
                return Ok((paths, id));
            }
        }
    }
}

fn a_stream_is_taken_up_again() -> Result<()> {
    let address = free()?;
    let mut daemon = start(address)?;
    let server = Answerer::inet()?;
    let host = format!("{}.example", unique("page"));
    let mut events = Events::open(&daemon, address, None)?;
    let (_, event, hello) = events.next()?;
    ensure!(
        event == "hello" && hello["restarted"] == false,
        "{event} {hello}"
    );
    for n in 0..3 {
        ask(server.address(), &host, &format!("/a{n}"), "key-of-page-1")?;
    }
    let (paths, id) = events.paths(&host, 3)?;
    ensure!(paths == ["/a0", "/a1", "/a2"], "{paths:?}");
    drop(events);

    for n in 0..3 {
        ask(server.address(), &host, &format!("/b{n}"), "key-of-page-1")?;
    }
    let mut events = Events::open(&daemon, address, Some(&id))?;
    let (_, _, hello) = events.next()?;
    ensure!(
        hello["missed"] == 0 && hello["restarted"] == false,
        "{hello}"
    );
    let (paths, id) = events.paths(&host, 3)?;
    ensure!(
        paths == ["/b0", "/b1", "/b2"],
        "neither lost nor doubled: {paths:?}"
    );
    drop(events);

    let before = token(&daemon)?;
    daemon.stop()?;
    daemon.restart()?;
    ensure!(
        token(&daemon)? == before,
        "an open page keeps its token over a restart"
    );
    ask(server.address(), &host, "/c0", "key-of-page-1")?;
    let mut events = Events::open(&daemon, address, Some(&id))?;
    let (_, _, hello) = events.next()?;
    ensure!(hello["restarted"] == true, "{hello}");
    let (paths, _) = events.paths(&host, 1)?;
    ensure!(paths == ["/c0"], "{paths:?}");
    Ok(())
}

/// Cells of rows that the accesses show of a host, newest first.
fn rows(host: &str) -> String {
    format!(
        "[...document.querySelectorAll('#accesses tbody tr')].filter(r => r.textContent.includes({}))\
         .map(r => r.querySelector('.path').textContent)",
        json!(host)
    )
}

fn in_a_browser() -> Result<()> {
    let address = free()?;
    let mut daemon = start(address)?;
    let server = Answerer::inet()?;
    let host = format!("{}.example", unique("page"));
    let mut browser = Browser::start()?;
    browser.look(1280, 800, "light")?;

    // Without the token: asked for, and nothing is shown.
    browser.open(&format!("http://{address}/"))?;
    browser.until("document.querySelector('#gate').open")?;
    ensure!(
        browser.run("document.querySelectorAll('#health .fact').length")? == 1,
        "told something"
    );

    let url = page(&daemon)?.replace("#token=", "#pane=accesses&token=");
    browser.complaints.clear();
    browser.open(&url)?;
    browser.until("document.querySelector('#health').innerText.includes('live')")?;
    let shown = browser.run("location.href")?;
    ensure!(
        shown.as_str().is_some_and(|url| !url.contains("token")),
        "the token stays in {shown}"
    );

    // Live, and hostile text is text.
    let hostile = "/%3Cimg%20src=x%3E<img/src=x/onerror=document.title='owned'>";
    ask(server.address(), &host, hostile, "key-of-page-2")?;
    ask(server.address(), &host, "/second", "key-of-page-2")?;
    browser.until(&format!("{}.length === 2", rows(&host)))?;
    ensure!(
        browser.run("document.querySelectorAll('main img').length")? == 0,
        "markup"
    );
    let text = browser.run(&format!("{}[1]", rows(&host)))?;
    ensure!(text == hostile, "{text}");

    // A filter: written, kept in the address, removed by a key; a mistake is shown where it is.
    let write = |browser: &mut Browser, filter: &str| -> Result<()> {
        browser.press("/")?;
        let script = "document.querySelector('#filter').value = VALUE; document.querySelector('#add').requestSubmit()";
        browser.run(&script.replace("VALUE", &json!(filter).to_string()))?;
        Ok(())
    };
    write(&mut browser, "request.host == \"nobody.example\"")?;
    browser
        .until("document.querySelector('#accesses .empty h2')?.textContent.includes('filter')")?;
    ensure!(
        browser.run("new URLSearchParams(location.hash.slice(1)).get('accesses')")?
            == "request.host == \"nobody.example\"",
        "the address says nothing"
    );
    write(&mut browser, "identty == \"x\"")?;
    let told =
        browser.until("document.querySelector('#filter-error:not([hidden])')?.textContent")?;
    let told = told.as_str().context("no text")?;
    ensure!(
        told.contains("identty == \"x\"\n  ^^^^^^^\n")
            && told.contains("hint: did you mean `identity`"),
        "{told}"
    );
    browser.press("Escape")?;
    browser.press("x")?;
    browser.until(&format!("{}.length === 2", rows(&host)))?;
    ensure!(
        browser.run("document.querySelector('#filter-error').hidden")? == true,
        "the mistake stays"
    );
    // A value that is clicked: only it, then all but it, over several words of the language.
    let click = |browser: &mut Browser, entry: &str| -> Result<()> {
        browser.run(&format!(
            "[...document.querySelectorAll('#accesses .v[data-field=host]')].find(v => v.dataset.value === {}).click()",
            json!(host)
        ))?;
        browser.run(&format!(
            "[...document.querySelectorAll('#menu button')].find(b => b.textContent === {entry:?}).click()"
        ))?;
        Ok(())
    };
    click(&mut browser, "Filter for it")?;
    browser.until(&format!(
        "document.querySelector('#filter').value === {} && document.querySelectorAll('#accesses tbody tr').length === 2",
        json!(format!("request.host == \"{host}\""))
    ))?;
    click(&mut browser, "Exclude it")?;
    browser.until("document.querySelectorAll('#accesses tbody tr').length === 0")?;
    let both = browser.run("document.querySelector('#filter').value")?;
    ensure!(
        both == format!("request.host == \"{host}\" and request.host != \"{host}\""),
        "{both}"
    );
    browser.press("x")?;
    browser.until(&format!("{}.length === 2", rows(&host)))?;

    // Paused: counted, not shown.
    browser.press(" ")?;
    ask(server.address(), &host, "/third", "key-of-page-2")?;
    browser.until("!document.querySelector('.fresh').hidden")?;
    ensure!(
        browser.run(&format!("{}.length", rows(&host)))? == 2,
        "shown while paused"
    );
    browser.press("g")?;
    browser.until(&format!("{}[0] === '/third'", rows(&host)))?;

    // The canary: an alert, its story, acknowledged for good.
    ask(server.address(), &host, "/trap", CANARY)?;
    browser.press("1")?;
    browser
        .until("document.querySelector('#alerts [data-open]')?.textContent.includes('canary')")?;
    browser.press("j")?;
    browser.press("Enter")?;
    for part in [
        "What",
        "Who",
        "Usual against seen",
        "Why it matters",
        "What to do",
        "Delivery",
    ] {
        browser.until(&format!(
            "[...document.querySelectorAll('#detail h3')].some(h => h.textContent === {part:?})"
        ))?;
    }
    let clause = browser.run(
        "(async () => { const {clauseOf} = await import('./copy.js'); const a = await import('./alerts.js'); \
         return clauseOf({...a.open()[0], operation: 'GET h/\\u202e\\n\"x\\u007f', title: 'x\\ny'}, new Map()); })()",
    )?;
    let clause = clause.as_str().context("no clause")?;
    ensure!(
        clause.contains("[identities.trap]") && !clause.contains('\u{202e}'),
        "{clause}"
    );
    ensure!(
        clause.lines().nth(1).is_some_and(|l| l.starts_with('#')),
        "{clause}"
    );
    browser.press("a")?;
    browser.until("document.querySelector('#detail').innerText.includes('acknowledged')")?;
    browser.call("Page.reload", json!({}))?;
    browser.until("document.querySelector('#detail')?.innerText.includes('acknowledged')")?;
    browser.until("document.querySelector('#alerts .empty, #show-all')")?;

    // Every view draws, at 360 px without a sideways scroll, and nothing complains.
    browser.look(360, 740, "dark")?;
    browser.press("Escape")?;
    for (key, word) in [
        ("3", "trap"),
        ("4", "Workload"),
        ("5", "security"),
        ("2", "/trap"),
    ] {
        browser.press(key)?;
        browser.until(&format!(
            "document.querySelector('section:not([hidden])').textContent.includes({word:?})"
        ))?;
        ensure!(
            browser.run("document.documentElement.scrollWidth <= innerWidth")? == true,
            "view {key} is too wide"
        );
    }
    let complaints = std::mem::take(&mut browser.complaints);
    ensure!(complaints.is_empty(), "{complaints:?}");
    contrast(&mut browser)?;

    // The daemon goes and comes back: said, and no row is lost or doubled.
    let held = browser.run(&format!("{}.length", rows(&host)))?;
    daemon.stop()?;
    browser.until("document.querySelector('#notices').innerText.includes('Disconnected')")?;
    daemon.restart()?;
    ask(server.address(), &host, "/back", "key-of-page-2")?;
    browser.until(&format!("{}[0] === '/back'", rows(&host)))?;
    browser.until("!document.querySelector('#notices').innerText.includes('Disconnected')")?;
    let now = browser.run(&format!("{}.length", rows(&host)))?;
    ensure!(
        now.as_u64() == held.as_u64().map(|held| held + 1),
        "{held} rows before, {now} after"
    );
    Ok(())
}

/// Text against what is behind it, in both schemes: at least 4.5 to 1 (WCAG 2.2, 1.4.3 and its formula).
fn contrast(browser: &mut Browser) -> Result<()> {
    const MEASURE: &str = r"(() => {
      const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return { rgb: m.slice(0, 3), a: m[3] ?? 1 }; };
      const lin = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
      const lum = (rgb) => 0.2126 * lin(rgb[0]) + 0.7152 * lin(rgb[1]) + 0.0722 * lin(rgb[2]);
      const ground = (node) => { for (let n = node; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor); if (c.a === 1) return c.rgb; } return [255, 255, 255]; };
      const bad = [];
      let seen = 0;
      for (const node of document.querySelectorAll('body *')) {
        if (![...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim()) || !node.checkVisibility() || node.closest('#said')) continue;
        const style = getComputedStyle(node);
        const svg = node instanceof SVGElement;
        const [a, b] = [lum(parse(svg ? style.fill : style.color).rgb), lum(ground(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        seen += 1;
        if (ratio < 4.5) bad.push(node.tagName + '.' + node.getAttribute('class') + ' ' + ratio.toFixed(2) + ' ' + node.textContent.slice(0, 30));
      }
      return { seen, bad };
    })()";
    for scheme in ["light", "dark"] {
        browser.look(1280, 800, scheme)?;
        for view in ["1", "2", "3", "4", "5"] {
            browser.press(view)?;
            std::thread::sleep(Duration::from_millis(300));
            let found = browser.run(MEASURE)?;
            ensure!(found["seen"].as_u64() > Some(20), "{found}");
            ensure!(found["bad"] == json!([]), "{scheme}, view {view}: {found}");
        }
    }
    browser.press("2")
}

/// What a tab costs while a server answers as fast as it can.
fn many_accesses() -> Result<()> {
    let address = free()?;
    let daemon = start(address)?;
    let dir = tempfile::tempdir()?;
    let server = Server::nginx(dir.path())?;
    let mut browser = Browser::start()?;
    browser.look(1280, 800, "light")?;
    let url = page(&daemon)?.replace("#token=", "#pane=accesses&token=");
    browser.open(&url)?;
    browser.until("document.querySelector('#health').innerText.includes('live')")?;
    browser.run(
        "window.frames_ = []; let last = performance.now(); (function on(t) { window.frames_.push(t - last); last = t; \
         requestAnimationFrame(on); })(last); 0",
    )?;
    let before = daemon.status()?["accesses"]["total"].as_u64();
    let idle = browser.figure("TaskDuration")?;
    let begun = Instant::now();
    let mut load = Command::new("/usr/bin/h2load");
    load.args([
        "--h1",
        "-D",
        "8",
        "-c",
        "8",
        "-t",
        "1",
        "-H",
        "Authorization: Bearer key-of-many",
    ])
    .arg(server.url("/"));
    client(&mut load)?;
    let took = begun.elapsed().as_secs_f64();
    let after = daemon.status()?["accesses"]["total"].as_u64();
    let count = after
        .zip(before)
        .map_or(0, |(after, before)| after - before);
    browser.until("document.querySelector('#accesses .note').textContent.includes('more came')")?;
    let rows = browser.run("document.querySelectorAll('#accesses tbody tr').length")?;
    ensure!(rows.as_u64() <= Some(500), "{rows} rows");
    let heap = browser.figure("JSHeapUsedSize")?;
    let footprint = browser.footprint()?;
    let worked = (browser.figure("TaskDuration")? - idle) * 1000.0;
    let frames = browser.run(
        "(() => { const f = window.frames_.sort((a, b) => a - b); return { count: f.length, half: f[f.length >> 1], \
         p95: f[Math.floor(f.length * 0.95)], most: f[f.length - 1] }; })()",
    )?;
    let each = worked / frames["count"].as_f64().unwrap_or(1.0);
    #[allow(clippy::print_stderr, reason = "figures for whoever measures")]
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    {
        let rate = count as f64 / took;
        eprintln!(
            "page: {rate:.0} accesses/s, heap {:.1} MiB, the tab's process {:.1} MB, {each:.1} ms of work a frame; \
             between frames {frames}",
            heap / f64::from(1 << 20),
            footprint as f64 / 1e6
        );
    }
    ensure!(count > 1000, "only {count} accesses: no load");
    ensure!(heap < 150e6, "{heap} bytes");
    ensure!(footprint < 150_000_000, "{footprint} bytes");
    // What the tab itself does for one: when the next may come is up to a machine that has other things to do.
    let most = scaled(Duration::from_millis(50)).as_secs_f64() * 1e3;
    ensure!(each < most, "{each} ms a frame, of {most}");
    Ok(())
}
