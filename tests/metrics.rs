//! Metrics as a scraper gets them, and every format as a receiver gets it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http::Answerer;
use e2e::process::curl;
use e2e::server::free;
use e2e::trial::root;
use e2e::{Setup, wait_for};
use libtest_mimic::Trial;
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("metrics::agree_with_status", agree_with_status),
        root("metrics::over_a_unix_socket", over_a_unix_socket),
        root("metrics::every_format_is_sent", every_format_is_sent),
    ]
}

/// The value of a sample, as written.
fn value<'a>(text: &'a str, sample: &str) -> Option<&'a str> {
    let line = |line: &'a str| line.strip_prefix(sample)?.strip_prefix(' ');
    text.lines().find_map(line)
}

fn number(text: &str, sample: &str) -> Result<u64> {
    let value = value(text, sample).with_context(|| format!("no {sample} in {text}"))?;
    Ok(value.parse()?)
}

/// Findings of one kind, whatever their severity.
fn environment_findings(text: &str) -> Result<u64> {
    let each = ["low", "medium", "high", "critical"].map(|severity| {
        let labels = format!("kind=\"environment\",severity=\"{severity}\"");
        number(text, &format!("bailiwick_findings_total{{{labels}}}"))
    });
    each.into_iter().sum()
}

fn agree_with_status() -> Result<()> {
    let address = free()?;
    let dir = tempfile::tempdir()?;
    let token = dir.path().join("token");
    std::fs::write(&token, "metrics-key-0123456789")?;
    let daemon = Setup::default()
        .policy(&format!(
            "[environments]\nprod = [\"api.metrics.example\"]\ndev = [\"*.dev.example\"]\n\
             [identities.ci-bot]\nowner = \"team-ci\"\ncredentials = [\"file:{}\"]\n\
             duties = [\"read\"]\nenvironments = [\"dev\"]\n\
             [duties]\nread = [\"GET */**\"]\n",
            token.display()
        ))
        .config(&format!("[metrics]\nlisten = \"{address}\"\n"))
        .start()?;
    let url = format!("http://{address}/metrics");
    let before = environment_findings(&curl(&[&url])?)?;

    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    for _ in 0..3 {
        let target = format!("http://{}/x", server.address());
        let key = "Authorization: Bearer metrics-key-0123456789";
        curl(&["-H", "Host: api.metrics.example", "-H", key, &target])?;
    }
    watch.until_mark()?;
    drop(watch);

    // Others use this host too, so both are asked until nothing happened in between.
    let (status, text) = wait_for("status and metrics to agree", || {
        let status = daemon.status()?;
        let text = curl(&[&url])?;
        let again = daemon.status()?;
        let quiet = status["accesses"]["total"] == again["accesses"]["total"]
            && status["coverage"] == again["coverage"];
        let total = number(&text, "bailiwick_accesses_total")?;
        let raised = status["alerts"]["stored"].as_u64().unwrap_or(0);
        Ok(
            (quiet && total >= 3 && raised > 0 && status["accesses"]["total"] == total)
                .then_some((status, text)),
        )
    })?;
    for (sample, pointer) in [
        ("bailiwick_accesses_total", "/accesses/total"),
        (
            "bailiwick_accesses_with_credential_total",
            "/accesses/with_credential",
        ),
        ("bailiwick_policy_generation", "/policy/generation"),
        ("bailiwick_policy_identities", "/policy/identities"),
        ("bailiwick_identities", "/identities/known"),
        ("bailiwick_alerts_stored", "/alerts/stored"),
        (
            "bailiwick_covered_connections{coverage=\"read\"}",
            "/coverage/read/connections",
        ),
        (
            "bailiwick_connection_memory_limit_bytes",
            "/connections/max_bytes",
        ),
    ] {
        let told = status.pointer(pointer).and_then(Value::as_u64);
        ensure!(
            told == Some(number(&text, sample)?),
            "{sample}: {told:?} in {text}"
        );
    }
    let after = environment_findings(&text)?;
    ensure!(after == before + 3, "{after} findings, {before} before");
    for loss in status["losses"].as_array().context("no losses")? {
        let sample = format!(
            "bailiwick_losses_total{{cause={},unit={}}}",
            loss["cause"], loss["unit"]
        );
        ensure!(value(&text, &sample).is_some(), "no {sample}");
    }
    let latency = number(&text, "bailiwick_verdict_latency_seconds_count")?;
    ensure!(latency >= 3, "{latency} answers timed");

    let code = ["-o", "/dev/null", "-w", "%{http_code}"];
    let ask = |more: &[&str]| curl(&[&code[..], more].concat());
    ensure!(
        ask(&["-H", "Host: evil.example", &url])? == "421",
        "another's name"
    );
    ensure!(ask(&["-X", "POST", &url])? == "405", "a POST");
    Ok(())
}

fn over_a_unix_socket() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("metrics.sock");
    let mut daemon = Setup::default()
        .config(&format!(
            "[metrics]\nlisten = \"unix:{}\"\n",
            socket.display()
        ))
        .start()?;
    let path = socket.to_str().context("path")?;
    let text = curl(&["--unix-socket", path, "http://localhost/metrics"])?;
    ensure!(
        number(&text, "bailiwick_policy_reload_refused")? == 0,
        "{text}"
    );
    daemon.stop()?;
    ensure!(!socket.exists(), "the socket is left behind");
    Ok(())
}

/// One message as it came.
struct Came {
    path: String,
    head: String,
    body: Value,
}

fn receive(stream: &TcpStream) -> Result<Came> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the head breaks off");
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse()?;
        }
        head.push_str(&line);
        head.push('\n');
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Came {
        path,
        head,
        body: serde_json::from_slice(&body)?,
    })
}

fn receiver() -> Result<(SocketAddr, mpsc::Receiver<Result<Came>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if sender.send(receive(&stream)).is_err() {
                return;
            }
        }
    });
    Ok((address, receiver))
}

/// `send-test` with each; what is in the messages is looked at in the library's own tests.
fn every_format_is_sent() -> Result<()> {
    let (address, came) = receiver()?;
    let dir = tempfile::tempdir()?;
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef")?;
    let key = format!("\"file:{}\"", secret.display());
    let formats = [
        ("json", "secret", "/type"),
        ("ocsf", "secret", "/class_uid"),
        ("cloudevents", "secret", "/specversion"),
        ("slack", "", "/blocks"),
        ("pagerduty", "routing_key", "/payload/summary"),
        ("alertmanager", "", "/0/labels/alertname"),
    ];
    let mut config = String::new();
    for (format, needs, _) in formats {
        config.push_str(&format!(
            "[[webhook]]\nname = \"{format}\"\nurl = \"http://{address}/{format}\"\nformat = \"{format}\"\n"
        ));
        if !needs.is_empty() {
            config.push_str(&format!("{needs} = {key}\n"));
        }
    }
    let daemon = Setup::default().config(&config).start()?;
    let results = daemon.json(&["send-test"])?;
    ensure!(results.len() == formats.len(), "{results:#?}");
    for result in &results {
        ensure!(
            result["ok"] == true && result["status"] == 202,
            "{result:#}"
        );
    }
    let mut paths = Vec::new();
    for _ in formats {
        let message = came.recv_timeout(Duration::from_secs(10))??;
        let known = formats
            .iter()
            .find(|(format, ..)| message.path == format!("/{format}"));
        let (format, needs, pointer) = known.with_context(|| message.path.clone())?;
        ensure!(
            message.body.pointer(pointer).is_some(),
            "{format}: {:#}",
            message.body
        );
        let signed = message.head.contains("webhook-signature: v1,");
        ensure!(signed == (*needs == "secret"), "{format}: {}", message.head);
        let keyed = message.body["routing_key"] == "0123456789abcdef0123456789abcdef";
        ensure!(keyed == (*needs == "routing_key"), "{format}");
        paths.push(message.path);
    }
    paths.sort();
    paths.dedup();
    ensure!(paths.len() == formats.len(), "{paths:?}");
    ensure!(
        !daemon.log().contains("0123456789abcdef"),
        "a key in the log"
    );
    Ok(())
}
