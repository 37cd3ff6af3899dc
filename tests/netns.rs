//! Client and server on two hosts, as far as one kernel can be two.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use bailiwick::access::Role;
use bailiwick::access::record::AccessRecord;
use e2e::process::{Process, client, exe};
use e2e::trial::root;
use e2e::{Daemon, netns, wait_for};
use libtest_mimic::Trial;

use crate::expect::{answered, asked_by};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("netns::two_namespaces", two_namespaces),
        root("netns::the_same_addresses_twice", the_same_addresses_twice),
        root(
            "netns::only_the_client_is_covered",
            only_the_client_is_covered,
        ),
    ]
}

/// A python server inside a namespace; its guard ends it before the namespace goes.
fn server(daemon: &Daemon, netns: &netns::Netns, port: &str, name: &str) -> Result<Process> {
    let mut command = netns.command("/usr/bin/python3");
    command
        .args([
            "-m",
            "http.server",
            "--bind",
            &netns.address,
            port,
            "--directory",
        ])
        .arg(daemon.dir());
    let process = Process::start(&mut command, &daemon.dir().join(name))?;
    wait_for("the server in its namespace", || {
        let output = netns
            .command("/usr/bin/ss")
            .args(["-Hltn", &format!("sport = :{port}")])
            .output()?;
        Ok((!output.stdout.is_empty()).then_some(()))
    })?;
    Ok(process)
}

fn fetch(netns: &netns::Netns, url: &str) -> Command {
    let mut command = netns.command("/usr/bin/curl");
    command.args([
        "--silent",
        "--show-error",
        "--max-time",
        "10",
        "-H",
        "Authorization: Bearer far",
        url,
    ]);
    command
}

fn two_namespaces() -> Result<()> {
    let daemon = Daemon::start()?;
    let (one, two) = netns::pair()?;
    let server = server(&daemon, &two, "8080", "far.log")?;
    let mut watch = daemon.watch()?;
    let (id, _) = client(&mut fetch(
        &one,
        &format!("http://{}:8080/far", two.address),
    ))?;
    let accesses = watch.exactly(1, &format!("{}:8080", two.address))?;
    let access = &accesses[0];
    // Two hosts to the network, one to the kernel: as with containers, both ends are named.
    ensure!(access.role == Role::Both, "role of {access:#?}");
    let (Some(from), Some(to)) = (&access.client, &access.server) else {
        anyhow::bail!("an end is missing in {access:#?}");
    };
    ensure!(
        from.pid == id && from.exe == exe("/usr/bin/curl")?,
        "client of {access:#?}"
    );
    ensure!(
        to.pid == server.id() && to.exe == exe("/usr/bin/python3")?,
        "server of {access:#?}"
    );
    ensure!(
        access.peer == Some(format!("{}:8080", two.address)),
        "peer of {access:#?}"
    );
    Ok(())
}

/// Two pairs with equal addresses and ports at the same time, as containers can have them.
fn the_same_addresses_twice() -> Result<()> {
    let daemon = Daemon::start()?;
    let (pairs, mut servers) = ([netns::pair()?, netns::pair()?], Vec::new());
    for (number, (_, two)) in pairs.iter().enumerate() {
        servers.push(server(&daemon, two, "8080", &format!("same{number}.log"))?);
    }
    let mut watch = daemon.watch()?;
    for number in 0..20 {
        let mut running = Vec::new();
        for (pair, (one, two)) in pairs.iter().enumerate() {
            let url = format!("http://{}:8080/pair{pair}/n{number}n", two.address);
            let mut command = fetch(one, &url);
            command.args(["--local-port", &(20_000 + number).to_string()]);
            running.push(Process::start(
                &mut command,
                &daemon.dir().join("curl.log"),
            )?);
        }
        for process in running {
            process.finish(e2e::scaled(Duration::from_secs(15)))?;
        }
    }
    let accesses = watch.exactly(40, &format!("{}:8080", pairs[0].1.address))?;
    for access in &accesses {
        let pair = usize::from(access.request.path.starts_with("/pair1/"));
        let server = access.server.as_ref().map(|server| server.pid);
        ensure!(server == Some(servers[pair].id()), "server of {access:#?}");
        ensure!(status(access) == Some(404), "status of {access:#?}");
    }
    Ok(())
}

fn status(access: &AccessRecord) -> Option<u16> {
    access.response.as_ref().map(|response| response.status)
}

/// A server whose reads no buffer belongs to is as good as one on another host: the client is named alone.
fn only_the_client_is_covered() -> Result<()> {
    let daemon = Daemon::start()?;
    let address: SocketAddr = e2e::server::free()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.args(["splice", &address.to_string()]);
    let log = daemon.dir().join("splice.log");
    let _server = e2e::Server::start(
        &mut command,
        &log,
        address,
        env!("CARGO_BIN_EXE_peer"),
        false,
    )?;
    let mut watch = daemon.watch()?;
    let (id, _) = client(
        Command::new("/usr/bin/curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "10",
                "-H",
                "Authorization: Bearer alone",
            ])
            .arg(format!("http://{address}/alone")),
    )?;
    let accesses = watch.exactly(1, &address.to_string())?;
    let access = &accesses[0];
    asked_by(access, id)?;
    answered(access)?;
    Ok(())
}
