//! Secrets of TLS connections, as real libraries derive them, against those that they log themselves.

mod tap;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use bailiwick::source::Source;
use bailiwick::source::kernel::Hook;
use e2e::process::client;
use e2e::trial::root;
use libtest_mimic::Trial;
use monitor_ebpf::{KEY_SLOTS, key_source};

use tap::{Line, Server, Tap, key_log, library, offset_of, output};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("keys::curl_and_s_server", curl_and_s_server),
        root("keys::resumption_and_early_data", resumption),
        root("keys::python_with_memory_bios", python),
        root("keys::gnutls", gnutls),
        root("keys::past_the_first_instruction", past_the_first),
        root("keys::node", node),
        root("keys::go", go),
        root("keys::boringssl", boringssl),
        root("keys::more_than_fit_are_counted", overflow),
        root("keys::nothing_after_detaching", detached),
        root("keys::the_units_capabilities_suffice", units_capabilities),
    ]
}

const CURL: &str = "/usr/bin/curl";
const LIBCRYPTO: &str = "libcrypto.so.3";

fn curl(server: &Server, version: &str, log: &Path) -> Result<u32> {
    #[rustfmt::skip]
    let (id, _) = client(
        Command::new(CURL)
            .args(["--silent", "--insecure", "--max-time", "10", "--output", "/dev/null"])
            .args([&format!("--tlsv{version}"), "--tls-max", version, &server.url()])
            .env("SSLKEYLOGFILE", log),
    )?;
    Ok(id)
}

fn curl_and_s_server() -> Result<()> {
    let libcrypto = library(CURL, LIBCRYPTO)?;
    let server = Server::start(&["-www"])?;
    for version in ["1.3", "1.2"] {
        let mut tap = Tap::new(&[(Hook::OpensslKdf, &libcrypto)])?;
        let path = server.file(version);
        let id = curl(&server, version, &path)?;
        let log = key_log(&path, false)?;
        ensure!(
            log.len() == if version == "1.3" { 4 } else { 1 },
            "{log:#?}"
        );
        tap.same(id, &log, key_source::OPENSSL)?;
        tap.same(server.process.id(), &log, key_source::OPENSSL)?;
        if version == "1.2" {
            let random = |tgid: u32| {
                let mut all = tap.found.iter().filter(move |found| found.tgid == tgid);
                all.next().and_then(|found| found.server_random.clone())
            };
            ensure!(
                random(id) == random(server.process.id()) && random(id).is_some(),
                "two ends, two randoms: {:#?}",
                tap.found
            );
        }
    }
    Ok(())
}

/// A resumed session's secrets are new ones; early data has one more; a key update's are not sent.
fn resumption() -> Result<()> {
    let libcrypto = library(CURL, LIBCRYPTO)?;
    let server = Server::start(&["-early_data", "-max_early_data", "1000"])?;
    let session = server.file("session").display().to_string();
    let early = server.file("early").display().to_string();
    fs::write(&early, "early")?;
    let connect = format!("127.0.0.1:{}", server.port);
    let run = |log: &Path, version: &str, more: &[&str], input: &str| -> Result<u32> {
        let mut command = Command::new("/usr/bin/sh");
        let wait = e2e::scaled(Duration::from_millis(400)).as_secs_f64();
        // Lets the server's tickets arrive, then ends or asks for new keys.
        command.arg("-c").arg(format!(
            "(sleep {wait}; {input} printf 'Q\\n'; sleep {wait}) | exec \"$@\""
        ));
        let log = log.display().to_string();
        #[rustfmt::skip]
        command.args([
            "sh", "/usr/bin/openssl", "s_client", "-connect", &connect, version, "-keylogfile", &log,
        ]).args(more);
        command.stdout(std::process::Stdio::null());
        Ok(client(&mut command)?.0)
    };
    for (version, input) in [("-tls1_3", "printf 'K\\n'; sleep 0.3;"), ("-tls1_2", "")] {
        let (first, second) = (server.file("first"), server.file("second"));
        let _ = (fs::remove_file(&first), fs::remove_file(&second));
        run(&first, version, &["-sess_out", &session], "")?;
        let mut tap = Tap::new(&[(Hook::OpensslKdf, &libcrypto)])?;
        let mut more = vec!["-sess_in", session.as_str()];
        if version == "-tls1_3" {
            more.extend(["-early_data", &early]);
        }
        run(&second, version, &more, input)?;
        let log: BTreeSet<Line> = key_log(&second, false)?
            .into_iter()
            .filter(|(label, ..)| !label.ends_with("_N") && !label.ends_with("_SECRET_1"))
            .collect();
        ensure!(
            log.len() == if version == "-tls1_3" { 5 } else { 1 },
            "{log:#?}"
        );
        tap.same(server.process.id(), &log, key_source::OPENSSL)?;
    }
    Ok(())
}

fn python() -> Result<()> {
    const SCRIPT: &str = "
import asyncio, ssl, sys
port, log = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.keylog_filename = log
async def main():
    reader, writer = await asyncio.open_connection('127.0.0.1', port, ssl=context)
    writer.write(b'GET / HTTP/1.0\\r\\n\\r\\n')
    await reader.read()
    writer.close()
asyncio.run(main())
";
    let libcrypto = library(CURL, LIBCRYPTO)?;
    let server = Server::start(&["-www"])?;
    let mut tap = Tap::new(&[(Hook::OpensslKdf, &libcrypto)])?;
    let path = server.file("python");
    let port = server.port.to_string();
    let (id, _) = client(
        Command::new("/usr/bin/python3")
            .args(["-c", SCRIPT, &port])
            .arg(&path),
    )?;
    tap.same(id, &key_log(&path, false)?, key_source::OPENSSL)
}

/// The function that one calls first, if it calls any within its first bytes.
fn inner(file: &Path, outer: u64) -> Result<Option<u64>> {
    let file = file.to_str().context("a path")?;
    let (from, to) = (
        format!("--start-address={outer}"),
        format!("--stop-address={}", outer + 16),
    );
    let code = output("/usr/bin/objdump", &["-d", &from, &to, file])?;
    code.lines()
        .find_map(|line| line.split("call ").nth(1)?.split_whitespace().next())
        .map(|address| Ok(u64::from_str_radix(address, 16)?))
        .transpose()
}

fn gnutls() -> Result<()> {
    let libgnutls = library("/usr/bin/gnutls-cli", "libgnutls.so.")?;
    let libnettle = library("/usr/bin/gnutls-cli", "libnettle.so.")?;
    let server = Server::start(&["-www"])?;
    for (version, nettle) in [("1.3", true), ("1.3", false), ("1.2", true)] {
        let mut tap = Tap::new(&[(Hook::GnutlsPrf, &libgnutls)])?;
        let hook = if nettle {
            Hook::NettleHkdf
        } else {
            Hook::GnutlsExpand
        };
        let file = if nettle { &libnettle } else { &libgnutls };
        let mut offset = offset_of(file, hook.symbol())?;
        // Code has the same addresses as offsets in Debian's build.
        if !nettle && let Some(inner) = inner(file, offset)? {
            offset = inner;
        }
        tap.probes.attach_path(hook, file, offset)?;
        let path = server.file(&format!("{version}-{nettle}"));
        let (id, _) = client(
            Command::new("/usr/bin/gnutls-cli")
                .args(["--insecure", "--port", &server.port.to_string()])
                .args([
                    "--priority",
                    &format!("NORMAL:-VERS-ALL:+VERS-TLS{version}"),
                ])
                .arg("127.0.0.1")
                .env("SSLKEYLOGFILE", &path),
        )?;
        let log = key_log(&path, false)?;
        ensure!(
            log.len() == if version == "1.3" { 4 } else { 1 },
            "{log:#?}"
        );
        tap.same(id, &log, key_source::GNUTLS)?;
    }
    Ok(())
}

/// `test rdi, rdi; je`: the second is emulated, and the arguments are still there.
fn past_the_first() -> Result<()> {
    let libcrypto = library(CURL, LIBCRYPTO)?;
    let server = Server::start(&["-www"])?;
    let mut tap = Tap::new(&[])?;
    let offset = offset_of(&libcrypto, Hook::OpensslKdf.symbol())?;
    let code = fs::read(&libcrypto)?;
    let at = usize::try_from(offset)?;
    let length = match code.get(at..at + 4) {
        Some([0x48, 0x85, 0xff, 0x74]) => 3,
        _ => 0,
    };
    tap.probes
        .attach_path(Hook::OpensslKdf, &libcrypto, offset + length)?;
    for version in ["1.3", "1.2"] {
        let path = server.file(version);
        let id = curl(&server, version, &path)?;
        tap.same(id, &key_log(&path, false)?, key_source::OPENSSL)?;
    }
    Ok(())
}

fn node() -> Result<()> {
    const SCRIPT: &str = "
require('https').get({port: process.argv[1], host: '127.0.0.1', rejectUnauthorized: false, agent: false},
  response => response.resume());
";
    let node = Path::new("/usr/bin/node").canonicalize()?;
    // With OpenSSL inside, or Debian's with the shared library.
    let file = match offset_of(&node, Hook::OpensslKdf.symbol()) {
        Ok(_) => node.clone(),
        Err(_) => library("/usr/bin/node", LIBCRYPTO)?,
    };
    let server = Server::start(&["-www"])?;
    for (version, limit) in [("1.3", "--tls-min-v1.3"), ("1.2", "--tls-max-v1.2")] {
        let mut tap = Tap::new(&[(Hook::OpensslKdf, &file)])?;
        let path = server.file(version);
        let (id, _) = client(
            Command::new(&node)
                .arg(format!("--tls-keylog={}", path.display()))
                .args([limit, "-e", SCRIPT, &server.port.to_string()]),
        )?;
        tap.same(id, &key_log(&path, false)?, key_source::OPENSSL)?;
    }
    Ok(())
}

fn go() -> Result<()> {
    const SOURCE: &str = r#"package main

import (
	"crypto/tls"
	"io"
	"os"
)

func main() {
	log, err := os.Create(os.Args[2])
	if err != nil {
		panic(err)
	}
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		conn, err := tls.Dial("tcp", os.Args[1], &tls.Config{
			InsecureSkipVerify: true, KeyLogWriter: log, MinVersion: version, MaxVersion: version})
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		io.Copy(io.Discard, conn)
		conn.Close()
	}
}
"#;
    let server = Server::start(&["-www"])?;
    let (source, binary) = (server.file("main.go"), server.file("client"));
    fs::write(&source, SOURCE)?;
    client(
        Command::new("/usr/bin/go")
            .arg("build")
            .arg("-o")
            .args([&binary, &source])
            .envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0")]),
    )?;
    let mut tap = Tap::new(&[(Hook::GoKeyLog, &binary)])?;
    let path = server.file("log");
    let address = format!("127.0.0.1:{}", server.port);
    let (id, _) = client(Command::new(&binary).arg(address).arg(&path))?;
    let log = key_log(&path, true)?;
    ensure!(log.len() == 5, "{log:#?}");
    tap.same(id, &log, key_source::GO)
}

fn boringssl() -> Result<()> {
    const SCRIPT: &str = "
import ctypes, socket, sys
ssl = ctypes.CDLL('/usr/lib/x86_64-linux-gnu/android/libssl.so.0')
call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
for name in ['TLS_method', 'SSL_CTX_new', 'SSL_new']:
    getattr(ssl, name).restype = ctypes.c_void_p
log = open(sys.argv[2], 'wb')
@call
def line(_, text):
    log.write(text + b'\\n')
for version in [0x304, 0x303]:
    ctx = ctypes.c_void_p(ssl.SSL_CTX_new(ctypes.c_void_p(ssl.TLS_method())))
    ssl.SSL_CTX_set_min_proto_version(ctx, version)
    ssl.SSL_CTX_set_max_proto_version(ctx, version)
    ssl.SSL_CTX_set_keylog_callback(ctx, line)
    conn = ctypes.c_void_p(ssl.SSL_new(ctx))
    sock = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
    ssl.SSL_set_fd(conn, sock.fileno())
    assert ssl.SSL_connect(conn) == 1
    ssl.SSL_write(conn, b'GET / HTTP/1.0\\r\\n\\r\\n', 18)
    buffer = ctypes.create_string_buffer(4096)
    while ssl.SSL_read(conn, buffer, 4096) > 0:
        pass
log.close()
";
    let file = Path::new("/usr/lib/x86_64-linux-gnu/android/libcrypto.so.0").canonicalize()?;
    let server = Server::start(&["-www"])?;
    let mut tap = Tap::new(&[(Hook::HkdfExpand, &file), (Hook::Tls1Prf, &file)])?;
    let path = server.file("log");
    let (id, _) = client(
        Command::new("/usr/bin/python3")
            .args(["-c", SCRIPT, &server.port.to_string()])
            .arg(&path),
    )?;
    let log = key_log(&path, false)?;
    ensure!(log.len() == 5, "{log:#?}");
    tap.same(id, &log, key_source::BORINGSSL)
}

/// Nobody drains for a while: what fits is kept, the rest is counted, and afterwards all is as before.
fn overflow() -> Result<()> {
    let libcrypto = library(CURL, LIBCRYPTO)?;
    let server = Server::start(&["-www"])?;
    let mut tap = Tap::new(&[(Hook::OpensslKdf, &libcrypto)])?;
    let lost = |tap: &mut Tap| -> u64 {
        let counters = tap.kernel.counters().counters;
        let mut all = counters.iter().filter(|(name, _)| *name == "key_slots");
        all.next().map_or(0, |(_, count)| *count)
    };
    let connect = format!("127.0.0.1:{}", server.port);
    for _ in 0..10 {
        output(
            "/usr/bin/openssl",
            &["s_time", "-new", "-connect", &connect, "-time", "2"],
        )?;
        if lost(&mut tap) > 0 {
            break;
        }
    }
    ensure!(lost(&mut tap) > 0, "nothing was lost");
    tap.drain();
    let kept = tap.found.len();
    ensure!(
        (KEY_SLOTS / 2..=KEY_SLOTS).contains(&kept),
        "{kept} were kept of {KEY_SLOTS}"
    );
    let path = server.file("after");
    let id = curl(&server, "1.3", &path)?;
    tap.same(id, &key_log(&path, false)?, key_source::OPENSSL)
}

fn detached() -> Result<()> {
    let libcrypto = library(CURL, LIBCRYPTO)?;
    let server = Server::start(&["-www"])?;
    let mut tap = Tap::new(&[(Hook::OpensslKdf, &libcrypto)])?;
    let path = server.file("log");
    let id = curl(&server, "1.3", &path)?;
    tap.same(id, &key_log(&path, false)?, key_source::OPENSSL)?;
    let probe = tap.probes.attached().first().context("no probe")?.id;
    ensure!(
        tap.probes.detach(probe) && !tap.probes.detach(probe),
        "detached twice"
    );
    ensure!(tap.probes.attached().is_empty());
    let id = curl(&server, "1.3", &path)?;
    let late = tap.lines(id);
    ensure!(late.is_empty(), "after detaching: {late:#?}");
    // A place that is no instruction of a file.
    let error = tap.probes.attach_path(Hook::OpensslKdf, Path::new("/"), 0);
    ensure!(error.is_err(), "attached to a directory");
    Ok(())
}

/// As the service runs: another user, four capabilities. Credentials are a thread's own in Linux.
fn units_capabilities() -> Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    const NOBODY: u32 = 65534;
    let libcrypto = library(CURL, LIBCRYPTO)?;
    let offset = offset_of(&libcrypto, Hook::OpensslKdf.symbol())?;
    let server = Server::start(&["-www"])?;
    let path = server.file("log");
    let tap = std::thread::spawn(move || -> Result<Option<Tap>> {
        rustix::thread::set_keep_capabilities(true)?;
        let user = rustix::process::Uid::from_raw(NOBODY);
        rustix::thread::set_thread_res_uid(user, user, user)?;
        let held = CapabilitySet::BPF
            | CapabilitySet::PERFMON
            | CapabilitySet::SYS_PTRACE
            | CapabilitySet::DAC_READ_SEARCH;
        let sets = CapabilitySets {
            effective: held,
            permitted: held,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets)?;
        let mut tap = Tap::new(&[])?;
        let attached = tap.probes.attach_path(Hook::OpensslKdf, &libcrypto, offset);
        if tap.probes.means() == "perf_event" {
            // Before Linux 6.6 they do not suffice (docs/kernels.md), and it is said why.
            let refused = attached.err().map(|error| error.to_string());
            ensure!(
                refused.as_ref().is_some_and(|why| why.contains("denied")),
                "{refused:?}"
            );
            return Ok(None);
        }
        attached?;
        Ok(Some(tap))
    })
    .join()
    .map_err(|_| anyhow!("the thread panicked"))??;
    let Some(mut tap) = tap else {
        return Ok(());
    };
    let id = curl(&server, "1.3", &path)?;
    std::thread::sleep(Duration::from_millis(1));
    tap.same(id, &key_log(&path, false)?, key_source::OPENSSL)
}
