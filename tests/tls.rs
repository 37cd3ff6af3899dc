//! Requests inside TLS between real programs: each seen once, with both ends and the handshake's facts.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::process::client;
use e2e::tls::{Certificate, peer};
use e2e::trial::root;
use e2e::{Daemon, Process, Server, Setup, wait_for};
use libtest_mimic::Trial;

use crate::expect::{CLEAR, End, Wanted};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("tls::command_line_clients_to_nginx", command_line_clients),
        root("tls::python_clients_to_nginx", python_clients),
        root("tls::node_clients_to_nginx", node_clients),
        root("tls::servers_of_every_library", servers),
        root("tls::go_at_both_ends", go),
        root("tls::java_to_nginx_by_the_servers_keys", java),
        root("tls::sessions_resumed_and_early_data", resumed),
        root("tls::nginx_ends_tls_for_a_clear_upstream", ends_tls),
        root("tls::an_upgrade_to_websocket_is_the_access", websocket),
    ]
}

pub(crate) const VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// curl that trusts a certificate and no proxy.
pub(crate) fn anonymous(certificate: &Certificate) -> Command {
    let mut command = Command::new("/usr/bin/curl");
    command.args([
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "20",
        "--cacert",
    ]);
    command
        .arg(&certificate.file)
        .args(["--output", "/dev/null"]);
    command
}

/// The same with a token.
pub(crate) fn curl(certificate: &Certificate) -> Command {
    let mut command = anonymous(certificate);
    command.args(["-H", "Authorization: Bearer over-tls"]);
    command
}

/// Only this version of TLS.
pub(crate) fn curl_at(certificate: &Certificate, version: &str) -> Command {
    let mut command = curl(certificate);
    command.args(["--tls-max", version, &format!("--tlsv{version}")]);
    command
}

/// Runs a client that reads a request from its input and lives until the server closes.
fn client_with_input(command: &mut Command, input: &str) -> Result<u32> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut stdin = child.stdin.take().context("no input")?;
    stdin.write_all(input.as_bytes())?;
    stdin.flush()?;
    let mut process = e2e::Process::adopt(child, &name);
    // gnutls-cli ends at the end of its input, whatever has come until then.
    process.wait(e2e::patience())?;
    drop(stdin);
    Ok(process.id())
}

pub(crate) fn python(kind: &str, base: &str, certificate: &Certificate) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(peer("client.py"))
        .args([kind, base])
        .arg(&certificate.file);
    command
}

fn command_line_clients() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::nginx_tls(daemon.dir(), "http2", &certificate)?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    for version in VERSIONS {
        let word = |name: &str| format!("{name}-{version}");
        let url = |name: &str| server.https(&format!("/{}/x", word(name)));
        for (name, more) in [
            ("curl-h1", "--http1.1"),
            ("curl-h2", "--http2"),
            ("curl-none", "--no-alpn"),
        ] {
            let (id, _) = client(
                curl_at(&certificate, version)
                    .args([more, "--data", "b=1"])
                    .args([url(name), url(name)]),
            )?;
            wanted.client(&word(name), id, "/usr/bin/curl")?;
        }
        let (id, _) = client(
            Command::new("/usr/bin/wget")
                .args([
                    "--quiet",
                    "--no-proxy",
                    "--output-document=-",
                    "--timeout=10",
                    "--tries=1",
                ])
                .arg(format!(
                    "--secure-protocol=TLSv{}",
                    version.replace('.', "_")
                ))
                .arg(format!("--ca-certificate={}", certificate.file.display()))
                .args([url("wget"), url("wget")]),
        )?;
        wanted.client(&word("wget"), id, "/usr/bin/wget")?;
        let request = |name: &str| {
            format!(
                "GET /{}/x HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                word(name),
                server.named()
            )
        };
        let port = server.address.port().to_string();
        let id = client_with_input(
            Command::new("/usr/bin/gnutls-cli")
                .arg("--x509cafile")
                .arg(&certificate.file)
                .args([
                    "--priority",
                    &format!("NORMAL:-VERS-ALL:+VERS-TLS{version}"),
                ])
                .args(["--port", &port, "localhost"]),
            &request("gnutls"),
        )?;
        wanted.client(&word("gnutls"), id, "/usr/bin/gnutls-cli")?;
        let id = client_with_input(
            Command::new("/usr/bin/openssl")
                .args(["s_client", "-quiet", "-CAfile"])
                .arg(&certificate.file)
                .args([
                    &format!("-tls{}", version.replace('.', "_")),
                    "-connect",
                    &server.named(),
                ]),
            &request("openssl"),
        )?;
        wanted.client(&word("openssl"), id, "/usr/bin/openssl")?;
    }
    wanted.logged(&daemon, "tls", &server, 20)?;
    wanted.same(&daemon, &watch.accesses_of(&server.named())?)
}

fn python_clients() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::nginx_tls(daemon.dir(), "http2", &certificate)?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    for kind in [
        "urllib",
        "http.client",
        "asyncio",
        "requests",
        "httpx",
        "httpx-h2",
        "aiohttp",
    ] {
        let base = server.https(&format!("/{kind}"));
        let (id, _) = client(&mut python(kind, &base, &certificate))?;
        wanted.client(kind, id, "/usr/bin/python3")?;
    }
    for kind in ["http.client", "asyncio"] {
        let base = server.https(&format!("/{kind}-1.2"));
        let (id, _) = client(python(kind, &base, &certificate).arg("1.2"))?;
        wanted.client(&format!("{kind}-1.2"), id, "/usr/bin/python3")?;
    }
    wanted.logged(&daemon, "tls", &server, 27)?;
    wanted.same(&daemon, &watch.accesses_of(&server.named())?)
}

fn node(kind: &str, base: &str, certificate: &Certificate) -> Command {
    let mut command = Command::new("/usr/bin/node");
    command.env("NODE_EXTRA_CA_CERTS", &certificate.file);
    command
        .arg(peer("client.js"))
        .args([kind, base])
        .arg(&certificate.file);
    command
}

fn node_clients() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::nginx_tls(daemon.dir(), "http2", &certificate)?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    for kind in ["https", "http2", "fetch"] {
        let base = server.https(&format!("/{kind}"));
        let (id, _) = client(&mut node(kind, &base, &certificate))?;
        wanted.client(kind, id, "/usr/bin/node")?;
    }
    let base = server.https("/https-1.2");
    let (id, _) = client(node("https", &base, &certificate).env("NODE_OPTIONS", "--tls-max-v1.2"))?;
    wanted.client("https-1.2", id, "/usr/bin/node")?;
    wanted.logged(&daemon, "tls", &server, 12)?;
    wanted.same(&daemon, &watch.accesses_of(&server.named())?)
}

/// s_server, whose input never ends, so that it goes on: `dir/files` over HTTP/1.0.
fn s_server(dir: &Path, certificate: &Certificate) -> Result<Server> {
    let address = e2e::server::free()?;
    let input = dir.join("input");
    client(Command::new("/usr/bin/mkfifo").arg(&input))?;
    let mut command = Command::new("/usr/bin/sh");
    command
        .args(["-c", "exec \"$@\" <>\"$0\""])
        .arg(&input)
        .args([
            "/usr/bin/openssl",
            "s_server",
            "-WWW",
            "-accept",
            &address.to_string(),
            "-cert",
        ])
        .arg(&certificate.file)
        .arg("-key")
        .arg(&certificate.key)
        .current_dir(dir);
    Server::start(
        &mut command,
        &dir.join("s_server.log"),
        address,
        "/usr/bin/openssl",
        false,
    )
}

fn gnutls_serv(dir: &Path, certificate: &Certificate) -> Result<Server> {
    let address = e2e::server::free()?;
    let mut command = Command::new("/usr/bin/gnutls-serv");
    command
        .args([
            "--http",
            "--quiet",
            "--port",
            &address.port().to_string(),
            "--x509certfile",
        ])
        .arg(&certificate.file)
        .arg("--x509keyfile")
        .arg(&certificate.key);
    Server::start(
        &mut command,
        &dir.join("gnutls-serv.log"),
        address,
        "/usr/bin/gnutls-serv",
        false,
    )
}

fn servers() -> Result<()> {
    let daemon = Daemon::start()?;
    let dir = daemon.dir();
    let certificate = Certificate::make(dir)?;
    std::fs::create_dir(dir.join("files"))?;
    std::fs::write(dir.join("files/here.txt"), "here\n")?;
    let script = |interpreter: &str, name: &str, kind: &str| {
        Server::script(dir, interpreter, name, kind, &certificate)
    };
    // With the protocol that each answers with, and the one that it agrees to out of curl's h2 and http/1.1.
    let servers = [
        (s_server(dir, &certificate)?, "http/1.1", "-"),
        (gnutls_serv(dir, &certificate)?, "http/1.1", "-"),
        (
            script("/usr/bin/python3", "server.py", "http.server")?,
            "http/1.1",
            "-",
        ),
        (
            script("/usr/bin/python3", "server.py", "aiohttp")?,
            "http/1.1",
            "-",
        ),
        (
            script("/usr/bin/node", "server.js", "https")?,
            "http/1.1",
            "http/1.1",
        ),
        (script("/usr/bin/node", "server.js", "http2")?, "h2", "h2"),
    ];
    let mut watch = daemon.watch()?;
    let mut all = Vec::new();
    for (server, protocol, alpn) in &servers {
        for version in VERSIONS {
            let url = server.https("/files/here.txt");
            let (id, _) = client(curl_at(&certificate, version).args([&url, &url]))?;
            let ends = [End::new(id, "/usr/bin/curl")?, End::of(server)?];
            all.push((server, *protocol, [version, "localhost", alpn], ends));
        }
    }
    let accesses = watch.until_mark()?;
    for (server, ..) in &servers {
        let mut wanted = Wanted::default();
        for (_, protocol, tls, ends) in all
            .iter()
            .filter(|(other, ..)| other.address == server.address)
        {
            for _ in 0..2 {
                wanted.request(
                    ("GET", "/files/here.txt", 200),
                    protocol,
                    *tls,
                    [&ends[0], &ends[1]],
                );
            }
        }
        let mut those = accesses.clone();
        those.retain(|access| access.request.host == server.named());
        wanted
            .same(&daemon, &those)
            .with_context(|| server.exe.clone())?;
    }
    Ok(())
}

/// A daemon that logs which files it probes.
fn talkative() -> Result<Daemon> {
    Setup::default()
        .config("[log]\nlevel = \"debug\"\n")
        .start()
}

/// Runs a program that does nothing for a while, until its file is probed.
fn acquaint(daemon: &Daemon, program: &Path) -> Result<()> {
    let log = daemon.dir().join("idle.log");
    let _idle = Process::start(&mut Command::new(program), &log)?;
    let line = format!("library probed file={:?}", program.display().to_string());
    wait_for(&line, || Ok(daemon.log().contains(&line).then_some(()))).with_context(|| daemon.log())
}

fn go() -> Result<()> {
    let daemon = talkative()?;
    let dir = daemon.dir();
    let certificate = Certificate::make(dir)?;
    let nginx = Server::nginx_tls(dir, "http2", &certificate)?;
    let mut watch = daemon.watch()?;
    let (mut wanted, mut others) = (Wanted::default(), Vec::new());
    for (name, flags, cgo) in [("go-plain", "", "1"), ("go-stripped", "-s -w", "0")] {
        let binary = dir.join(name);
        client(
            Command::new("/usr/bin/go")
                .args(["build", "-ldflags", flags, "-o"])
                .args([&binary, &peer("peer.go")])
                .envs([("GO111MODULE", "off"), ("CGO_ENABLED", cgo)]),
        )?;
        acquaint(&daemon, &binary)?;
        let program = binary.display().to_string();
        let run = |base: &str, protocol: &str, version: &str| -> Result<u32> {
            let mut command = Command::new(&binary);
            command
                .args(["client", base])
                .arg(&certificate.file)
                .args([protocol, version]);
            Ok(client(&mut command)?.0)
        };
        for (protocol, version) in [("h1", "1.3"), ("h2", "1.3"), ("h1", "1.2"), ("h2", "1.2")] {
            let word = format!("{name}-{protocol}-{version}");
            let id = run(&nginx.https(&format!("/{word}")), protocol, version)?;
            wanted.client(&word, id, &program)?;
        }
        let address = e2e::server::free()?;
        let mut command = Command::new(&binary);
        command
            .args(["server", &address.port().to_string()])
            .arg(&certificate.file)
            .arg(&certificate.key);
        let server = Server::start(
            &mut command,
            &dir.join(format!("{name}.log")),
            address,
            &program,
            false,
        )?;
        let mut expected = Wanted::default();
        for version in VERSIONS {
            let url = server.https("/by-curl");
            let (id, _) = client(curl_at(&certificate, version).args([&url, &url]))?;
            let ends = [End::new(id, "/usr/bin/curl")?, End::of(&server)?];
            for _ in 0..2 {
                expected.request(
                    ("GET", "/by-curl", 200),
                    "h2",
                    [version, "localhost", "h2"],
                    [&ends[0], &ends[1]],
                );
            }
            let id = run(&server.https("/by-go"), "h2", version)?;
            let ends = [End::new(id, &program)?, End::of(&server)?];
            for (method, path) in [
                ("GET", "/by-go/one"),
                ("POST", "/by-go/two"),
                ("GET", "/by-go/three"),
            ] {
                expected.request(
                    (method, path, 200),
                    "h2",
                    [version, "localhost", "h2"],
                    [&ends[0], &ends[1]],
                );
            }
        }
        others.push((server, expected));
    }
    wanted.logged(&daemon, "tls", &nginx, 24)?;
    let accesses = watch.until_mark()?;
    let of = |host: String| {
        let mut those = accesses.clone();
        those.retain(|access| access.request.host == host);
        those
    };
    wanted.same(&daemon, &of(nginx.named()))?;
    for (server, expected) in others {
        expected
            .same(&daemon, &of(server.named()))
            .with_context(|| server.exe.clone())?;
    }
    Ok(())
}

/// A JVM gives no keys; what it asks of a server that does is seen all the same, and it is named.
fn java() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::nginx_tls(daemon.dir(), "http2", &certificate)?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    let (id, _) = client(
        Command::new("/usr/bin/java")
            .args(["-XX:TieredStopAtLevel=1", "-Xshare:auto"])
            .arg(peer("Client.java"))
            .arg(server.https("/java"))
            .arg(&certificate.file),
    )?;
    wanted.client("java", id, "/usr/bin/java")?;
    wanted.logged(&daemon, "tls", &server, 2)?;
    wanted.same(&daemon, &watch.accesses_of(&server.named())?)
}

fn resumed() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::nginx_tls(daemon.dir(), "", &certificate)?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    for version in VERSIONS {
        let word = format!("resumed-{version}");
        let mut command = python("resumed", &server.https(&format!("/{word}")), &certificate);
        let (id, _) = client(command.arg(version))?;
        wanted.client(&word, id, "/usr/bin/python3")?;
    }
    // The request goes with the ClientHello; the server's tickets come after its first answer.
    let session = daemon.dir().join("session");
    let early = daemon.dir().join("early");
    let request = |word: &str| {
        format!(
            "GET /{word}/x HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            server.named()
        )
    };
    let s_client = || {
        let mut command = Command::new("/usr/bin/openssl");
        command.args(["s_client", "-quiet", "-tls1_3", "-connect", &server.named()]);
        command
    };
    let id = client_with_input(s_client().arg("-sess_out").arg(&session), &request("first"))?;
    wanted.client("first", id, "/usr/bin/openssl")?;
    std::fs::write(&early, request("early"))?;
    let mut command = s_client();
    command
        .arg("-sess_in")
        .arg(&session)
        .arg("-early_data")
        .arg(&early);
    let id = client_with_input(&mut command, "")?;
    wanted.client("early", id, "/usr/bin/openssl")?;
    wanted.logged(&daemon, "tls", &server, 8)?;
    wanted.same(&daemon, &watch.accesses_of(&server.named())?)
}

fn ends_tls() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let origin = Server::node(daemon.dir())?;
    let passes = e2e::server::passes_to(origin.address);
    let proxy = Server::nginx_tls_with(daemon.dir(), "proxy", "http2", &certificate, &passes)?;
    let mut watch = daemon.watch()?;
    let url = proxy.https("/through");
    let (id, _) = client(curl(&certificate).args([&url, &url]))?;
    let accesses = watch.until_mark()?;
    let [curl, between, behind] = [
        End::new(id, "/usr/bin/curl")?,
        End::of(&proxy)?,
        End::of(&origin)?,
    ];
    let (mut outside, mut inside) = (Wanted::default(), Wanted::default());
    for _ in 0..2 {
        outside.request(
            ("GET", "/through", 200),
            "h2",
            ["1.3", "localhost", "h2"],
            [&curl, &between],
        );
        inside.request(
            ("GET", "/through", 200),
            "http/1.1",
            CLEAR,
            [&between, &behind],
        );
    }
    let (before, after): (Vec<_>, Vec<_>) = accesses
        .into_iter()
        .filter(|access| access.request.path == "/through")
        .partition(|access| access.tls.is_some());
    ensure!(
        before
            .iter()
            .chain(&after)
            .all(|access| access.credential == after[0].credential),
        "one credential on both sides: {before:#?} {after:#?}"
    );
    outside.same(&daemon, &before)?;
    inside.same(&daemon, &after)
}

fn websocket() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::script(
        daemon.dir(),
        "/usr/bin/python3",
        "server.py",
        "websocket",
        &certificate,
    )?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    for version in VERSIONS {
        let mut command = python("websocket", &server.https(""), &certificate);
        let (id, _) = client(command.arg(version))?;
        let ends = [End::new(id, "/usr/bin/python3")?, End::of(&server)?];
        wanted.request(
            ("GET", "/socket", 101),
            "http/1.1",
            [version, "localhost", "-"],
            [&ends[0], &ends[1]],
        );
    }
    let mut accesses = watch.until_mark()?;
    accesses.retain(|access| [&*server.named(), "frame"].contains(&&*access.request.host));
    wanted.same(&daemon, &accesses)
}
