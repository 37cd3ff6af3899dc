//! A secret that crosses the wire is nowhere afterwards.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::http::{Answerer, get};
use e2e::process::client;
use e2e::tls::Certificate;
use e2e::trial::root;
use e2e::{Daemon, Receiver, Server, Setup, unique};
use libtest_mimic::Trial;
use memchr::memmem;

use crate::tls::{VERSIONS, anonymous};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("secrets::nothing_kept_has_them", || {
            nothing_kept_has_them(false)
        }),
        root("secrets::nothing_kept_has_them_nor_tls_secrets", || {
            nothing_kept_has_them(true)
        }),
        root("secrets::memory_has_them_no_more", || {
            memory_has_them_no_more(false)
        }),
        root("secrets::memory_has_tls_secrets_no_more", || {
            memory_has_them_no_more(true)
        }),
    ]
}

/// Secrets and the forms in which they cross the wire.
struct Planted {
    /// What each is, and its bytes.
    needles: Vec<(String, Vec<u8>)>,
    requests: Vec<(String, Vec<(String, String)>)>,
}

impl Planted {
    fn new() -> Self {
        let word = |what: &str| unique(&format!("planted{what}")).replace('-', "");
        let (bearer, password, query, cookie, key, path) = (
            word("b"),
            word("p"),
            word("q"),
            word("c"),
            word("k"),
            word("s"),
        );
        let basic = STANDARD.encode(format!("user:{password}"));
        let header = |name: &str, value: String| vec![(name.to_owned(), value)];
        let requests = vec![
            (
                "/bearer".to_owned(),
                header("Authorization", format!("Bearer {bearer}")),
            ),
            (
                "/basic".to_owned(),
                header("Authorization", format!("Basic {basic}")),
            ),
            (format!("/query?api_key={query}"), Vec::new()),
            (
                "/cookie".to_owned(),
                header("Cookie", format!("session={cookie}")),
            ),
            ("/key".to_owned(), header("X-Api-Key", key.clone())),
            // Where Telegram has it.
            (format!("/bot123456:{path}/sendMessage"), Vec::new()),
        ];
        Self {
            needles: [bearer, password, basic, query, cookie, key, path]
                .map(|secret| (secret.clone(), secret.into_bytes()))
                .to_vec(),
            requests,
        }
    }

    /// Sends the requests, inside TLS of either version by turns if there is a certificate; TLS' own secrets
    /// are looked for from then on, too. As `host:port`.
    fn send(&mut self, place: &Place) -> Result<String> {
        let server = match place {
            Place::Clear(server) => server,
            Place::Tls(server, certificate, log) => {
                for (number, (path, headers)) in self.requests.iter().enumerate() {
                    let version = VERSIONS[number % 2];
                    let mut command = anonymous(certificate);
                    command.args(["--tls-max", version]);
                    for (name, value) in headers {
                        command.args(["-H", &format!("{name}: {value}")]);
                    }
                    client(command.arg(server.https(path)).env("SSLKEYLOGFILE", log))?;
                }
                self.key_log(&fs::read_to_string(log)?)?;
                return Ok(server.named());
            }
        };
        for (path, headers) in &self.requests {
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            get(server.address(), path, &headers)?;
        }
        Ok(server.address().to_string())
    }

    /// The secrets in a key log, as they are and as they are written there.
    fn key_log(&mut self, text: &str) -> Result<()> {
        let before = self.needles.len();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (what, hex) = line.rsplit_once(' ').context("not a line of a key log")?;
            let label = what.split(' ').next().unwrap_or_default();
            let byte = |at: usize| Ok(u8::from_str_radix(hex.get(at..at + 2).context("odd")?, 16)?);
            let raw: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect::<Result<_>>()?;
            ensure!(raw.len() >= 32, "{label} is short");
            self.needles.push((label.to_owned(), raw));
            self.needles
                .push((format!("{label} in hexadecimal"), hex.as_bytes().to_vec()));
        }
        ensure!(
            self.needles.len() >= before + 2 * 3 * 6,
            "few secrets in the key log"
        );
        Ok(())
    }

    /// Which secret is in there.
    fn find(&self, bytes: &[u8]) -> Option<&str> {
        self.needles
            .iter()
            .find(|(_, needle)| memmem::find(bytes, needle).is_some())
            .map(|(what, _)| what.as_str())
    }
}

/// Where requests go.
enum Place {
    Clear(Answerer),
    /// With the certificate, and the file for the client's key log.
    Tls(Server, Certificate, PathBuf),
}

impl Place {
    fn new(tls: bool, daemon: &Daemon, keys: &Path) -> Result<Self> {
        if !tls {
            return Ok(Self::Clear(Answerer::inet()?));
        }
        let certificate = Certificate::make(keys)?;
        let block = "location / { access_log off; return 200 \"ok\\n\"; }";
        let home = keys.join(format!("nginx-{}", daemon.id()?));
        fs::create_dir(&home)?;
        let server = Server::nginx_tls_with(&home, "tls", "http2", &certificate, block)?;
        Ok(Self::Tls(server, certificate, keys.join("keys.log")))
    }
}

fn daemon(receiver: &Receiver, keys: &Path, planted: &Planted) -> Result<Daemon> {
    let trap = keys.join("trap");
    fs::write(&trap, &planted.needles[0].1)?;
    Setup::default()
        .policy(&format!(
            "[identities.trap]\nowner = \"security\"\ncredentials = [\"file:{}\"]\n",
            trap.display()
        ))
        .config("cookies = [\"session\"]\n[log]\nlevel = \"trace\"\n")
        .config(&receiver.config(keys)?)
        .start()
}

fn nothing_kept_has_them(tls: bool) -> Result<()> {
    let (receiver, keys, mut planted) = (Receiver::start()?, tempfile::tempdir()?, Planted::new());
    let mut daemon = daemon(&receiver, keys.path(), &planted)?;
    let place = Place::new(tls, &daemon, keys.path())?;
    let shown = {
        let mut watch = daemon.watch()?;
        let host = planted.send(&place)?;
        let accesses = watch.accesses_of(&host)?;
        ensure!(
            accesses.len() == planted.requests.len(),
            "not all were seen: {accesses:#?}"
        );
        let without = accesses
            .iter()
            .filter(|access| access.credential.is_none())
            .count();
        ensure!(
            without <= 1,
            "credentials were not recognised: {accesses:#?}"
        );
        serde_json::to_string(&accesses)?
    };
    ensure!(
        planted.find(shown.as_bytes()).is_none(),
        "tail shows {:?}",
        planted.find(shown.as_bytes())
    );
    receiver.wait("the canary's webhook", |delivery| {
        delivery.body["kind"] == "canary"
    })?;
    for delivery in receiver.deliveries()? {
        let found = planted.find(delivery.raw.as_bytes());
        ensure!(found.is_none(), "webhook {} has {found:?}", delivery.id);
    }
    for command in ["alerts", "identities", "status"] {
        for format in ["json", "compact"] {
            let output = daemon.run(&[command, "-o", format])?;
            let found = planted
                .find(&[output.stdout, output.stderr].concat())
                .map(str::to_owned);
            ensure!(found.is_none(), "`{command} -o {format}` has {found:?}");
        }
    }
    daemon.stop()?;
    let mut looked_at = 0;
    for path in files(daemon.dir())? {
        if path
            .file_name()
            .is_some_and(|name| name == "bailiwick.toml" || name == "policy.toml")
        {
            continue;
        }
        let found = planted.find(&fs::read(&path)?).map(str::to_owned);
        ensure!(found.is_none(), "{} has {found:?}", path.display());
        looked_at += 1;
    }
    ensure!(
        looked_at >= 2,
        "log and store were to be looked at, and {looked_at} files were"
    );
    // The search itself can find.
    ensure!(planted.find(&planted.needles[3].1).is_some());
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut pending) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => pending.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Neither heap nor stack, once other traffic has followed; the rings that the kernel writes are its own.
fn memory_has_them_no_more(tls: bool) -> Result<()> {
    let (receiver, keys, mut planted) = (Receiver::start()?, tempfile::tempdir()?, Planted::new());
    let daemon = daemon(&receiver, keys.path(), &planted)?;
    let place = Place::new(tls, &daemon, keys.path())?;
    let mut watch = daemon.watch()?;
    let host = planted.send(&place)?;
    let seen = watch.accesses_of(&host)?.len();
    ensure!(seen == planted.requests.len(), "{seen} requests were seen");
    let id = daemon.id()?;
    let maps = fs::read_to_string(format!("/proc/{id}/maps"))?;
    let mut memory = fs::File::open(format!("/proc/{id}/mem"))?;
    let mut control = false;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights, name) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
            words.nth(3).unwrap_or("-"),
        );
        // Private and writable: heap, stacks, data. Shared are the rings.
        if !rights.starts_with("rw") || !rights.ends_with('p') || name.starts_with("anon_inode") {
            continue;
        }
        let (begin, end) = range.split_once('-').context("a range")?;
        let (begin, end) = (
            u64::from_str_radix(begin, 16)?,
            u64::from_str_radix(end, 16)?,
        );
        let mut bytes = vec![0; usize::try_from(end - begin)?];
        memory.seek(SeekFrom::Start(begin))?;
        if memory.read_exact(&mut bytes).is_err() {
            continue; // gone since
        }
        // What is no secret is there, so the search finds what there is.
        control |= memmem::find(&bytes, host.as_bytes()).is_some();
        if let Some(found) = planted.find(&bytes) {
            anyhow::bail!("{found} is in {line}");
        }
    }
    ensure!(control, "not even {host} was found in the daemon's memory");
    Ok(())
}
