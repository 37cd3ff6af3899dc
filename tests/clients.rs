//! Real clients against real servers: every request is one access, with the right process at both ends.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use bailiwick::access::record::AccessRecord;
use bailiwick::access::{CredentialKind, Role};
use e2e::process::{client, exe};
use e2e::trial::root;
use e2e::watch::only;
use e2e::{Daemon, Server};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("clients::curl_to_python", curl_to_python),
        root(
            "clients::curl_many_over_one_connection",
            curl_many_over_one_connection,
        ),
        root("clients::wget_to_nginx", wget_to_nginx),
        root("clients::urllib_to_node", urllib_to_node),
        root("clients::node_to_nginx", node_to_nginx),
        root("clients::nginx_as_proxy", nginx_as_proxy),
        root("clients::ipv6", ipv6),
        root(
            "clients::every_kind_of_credential",
            every_kind_of_credential,
        ),
    ]
}

/// A client's process id and program, to be found at the client end.
struct Client<'a>(u32, &'a str);

/// Asserts both ends, and what does not depend on the client.
fn check(
    access: &AccessRecord,
    from: &Client<'_>,
    to: &Server,
    method: &str,
    status: u16,
) -> Result<()> {
    ensure!(access.role == Role::Both, "role of {access:#?}");
    let (Some(one), Some(two)) = (&access.client, &access.server) else {
        anyhow::bail!("an end is missing in {access:#?}");
    };
    ensure!(
        (one.pid, &*one.exe) == (from.0, &*exe(from.1)?),
        "client of {access:#?}"
    );
    ensure!(
        (two.pid, &*two.exe) == (to.id()?, &*to.exe),
        "server of {access:#?}"
    );
    ensure!(
        one.user == "root" && two.user == "root",
        "users of {access:#?}"
    );
    ensure!(!one.lineage.is_empty(), "lineage of {access:#?}");
    let this = std::env::current_exe()?.canonicalize()?;
    ensure!(
        one.lineage.iter().any(|exe| Path::new(exe) == this),
        "{this:?} is no ancestor in {access:#?}"
    );
    ensure!(access.request.method == method, "method of {access:#?}");
    ensure!(access.request.host == to.host(), "host of {access:#?}");
    ensure!(
        access.peer.as_deref() == Some(&to.address.to_string()),
        "peer of {access:#?}"
    );
    ensure!(
        access.response.as_ref().map(|response| response.status) == Some(status),
        "status of {access:#?}"
    );
    ensure!(
        access.duration_us.is_some_and(|time| time < 10_000_000),
        "duration of {access:#?}"
    );
    Ok(())
}

/// Asserts the credential, and that the policy-less identity is its fingerprint.
fn check_credential(access: &AccessRecord, kind: CredentialKind) -> Result<()> {
    let Some(credential) = &access.credential else {
        anyhow::bail!("no credential in {access:#?}")
    };
    ensure!(credential.kind == kind, "kind of {access:#?}");
    let hex = credential
        .fingerprint
        .strip_prefix("bw1:")
        .unwrap_or_default();
    ensure!(
        hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "fingerprint of {access:#?}"
    );
    ensure!(
        access.identity.as_deref() == Some(&credential.fingerprint),
        "identity of {access:#?}"
    );
    Ok(())
}

fn curl() -> Command {
    let mut command = Command::new("/usr/bin/curl");
    command.args([
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "10",
    ]);
    command
}

fn curl_to_python() -> Result<()> {
    let daemon = Daemon::start()?;
    std::fs::create_dir(daemon.dir().join("www"))?;
    std::fs::write(daemon.dir().join("www/here.txt"), "x\n")?;
    let server = Server::python(&daemon.dir().join("www"))?;
    let mut watch = daemon.watch()?;

    let token = "Authorization: Bearer curl-token-1";
    let (found, _) = client(
        curl()
            .args(["-H", token])
            .arg(server.url("/here.txt?page=2")),
    )?;
    let (missing, _) = client(curl().args(["-H", token]).arg(server.url("/gone.txt")))?;
    let (bare, _) = client(curl().arg("--head").arg(server.url("/here.txt?x")))?;

    let accesses = watch.exactly(3, &server.host())?;
    check(
        &accesses[0],
        &Client(found, "/usr/bin/curl"),
        &server,
        "GET",
        200,
    )?;
    ensure!(
        accesses[0].request.path == "/here.txt",
        "the query is left out: {:#?}",
        accesses[0]
    );
    check(
        only(&accesses, "/gone.txt")?,
        &Client(missing, "/usr/bin/curl"),
        &server,
        "GET",
        404,
    )?;
    check(
        &accesses[2],
        &Client(bare, "/usr/bin/curl"),
        &server,
        "HEAD",
        200,
    )?;
    check_credential(&accesses[0], CredentialKind::Bearer)?;
    ensure!(
        accesses[0].credential == accesses[1].credential,
        "the same token has the same fingerprint: {accesses:#?}"
    );
    ensure!(
        accesses[2].credential.is_none() && accesses[2].identity.is_none(),
        "{:#?}",
        accesses[2]
    );
    Ok(())
}

fn curl_many_over_one_connection() -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Server::nginx(daemon.dir())?;
    let mut watch = daemon.watch()?;
    let urls: Vec<String> = (0..50)
        .map(|number| server.url(&format!("/item/n{number}n")))
        .collect();
    let (id, _) = client(curl().args(["--data", &"b".repeat(3000)]).args(&urls))?;
    let accesses = watch.exactly(50, &server.host())?;
    for number in 0..50 {
        let access = only(&accesses, &format!("/item/n{number}n"))?;
        check(access, &Client(id, "/usr/bin/curl"), &server, "POST", 200)?;
    }
    Ok(())
}

fn wget_to_nginx() -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Server::nginx(daemon.dir())?;
    let mut watch = daemon.watch()?;
    let (id, _) = client(
        Command::new("/usr/bin/wget")
            .args([
                "--quiet",
                "--no-proxy",
                "--output-document=-",
                "--timeout=10",
                "--tries=1",
            ])
            .args([
                "--auth-no-challenge",
                "--user=alice",
                "--password=wonderland",
            ])
            .arg(server.url("/wget")),
    )?;
    let accesses = watch.exactly(1, &server.host())?;
    check(
        &accesses[0],
        &Client(id, "/usr/bin/wget"),
        &server,
        "GET",
        200,
    )?;
    check_credential(&accesses[0], CredentialKind::Basic)
}

fn urllib_to_node() -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Server::node(daemon.dir())?;
    let mut watch = daemon.watch()?;
    let script = format!(
        "import urllib.request as u\n\
         u.install_opener(u.build_opener(u.ProxyHandler({{}})))\n\
         for m in ('GET', 'PUT', 'DELETE'):\n    \
             r = u.Request('{}' + m, method=m, data=b'x' * 9000 if m == 'PUT' else None,\n        \
                 headers={{'X-Api-Key': 'sk-ant-api03-0123456789'}})\n    \
             assert u.urlopen(r, timeout=10).read() == b'ok\\n'\n",
        server.url("/urllib/")
    );
    let (id, _) = client(Command::new("/usr/bin/python3").args(["-c", &script]))?;
    let accesses = watch.exactly(3, &server.host())?;
    for method in ["GET", "PUT", "DELETE"] {
        let access = only(&accesses, &format!("/urllib/{method}"))?;
        check(
            access,
            &Client(id, "/usr/bin/python3"),
            &server,
            method,
            200,
        )?;
        check_credential(access, CredentialKind::ApiKey)?;
        let hint = access
            .credential
            .as_ref()
            .and_then(|credential| credential.hint.as_deref());
        ensure!(
            hint.is_some_and(|hint| "sk-ant-api03-".starts_with(hint)),
            "hint of {access:#?}"
        );
    }
    Ok(())
}

fn node_to_nginx() -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Server::nginx(daemon.dir())?;
    let mut watch = daemon.watch()?;
    // Both of node's clients: http with a kept connection, and fetch.
    let script = format!(
        "const http = require('http'), agent = new http.Agent({{keepAlive: true, maxSockets: 1}});\n\
         const one = path => new Promise((done, fail) => http.get('{0}' + path, {{agent, headers: \
         {{authorization: 'Bearer node-token'}}}}, r => {{ r.resume(); r.on('end', done); }}).on('error', fail));\n\
         (async () => {{ for (let i = 0; i < 20; i++) await one('/node/n' + i + 'n');\n\
         await (await fetch('{0}/fetch', {{method: 'POST', body: 'x'.repeat(200000)}})).text(); \
         process.exit(0); }})()",
        server.url("")
    );
    let (id, _) = client(Command::new("/usr/bin/node").args(["-e", &script]))?;
    let accesses = watch.exactly(21, &server.host())?;
    for number in 0..20 {
        let access = only(&accesses, &format!("/node/n{number}n"))?;
        check(access, &Client(id, "/usr/bin/node"), &server, "GET", 200)?;
        check_credential(access, CredentialKind::Bearer)?;
    }
    check(
        only(&accesses, "/fetch")?,
        &Client(id, "/usr/bin/node"),
        &server,
        "POST",
        200,
    )
}

fn nginx_as_proxy() -> Result<()> {
    let daemon = Daemon::start()?;
    let origin = Server::node(daemon.dir())?;
    let proxy = Server::nginx_proxy(daemon.dir(), origin.address)?;
    let mut watch = daemon.watch()?;
    let (id, _) = client(
        curl()
            .args(["-H", "Authorization: Bearer through"])
            .arg(proxy.url("/through")),
    )?;
    let accesses = watch.until_mark()?;
    let through: Vec<AccessRecord> = accesses
        .into_iter()
        .filter(|access| access.request.path == "/through")
        .collect();
    ensure!(
        through.len() == 2,
        "one before and one behind the proxy: {through:#?}"
    );
    let before: Vec<_> = through
        .iter()
        .filter(|access| access.request.host == proxy.host())
        .cloned()
        .collect();
    let behind: Vec<_> = through
        .iter()
        .filter(|access| access.request.host == origin.host())
        .cloned()
        .collect();
    check(
        only(&before, "/through")?,
        &Client(id, "/usr/bin/curl"),
        &proxy,
        "GET",
        200,
    )?;
    let behind = only(&behind, "/through")?;
    ensure!(behind.role == Role::Both, "role of {behind:#?}");
    let (Some(one), Some(two)) = (&behind.client, &behind.server) else {
        anyhow::bail!("an end is missing in {behind:#?}");
    };
    ensure!(
        one.pid == proxy.id()? && one.exe == proxy.exe,
        "client of {behind:#?}"
    );
    ensure!(
        two.pid == origin.id()? && two.exe == origin.exe,
        "server of {behind:#?}"
    );
    check_credential(behind, CredentialKind::Bearer)?;
    ensure!(
        behind.credential == before[0].credential,
        "one credential on both sides: {through:#?}"
    );
    Ok(())
}

fn ipv6() -> Result<()> {
    let daemon = Daemon::start()?;
    let port = e2e::server::free()?.port();
    let address = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
    let mut command = Command::new("/usr/bin/python3");
    command
        .args([
            "-m",
            "http.server",
            "--bind",
            "::1",
            &port.to_string(),
            "--directory",
        ])
        .arg(daemon.dir());
    let log = daemon.dir().join("python6.log");
    let server = Server::start(&mut command, &log, address, "/usr/bin/python3", false)?;
    let mut watch = daemon.watch()?;
    let (id, _) = client(
        curl()
            .args(["--globoff", "-H", "Authorization: Bearer six"])
            .arg(server.url("/six")),
    )?;
    let accesses = watch.exactly(1, &server.host())?;
    check(
        &accesses[0],
        &Client(id, "/usr/bin/curl"),
        &server,
        "GET",
        404,
    )
}

fn every_kind_of_credential() -> Result<()> {
    /// `{"alg":"none"}` and `{"iss":"https://idp.example","sub":"ci-bot"}`, signed by nobody.
    const JWT: &str =
        "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3ViIjoiY2ktYm90In0.c2ln";
    let daemon = Daemon::start()?;
    let server = Server::nginx(daemon.dir())?;
    let mut watch = daemon.watch()?;
    let sigv4 = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261123/us-east-1/s3/aws4_request, \
                 SignedHeaders=host, Signature=00";
    let digest = "Digest username=\"bob\", realm=\"r\", nonce=\"n\", uri=\"/\", response=\"0\"";
    let kinds = [
        (
            "bearer",
            "Bearer opaque-0123456789".to_owned(),
            CredentialKind::Bearer,
        ),
        ("jwt", format!("Bearer {JWT}"), CredentialKind::Jwt),
        ("basic", "Basic YTpi".to_owned(), CredentialKind::Basic),
        ("digest", digest.to_owned(), CredentialKind::Digest),
        ("sigv4", sigv4.to_owned(), CredentialKind::Sigv4),
        ("dpop", format!("DPoP {JWT}"), CredentialKind::Dpop),
    ];
    for (path, value, _) in &kinds {
        client(
            curl()
                .args(["-H", &format!("Authorization: {value}")])
                .arg(server.url(&format!("/kind/{path}"))),
        )?;
    }
    let accesses = watch.accesses_of(&server.host())?;
    for (path, _, kind) in &kinds {
        let access = only(&accesses, &format!("/kind/{path}"))?;
        let credential = access.credential.as_ref();
        ensure!(
            credential.is_some_and(|credential| credential.kind == *kind),
            "{kind:?}: {access:#?}"
        );
    }
    let identity = only(&accesses, "/kind/jwt")?
        .identity
        .clone()
        .unwrap_or_default();
    ensure!(
        identity.contains("https://idp.example") && identity.contains("ci-bot"),
        "a token is called by its issuer and subject, not {identity}"
    );
    Ok(())
}
