//! HTTP/2 and gRPC between real programs, in clear text and inside TLS.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::process::client;
use e2e::tls::{Certificate, peer};
use e2e::trial::root;
use e2e::{Daemon, Server};
use libtest_mimic::Trial;

use crate::expect::{CLEAR, End, Wanted};
use crate::tls::python;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("http2::many_streams_in_clear_text", in_clear),
        root("http2::many_streams_inside_tls", inside_tls),
        root("http2::curl_and_nghttp_know_it_before", known_before),
        root("http2::outcomes_of_grpc_in_clear_text", grpc_in_clear),
        root("http2::grpc_inside_tls", grpc_inside_tls),
    ]
}

/// h2load: so many requests for one path, over so many connections with ten streams each.
fn h2load(requests: usize, connections: usize, url: &str) -> Result<u32> {
    let (id, text) = client(
        Command::new("/usr/bin/h2load")
            .args([
                "-n",
                &requests.to_string(),
                "-c",
                &connections.to_string(),
                "-m",
                "10",
            ])
            .args(["-H", "authorization: Bearer from-h2load", url]),
    )?;
    ensure!(
        text.contains(&format!("{requests} succeeded, 0 failed")),
        "{text}"
    );
    Ok(id)
}

fn in_clear() -> Result<()> {
    let daemon = Daemon::start()?;
    let block = "location / { return 200 \"ok\\n\"; }";
    let server = Server::nginx_with(daemon.dir(), "nginx", "http2", block)?;
    let mut watch = daemon.watch()?;
    let id = h2load(1000, 4, &server.url("/h2load/n1n"))?;
    let ends = [End::new(id, "/usr/bin/h2load")?, End::of(&server)?];
    let mut wanted = Wanted::default();
    for _ in 0..1000 {
        wanted.request(
            ("GET", "/h2load/n1n", 200),
            "h2",
            CLEAR,
            [&ends[0], &ends[1]],
        );
    }
    wanted.same(&daemon, &watch.accesses_of(&server.host())?)
}

fn inside_tls() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::nginx_tls(daemon.dir(), "http2", &certificate)?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    let id = h2load(400, 4, &server.https("/h2load/n1n"))?;
    wanted.client("h2load", id, "/usr/bin/h2load")?;
    let base = server.https("/streams");
    let (id, _) = client(&mut python("httpx-streams", &base, &certificate))?;
    wanted.client("streams", id, "/usr/bin/python3")?;
    wanted.logged(&daemon, "tls", &server, 421)?;
    wanted.same(&daemon, &watch.accesses_of(&server.named())?)
}

/// curl 7.88 breaks its second request over a connection to nginx off, so it has one; nghttp has two.
fn known_before() -> Result<()> {
    let daemon = Daemon::start()?;
    let block = "location / { return 200 \"ok\\n\"; }";
    let server = Server::nginx_with(daemon.dir(), "nginx", "http2", block)?;
    let node = Server::script(
        daemon.dir(),
        "/usr/bin/node",
        "server.js",
        "h2c",
        &Certificate::make(daemon.dir())?,
    )?;
    let mut watch = daemon.watch()?;
    let mut all = Vec::new();
    for server in [&server, &node] {
        let mut wanted = Wanted::default();
        let mut curl = Command::new("/usr/bin/curl");
        curl.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "20",
        ]);
        curl.args(["--http2-prior-knowledge", "--output", "/dev/null"])
            .arg(server.url("/curl"));
        let mut nghttp = Command::new("/usr/bin/nghttp");
        nghttp
            .args(["--null-out", "--timeout=20"])
            .args([server.url("/one"), server.url("/two")]);
        let clients: [(Command, &str, &[&str]); 2] = [
            (curl, "/usr/bin/curl", &["/curl"]),
            (nghttp, "/usr/bin/nghttp", &["/one", "/two"]),
        ];
        for (mut command, program, paths) in clients {
            let (id, _) = client(&mut command)?;
            let ends = [End::new(id, program)?, End::of(server)?];
            for path in paths {
                wanted.request(("GET", path, 200), "h2", CLEAR, [&ends[0], &ends[1]]);
            }
        }
        all.push((server, wanted));
    }
    let accesses = watch.until_mark()?;
    for (server, wanted) in all {
        let mut those = accesses.clone();
        those.retain(|access| access.request.host == server.host());
        wanted
            .same(&daemon, &those)
            .with_context(|| server.exe.clone())?;
    }
    Ok(())
}

/// Four calls between two processes; what each was and how it ended.
fn grpc(certificate: Option<&Certificate>, daemon: &Daemon) -> Result<()> {
    let address = e2e::server::free()?;
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(peer("grpc_peer.py"))
        .args(["serve", &address.port().to_string()]);
    if let Some(certificate) = certificate {
        command.args([&certificate.file, &certificate.key]);
    }
    let log = daemon.dir().join("grpc.log");
    let server = Server::start(&mut command, &log, address, "/usr/bin/python3", false)?;
    let mut watch = daemon.watch()?;
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(peer("grpc_peer.py"))
        .args(["call", &server.named()]);
    if let Some(certificate) = certificate {
        command.arg(&certificate.file);
    }
    // It would ask a proxy that the environment names.
    for name in [
        "http_proxy",
        "https_proxy",
        "grpc_proxy",
        "HTTPS_PROXY",
        "HTTP_PROXY",
    ] {
        command.env_remove(name);
    }
    let (id, _) = client(&mut command)?;
    let ends = [End::new(id, "/usr/bin/python3")?, End::of(&server)?];
    let tls = if certificate.is_some() {
        ["1.3", "localhost", "grpc-exp"]
    } else {
        CLEAR
    };
    let accesses = watch.accesses_of(&server.named())?;
    let mut wanted = Wanted::default();
    for (name, outcome) in [("Ok", 0), ("Missing", 5), ("Denied", 7), ("Many", 0)] {
        let path = format!("/bailiwick.test.Shop/{name}");
        wanted.request(("POST", &path, 200), "h2", tls, [&ends[0], &ends[1]]);
        let access = e2e::watch::only(&accesses, &path)?;
        let seen = access
            .response
            .as_ref()
            .and_then(|response| response.grpc_status);
        ensure!(seen == Some(outcome), "outcome of {access:#?}");
        ensure!(access.request.route == path, "route of {access:#?}");
    }
    wanted.same(daemon, &accesses)
}

fn grpc_in_clear() -> Result<()> {
    grpc(None, &Daemon::start()?)
}

/// Debian's grpc has OpenSSL inside, and agrees on a name of its own for HTTP/2.
fn grpc_inside_tls() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    grpc(Some(&certificate), &daemon)
}
