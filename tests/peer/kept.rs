//! Clients whose connections may be ended by others, and a server for them.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::http::{read_answer, request, serve};

/// Answers requests on connections that are kept.
pub(crate) fn answer(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(&stream, &stream));
    }
    Ok(())
}

fn bytes(address: SocketAddr, token: &str) -> Vec<u8> {
    let token = format!("Bearer {token}");
    request("/v1/x", &address.to_string(), &[("Authorization", &token)])
}

/// Requests on one connection, a millisecond apart, until it fails or the time is over. Writes
/// `failed MICROSECONDS COUNT`, from the first answer to the failure, or `went-on COUNT`.
pub(crate) fn requests(address: SocketAddr, token: &str, time: Duration) -> Result<()> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(&stream);
    let mut exchange = || -> Result<()> {
        (&stream).write_all(&bytes(address, token))?;
        read_answer(&mut reader).map(drop)
    };
    exchange().context("the first request")?;
    let first = Instant::now();
    let mut count = 1;
    while first.elapsed() < time {
        if exchange().is_err() {
            println!("failed {} {count}", first.elapsed().as_micros());
            return Ok(());
        }
        count += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("went-on {count}");
    Ok(())
}

/// A request on a connection of its own every 10 ms. Writes a line for the first and for each that goes
/// otherwise than the one before: milliseconds since the first, and `ok` or the error.
pub(crate) fn connects(address: SocketAddr, token: &str, time: Duration) -> Result<()> {
    let first = Instant::now();
    let mut before = String::new();
    while first.elapsed() < time {
        let now = match one(address, token) {
            Ok(()) => "ok".to_owned(),
            Err(error) => match error.downcast_ref::<std::io::Error>() {
                Some(error) => format!("{:?}", error.kind()),
                None => "ended".to_owned(),
            },
        };
        if now != before {
            println!("{} {now}", first.elapsed().as_millis());
            before = now;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn one(address: SocketAddr, token: &str) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    (&stream).write_all(&bytes(address, token))?;
    read_answer(&mut BufReader::new(&stream)).map(drop)
}
