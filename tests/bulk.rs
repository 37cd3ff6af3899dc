//! Inside TLS: much in one connection, and many connections.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use e2e::process::client;
use e2e::tls::Certificate;
use e2e::trial::root;
use e2e::{Daemon, Server};
use libtest_mimic::Trial;

use crate::expect::{End, Wanted};
use crate::tls::{curl, curl_at};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("bulk::large_bodies_then_more_requests", || {
            large_bodies(&[["--http1.1", "1.3"], ["--http1.1", "1.2"]], true)
        }),
        root("bulk::large_bodies_over_http2", || {
            large_bodies(&[["--http2", "1.3"]], false)
        }),
        root("bulk::two_hundred_processes_of_curl", two_hundred),
    ]
}

/// 100,000 and 5,000,000 bytes in both directions, and then a request that is only seen when their records
/// were counted rightly. `others`: to other servers than nginx as well, over HTTP/1.1.
fn large_bodies(hows: &[[&str; 2]], others: bool) -> Result<()> {
    let daemon = Daemon::start()?;
    let dir = daemon.dir();
    let certificate = Certificate::make(dir)?;
    std::fs::create_dir(dir.join("files"))?;
    for (name, length) in [
        ("small", 100_000),
        ("medium", 400_000),
        ("large", 5_000_000),
    ] {
        std::fs::write(dir.join("files").join(name), vec![b'x'; length])?;
    }
    let server = Server::nginx_tls(dir, "http2", &certificate)?;
    let script = |interpreter: &str, name: &str, kind: &str| {
        Server::script(dir, interpreter, name, kind, &certificate)
    };
    let node = script("/usr/bin/node", "server.js", "https")?;
    let python = script("/usr/bin/python3", "server.py", "aiohttp")?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    for [protocol, version] in hows {
        let word = format!("{}-{version}", &protocol[2..]);
        let id = up_and_down(
            &certificate,
            dir,
            [protocol, version],
            &server.https(&format!("/{word}")),
        )?;
        wanted.client(&word, id, "/usr/bin/curl")?;
    }
    wanted.logged(&daemon, "tls", &server, 7 * hows.len())?;
    let servers = [(&node, "http/1.1"), (&python, "-")];
    let others = servers
        .into_iter()
        .filter(|_| others)
        .map(|(server, alpn)| -> Result<_> {
            let mut wanted = Wanted::default();
            let id = up_and_down(&certificate, dir, ["--http1.1", "1.3"], &server.https("/x"))?;
            let ends = [End::new(id, "/usr/bin/curl")?, End::of(server)?];
            for (method, path) in [
                ("POST", "/x/up-small"),
                ("GET", "/x/between"),
                ("GET", "/x/files/small"),
                ("POST", "/x/up-large"),
                ("GET", "/x/between"),
                ("GET", "/x/files/large"),
                ("GET", "/x/last"),
            ] {
                wanted.request(
                    (method, path, 200),
                    "http/1.1",
                    ["1.3", "localhost", alpn],
                    [&ends[0], &ends[1]],
                );
            }
            Ok((server, wanted))
        });
    let others: Vec<_> = others.collect::<Result<_>>()?;
    let accesses = watch.until_mark()?;
    let of = |host: String| {
        let mut those = accesses.clone();
        those.retain(|access| access.request.host == host);
        those
    };
    wanted.same(&daemon, &of(server.named()))?;
    for (server, wanted) in others {
        wanted
            .same(&daemon, &of(server.named()))
            .with_context(|| server.exe.clone())?;
    }
    Ok(())
}

/// One invocation of curl, one connection: bodies up and down, with small requests between and after.
fn up_and_down(certificate: &Certificate, dir: &Path, how: [&str; 2], base: &str) -> Result<u32> {
    let [protocol, version] = how;
    let mut command = curl_at(certificate, version);
    command.arg(protocol);
    let next = |command: &mut Command| {
        command.args([
            "--next",
            "--max-time",
            "20",
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--cacert",
        ]);
        command
            .arg(&certificate.file)
            .args(["--tls-max", version, protocol]);
        command.args(["--output", "/dev/null", "--output", "/dev/null"]);
    };
    for name in ["small", "large"] {
        // Of HTTP/2, requests are read as far as the first MiB goes before the program hears what they
        // are: what is lost of them makes fields of later ones unknown.
        let body = match (protocol, name) {
            ("--http2", "large") => "medium",
            _ => name,
        };
        let file = format!("@{}", dir.join("files").join(body).display());
        command.args(["--data-binary", &file, &format!("{base}/up-{name}")]);
        next(&mut command);
        command.args([format!("{base}/between"), format!("{base}/files/{name}")]);
        next(&mut command);
    }
    Ok(client(command.arg(format!("{base}/last")))?.0)
}

fn two_hundred() -> Result<()> {
    let daemon = Daemon::start()?;
    let certificate = Certificate::make(daemon.dir())?;
    let server = Server::nginx_tls(daemon.dir(), "http2", &certificate)?;
    let mut watch = daemon.watch()?;
    let mut wanted = Wanted::default();
    for number in 0..200 {
        let word = format!("n{number}n");
        let (id, _) = client(curl(&certificate).arg(server.https(&format!("/{word}/item"))))?;
        wanted.client(&word, id, "/usr/bin/curl")?;
    }
    wanted.logged(&daemon, "tls", &server, 200)?;
    wanted.same(&daemon, &watch.accesses_of(&server.named())?)
}
