//! Whatever comes, the daemon goes on and says what it could not use.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http::{Answerer, get};
use e2e::trial::{plain, root};
use e2e::watch::only;
use e2e::{Daemon, Setup, server, wait_for};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("bad_input::garbage_on_the_wire", garbage),
        root("bad_input::heads_without_end", endless_heads),
        root("bad_input::a_corrupt_store_is_set_aside", corrupt_store),
        root("bad_input::a_dead_webhook_blocks_nothing", dead_webhook),
        root("bad_input::terminals_get_no_control_characters", terminal),
        plain("bad_input::a_bad_configuration_is_78", bad_configuration),
    ]
}

fn still_sees(daemon: &Daemon) -> Result<()> {
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    get(
        server.address(),
        "/after",
        &[("Authorization", "Bearer after-0123456789")],
    )?;
    let accesses = watch.accesses_of(&server.address().to_string())?;
    ensure!(only(&accesses, "/after")?.credential.is_some());
    Ok(())
}

/// A server that reads what comes and answers with what it is given.
fn sink(answer: Vec<u8>) -> Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(&answer);
                while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
            });
        }
    });
    Ok(address)
}

fn send(address: std::net::SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(e2e::scaled(Duration::from_secs(5))))?;
    // The other end may have had enough.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(())
}

fn garbage() -> Result<()> {
    let daemon = Daemon::start()?;
    let mut state = 1_u64;
    let mut random = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect()
    };
    let mut inputs: Vec<Vec<u8>> = vec![
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n: x\r\n\r\n".to_vec(),
        b"GET \xff\xfe\x00 HTTP/1.1\r\nHost: \x80\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef".to_vec(),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzz\r\nabc".to_vec(),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nAuthorization: Bearer\r\nAuthorization: \r\nAuthorization: Basic !!!\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nAuthorization: Bearer e30.e30.e30\r\n\r\n".to_vec(),
        [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(5000), b"\r\n".to_vec()].concat(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
    ];
    for number in 0..300 {
        let mut bytes = random(number * 7);
        if number % 3 == 0 {
            bytes.splice(0..0, *b"GET / HTTP/1.1\r\n");
        }
        inputs.push(bytes);
    }
    let answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"HTTP/1.1 99999 ?\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n;;;;\r\n".to_vec(),
        random(3000),
    ];
    for answer in answers {
        let address = sink(answer)?;
        for input in &inputs {
            send(address, input)?;
        }
    }
    still_sees(&daemon)?;
    let log = daemon.log();
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

fn endless_heads() -> Result<()> {
    let daemon = Setup::default()
        .config("[capture]\nmax_connection_memory_mib = 8\n")
        .start()?;
    let address = sink(Vec::new())?;
    let before = daemon.resident()?;
    let mut open = Vec::new();
    for _ in 0..2000 {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET / HTTP/1.1\r\nX: ")?;
        stream.write_all(&[b'x'; 14_000])?;
        open.push(stream);
    }
    still_sees(&daemon)?;
    // 2,000 × 14 KiB are 27 MiB; the bound is 8, and the allocator and the tables may add as much again.
    let grown = daemon.resident()?.saturating_sub(before);
    ensure!(
        grown < 24 * 1024,
        "{grown} KiB more for heads that never end"
    );
    drop(open);
    Ok(())
}

fn corrupt_store() -> Result<()> {
    let mut daemon = Daemon::start()?;
    still_sees(&daemon)?;
    daemon.stop()?;
    let mut spoilt = 0;
    for entry in fs::read_dir(daemon.dir().join("state"))? {
        let path = entry?.path();
        let key = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("key"));
        if path.is_file() && !key && fs::metadata(&path)?.len() > 64 {
            fs::write(&path, [0xa5; 8192])?;
            spoilt += 1;
        }
    }
    ensure!(spoilt > 0, "there is no store to spoil");
    daemon.restart()?;
    still_sees(&daemon)?;
    let log = daemon.log().to_lowercase();
    ensure!(
        log.contains("set aside") || log.contains("corrupt"),
        "the log says nothing of it: {log}"
    );
    let kept = fs::read_dir(daemon.dir().join("state"))?
        .flatten()
        .any(|entry| fs::read(entry.path()).is_ok_and(|bytes| bytes.starts_with(&[0xa5; 64])));
    ensure!(kept, "what was set aside is gone");
    // And it stays well the next time.
    daemon.stop()?;
    daemon.restart()?;
    still_sees(&daemon)
}

fn dead_webhook() -> Result<()> {
    let keys = tempfile::tempdir()?;
    fs::write(keys.path().join("trap"), "dead-token-0123456789")?;
    fs::write(keys.path().join("secret"), e2e::Receiver::secret())?;
    // One that refuses, and one that takes the connection and never answers.
    let refused = server::free()?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let webhook = |name: &str, address: &str| {
        format!(
            "[[webhook]]\nname = \"{name}\"\nurl = \"http://{address}/hook\"\nsecret = {:?}\n",
            format!("file:{}", keys.path().join("secret").display())
        )
    };
    let daemon = Setup::default()
        .policy(&format!(
            "[identities.trap]\nowner = \"security\"\ncredentials = [\"file:{}\"]\n",
            keys.path().join("trap").display()
        ))
        .config(&webhook("refused", &refused.to_string()))
        .config(&webhook("silent", &silent.local_addr()?.to_string()))
        .start()?;
    let target = Answerer::inet()?;
    get(
        target.address(),
        "/trap",
        &[("Authorization", "Bearer dead-token-0123456789")],
    )?;
    wait_for("the alert in the store", || {
        Ok(daemon
            .json(&["alerts"])?
            .iter()
            .any(|alert| alert["kind"] == "canary")
            .then_some(()))
    })?;
    still_sees(&daemon)?;
    let status = daemon.status()?.to_string();
    ensure!(
        status.contains("refused") && status.contains("silent"),
        "status names no endpoint: {status}"
    );
    Ok(())
}

/// Colour codes, bidi overrides and zero-width characters from the wire reach no terminal.
fn terminal() -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    let mut stream = TcpStream::connect(server.address())?;
    stream.write_all(
        "GET /x\u{1b}[31mred\u{202e}\u{200b} HTTP/1.1\r\nHost: h\u{1b}]0;t\u{7}.example\r\nUser-Agent: \u{1b}[2J\r\n\r\n"
            .as_bytes(),
    )?;
    stream.write_all(b"GET /%1b%5b31m HTTP/1.1\r\nHost: quoted.example\r\n\r\n")?;
    let mut buffer = [0; 4096];
    ensure!(stream.read(&mut buffer)? > 0);
    watch.until_mark()?;
    let mut child = daemon
        .command(&["tail", "-o", "compact"])?
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    std::thread::sleep(Duration::from_millis(700));
    child.kill()?;
    let shown = String::from_utf8_lossy(&child.wait_with_output()?.stdout).into_owned();
    ensure!(
        shown.contains("quoted.example"),
        "tail shows nothing: {shown}"
    );
    let bad = shown.chars().find(|c| {
        (c.is_control() && *c != '\n') || matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    });
    ensure!(bad.is_none(), "{bad:?} in {shown:?}");
    Ok(())
}

fn bad_configuration() -> Result<()> {
    let daemon = Setup::default().config("colour = 1\n").prepare()?;
    let output = std::process::Command::new(e2e::daemon::binary()?)
        .args(["run", "--config"])
        .arg(daemon.dir().join("bailiwick.toml"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(78),
        "{}: {text}",
        output.status
    );
    let line = fs::read_to_string(daemon.dir().join("bailiwick.toml"))?
        .lines()
        .position(|line| line.starts_with("colour"))
        .context("the line")?
        + 1;
    for expected in [
        format!("bailiwick.toml:{line}"),
        "colour".to_owned(),
        "hint:".to_owned(),
    ] {
        ensure!(text.contains(&expected), "no {expected:?} in {text}");
    }
    Ok(())
}
