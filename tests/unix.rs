//! HTTP over unix stream sockets, as container runtimes speak it.

use std::process::Command;

use anyhow::{Result, ensure};
use bailiwick::access::Role;
use e2e::Daemon;
use e2e::http::{Answerer, get_unix};
use e2e::process::{client, exe};
use e2e::trial::root;
use e2e::watch::only;
use libtest_mimic::Trial;

use crate::expect::answered;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("unix::curl_to_a_socket_file", curl_to_a_socket_file),
        root("unix::this_process_to_itself", this_process_to_itself),
    ]
}

fn curl_to_a_socket_file() -> Result<()> {
    let daemon = Daemon::start()?;
    let path = daemon.dir().join("api.sock");
    let _server = Answerer::unix(&path)?;
    let mut watch = daemon.watch()?;
    let (id, _) = client(
        Command::new("/usr/bin/curl")
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "10",
                "-H",
                "Authorization: Bearer unix",
            ])
            .arg("--unix-socket")
            .arg(&path)
            .arg("http://docker/v1.43/containers/json"),
    )?;
    let accesses = watch.accesses_of("docker")?;
    let access = only(&accesses, "/v1.43/containers/json")?;
    ensure!(access.role == Role::Both, "role of {access:#?}");
    let (Some(one), Some(two)) = (&access.client, &access.server) else {
        anyhow::bail!("an end is missing in {access:#?}");
    };
    ensure!(
        one.pid == id && one.exe == exe("/usr/bin/curl")?,
        "client of {access:#?}"
    );
    ensure!(two.pid == std::process::id(), "server of {access:#?}");
    ensure!(
        access.peer == Some(format!("unix:{}", path.display())),
        "peer of {access:#?}"
    );
    answered(access)?;
    ensure!(access.credential.is_some(), "credential of {access:#?}");
    Ok(())
}

fn this_process_to_itself() -> Result<()> {
    let daemon = Daemon::start()?;
    let path = daemon.dir().join("self.sock");
    let _server = Answerer::unix(&path)?;
    let mut watch = daemon.watch()?;
    for number in 0..100 {
        get_unix(
            &path,
            &format!("/self/n{number}n"),
            &[("X-Api-Key", "unix-key-0123456789")],
        )?;
    }
    let accesses = watch.accesses_of("localhost")?;
    for number in 0..100 {
        let access = only(&accesses, &format!("/self/n{number}n"))?;
        ensure!(access.role == Role::Both, "role of {access:#?}");
    }
    Ok(())
}
