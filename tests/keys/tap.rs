//! The kernel side in this process, servers and key logs for the tests of secrets.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use bailiwick::source::kernel::{Hook, Kernel, KernelSettings, Probes};
use bailiwick::source::{Event, Source};
use e2e::process::client;
use e2e::{Process, wait_for};
use monitor_ebpf::{key_flag, key_label, key_source};

/// What names a secret in a key log: the log's label, the client's random (none for a secret that goes
/// up without it), the secret.
pub(super) type Line = (String, Option<String>, String);

/// A secret that came up.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) tgid: u32,
    pub(super) source: u8,
    pub(super) label: u8,
    pub(super) client_random: Option<String>,
    pub(super) server_random: Option<String>,
    pub(super) secret: String,
}

/// The kernel side, in this process.
pub(super) struct Tap {
    pub(super) kernel: Kernel,
    pub(super) probes: Probes,
    pub(super) found: Vec<Found>,
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Tap {
    pub(super) fn new(hooks: &[(Hook, &Path)]) -> Result<Self> {
        let mut kernel = Kernel::load(&KernelSettings {
            ring_bytes: 8 << 20,
            process_bytes_per_second: 0,
            cgroup_bytes_per_second: 0,
            monitor_pid: 0,
            secret: 1,
        })?;
        let mut probes = kernel.take_probes().context("taken before")??;
        for (hook, file) in hooks {
            let offset = offset_of(file, hook.symbol())?;
            probes.attach_path(*hook, file, offset)?;
        }
        Ok(Self {
            kernel,
            probes,
            found: Vec::new(),
        })
    }

    pub(super) fn drain(&mut self) {
        let found = &mut self.found;
        self.kernel.drain(usize::MAX, &mut |event| {
            let Event::Key(key) = event else { return };
            let random =
                |flag: u8, random: &[u8; 32]| (key.header.flags & flag != 0).then(|| hex(random));
            found.push(Found {
                tgid: key.tgid,
                source: key.source,
                label: key.label,
                client_random: random(key_flag::CLIENT_RANDOM, &key.client_random),
                server_random: random(key_flag::SERVER_RANDOM, &key.server_random),
                secret: hex(&key.secret[..usize::from(key.secret_len)]),
            });
        });
    }

    /// What a process' secrets would look like in a key log.
    pub(super) fn lines(&mut self, tgid: u32) -> BTreeSet<Line> {
        self.drain();
        self.found
            .iter()
            .filter(|found| found.tgid == tgid)
            .map(|found| {
                let label = match found.label {
                    key_label::CLIENT_EARLY => "CLIENT_EARLY_TRAFFIC_SECRET",
                    key_label::CLIENT_HANDSHAKE => "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
                    key_label::SERVER_HANDSHAKE => "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                    key_label::CLIENT_TRAFFIC => "CLIENT_TRAFFIC_SECRET_0",
                    key_label::SERVER_TRAFFIC => "SERVER_TRAFFIC_SECRET_0",
                    key_label::MASTER => "CLIENT_RANDOM",
                    _ => "UNKNOWN",
                };
                let random = found.client_random.clone();
                (label.to_owned(), random, found.secret.clone())
            })
            .collect()
    }

    /// Asserts that a process' secrets are those in the log, each once, from that library.
    pub(super) fn same(&mut self, tgid: u32, log: &BTreeSet<Line>, source: u8) -> Result<()> {
        let lines = self.lines(tgid);
        ensure!(!log.is_empty(), "an empty key log");
        ensure!(
            lines == *log,
            "of {tgid} came {lines:#?}, logged were {log:#?}"
        );
        let mine: Vec<&Found> = self.found.iter().filter(|f| f.tgid == tgid).collect();
        ensure!(mine.len() == log.len(), "a secret came twice: {mine:#?}");
        for found in mine {
            ensure!(found.source == source, "{found:#?}");
            let both = found.client_random.is_some() && found.server_random.is_some();
            ensure!(
                source == key_source::GO || both == (found.label == key_label::MASTER),
                "{found:#?}"
            );
        }
        Ok(())
    }
}

/// A key log: what this program's records can hold of it. `random`: TLS 1.3 secrets come with it.
pub(super) fn key_log(path: &Path, random: bool) -> Result<BTreeSet<Line>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(label), Some(client), Some(secret)) = (words.next(), words.next(), words.next())
        else {
            bail!("not a line of a key log: {line}");
        };
        let with = random || label == "CLIENT_RANDOM";
        if !label.contains("EXPORTER") {
            lines.insert((label, with.then_some(client), secret));
        }
    }
    Ok(lines)
}

/// Output of a program that must succeed.
pub(super) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    Ok(client(Command::new(program).args(arguments))?.1)
}

/// Where in a file a function begins, by readelf(1).
pub(super) fn offset_of(file: &Path, symbol: &str) -> Result<u64> {
    let file = file.to_str().context("a path")?;
    let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16);
    let symbols = output(
        "/usr/bin/readelf",
        &["--wide", "--syms", "--dyn-syms", file],
    )?;
    let address = symbols
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = words.get(7..)?.join(" ");
            let name = name.split('@').next()?;
            (name == symbol && words.get(3) == Some(&"FUNC") && words.get(6) != Some(&"UND"))
                .then(|| words[1].to_owned())
        })
        .next()
        .with_context(|| format!("{file} has no {symbol}"))?;
    let address = hex(&address)?;
    let segments = output("/usr/bin/readelf", &["--wide", "--segments", file])?;
    for line in segments.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"LOAD") && words.len() > 5 {
            let (offset, from, size) = (hex(words[1])?, hex(words[2])?, hex(words[4])?);
            if (from..from + size).contains(&address) {
                return Ok(address - from + offset);
            }
        }
    }
    bail!("{file}: no segment holds {symbol}")
}

/// The file of a library that a program is linked to.
pub(super) fn library(program: &str, name: &str) -> Result<PathBuf> {
    let text = output("/usr/bin/ldd", &[program])?;
    let path = text
        .lines()
        .find(|line| line.trim_start().starts_with(name))
        .and_then(|line| line.split_whitespace().nth(2))
        .with_context(|| format!("{program} is not linked to {name}"))?;
    Ok(PathBuf::from(path).canonicalize()?)
}

/// A TLS server of OpenSSL's on loopback, with a certificate of its own.
pub(super) struct Server {
    pub(super) process: Process,
    pub(super) port: u16,
    pub(super) dir: tempfile::TempDir,
}

impl Server {
    pub(super) fn start(arguments: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (key, cert) = (at("key.pem"), at("cert.pem"));
        #[rustfmt::skip]
        output("/usr/bin/openssl", &[
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-keyout", &key, "-out", &cert,
        ])?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        #[rustfmt::skip]
        output("/usr/bin/mkfifo", &[&at("input")])?;
        #[rustfmt::skip]
        let process = Process::start(
            // At the end of its input it would close connections: this one never ends.
            Command::new("/usr/bin/sh").args(["-c", "exec \"$@\" <>\"$0\"", &at("input")]).args([
                "/usr/bin/openssl", "s_server", "-accept", &format!("127.0.0.1:{port}"), "-key", &key, "-cert", &cert,
            ]).args(arguments),
            &dir.path().join("server.log"),
        )?;
        wait_for("the TLS server", || {
            Ok(TcpStream::connect(("127.0.0.1", port)).ok())
        })?;
        Ok(Self { process, port, dir })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/", self.port)
    }
}
