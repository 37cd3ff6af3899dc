//! `bailiwick audit`: reads and checks the audit log's files, without the daemon.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use super::args::{AuditAction, AuditArgs, Cli, Form};
use super::audit_words::{tail_line, verified};
use super::exit::{Exit, Failure};
use super::out::{Out, note};
use crate::audit::begin::directory;
use crate::audit::disk::{Directory, Files as _};
use crate::audit::entry::id_of;
use crate::audit::key::KeyStore;
use crate::audit::note::{Checkpoint, VerifierKey};
use crate::audit::proof;
use crate::audit::read::{Damage, Reader};
use crate::audit::tile::WIDTH;
use crate::audit::tree::prove;
use crate::audit::verify::{self, Finding, Witness};
use crate::audit::{PUBLIC_KEY, Written};
use crate::config::{self, Config};

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Longest file with a checkpoint or a key, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Whether it goes on until it is ended.
pub(super) fn follows(args: &AuditArgs) -> bool {
    matches!(args.action, AuditAction::Tail { follow: true, .. })
}

/// Where the log is, and the daemon's own knowledge of it.
struct Log {
    path: PathBuf,
    files: Directory,
    /// `None` for a log that was named: it may be another daemon's.
    own: Option<KeyStore>,
}

impl Log {
    fn of(cli: &Cli, dir: Option<&Path>) -> Result<Self, Failure> {
        if let Some(dir) = dir {
            return Ok(Self {
                path: dir.to_owned(),
                files: Directory::new(dir),
                own: None,
            });
        }
        let config = match config::load(cli.config.as_deref()) {
            Ok(config) => config,
            // Who reads the log need not be able to read the configuration.
            Err(error) if cli.config.is_none() && error.is_permission() => {
                note("the configuration may not be read: trying the default directory");
                Config::default()
            }
            Err(error) => {
                return Err(Failure::new(Exit::from(&error), error.to_string())
                    .hint("name the log's directory"));
            }
        };
        let path = directory(&config.audit, &config.state_dir);
        Ok(Self {
            files: Directory::new(&path),
            path,
            own: Some(KeyStore::new(&config.state_dir)),
        })
    }

    /// The public key: as given, else the daemon's own, else what the log says of itself.
    fn key(&self, given: Option<&str>) -> Result<VerifierKey, Failure> {
        if let Some(given) = given {
            return parse_key(given);
        }
        if let Some(Ok(Some(key))) = self.own.as_ref().map(KeyStore::key) {
            return Ok(key.public().clone());
        }
        let text = self
            .files
            .read(PUBLIC_KEY, MAX_FILE)
            .map_err(|error| self.unreadable(PUBLIC_KEY, &error))?
            .ok_or_else(|| self.nothing())?;
        note(
            "the key is what the log says of itself: who rewrites the log can change that, too; give the one you noted with --key",
        );
        parse_key(&String::from_utf8_lossy(&text))
    }

    fn nothing(&self) -> Failure {
        Failure::new(
            Exit::Data,
            format!("{}: there is no audit log", self.path.display()),
        )
        .hint("name its directory; [audit] in the configuration says where it is")
    }

    fn unreadable(&self, file: &str, error: &io::Error) -> Failure {
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::Unavailable,
        };
        Failure::new(exit, format!("{}: {error}", self.path.join(file).display())).hint(
            "the log may be read by root, the daemon's user, and the group that [audit] names",
        )
    }

    /// What was found, as a failure: 1, or what else keeps it from being checked.
    fn failure(&self, finding: &Finding) -> Failure {
        if let Finding::Damaged(Damage::Unreadable { path, error }) = finding
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            return self.unreadable(path, error);
        }
        if matches!(finding, Finding::NoCheckpoint) && !self.path.join("tile").exists() {
            return self.nothing();
        }
        Failure::new(
            Exit::Found,
            format!("{}: {finding}", self.path.display()),
        )
        .hint("keep the directory as it is, and compare with the checkpoints that receivers of webhooks have (docs/audit.md)")
    }

    fn newest(&self, given: Option<&str>) -> Result<(Checkpoint, String), Failure> {
        let key = self.key(given)?;
        verify::checkpoint(&self.files, &key).map_err(|finding| self.failure(&finding))
    }

    fn reader(&self, size: u64) -> Reader<&Directory> {
        Reader::new(&self.files, size)
    }

    fn damaged(&self, damage: Damage) -> Failure {
        self.failure(&Finding::Damaged(damage))
    }
}

fn parse_key(given: &str) -> Result<VerifierKey, Failure> {
    let error = match given.parse() {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    // A name of a file has no two plus signs and base64 behind them, or hardly ever.
    if let Ok(text) = fs::read_to_string(given)
        && let Ok(key) = text.parse()
    {
        return Ok(key);
    }
    Err(Failure::new(Exit::Usage, format!("--key: {error}")).hint(
        "as `bailiwick audit key` prints it on the host whose log it is, or a file with that",
    ))
}

/// Everything but following.
pub(super) fn run(cli: &Cli, args: &AuditArgs, out: &mut Out) -> Result<Exit, Failure> {
    match &args.action {
        AuditAction::Verify {
            key,
            proof: Some(file),
            ..
        } => check_proof(cli, key.as_deref(), file, out)?,
        AuditAction::Verify {
            dir, key, since, ..
        } => {
            let log = Log::of(cli, dir.as_deref())?;
            verify(&log, key.as_deref(), since, out)?;
        }
        AuditAction::Prove { id, dir } => prove_entry(&Log::of(cli, dir.as_deref())?, id, out)?,
        AuditAction::Tail { dir, last, .. } => {
            let log = Log::of(cli, dir.as_deref())?;
            let (checkpoint, _) = log.newest(None)?;
            let first = checkpoint.size.saturating_sub(*last);
            show(&log, first, checkpoint.size, out)?;
        }
        AuditAction::Key { dir } => {
            let key = Log::of(cli, dir.as_deref())?.key(None)?;
            out.line(&super::quote::text(&key.to_string()))?;
        }
        AuditAction::Checkpoint { dir } => {
            let (_, text) = Log::of(cli, dir.as_deref())?.newest(None)?;
            // It ends in a line break of its own.
            out.raw(text.as_bytes())?;
        }
    }
    Ok(Exit::Success)
}

/// What `verify` found, `-o json`.
#[derive(Debug, Serialize)]
pub(super) struct Verification {
    r#type: &'static str,
    v: u32,
    pub(super) origin: String,
    pub(super) entries: u64,
    pub(super) root: String,
    /// Time of the first entry and of the last.
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
    /// Checkpoints that it was compared with.
    pub(super) compared: u64,
    /// Entries that tell of something lost, and of time without a daemon.
    pub(super) losses: u64,
    pub(super) gaps: u64,
    /// Nothing follows any more.
    pub(super) closed: bool,
}

fn verify(log: &Log, key: Option<&str>, since: &[PathBuf], out: &mut Out) -> Result<(), Failure> {
    let key = log.key(key)?;
    let mut witnesses = since
        .iter()
        .map(|path| witness(path, &key))
        .collect::<Result<Vec<_>, _>>()?;
    // What the daemon remembers is one more witness, where it may be read.
    let known = log.own.as_ref().and_then(KeyStore::known);
    if let Some(known) = known
        && known.directory == log.path
        && let Ok(checkpoint) = Checkpoint::open(&known.checkpoint, &key)
    {
        witnesses.push(Witness {
            name: "the checkpoint that the daemon remembers".to_owned(),
            checkpoint,
        });
    }
    let mut told = Verification {
        r#type: "audit-verification",
        v: 1,
        origin: String::new(),
        entries: 0,
        root: String::new(),
        first: None,
        last: None,
        compared: witnesses.len() as u64,
        losses: 0,
        gaps: 0,
        closed: false,
    };
    let checkpoint = verify::verify(&log.files, &key, &witnesses, |_, entry| {
        told.count(entry);
    })
    .map_err(|finding| log.failure(&finding))?;
    told.origin = checkpoint.origin;
    told.entries = checkpoint.size;
    told.root = checkpoint.root.to_string();
    if out.form == Form::Json {
        return out.json(&told);
    }
    for line in verified(&told, out.style) {
        out.line(&line)?;
    }
    Ok(())
}

impl Verification {
    fn count(&mut self, entry: &[u8]) {
        // Of a version to come, or written by other hands: counted, and not understood.
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(entry) else {
            return;
        };
        let text = |name: &str| value.get(name).and_then(|value| value.as_str());
        let time = text("time").map(str::to_owned);
        if self.first.is_none() {
            self.first.clone_from(&time);
        }
        self.last = time;
        match text("type") {
            Some("loss") => self.losses += 1,
            Some("gap") => self.gaps += 1,
            Some("closed") => self.closed = true,
            _ => {}
        }
    }
}

/// A checkpoint that someone kept.
fn witness(path: &Path, key: &VerifierKey) -> Result<Witness, Failure> {
    let shown = path.display();
    let bytes = read_file(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let note = note_in(&text);
    let checkpoint = Checkpoint::open(&note, key).map_err(|error| {
        Failure::new(Exit::Data, format!("--since {shown}: {error}")).hint(
            "a checkpoint of this log, as `bailiwick audit checkpoint`, a webhook's message or its Bailiwick-Checkpoint has it",
        )
    })?;
    Ok(Witness {
        name: shown.to_string(),
        checkpoint,
    })
}

/// The note in a note, in a message of a webhook, or in base64.
fn note_in(text: &str) -> String {
    if let Ok(serde_json::Value::Object(message)) = serde_json::from_str(text)
        && let Some(note) = message.get("checkpoint").and_then(|note| note.as_str())
    {
        return note.to_owned();
    }
    if let Ok(bytes) = STANDARD.decode(text.trim())
        && let Ok(note) = String::from_utf8(bytes)
    {
        return note;
    }
    text.to_owned()
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |exit, error: &dyn std::fmt::Display| {
        Failure::new(exit, format!("{}: {error}", path.display()))
    };
    let (top, name) = (path.parent().unwrap_or(Path::new("")), path.file_name());
    let name = name.map(|name| name.to_string_lossy().into_owned());
    match Directory::new(top).read(&name.unwrap_or_default(), MAX_FILE) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(failed(Exit::Data, &"there is no such file")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(failed(Exit::NoPermission, &error))
        }
        Err(error) => Err(failed(Exit::Data, &error)),
    }
}

fn check_proof(cli: &Cli, key: Option<&str>, file: &Path, out: &mut Out) -> Result<(), Failure> {
    let bytes = read_file(file)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Exit::Data, format!("{}: it is not UTF-8", file.display())))?;
    let key = match key {
        Some(given) => parse_key(given)?,
        None => Log::of(cli, None)?.key(None)?,
    };
    let proved = proof::check(&text, &key)
        .map_err(|error| Failure::new(Exit::Found, format!("{}: {error}", file.display())))?;
    show_entry(proved.index, &proved.entry, out)
}

fn prove_entry(log: &Log, id: &str, out: &mut Out) -> Result<(), Failure> {
    let (checkpoint, text) = log.newest(None)?;
    let size = checkpoint.size;
    let mut reader = log.reader(size);
    let index = match id.parse::<u64>() {
        Ok(index) => Some(index).filter(|index| *index < size),
        Err(_) => newest_of(&reader, id).map_err(|damage| log.damaged(damage))?,
    };
    let unknown = || {
        Failure::new(Exit::Data, format!("no entry of the log is {id}"))
            .hint("`bailiwick audit tail` shows indexes, `bailiwick alerts` shows ids")
    };
    let index = index.ok_or_else(unknown)?;
    let entry = reader
        .entry(index)
        .map_err(|damage| log.damaged(damage))?
        .ok_or_else(unknown)?;
    let hashes = prove(&mut reader, index, size).map_err(|damage| log.damaged(damage))?;
    let proof = proof::write(index, &entry, &hashes, &text);
    // A proof of what is not in the log would be refused elsewhere: better here.
    let key = log.key(None)?;
    if let Err(error) = proof::check(&proof, &key) {
        return Err(Failure::new(
            Exit::Found,
            format!("{}: entry {index}: {error}", log.path.display()),
        )
        .hint("`bailiwick audit verify` says more"));
    }
    out.raw(proof.as_bytes())
}

/// The newest entry about an id.
fn newest_of(reader: &Reader<&Directory>, id: &str) -> Result<Option<u64>, Damage> {
    for number in (0..reader.size().div_ceil(WIDTH)).rev() {
        let bundle = reader.bundle(number)?;
        let found = bundle
            .iter()
            .rposition(|entry| id_of(entry).is_some_and(|have| have.eq_ignore_ascii_case(id)));
        if let Some(at) = found {
            return Ok(Some(number * WIDTH + at as u64));
        }
    }
    Ok(None)
}

/// An entry of the log, `-o json`.
#[derive(Serialize)]
struct EntryRecord {
    r#type: &'static str,
    v: u32,
    index: u64,
    entry: Value,
}

fn show_entry(index: u64, entry: &[u8], out: &mut Out) -> Result<(), Failure> {
    if out.form == Form::Json {
        let value = serde_json::from_slice::<Value>(entry).map_err(|error| {
            Failure::new(Exit::Data, format!("entry {index} is not JSON: {error}"))
        })?;
        return out.json(&EntryRecord {
            r#type: "audit",
            v: 1,
            index,
            entry: value,
        });
    }
    let written = serde_json::from_slice::<Written>(entry).ok();
    let line = tail_line(index, entry, written.as_ref(), out.style);
    out.line(&line)
}

fn show(log: &Log, first: u64, end: u64, out: &mut Out) -> Result<(), Failure> {
    let reader = log.reader(end);
    let mut index = first;
    while index < end {
        let bundle = reader
            .bundle(index / WIDTH)
            .map_err(|damage| log.damaged(damage))?;
        let skip = usize::try_from(index % WIDTH).unwrap_or(0);
        for entry in bundle.iter().skip(skip) {
            show_entry(index, entry, out)?;
            index += 1;
        }
    }
    Ok(())
}

/// `audit tail --follow`
pub(super) async fn follow(cli: &Cli, args: &AuditArgs, out: &mut Out) -> Result<(), Failure> {
    let AuditAction::Tail { dir, last, .. } = &args.action else {
        return Ok(());
    };
    let log = Log::of(cli, dir.as_deref())?;
    let key = log.key(None)?;
    let newest = || {
        verify::checkpoint(&log.files, &key)
            .map(|(checkpoint, _)| checkpoint.size)
            .map_err(|finding| log.failure(&finding))
    };
    let mut end = newest()?;
    let mut next = end.saturating_sub(*last);
    loop {
        if end < next {
            return Err(Failure::new(
                Exit::Found,
                format!(
                    "{}: the log became shorter: {next} entries, now {end}",
                    log.path.display()
                ),
            ));
        }
        show(&log, next, end, out)?;
        out.flush()?;
        next = end;
        tokio::time::sleep(LOOK).await;
        end = newest()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_found_in_what_people_keep() {
        let note = "web1/bailiwick/0a\n7\nroot\n\n— web1/bailiwick/0a c2ln\n";
        assert_eq!(note_in(note), note);
        assert_eq!(note_in(&STANDARD.encode(note)), note);
        assert_eq!(note_in(&format!("{}\n", STANDARD.encode(note))), note);
        let message = serde_json::json!({"type": "alert", "checkpoint": note}).to_string();
        assert_eq!(note_in(&message), note);
        assert_eq!(note_in("nonsense\n"), "nonsense\n");
    }
}
