//! TLS whose other end is not the next process: through a proxy's tunnel, and from and to other hosts.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bailiwick::access::record::AccessRecord;
use e2e::process::client;
use e2e::tls::Certificate;
use e2e::trial::root;
use e2e::{Daemon, Server, netns, wait_for};
use libtest_mimic::Trial;

use crate::expect::{CLEAR, End, Wanted};
use crate::tls::{VERSIONS, curl, curl_at};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("tunnel::inside_of_connect", connect),
        root("tunnel::relayed_by_who_shows_no_bytes", relayed),
        root("tunnel::keys_of_one_end_alone", one_end),
        root("tunnel::between_two_namespaces", between_namespaces),
    ]
}

/// A proxy that knows CONNECT alone, in threads of this process.
fn proxy() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // The client that is cut off says so in the test.
                let _ = tunnel(stream);
            });
        }
    });
    Ok(address)
}

fn tunnel(mut client: TcpStream) -> Result<()> {
    client.set_read_timeout(Some(e2e::scaled(Duration::from_secs(20))))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?;
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    let mut server = TcpStream::connect(target.context("no CONNECT")?)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

/// What came by on one of the ways that a request took.
fn towards(accesses: &[AccessRecord], peer: SocketAddr) -> Vec<AccessRecord> {
    let mut those = accesses.to_vec();
    those.retain(|access| access.peer.as_deref() == Some(&peer.to_string()));
    those
}

/// Asked of the proxy: the tunnel, and what is inside. Of the server: what is inside.
fn connect() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::nginx_tls(daemon.dir(), "http2", &certificate)?;
    let proxy = proxy()?;
    let mut watch = daemon.watch()?;
    let this = End::new(std::process::id(), "/proc/self/exe")?;
    let (mut before, mut behind) = (Wanted::default(), Wanted::default());
    for version in VERSIONS {
        for (option, protocol, alpn) in [
            ("--http1.1", "http/1.1", "http/1.1"),
            ("--http2", "h2", "h2"),
        ] {
            let url = server.https(&format!("/inside/{alpn}"));
            let mut command = Command::new("/usr/bin/curl");
            command
                .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
                .arg(&certificate.file);
            command.args([
                "--tls-max",
                version,
                option,
                "--noproxy",
                "",
                "--proxy",
                &format!("http://{proxy}"),
            ]);
            command.args(["--output", "/dev/null", "--output", "/dev/null", &url, &url]);
            let (id, _) = client(&mut command)?;
            let curl = End::new(id, "/usr/bin/curl")?;
            let path = format!("/inside/{alpn}");
            before.request(("CONNECT", "/", 200), "http/1.1", CLEAR, [&curl, &this]);
            for _ in 0..2 {
                let request = ("GET", &*path, 200);
                before.request(
                    request,
                    protocol,
                    [version, "localhost", alpn],
                    [&curl, &this],
                );
                let end = End::of(&server)?;
                behind.request(
                    request,
                    protocol,
                    [version, "localhost", alpn],
                    [&this, &end],
                );
            }
        }
    }
    let accesses = watch.until_mark()?;
    before
        .same(&daemon, &towards(&accesses, proxy))
        .context("before the proxy")?;
    behind
        .same(&daemon, &towards(&accesses, server.address))
        .context("behind the proxy")
}

/// The relay moves bytes by splice(2), which no buffer belongs to: as good as a host between two others. Each of
/// its connections is read by the keys and the records of one end alone.
fn relayed() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::nginx_tls(daemon.dir(), "http2", &certificate)?;
    let address = e2e::server::free()?;
    let peer = env!("CARGO_BIN_EXE_peer");
    let mut command = Command::new(peer);
    command.args(["relay", &address.to_string(), &server.address.to_string()]);
    let log = daemon.dir().join("relay.log");
    let relay = Server::start(&mut command, &log, address, peer, false)?;
    let mut watch = daemon.watch()?;
    let (mut before, mut behind) = (Wanted::default(), Wanted::default());
    for version in VERSIONS {
        for (option, protocol) in [("--http1.1", "http/1.1"), ("--http2", "h2")] {
            let path = format!("/far/{protocol}");
            let url = relay.https(&path);
            let (id, _) = client(curl_at(&certificate, version).args([
                option,
                "--output",
                "/dev/null",
                &url,
                &url,
            ]))?;
            let ends = [
                End::new(id, "/usr/bin/curl")?,
                End::of(&relay)?,
                End::of(&server)?,
            ];
            for _ in 0..2 {
                let request = ("GET", &*path, 200);
                let tls = [version, "localhost", protocol];
                before.request(request, protocol, tls, [&ends[0], &ends[1]]);
                behind.request(request, protocol, tls, [&ends[1], &ends[2]]);
            }
        }
    }
    let accesses = watch.until_mark()?;
    before
        .same(&daemon, &towards(&accesses, relay.address))
        .context("the client's side")?;
    behind
        .same(&daemon, &towards(&accesses, server.address))
        .context("the server's side")
}

/// rustls on ring gives no keys: as good as a program on another host. What the other end gives must do.
fn one_end() -> Result<()> {
    let daemon = Daemon::start()?;
    let dir = daemon.dir();
    let certificate = Certificate::make(dir)?;
    let nginx = Server::nginx_tls(dir, "", &certificate)?;
    let (address, peer) = (e2e::server::free()?, env!("CARGO_BIN_EXE_peer"));
    let mut command = Command::new(peer);
    command.args(["tls-serve", &address.to_string()]);
    let rustls = Server::start(&mut command, &dir.join("rustls.log"), address, peer, false)?;
    let mut watch = daemon.watch()?;
    let (mut clients, mut servers) = (Wanted::default(), Wanted::default());
    for version in VERSIONS {
        let url = rustls.https("/client");
        let mut curl = curl_at(&certificate, version);
        curl.args(["--insecure", "--output", "/dev/null", &url, &url]);
        let ends = [
            End::new(client(&mut curl)?.0, "/usr/bin/curl")?,
            End::of(&rustls)?,
        ];
        for _ in 0..2 {
            let tls = [version, "localhost", "-"];
            clients.request(
                ("GET", "/client", 200),
                "http/1.1",
                tls,
                [&ends[0], &ends[1]],
            );
        }
        let word = format!("server-{version}");
        let mut command = Command::new(peer);
        command.args([
            "tls-get",
            &nginx.address.to_string(),
            version,
            &format!("/{word}/"),
            "2",
        ]);
        servers.client(&word, client(&mut command)?.0, peer)?;
    }
    servers.logged(&daemon, "tls", &nginx, 4)?;
    let accesses = watch.until_mark()?;
    clients
        .same(&daemon, &towards(&accesses, rustls.address))
        .context("the client's keys")?;
    servers
        .same(&daemon, &towards(&accesses, nginx.address))
        .context("the server's keys")
}

fn between_namespaces() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let (one, two) = netns::pair()?;
    let script = e2e::tls::peer("server.py");
    let mut command = two.command("/usr/bin/python3");
    command
        .arg(script)
        .args(["http.server", "8443"])
        .arg(&certificate.file)
        .arg(&certificate.key);
    command.arg(&two.address);
    let server = e2e::Process::start(&mut command, &daemon.dir().join("far.log"))?;
    wait_for("the server in its namespace", || {
        let output = two
            .command("/usr/bin/ss")
            .args(["-Hltn", "sport = :8443"])
            .output()?;
        Ok((!output.stdout.is_empty()).then_some(()))
    })?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    let host = "localhost:8443";
    for version in VERSIONS {
        let mut command = one.command("/usr/bin/curl");
        command.args(curl(&certificate).get_args());
        command.args([
            "--tls-max",
            version,
            "--connect-to",
            &format!("{host}:{}:8443", two.address),
        ]);
        let (id, _) = client(command.arg(format!("https://{host}/far")))?;
        let ends = [
            End::new(id, "/usr/bin/curl")?,
            End::new(server.id(), "/usr/bin/python3")?,
        ];
        wanted.request(
            ("GET", "/far", 200),
            "http/1.1",
            [version, "localhost", "-"],
            [&ends[0], &ends[1]],
        );
    }
    let accesses = watch.accesses_of(host)?;
    ensure!(
        accesses
            .iter()
            .all(|access| access.peer == Some(format!("{}:8443", two.address))),
        "peers of {accesses:#?}"
    );
    wanted.same(&daemon, &accesses)
}
