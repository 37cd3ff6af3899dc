//! How bytes are cut into calls makes no difference to what is seen.

use std::io::{BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http::{Answerer, read_answer, request};
use e2e::process::client;
use e2e::trial::root;
use e2e::watch::only;
use e2e::{Daemon, Server, wait_for};
use libtest_mimic::Trial;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, recv, recvmsg, send, sendmsg,
};

use crate::expect::{answered, asked_by};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("split::two_hundred_requests_byte_by_byte", byte_by_byte),
        root("split::pipelined_requests_pair_in_order", pipelined),
        root(
            "split::three_thousand_requests_pipelined_in_odd_pieces",
            pipelined_without_end,
        ),
        root(
            "split::what_hides_behind_a_body_is_told_of",
            hidden_behind_a_body,
        ),
        root("split::peeked_bytes_count_once", peeked),
        root("split::vectors_and_messages", vectors_and_messages),
        root("split::short_writes_and_would_block", short_writes),
        root("split::bodies_of_every_framing", bodies),
        root(
            "split::sendfile_is_counted_as_uncovered",
            sendfile_uncovered,
        ),
        root(
            "split::what_io_uring_splices_is_counted_as_uncovered",
            uring_uncovered,
        ),
        root("split::requests_to_io_uring", uring_seen),
    ]
}

const BEARER: (&str, &str) = ("Authorization", "Bearer split-token");
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn byte_by_byte() -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Server::node(daemon.dir())?;
    let mut watch = daemon.watch()?;
    let stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(&stream);
    for number in 0..200 {
        for byte in request(&format!("/split/n{number}n"), &server.host(), &[BEARER]) {
            (&stream).write_all(&[byte])?;
        }
        ensure!(read_answer(&mut reader)?.starts_with("HTTP/1.1 200"));
    }
    let accesses = watch.exactly(200, &server.host())?;
    for number in 0..200 {
        let access = only(&accesses, &format!("/split/n{number}n"))?;
        ensure!(access.credential.is_some(), "credential of {access:#?}");
        ensure!(
            access.client.is_some() && access.server.is_some(),
            "ends of {access:#?}"
        );
        answered(access)?;
    }
    Ok(())
}

fn pipelined() -> Result<()> {
    let daemon = Daemon::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    // Answers each with the status that its path names.
    std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut buffer)?;
            text.push_str(std::str::from_utf8(&buffer[..read])?);
            let mut answers = String::new();
            while let Some((head, rest)) = text.split_once("\r\n\r\n") {
                let status = head.split('/').nth(2).unwrap_or("500").to_owned();
                text = rest.to_owned();
                answers.push_str(&format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nab"
                ));
            }
            stream.write_all(answers.as_bytes())?;
            if read == 0 {
                return Ok(());
            }
        }
    });
    let mut watch = daemon.watch()?;
    let stream = TcpStream::connect(&host)?;
    let status = |number: usize| [200, 201, 404, 500, 401, 302, 503][number % 7];
    let all: Vec<u8> = (0..60)
        .flat_map(|number| {
            request(
                &format!("/st/{}/n{number}n", status(number)),
                &host,
                &[BEARER],
            )
        })
        .collect();
    (&stream).write_all(&all)?;
    let mut reader = BufReader::new(&stream);
    for _ in 0..60 {
        read_answer(&mut reader)?;
    }
    let accesses = watch.exactly(60, &host)?;
    for number in 0..60 {
        let access = only(&accesses, &format!("/st/{}/n{number}n", status(number)))?;
        let seen = access.response.as_ref().map(|response| response.status);
        ensure!(seen == Some(status(number)), "status of {access:#?}");
    }
    Ok(())
}

fn peeked() -> Result<()> {
    let daemon = Daemon::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    std::thread::spawn(move || -> Result<()> {
        let (stream, _) = listener.accept()?;
        let mut buffer = [0; 4096];
        loop {
            // As servers do that tell TLS from clear text.
            for _ in 0..3 {
                recv(&stream, &mut buffer[..64], RecvFlags::PEEK)?;
            }
            let (_, length) = recv(&stream, &mut buffer, RecvFlags::empty())?;
            if length == 0 {
                return Ok(());
            }
            send(&stream, ANSWER, SendFlags::empty())?;
        }
    });
    let mut watch = daemon.watch()?;
    let stream = TcpStream::connect(&host)?;
    let mut reader = BufReader::new(&stream);
    for number in 0..20 {
        (&stream).write_all(&request(&format!("/peek/n{number}n"), &host, &[BEARER]))?;
        read_answer(&mut reader)?;
    }
    let accesses = watch.exactly(20, &host)?;
    for number in 0..20 {
        let access = only(&accesses, &format!("/peek/n{number}n"))?;
        ensure!(
            access.client.is_some() && access.server.is_some(),
            "ends of {access:#?}"
        );
        answered(access)?;
    }
    Ok(())
}

fn vectors_and_messages() -> Result<()> {
    let daemon = Daemon::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    std::thread::spawn(move || -> Result<()> {
        let (stream, _) = listener.accept()?;
        for number in 0.. {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                // Buffers that a head never fits: readv and recvmsg in turn.
                let (mut one, mut two, mut three) = ([0; 7], [0; 33], [0; 11]);
                let mut parts = [
                    IoSliceMut::new(&mut one),
                    IoSliceMut::new(&mut two),
                    IoSliceMut::new(&mut three),
                ];
                let length = if number % 2 == 0 {
                    (&stream).read_vectored(&mut parts)?
                } else {
                    let mut none = RecvAncillaryBuffer::default();
                    recvmsg(&stream, &mut parts, &mut none, RecvFlags::empty())?.bytes
                };
                if length == 0 {
                    return Ok(());
                }
                head.extend(one.iter().chain(&two).chain(&three).take(length));
            }
            let parts = [
                IoSlice::new(&ANSWER[..4]),
                IoSlice::new(&ANSWER[4..5]),
                IoSlice::new(&ANSWER[5..]),
            ];
            let mut none = SendAncillaryBuffer::default();
            sendmsg(&stream, &parts, &mut none, SendFlags::empty())?;
        }
        Ok(())
    });
    let mut watch = daemon.watch()?;
    let stream = TcpStream::connect(&host)?;
    let mut reader = BufReader::new(&stream);
    for number in 0..40 {
        let bytes = request(&format!("/vector/n{number}n"), &host, &[BEARER]);
        // Cut inside the method, the path, a header's name and its value.
        let parts: Vec<IoSlice<'_>> = [0..2, 2..9, 9..30, 30..bytes.len()]
            .into_iter()
            .map(|range| IoSlice::new(&bytes[range]))
            .collect();
        let sent = if number % 2 == 0 {
            (&stream).write_vectored(&parts)?
        } else {
            sendmsg(
                &stream,
                &parts,
                &mut SendAncillaryBuffer::default(),
                SendFlags::empty(),
            )?
        };
        ensure!(
            sent == bytes.len(),
            "{sent} of {} bytes went out",
            bytes.len()
        );
        read_answer(&mut reader)?;
    }
    let accesses = watch.exactly(40, &host)?;
    for number in 0..40 {
        let access = only(&accesses, &format!("/vector/n{number}n"))?;
        ensure!(access.credential.is_some(), "credential of {access:#?}");
        ensure!(
            access.client.is_some() && access.server.is_some(),
            "ends of {access:#?}"
        );
        answered(access)?;
    }
    Ok(())
}

/// A sender that does not wait, with heads longer than its socket's buffer: most of its calls send a part or
/// nothing. The reader takes small bites, and does not wait either.
/// Nothing but requests, far more than one message's share of bytes, cut anywhere, answered while they
/// come and by several in one call.
fn pipelined_without_end() -> Result<()> {
    const COUNT: usize = 3_000;
    let daemon = Daemon::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    let server = std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let (mut seen, mut tail, mut buffer) = (0, Vec::new(), [0; 50_000]);
        while seen < COUNT {
            let length = stream.read(&mut buffer)?;
            ensure!(length > 0, "the client went after {seen} requests");
            tail.extend_from_slice(&buffer[..length]);
            let ends: Vec<usize> = tail
                .windows(4)
                .enumerate()
                .filter(|(_, window)| *window == b"\r\n\r\n")
                .map(|(at, _)| at + 4)
                .collect();
            stream.write_all(&ANSWER.repeat(ends.len()))?;
            seen += ends.len();
            tail.drain(..ends.last().copied().unwrap_or(0));
        }
        Ok(())
    });
    let mut watch = daemon.watch()?;
    let mut stream = TcpStream::connect(&host)?;
    let mut answers = stream.try_clone()?;
    let reader = std::thread::spawn(move || -> Result<usize> {
        let mut all = vec![0; COUNT * ANSWER.len()];
        answers.read_exact(&mut all)?;
        Ok(all.len())
    });
    let all: Vec<u8> = (0..COUNT)
        .flat_map(|number| request(&format!("/endless/n{number}n"), &host, &[BEARER]))
        .collect();
    let (mut rest, mut turn) = (&all[..], 0);
    while !rest.is_empty() {
        // From one byte to more than a record of the ring holds.
        let size = [1, 7_001, 13, 40_003, 997, 3][turn % 6].min(rest.len());
        stream.write_all(&rest[..size])?;
        rest = &rest[size..];
        turn += 1;
    }
    for thread in [reader.join().map(|done| done.map(drop)), server.join()] {
        thread.map_err(|_| anyhow::anyhow!("a thread of this test panicked"))??;
    }
    let accesses = watch.exactly(COUNT, &host)?;
    for number in 0..COUNT {
        let access = only(&accesses, &format!("/endless/n{number}n"))?;
        ensure!(access.credential.is_some(), "credential of {access:#?}");
    }
    Ok(())
}

/// A method with a body may send far more than a message's share; requests behind it are not all seen, and
/// then the status says that something was not.
fn hidden_behind_a_body() -> Result<()> {
    const COUNT: usize = 1_000;
    let daemon = Daemon::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    let server = std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        stream.write_all(&ANSWER.repeat(COUNT))?;
        Ok(())
    });
    let mut watch = daemon.watch()?;
    let mut stream = TcpStream::connect(&host)?;
    let head = format!(
        "POST /hidden/n HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer split-token\r\nContent-Length: 2\r\n\r\nab"
    );
    stream.write_all(head.repeat(COUNT).as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    drop(stream);
    server
        .join()
        .map_err(|_| anyhow::anyhow!("a thread of this test panicked"))??;
    let seen = watch.accesses_of(&host)?.len();
    ensure!(seen > 50, "{seen} accesses");
    if seen < COUNT {
        wait_for("status to tell of what was not seen", || {
            let status = daemon.status()?;
            let causes = status["anomalies"].as_array().into_iter().flatten();
            let told = causes
                .filter_map(|anomaly| anomaly["cause"].as_str())
                .any(|cause| cause == "unseen" || cause == "gap");
            Ok(told.then_some(()))
        })
        .with_context(|| format!("{seen} of {COUNT} accesses"))?;
    }
    Ok(())
}

fn short_writes() -> Result<()> {
    const COUNT: usize = 100;
    let daemon = Daemon::start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // Inherited by the connection: its buffer fills while the reader sleeps.
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 4096)?;
    let host = listener.local_addr()?.to_string();
    std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        let (mut head, mut buffer) = (Vec::new(), [0; 700]);
        loop {
            std::thread::sleep(Duration::from_micros(100));
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => head.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            if head.ends_with(b"\r\n\r\n") {
                stream.write_all(ANSWER)?;
                head.clear();
            }
        }
    });
    let mut watch = daemon.watch()?;
    let stream = TcpStream::connect(&host)?;
    rustix::net::sockopt::set_socket_send_buffer_size(&stream, 4096)?;
    stream.set_nonblocking(true)?;
    let padding = "p".repeat(10_000);
    let (mut blocked, mut short) = (0, 0);
    for number in 0..COUNT {
        // The credential comes last: it is there only if the whole head is.
        let all = request(
            &format!("/short/n{number}n"),
            &host,
            &[("X-Padding", &padding), BEARER],
        );
        let mut sent = 0;
        while sent < all.len() {
            match (&stream).write(&all[sent..]) {
                Ok(length) => {
                    sent += length;
                    short += usize::from(sent < all.len());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    blocked += 1;
                    std::thread::sleep(Duration::from_micros(100));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut answer = Vec::new();
        while answer.len() < ANSWER.len() {
            let mut buffer = [0; 64];
            match (&stream).read(&mut buffer) {
                Ok(0) => anyhow::bail!("the connection ended"),
                Ok(length) => answer.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_micros(100));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    ensure!(
        blocked >= COUNT / 2 && short >= COUNT,
        "{blocked} calls would have blocked, {short} sent a part"
    );
    let accesses = watch.exactly(COUNT, &host)?;
    for number in 0..COUNT {
        let access = only(&accesses, &format!("/short/n{number}n"))?;
        ensure!(access.credential.is_some(), "credential of {access:#?}");
        answered(access)?;
    }
    Ok(())
}

/// Bodies never look like messages, however they are framed and whatever is in them.
fn bodies() -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Server::node(daemon.dir())?;
    let mut watch = daemon.watch()?;
    let stream = TcpStream::connect(server.address)?;
    let mut reader = BufReader::new(&stream);
    let host = server.host();
    let lure = format!("GET /lure HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer lure\r\n\r\n");
    for number in 0..30 {
        let body = lure.repeat(number);
        let head = format!("POST /body/n{number}n HTTP/1.1\r\nHost: {host}\r\n");
        let framed = if number % 2 == 0 {
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
        } else {
            // A last chunk with a trailer.
            let chunk = format!("{:x}\r\n{body}\r\n", body.len());
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\nX-Trailer: 1\r\n\r\n")
        };
        (&stream).write_all(framed.as_bytes())?;
        // node itself answers in chunks or with a length; read to the end of its short body either way.
        let head = read_answer(&mut reader)?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    let accesses = watch.accesses_of(&host)?;
    let lures = accesses
        .iter()
        .filter(|access| access.request.path == "/lure")
        .count();
    ensure!(lures == 0, "{lures} requests were seen in bodies");
    ensure!(accesses.len() == 30, "{} accesses, not 30", accesses.len());
    for number in 0..30 {
        let access = only(&accesses, &format!("/body/n{number}n"))?;
        answered(access)?;
    }
    Ok(())
}

/// Bytes that the daemon's own account has as uncovered for that cause; a cause that never happened is missing.
fn uncovered(daemon: &Daemon, cause: &str) -> Result<u64> {
    let status = daemon.status()?;
    let causes = status["uncovered"]
        .as_array()
        .context("status has no uncovered")?;
    let entry = causes.iter().find(|entry| entry["cause"] == cause);
    Ok(entry.and_then(|entry| entry["count"].as_u64()).unwrap_or(0))
}

fn sendfile_uncovered() -> Result<()> {
    counted("sendfile")
}

fn uring_uncovered() -> Result<()> {
    counted("io_uring")
}

/// A server whose reads no buffer belongs to is as good as one on another host: what is seen comes from
/// io_uring's end.
fn uring_seen() -> Result<()> {
    let daemon = Daemon::start()?;
    let hooks = daemon.status()?;
    let hooks = hooks["hooks"].as_array().context("no hooks")?;
    let looked_at = hooks.iter().any(|hook| hook["name"] == "fentry/io_send");
    let before = uncovered(&daemon, "io_uring")?;
    let peer = env!("CARGO_BIN_EXE_peer");
    let address = e2e::server::free()?;
    let mut command = Command::new(peer);
    command.args(["splice", &address.to_string()]);
    let log = daemon.dir().join("splice.log");
    let _server = Server::start(&mut command, &log, address, peer, false)?;
    let mut watch = daemon.watch()?;
    let (id, forms) = client(Command::new(peer).args(["uring", &address.to_string(), "/uring"]))?;
    let accesses = watch.accesses_of(&address.to_string())?;
    ensure!(forms.split_whitespace().count() == 7, "{forms}");
    if !looked_at {
        // A kernel without those functions, or that lets no program look at any: `doctor` says so.
        ensure!(accesses.is_empty(), "{accesses:#?}");
        let doctor = String::from_utf8(daemon.run(&["doctor"])?.stdout)?;
        ensure!(doctor.contains("are counted only"), "{doctor}");
        return wait_for("what io_uring moved", || {
            Ok((uncovered(&daemon, "io_uring")? > before).then_some(()))
        });
    }
    for form in forms.split_whitespace() {
        let access = only(&accesses, &format!("/uring/{form}"))?;
        ensure!(access.credential.is_some(), "credential of {access:#?}");
        asked_by(access, id)?;
        answered(access)?;
    }
    let after = uncovered(&daemon, "io_uring")?;
    ensure!(after == before, "{} bytes were not seen", after - before);
    Ok(())
}

fn counted(cause: &str) -> Result<()> {
    let daemon = Daemon::start()?;
    let server = Answerer::inet()?;
    let mut watch = daemon.watch()?;
    let before = uncovered(&daemon, cause)?;
    let how = if cause == "io_uring" {
        "uring-splice"
    } else {
        cause
    };
    let (id, sent) = client(Command::new(env!("CARGO_BIN_EXE_peer")).args([
        how,
        &server.address().to_string(),
        "/uncovered",
    ]))?;
    let sent: u64 = sent.trim().parse()?;
    let accesses = watch.accesses_of(&server.address().to_string())?;
    // The other end reads with ordinary calls: the access is seen from there.
    let access = only(&accesses, "/uncovered")?;
    ensure!(
        access
            .server
            .as_ref()
            .is_some_and(|server| server.pid == std::process::id()),
        "{access:#?}"
    );
    answered(access)?;
    if let Some(client) = &access.client {
        ensure!(client.pid == id, "client of {access:#?}");
    }
    // The kernel's counters are read every now and then.
    wait_for(
        &format!("{sent} more bytes than {before} uncovered for {cause}"),
        || Ok((uncovered(&daemon, cause)? >= before + sent).then_some(())),
    )
}
