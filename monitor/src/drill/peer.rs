//! The drill's own processes: `bailiwick drill-peer …`, started by the drill alone. Each is bounded: by time,
//! or by the end of its standard input, which comes with the drill's own end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::script::{Script, Told, monotonic_ns};
use super::technique::bearer;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Most connections that the server answers at a time.
const CONNECTIONS: usize = 128;
/// Longest head that is read.
const LONGEST: usize = 64 * 1024;
/// Answer to everything.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

/// Plays a part; the exit code.
///
/// # Errors
/// What went wrong, for the drill to show.
pub fn play(words: &[String]) -> io::Result<u8> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["client"] => client().map(|()| 0),
        ["server", addresses @ ..] => server(addresses).map(|()| 0),
        ["flood", host] => flood(host).map(|()| 0),
        ["contain", group, user, program] => {
            contain(group, user.parse().map_err(io::Error::other)?, program)
        }
        _ => Err(io::Error::other(
            "drill-peer is for `bailiwick drill` alone",
        )),
    }
}

fn parse(address: &str) -> io::Result<SocketAddr> {
    address.parse().map_err(io::Error::other)
}

/// Follows the script on standard input and tells what it did.
fn client() -> io::Result<()> {
    let script: Script = serde_json::from_reader(io::stdin().lock())?;
    let mut told = Told {
        sent_ns: Vec::new(),
        answers: 0,
        error: None,
    };
    if let Err(error) = talk(&script, &mut told) {
        told.error = Some(error.to_string());
    }
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &told)?;
    out.write_all(b"\n")?;
    out.flush()?;
    std::thread::sleep(Duration::from_millis(script.linger_ms));
    Ok(())
}

fn talk(script: &Script, told: &mut Told) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&script.to, ANSWER)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let mut heads = Heads::default();
    for piece in &script.pieces {
        std::thread::sleep(Duration::from_millis(piece.pause_ms));
        let bytes = piece.bytes.as_bytes();
        if piece.bytewise {
            let (last, front) = bytes.split_last().ok_or(io::ErrorKind::InvalidInput)?;
            for byte in front {
                stream.write_all(&[*byte])?;
            }
            told.sent_ns.push(monotonic_ns());
            stream.write_all(&[*last])?;
        } else {
            told.sent_ns.push(monotonic_ns());
            stream.write_all(bytes)?;
        }
        for _ in 0..piece.answers {
            // The answers of the drill's servers have two bytes behind their heads.
            if !heads.next(&mut stream, 2)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            told.answers += 1;
        }
    }
    Ok(())
}

/// Heads of messages on one connection.
#[derive(Default)]
struct Heads {
    buffer: Vec<u8>,
}

impl Heads {
    /// Reads up to the end of one head and `body` bytes more; false at the end of the connection.
    fn next(&mut self, stream: &mut TcpStream, body: usize) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        loop {
            let end = memchr::memmem::find(&self.buffer, b"\r\n\r\n").map(|at| at + 4 + body);
            if let Some(end) = end.filter(|end| *end <= self.buffer.len()) {
                self.buffer.drain(..end);
                return Ok(true);
            }
            if self.buffer.len() > LONGEST {
                return Err(io::Error::other("a head without end"));
            }
            match stream.read(&mut chunk)? {
                0 => return Ok(false),
                count => self.buffer.extend(chunk.iter().take(count)),
            }
        }
    }
}

/// Answers every request until the standard input ends.
fn server(addresses: &[&str]) -> io::Result<()> {
    let busy = Arc::new(AtomicUsize::new(0));
    for address in addresses {
        let listener = TcpListener::bind(parse(address)?)?;
        let busy = Arc::clone(&busy);
        std::thread::spawn(move || listen(&listener, &busy));
    }
    io::stdout().write_all(b"ready\n")?;
    io::stdout().flush()?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}

fn listen(listener: &TcpListener, busy: &Arc<AtomicUsize>) {
    for stream in listener.incoming().flatten() {
        if busy.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
            busy.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let busy = Arc::clone(busy);
        std::thread::spawn(move || {
            // A client that breaks off is its own affair.
            let _ = answer(stream);
            busy.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let mut heads = Heads::default();
    while heads.next(&mut stream, 0)? {
        stream.write_all(OK)?;
    }
    Ok(())
}

/// Requests to itself, as many as one core can, until the standard input ends: first a line with the token,
/// then nothing.
fn flood(host: &str) -> io::Result<()> {
    let mut token = String::new();
    io::stdin().read_line(&mut token)?;
    let wanted = bearer("GET", host, "/v1/flood", token.trim());
    let over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&over);
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        ends.store(true, Ordering::Relaxed);
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut buffer = vec![0; wanted.len().max(OK.len())];
    let mut count = 0_u64;
    io::stdout().write_all(b"ready\n")?;
    io::stdout().flush()?;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..100 {
            client.write_all(wanted.as_bytes())?;
            server.read_exact(&mut buffer[..wanted.len()])?;
            server.write_all(OK)?;
            client.read_exact(&mut buffer[..OK.len()])?;
        }
        count += 100;
    }
    io::stdout().write_all(format!("{count}\n").as_bytes())?;
    io::stdout().flush()
}

/// Runs a client as a container's: in a control group, and in mount and process namespaces of its own.
fn contain(group: &str, user: u32, program: &str) -> io::Result<u8> {
    std::fs::write(group, std::process::id().to_string())?;
    // SAFETY: no flag among these unshares descriptors or memory.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWPID) }?;
    let status = Command::new(program)
        .args(["drill-peer", "client"])
        .uid(user)
        .gid(user)
        .status()?;
    let code = status.code().or(status.signal()).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}
