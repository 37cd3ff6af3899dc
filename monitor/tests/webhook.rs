//! Webhooks over real sockets: what is sent, and what all kinds of answers lead to.

mod receiver;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bailiwick::alert::config::HookUrl;
use bailiwick::alert::secret::{SecretEnv, SecretSource};
use bailiwick::alert::status::EndpointStatus;
use bailiwick::alert::{
    Alert, AlertService, AlertUpdate, Endpoint, FoldKey, ServiceOptions, SystemClock, WebhookConfig,
};
use bailiwick::judge::{FindingKind, Severity};
use bailiwick::store::{Store, StoreOptions};

use receiver::{Receiver, plain};

const SECRET: &str = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

fn update(identity: &str) -> AlertUpdate {
    AlertUpdate {
        key: FoldKey {
            kind: FindingKind::Environment,
            identity: Some(identity.into()),
            workload: Some("unit:ci.service".into()),
            clause: "identities.ci-bot.environments = [\"dev\"]".into(),
        },
        count: 1,
        first_us: 1_795_460_238_000_000,
        last_us: 1_795_460_238_000_000,
        severity: Severity::High,
        title: "ci-bot (dev) used a prod host".to_owned(),
        normal: "dev".to_owned(),
        action: "rotate the key".to_owned(),
        techniques: &["T1078"],
        owner: Some("team-ci".into()),
        operation: "GET api.example/{id}".to_owned(),
        environment: Some("prod".into()),
        evidence: Vec::new(),
    }
}

struct Setup {
    service: AlertService,
    _dir: tempfile::TempDir,
}

async fn setup(url: &str, scale: f64, change: impl Fn(&mut WebhookConfig, &Path)) -> Setup {
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, SECRET).expect("written");
    let url = HookUrl::parse(url).expect("a URL");
    let mut config = WebhookConfig::new("soc", url, SecretSource::File(secret));
    config.timeout = Duration::from_secs(1);
    change(&mut config, dir.path());
    let endpoints = Endpoint::load(&[config], &SecretEnv::default()).expect("endpoints");
    let store = Store::open(&dir.path().join("state"), StoreOptions::default()).expect("a store");
    let options = ServiceOptions {
        schedule_scale: scale,
        grace: Duration::from_millis(500),
        ..ServiceOptions::default()
    };
    let service = AlertService::start_with(store, endpoints, Arc::new(SystemClock), options)
        .await
        .expect("started");
    Setup { service, _dir: dir }
}

impl Setup {
    fn status(&self) -> EndpointStatus {
        self.service.status().endpoints.remove(0)
    }

    async fn until(&self, done: impl Fn(&EndpointStatus) -> bool) -> EndpointStatus {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if done(&status) {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn alert(&self) -> Arc<Alert> {
        let mut applied = self
            .service
            .apply(vec![update("ci-bot")])
            .await
            .expect("durable");
        applied.alerts.remove(0)
    }
}

#[tokio::test]
async fn one_message_as_the_specification_has_it() {
    let receiver = Receiver::new(|_, _| plain("204 No Content"));
    let setup = setup(&receiver.url(), 1.0, |_, _| ()).await;
    let alert = setup.alert().await;
    setup.until(|status| status.delivered == 1).await;
    let received = receiver.received();
    let request = &received[0];
    assert!(
        request.head.starts_with("POST /hook HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    let agent = format!("bailiwick/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(&*agent));
    let id = format!("{}-1", alert.id);
    assert_eq!(request.header("webhook-id"), Some(&*id));
    let timestamp: i64 = request
        .header("webhook-timestamp")
        .expect("sent")
        .parse()
        .expect("a number");
    let expected = bailiwick::alert::webhook::sign(
        &bailiwick::alert::secret::Secret::new(SECRET.as_bytes()).expect("a secret"),
        &id,
        timestamp,
        request.body.as_bytes(),
    );
    assert_eq!(request.header("webhook-signature"), Some(&*expected));
    let body: Alert = serde_json::from_str(&request.body).expect("an alert");
    assert_eq!(body, *alert);
    assert!(request.body.starts_with("{\"type\":\"alert\",\"v\":1,"));
    setup.service.shutdown().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::new(|_, _| plain("200 OK"));
    let location = elsewhere.url();
    let receiver = Receiver::new(move |_, _| {
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
        )
        .into_bytes()
    });
    let setup = setup(&receiver.url(), 0.001, |_, _| ()).await;
    setup.alert().await;
    let status = setup.until(|status| status.failed >= 2).await;
    assert!(status.last_error.expect("told").ends_with("answered 307"));
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn garbage_is_retried_then_dead_lettered_then_replayed() {
    // Ten attempts see, in turn: no HTTP at all, a head without end, a broken status line, a
    // status out of range, nothing, errors with all kinds of bodies.
    let receiver = Receiver::new(|number, _| match number {
        0 => b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        1 => [b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(100_000)].concat(),
        2 => b"HTTP/1.1 2OO OK\r\n\r\n".to_vec(),
        3 => b"HTTP/1.1 99 Huh\r\n\r\n".to_vec(),
        4 => Vec::new(),
        5 => {
            b"HTTP/1.1 500 No\r\ncontent-length: 18\r\n\r\n\x1b[31mred\xe2\x80\xae\xff\xfe\0\n\r\t"
                .to_vec()
        }
        6 => b"HTTP/1.1 400 Bad\r\ntransfer-encoding: chunked\r\n\r\nZZZ\r\n".to_vec(),
        7 => [
            b"HTTP/1.1 503 Full\r\ncontent-length: 100000000\r\n\r\n".to_vec(),
            vec![b'x'; 1_000_000],
        ]
        .concat(),
        8 => plain("302 Found"),
        9 => plain("101 Switching Protocols"),
        _ => plain("200 OK"),
    });
    let setup = setup(&receiver.url(), 0.000_001, |_, _| ()).await;
    setup.alert().await;
    let printable = |error: &String| error.chars().all(|c| (' '..='~').contains(&c));
    let status = setup
        .until(|status| {
            assert!(status.last_error.iter().all(printable), "{status:?}");
            status.dead_letters == 1
        })
        .await;
    assert_eq!(status.failed, 10, "{status:?}");
    let received = receiver.received();
    assert_eq!(received.len(), 10);
    let ids = received
        .iter()
        .filter_map(|request| request.header("webhook-id"));
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 1);
    assert_eq!(
        setup
            .service
            .replay_dead_letters("soc")
            .await
            .expect("replayed"),
        1
    );
    let status = setup.until(|status| status.delivered == 1).await;
    assert_eq!(status.dead_letters, 0);
    assert_eq!(receiver.received().len(), 11);
}

#[tokio::test]
async fn gone_disables_and_a_test_enables() {
    let receiver = Receiver::new(|number, _| match number {
        0 => plain("410 Gone"),
        _ => plain("200 OK"),
    });
    let setup = setup(&receiver.url(), 0.001, |_, _| ()).await;
    setup.alert().await;
    setup.until(|status| status.disabled.is_some()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.received().len(), 1);
    let tested = setup.service.send_test(None).await;
    assert_eq!(tested, [("soc".to_owned(), Ok(200))]);
    setup
        .until(|status| status.delivered == 1 && status.queued == 0)
        .await;
    let received = receiver.received();
    assert_eq!(received.len(), 3);
    assert!(received[1].body.contains("\"type\":\"test\""));
    assert_eq!(
        received[2].header("webhook-id"),
        received[0].header("webhook-id")
    );
}

#[tokio::test]
async fn retry_after_is_heard() {
    let receiver = Receiver::new(|number, _| match number {
        0 => b"HTTP/1.1 429 Slow\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n".to_vec(),
        _ => plain("200 OK"),
    });
    let setup = setup(&receiver.url(), 0.001, |_, _| ()).await;
    let begun = Instant::now();
    setup.alert().await;
    setup.until(|status| status.delivered == 1).await;
    // By its own schedule it would have been 5 ms.
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let receiver = Receiver::new(move |number, _| {
        if number == 0 {
            // Until the test is over.
            let _ = ended.lock().expect("no panic").recv();
        }
        plain("200 OK")
    });
    let setup = setup(&receiver.url(), 0.001, |_, _| ()).await;
    setup.alert().await;
    let status = setup.until(|status| status.delivered == 1).await;
    drop(end);
    assert!(
        status
            .last_error
            .expect("told")
            .ends_with("no answer in time")
    );
}

#[tokio::test]
async fn nobody_there_is_told_without_the_path() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("its address").port()
    };
    let url = format!("http://127.0.0.1:{port}/T000/sEcReT");
    let setup = setup(&url, 0.001, |_, _| ()).await;
    let result = setup.service.send_test(Some("soc")).await.remove(0).1;
    let error = result.expect_err("nobody there");
    assert!(error.contains("onnection refused"), "{error}");
    assert!(!error.contains("sEcReT"), "{error}");
    let status = setup.status();
    assert!(!status.url.contains("sEcReT"));
    assert!(!format!("{status:?}{:?}", setup.service).contains("sEcReT"));
}

#[tokio::test]
async fn a_proxy_of_the_configuration_is_used() {
    let proxy = Receiver::new(|_, _| plain("200 OK"));
    let at = proxy.address;
    let setup = setup("http://hooks.example/hook", 1.0, |config, _| {
        config.proxy = Some(HookUrl::parse(&format!("http://{at}")).expect("a URL"));
    })
    .await;
    setup.alert().await;
    setup.until(|status| status.delivered == 1).await;
    assert!(
        proxy.received()[0]
            .head
            .starts_with("POST http://hooks.example/hook HTTP/1.1\r\n")
    );
}

/// A TLS receiver with a certificate of its own.
fn tls_receiver() -> (
    std::net::SocketAddr,
    String,
    Arc<Mutex<Vec<receiver::Received>>>,
) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certified =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der())
        .expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a server configuration");
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let received = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&received);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("one");
            let stream = rustls::StreamOwned::new(connection, stream);
            let into = Arc::clone(&into);
            std::thread::spawn(move || receiver::serve(stream, &into, &|_, _| plain("200 OK")));
        }
    });
    (address, certified.cert.pem(), received)
}

#[tokio::test]
async fn tls_trusts_ca_file_and_nothing_else() {
    let (address, pem, received) = tls_receiver();
    let url = format!("https://localhost:{}/hook", address.port());
    let trusting = setup(&url, 1.0, |config, dir| {
        let path = dir.join("ca.pem");
        std::fs::write(&path, &pem).expect("written");
        config.ca_file = Some(path);
    })
    .await;
    assert_eq!(trusting.service.send_test(None).await[0].1, Ok(200));
    assert_eq!(received.lock().expect("no panic").len(), 1);

    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("another");
    let wary = setup(&url, 1.0, |config, dir| {
        let path = dir.join("ca.pem");
        std::fs::write(&path, other.cert.pem()).expect("written");
        config.ca_file = Some(path);
    })
    .await;
    let error = wary
        .service
        .send_test(None)
        .await
        .remove(0)
        .1
        .expect_err("not trusted");
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    let by_address = setup(&format!("https://{address}/hook"), 1.0, |config, dir| {
        let path = dir.join("ca.pem");
        std::fs::write(&path, &pem).expect("written");
        config.ca_file = Some(path);
    })
    .await;
    let error = by_address
        .service
        .send_test(None)
        .await
        .remove(0)
        .1
        .expect_err("another name");
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert_eq!(received.lock().expect("no panic").len(), 1);

    let empty = setup(&url, 1.0, |config, dir| {
        let path = dir.join("ca.pem");
        std::fs::write(&path, "no certificate").expect("written");
        config.ca_file = Some(path);
    })
    .await;
    let error = empty
        .service
        .send_test(None)
        .await
        .remove(0)
        .1
        .expect_err("no authority");
    assert!(
        error.contains("ca_file") && error.contains("ca.pem"),
        "{error}"
    );
}
