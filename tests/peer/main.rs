//! A process of known behaviour at one end of a socket, for the end-to-end tests.
//!
//! `peer once|flood|neighbour|sendfile|uring|uring-splice|splice|relay|tls-serve|tls-get|answer|requests|connects …`; what it did goes to standard
//! output.
#![allow(clippy::print_stdout, reason = "its output is what a test reads")]

mod kept;
mod secure;
mod uring;

use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::http::{read_answer, request};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["once", address, path] => once(address.parse()?, path),
        ["flood", seconds] => flood(Duration::from_secs(seconds.parse()?)),
        ["neighbour", address, rate, seconds] => {
            neighbour(address.parse()?, rate.parse()?, seconds.parse()?)
        }
        ["sendfile", address, path] => sendfile(address.parse()?, path),
        ["uring", address, path] => uring(address.parse()?, path),
        ["uring-splice", address, path] => uring_splice(address.parse()?, path),
        ["splice", address] => splice(address.parse()?),
        ["relay", address, target] => relay(address.parse()?, target.parse()?),
        ["tls-serve", address] => secure::serve(address.parse()?),
        ["tls-get", address, version, path, count] => {
            secure::get(address.parse()?, version, path, count.parse()?)
        }
        ["answer", address] => kept::answer(address.parse()?),
        ["requests", address, token, seconds] => kept::requests(
            address.parse()?,
            token,
            Duration::from_secs(seconds.parse()?),
        ),
        ["connects", address, token, seconds] => kept::connects(
            address.parse()?,
            token,
            Duration::from_secs(seconds.parse()?),
        ),
        _ => {
            bail!(
                "usage: peer once|flood|neighbour|sendfile|uring|uring-splice|splice|relay|tls-serve|tls-get|answer|requests|connects …"
            )
        }
    }
}

/// One request, and gone without waiting for anything else.
fn once(address: SocketAddr, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&request(
        path,
        &address.to_string(),
        &[("Authorization", "Bearer once")],
    ))?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(())
}

/// Requests to itself, as many as one core can, for some time.
fn flood(time: Duration) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut client = TcpStream::connect(address)?;
    let (mut server, _) = listener.accept()?;
    let wanted = request(
        "/flood",
        "flood.example",
        &[("Authorization", "Bearer flood-flood-flood")],
    );
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let mut buffer = vec![0; 64 * 1024];
    let begin = Instant::now();
    let mut count = 0_u64;
    while begin.elapsed() < time {
        for _ in 0..100 {
            client.write_all(&wanted)?;
            server.read_exact(&mut buffer[..wanted.len()])?;
            server.write_all(answer)?;
            client.read_exact(&mut buffer[..answer.len()])?;
        }
        count += 100;
    }
    println!("{count}");
    Ok(())
}

/// Requests at a steady rate over one connection, each with a path of its own.
fn neighbour(address: SocketAddr, rate: u32, seconds: u32) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(&stream);
    let host = address.to_string();
    let gap = Duration::from_secs(1) / rate;
    let begin = Instant::now();
    for number in 0..rate * seconds {
        let path = format!("/neighbour/n{number}n");
        (&stream).write_all(&request(
            &path,
            &host,
            &[("Authorization", "Bearer neighbour")],
        ))?;
        read_answer(&mut reader)?;
        // Steady by the clock, so that a slow answer is caught up with.
        if let Some(rest) = (gap * (number + 1)).checked_sub(begin.elapsed()) {
            std::thread::sleep(rest);
        }
    }
    println!("{}", rate * seconds);
    Ok(())
}

/// A request that the kernel takes out of a file: no buffer of this process holds it.
fn sendfile(address: SocketAddr, path: &str) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    let bytes = request(
        path,
        &address.to_string(),
        &[("Authorization", "Bearer sendfile")],
    );
    let mut file = tempfile::tempfile()?;
    file.write_all(&bytes)?;
    file.seek(SeekFrom::Start(0))?;
    let mut sent = 0;
    while sent < bytes.len() {
        let now = rustix::fs::sendfile(&stream, &file, None, bytes.len() - sent)?;
        sent += now;
    }
    let mut answer = [0; 12];
    (&stream).read_exact(&mut answer)?;
    println!("{sent}");
    Ok(())
}

/// Requests that io_uring sends, and answers that it receives, in each of its forms: a connection and a path below
/// `path` for each.
fn uring(address: SocketAddr, path: &str) -> Result<()> {
    for (name, form) in uring::Form::ALL {
        let at = || format!("io_uring: {name}");
        let stream = TcpStream::connect(address)?;
        let bytes = request(
            &format!("{path}/{name}"),
            &address.to_string(),
            &[("Authorization", "Bearer uring")],
        );
        let mut ring = uring::Ring::new(form).with_context(at)?;
        let sent = ring.send(form, &stream, &bytes).with_context(at)?;
        ensure!(sent == bytes.len(), "{name}: {sent} bytes were sent");
        let mut answer = vec![0; uring::CHOSEN];
        let length = ring.receive(form, &stream, &mut answer).with_context(at)?;
        ensure!(
            answer
                .get(..length)
                .is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200")),
            "{name}: {:?}",
            String::from_utf8_lossy(&answer[..length.min(40)])
        );
    }
    println!("{}", uring::Form::ALL.map(|(name, _)| name).join(" "));
    Ok(())
}

/// A request that io_uring takes out of a pipe.
fn uring_splice(address: SocketAddr, path: &str) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    let bytes = request(
        path,
        &address.to_string(),
        &[("Authorization", "Bearer uring")],
    );
    let (reader, writer) = rustix::pipe::pipe()?;
    ensure!(rustix::io::write(&writer, &bytes)? == bytes.len());
    let mut ring = uring::Ring::new(uring::Form::Flat)?;
    let sent = ring
        .splice(&reader, &stream, bytes.len())
        .context("io_uring")?;
    let mut answer = [0; 12];
    (&stream).read_exact(&mut answer)?;
    println!("{sent}");
    Ok(())
}

/// Serves one connection, moving what it receives into a pipe: the request is in no buffer given to a
/// system call on the socket. Stands for a server on another host.
fn splice(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    let (reader, writer) = rustix::pipe::pipe()?;
    let mut reader = std::fs::File::from(reader);
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let moved = rustix::pipe::splice(
                &stream,
                None,
                &writer,
                None,
                65536,
                rustix::pipe::SpliceFlags::empty(),
            )?;
            if moved == 0 {
                break;
            }
            let mut buffer = vec![0; moved];
            reader.read_exact(&mut buffer)?;
            head.extend(buffer);
        }
        if !head.is_empty() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        }
    }
}

/// Passes every connection on to `target`, all bytes by way of pipes: stands for the network between two
/// hosts.
fn relay(address: SocketAddr, target: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    loop {
        let (client, _) = listener.accept()?;
        let server = TcpStream::connect(target)?;
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            std::thread::spawn(move || {
                // Either end may go first.
                let _ = pass(&from, &to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    }
}

/// Moves one direction until its end.
fn pass(from: &TcpStream, to: &TcpStream) -> Result<()> {
    use rustix::pipe::{SpliceFlags, pipe, splice};
    let (reader, writer) = pipe()?;
    loop {
        let mut moved = splice(from, None, &writer, None, 65536, SpliceFlags::empty())?;
        if moved == 0 {
            return Ok(());
        }
        while moved > 0 {
            moved -= splice(&reader, None, to, None, moved, SpliceFlags::empty())?;
        }
    }
}
