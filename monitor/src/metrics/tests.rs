#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail by panic"
)]

use crate::listening::Listen;
use std::sync::Arc;

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::syntax::{Samples, check};
use super::*;
use crate::judge::{Finding, FindingCounts, FindingKind, Severity};
use crate::serve::records::{Loss, StatusRecord, WebhookStatus};

fn inputs() -> Inputs {
    let mut status = StatusRecord {
        version: "1.2.3".to_owned(),
        memory_bytes: Some(1 << 25),
        ..StatusRecord::default()
    };
    status.accesses.total = 12;
    status.policy.generation = 3;
    status.policy.error = Some("no".to_owned());
    status.coverage.dark.connections = 5;
    status.webhooks = vec![WebhookStatus {
        // The configuration allows no such name; the format must hold anyhow.
        name: "a\"b\\c\nd} 1".to_owned(),
        state: "disabled".to_owned(),
        waiting: 4,
        oldest_s: Some(90),
        delivered: 7,
        failed: 2,
        dead_letters: 1,
        error: None,
    }];
    let loss = |cause: &str, count| Loss {
        cause: cause.to_owned(),
        count,
        unit: "records".to_owned(),
    };
    let mut findings = FindingCounts::default();
    for severity in [Severity::High, Severity::High, Severity::Low] {
        findings.note(Finding {
            kind: FindingKind::Canary,
            severity,
        });
    }
    let mut delays = Histogram::new_with_bounds(1, 60_000_000, 2).unwrap();
    for us in [300, 900, 3_000_000, 30_000_000] {
        delays.record(us).unwrap();
    }
    Inputs {
        status,
        losses: vec![loss("gap", 0), loss("ring", 9)],
        anomalies: vec![("orphan", 2)],
        findings,
        latency: Latency::of(&delays),
    }
}

fn value(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let labels: Vec<_> = labels.iter().map(own).collect();
    let found = samples.get(&(name.to_owned(), labels));
    *found.unwrap_or_else(|| panic!("no {name} in {samples:#?}"))
}

#[test]
fn what_is_exposed_is_as_the_formats_demand() {
    let inputs = inputs();
    let plain = expose(&inputs, Form::Prometheus);
    let open = expose(&inputs, Form::OpenMetrics);
    let samples = check(&plain, false).unwrap();
    assert_eq!(check(&open, true).unwrap(), samples, "the same in both");
    let is = |name: &str, labels: &[(&str, &str)], expected: f64| {
        let found = value(&samples, name, labels);
        assert!((found - expected).abs() < 1e-9, "{name}: {found}");
    };
    is("bailiwick_accesses_total", &[], 12.0);
    is("bailiwick_policy_generation", &[], 3.0);
    is("bailiwick_policy_reload_refused", &[], 1.0);
    is(
        "bailiwick_losses_total",
        &[("cause", "gap"), ("unit", "records")],
        0.0,
    );
    is(
        "bailiwick_losses_total",
        &[("cause", "ring"), ("unit", "records")],
        9.0,
    );
    is(
        "bailiwick_covered_connections",
        &[("coverage", "dark")],
        5.0,
    );
    let hook = [("webhook", "a\"b\\c\nd} 1")];
    is("bailiwick_webhook_queue_length", &hook, 4.0);
    is("bailiwick_webhook_queue_oldest_age_seconds", &hook, 90.0);
    is("bailiwick_webhook_disabled", &hook, 1.0);
    let canary = |severity| [("kind", "canary"), ("severity", severity)];
    is("bailiwick_findings_total", &canary("high"), 2.0);
    is("bailiwick_findings_total", &canary("low"), 1.0);
    is("bailiwick_findings_total", &canary("critical"), 0.0);
    let bucket = |le| [("le", le)];
    is(
        "bailiwick_verdict_latency_seconds_bucket",
        &bucket("0.0005"),
        1.0,
    );
    is(
        "bailiwick_verdict_latency_seconds_bucket",
        &bucket("0.001"),
        2.0,
    );
    is(
        "bailiwick_verdict_latency_seconds_bucket",
        &bucket("1.0"),
        2.0,
    );
    is(
        "bailiwick_verdict_latency_seconds_bucket",
        &bucket("5.0"),
        3.0,
    );
    is(
        "bailiwick_verdict_latency_seconds_bucket",
        &bucket("+Inf"),
        4.0,
    );
    let sum = value(&samples, "bailiwick_verdict_latency_seconds_sum", &[]);
    assert!((sum / 33.0012 - 1.0).abs() < 0.01, "{sum}");
}

/// The checker itself finds what is wrong.
#[test]
fn the_checker_checks() {
    let head = "# HELP a_total x\n# TYPE a_total counter\n";
    assert!(check(&format!("{head}a_total{{b=\"c\"}} 1\n"), false).is_ok());
    for bad in [
        "a_total 1",
        "a_total x\n",
        "a_total -1\n",
        "b_total 1\n",
        "a_total 1\na_total 2\n",
        "a_total{b=\"c} 1\n",
        "a_total{b=\"\\t\"} 1\n",
        "a_total{1b=\"c\"} 1\n",
        "a_total{b=\"c\",b=\"d\"} 1\n",
        "# TYPE a_total counter\n",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP g_total x\n# TYPE g_total gauge\ng_total 1\n",
        "# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# HELP h x\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 1\n",
    ] {
        assert!(check(&format!("{head}{bad}"), false).is_err(), "{bad}");
    }
    assert!(
        check("# HELP g x\n# TYPE g gauge\ng 1\n", true).is_err(),
        "no EOF"
    );
}

/// docs/metrics.md names each family, and no other.
#[test]
fn the_documentation_lists_them_all() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md"));
    let page = page.unwrap();
    let listed: std::collections::BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `bailiwick_")?.split(['`', '{']).next())
        .collect();
    let text = expose(&inputs(), Form::Prometheus);
    let exposed: std::collections::BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE bailiwick_")?.split(' ').next())
        .collect();
    assert_eq!(listed, exposed);
}

async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_endpoint_answers_what_it_should() {
    let listen = Listen::parse("127.0.0.1:0", "").unwrap();
    let server = MetricsServer::bind(&listen, "web-1", "none").await.unwrap();
    let address = server.address().unwrap();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(server.run(Arc::new(inputs), stopped));
    let get = |path: &str, more: &str| {
        let request = format!("GET {path} HTTP/1.1\r\n{more}\r\n");
        async move { ask(address, &request).await }
    };
    let good = get("/metrics", "Host: localhost\r\n").await;
    let (head, body) = good.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    check(body, false).unwrap();
    let accept = "Host: 127.0.0.1\r\nAccept: application/openmetrics-text;version=1.0.0\r\n";
    let open = get("/metrics", accept).await;
    let (head, body) = open.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/openmetrics-text"), "{head}");
    check(body, true).unwrap();
    for (path, more, status) in [
        ("/metrics", "Host: evil.example\r\n", "421"),
        ("/metrics", "", "421"),
        ("/metrics", "Host: localhost\r\nHost: localhost\r\n", "421"),
        ("/metrics", "Host: web-1\r\n", "421"),
        ("/", "Host: localhost\r\n", "404"),
    ] {
        let answer = get(path, more).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{more}: {answer}"
        );
        assert!(!answer.contains("bailiwick_"), "{answer}");
    }
    let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    assert!(ask(address, post).await.starts_with("HTTP/1.1 405 "));
    let long = format!("Host: localhost\r\nX: {}\r\n", "x".repeat(20_000));
    let answer = TcpStream::connect(address).await.unwrap();
    drop(answer);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\n{long}\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told).await;
    assert!(!told.starts_with(b"HTTP/1.1 200"), "a head without bound");
    stop.send(true).unwrap();
    running.await.unwrap();
}
