//! One end is on another host: only this one's is named, and clear text is said to be so.

use std::process::Command;

use anyhow::{Result, ensure};
use bailiwick::access::Role;
use bailiwick::access::record::AccessRecord;
use e2e::http::{Answerer, request};
use e2e::process::{client, exe};
use e2e::remote::{HERE, THERE};
use e2e::trial::root;
use e2e::{Daemon, Remote, Server};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("remote::the_server_is_elsewhere", server_elsewhere),
        root("remote::the_client_is_elsewhere", client_elsewhere),
    ]
}

fn status(access: &AccessRecord) -> Option<u16> {
    access.response.as_ref().map(|response| response.status)
}

fn server_elsewhere() -> Result<()> {
    let daemon = Daemon::start()?;
    let _remote = Remote::start()?;
    let mut watch = daemon.watch()?;
    let url = format!("http://{THERE}:8080/elsewhere");
    let mut command = Command::new("/usr/bin/curl");
    command.args([
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "10",
    ]);
    let (id, _) = client(command.args(["-H", "Authorization: Bearer far-0123456789", &url]))?;
    let accesses = watch.exactly(1, &format!("{THERE}:8080"))?;
    let access = &accesses[0];
    ensure!(
        access.role == Role::Client && access.server.is_none(),
        "role of {access:#?}"
    );
    let from = access
        .client
        .as_ref()
        .map(|client| (client.pid, client.exe.as_str()));
    ensure!(
        from == Some((id, &*exe("/usr/bin/curl")?)),
        "client of {access:#?}"
    );
    ensure!(
        access.peer == Some(format!("{THERE}:8080")),
        "peer of {access:#?}"
    );
    ensure!(status(access) == Some(200), "status of {access:#?}");
    ensure!(access.findings == ["cleartext"], "findings of {access:#?}");
    Ok(())
}

fn client_elsewhere() -> Result<()> {
    let daemon = Daemon::start()?;
    let mut remote = Remote::start()?;
    // On all addresses, as services listen that are to be reached.
    let port = e2e::server::free()?.port();
    let mut python = Command::new("/usr/bin/python3");
    python.args([
        "-m",
        "http.server",
        "--bind",
        "0.0.0.0",
        &port.to_string(),
        "--directory",
    ]);
    python.arg(daemon.dir());
    let log = daemon.dir().join("python.log");
    let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
    let server = Server::start(&mut python, &log, address, "/usr/bin/python3", false)?;
    let near = Answerer::inet()?;
    let mut watch = daemon.watch()?;

    let bearer = ("Authorization", "Bearer from-afar-0123456789");
    let host = format!("{HERE}:{port}");
    let answer = remote.send(port, &request("/from-afar", &host, &[bearer]))?;
    ensure!(
        answer.starts_with(b"HTTP/1.0 404"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    e2e::http::get(near.address(), "/near", &[bearer])?;

    let accesses = watch.until_mark()?;
    let access = e2e::watch::only(&accesses, "/from-afar")?;
    ensure!(
        access.role == Role::Server && access.client.is_none(),
        "role of {access:#?}"
    );
    let to = access
        .server
        .as_ref()
        .map(|server| (server.pid, server.exe.as_str()));
    ensure!(
        to == Some((server.id()?, &*server.exe)),
        "server of {access:#?}"
    );
    ensure!(
        access
            .peer
            .as_deref()
            .is_some_and(|peer| peer.starts_with(&format!("{THERE}:"))),
        "peer of {access:#?}"
    );
    ensure!(status(access) == Some(404), "status of {access:#?}");
    ensure!(access.findings == ["cleartext"], "findings of {access:#?}");
    // The same credential on loopback has crossed no network.
    let near = e2e::watch::only(&accesses, "/near")?;
    ensure!(
        near.credential == access.credential && near.findings.is_empty(),
        "{near:#?}"
    );
    Ok(())
}
