//! `scan`: hard-coded credentials, and which of them are live.

use std::collections::HashMap;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::args::{Cli, Form, ScanArgs};
use super::exit::{Exit, Failure};
use super::out::{Ink, Out, note, say};
use super::{Hooks, client, quote};
use crate::access::credential::Canon;
use crate::census::IdentityRecord;
use crate::config;
use crate::sarif::{Report, Rule};
use crate::scan::allow::{self, AllowFile};
use crate::scan::finding::{Candidate, Finding};
use crate::scan::gitleaks::{self, ForeignRules};
use crate::scan::live::LiveIndex;
use crate::scan::{self, Progress, ScanRecord, Scanner, Settings, Summary, Target};
use crate::serve::matching;
use crate::serve::protocol::Command as Ask;

/// The allow file that is read when none is named.
const ALLOW_FILE: &str = ".bailiwick-allow";
/// Largest rule file.
const MOST_RULES: u64 = 16 * 1024 * 1024;
/// Files that were not read and are named to people.
const MOST_NAMED: usize = 20;

/// Runs `scan`.
pub(super) fn run(
    cli: &Cli,
    args: &ScanArgs,
    hooks: &Hooks,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let scanner = Scanner::new(rules(args)?)
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let settings = Settings {
        threads: args
            .threads
            .map_or_else(threads, |threads| usize::from(threads.get())),
        respect_ignores: !args.no_ignore,
        allow: allow_file(args, &scanner)?,
    };
    let targets = targets(args)?;
    let mut summary = with_progress(|progress| scan::run(&targets, &scanner, &settings, progress))
        .map_err(|error| failure(&error.to_string()))?;
    let unjoined = if args.no_join {
        Some("--no-join was given".to_owned())
    } else {
        join(cli, hooks, &mut summary).err()
    };
    let found = show(&scanner, &summary, unjoined.as_deref(), out)?;
    Ok(if found { Exit::Found } else { Exit::Success })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn failure(text: &str) -> Failure {
    match text.split_once("\nhint: ") {
        Some((message, hint)) => Failure::new(Exit::Unavailable, message).hint(hint),
        None => Failure::new(Exit::Unavailable, text),
    }
}

fn targets(args: &ScanArgs) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for path in &args.paths {
        let input = path.as_os_str() == "-";
        if !input && let Err(error) = path.metadata() {
            return Err(
                Failure::new(Exit::Data, format!("{}: {error}", path.display()))
                    .hint("name a file, a directory, or - for standard input"),
            );
        }
        targets.push(match (input, args.git) {
            (true, true) => {
                return Err(Failure::new(
                    Exit::Usage,
                    "--git reads a repository, not standard input",
                )
                .hint("name the repository's directory"));
            }
            (true, false) => Target::Input,
            (false, true) => Target::History(path.clone()),
            (false, false) => Target::Path(path.clone()),
        });
    }
    Ok(targets)
}

fn read_text(path: &Path, most: u64) -> Result<String, Failure> {
    let named = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Data, format!("{}: {error}", path.display()))
            .hint("name a readable file of UTF-8 text")
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| named(&error))?;
    file.take(most + 1)
        .read_to_string(&mut text)
        .map_err(|error| named(&error))?;
    if text.len() as u64 > most {
        return Err(named(&format!("larger than {} MiB", most >> 20)));
    }
    Ok(text)
}

fn rules(args: &ScanArgs) -> Result<ForeignRules, Failure> {
    let Some(path) = &args.rules else {
        return Ok(ForeignRules::default());
    };
    let read = gitleaks::parse(&read_text(path, MOST_RULES)?).map_err(|error| {
        Failure::new(Exit::Config, format!("{}: {error}", path.display()))
            .hint("change or remove it: nothing of a rule file is left out without a word")
    })?;
    for remark in &read.remarks {
        note(&format!("{}: {remark}", path.display()));
    }
    Ok(read.rules)
}

fn allow_file(args: &ScanArgs, scanner: &Scanner) -> Result<AllowFile, Failure> {
    let path = match &args.allow {
        Some(path) => path.clone(),
        None if Path::new(ALLOW_FILE).is_file() => PathBuf::from(ALLOW_FILE),
        None => return Ok(AllowFile::default()),
    };
    let known = |id: &str| scanner.rules().any(|rule| scanner.id(rule) == id);
    AllowFile::parse(&read_text(&path, allow::MOST_BYTES)?, known).map_err(|error| {
        let text = format!("{}: {error}", path.display());
        Failure {
            exit: Exit::Config,
            ..failure(&text)
        }
    })
}

/// Runs with a line on the terminal that says how far it is.
fn with_progress<T>(work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    if !std::io::stderr().is_terminal() {
        return work(&progress);
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let line = scope.spawn(|| {
            let mut shown = false;
            while !over.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(200));
                let number =
                    |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
                let text = format!(
                    "\r\u{1b}[Kscanning: {} files, {} MiB, {} found",
                    number(&progress.files),
                    number(&progress.bytes) >> 20,
                    number(&progress.found)
                );
                // Nobody is there to tell when it is gone.
                _ = std::io::stderr().write_all(text.as_bytes());
                shown = true;
            }
            if shown {
                _ = std::io::stderr().write_all(b"\r\x1b[K");
            }
        });
        let result = work(&progress);
        over.store(true, Ordering::Relaxed);
        line.thread().unpark();
        result
    })
}

/// Compares what was found with what is live. The error says why it could not be.
fn join(cli: &Cli, hooks: &Hooks, summary: &mut Summary) -> Result<(), String> {
    if summary.findings.is_empty() {
        return Ok(());
    }
    let (socket, _) = config::client_socket(cli.socket.as_deref(), cli.config.as_deref())
        .map_err(|error| format!("the configuration cannot be read: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    // The key is the better way: no secret leaves this process.
    if let Some(mut canon) = own_key(cli, hooks, &socket) {
        for (finding, candidate) in &mut summary.findings {
            finding.fingerprint = candidate
                .as_ref()
                .and_then(|candidate| candidate.fingerprint(&mut canon));
        }
        let records = runtime
            .block_on(client::ask(&socket, &Ask::Identities))
            .map_err(|failure| failure.message)?;
        let identities: Vec<IdentityRecord> = records
            .iter()
            .map(client::Record::parse)
            .collect::<Result<_, _>>()
            .map_err(|failure| failure.message)?;
        let live = LiveIndex::new(&identities);
        for (finding, _) in &mut summary.findings {
            finding.live = finding
                .fingerprint
                .and_then(|fingerprint| live.get(fingerprint))
                .cloned();
        }
        return Ok(());
    }
    let fits = |candidate: &Candidate| candidate.parts().2.len() <= matching::LONGEST;
    let mut waiting: Vec<(&mut Finding, &Candidate)> = summary
        .findings
        .iter_mut()
        .filter_map(|(finding, candidate)| {
            Some((
                finding,
                candidate.as_ref().filter(|candidate| fits(candidate))?,
            ))
        })
        .collect();
    for part in waiting.chunks_mut(matching::MOST as usize) {
        let candidates: Vec<&Candidate> = part.iter().map(|(_, candidate)| *candidate).collect();
        let matches = runtime
            .block_on(client::matches(&socket, &candidates))
            .map_err(|failure| failure.message)?;
        for record in matches {
            if let Some((finding, _)) = part.get_mut(record.index as usize) {
                finding.live = Some(record.live);
            }
        }
    }
    Ok(())
}

/// The key of the daemon at `socket`, for who may read it. A configuration whose daemon listens elsewhere has
/// another key, by which nothing would be live.
fn own_key(cli: &Cli, hooks: &Hooks, socket: &Path) -> Option<Canon> {
    let config = config::load(cli.config.as_deref()).ok()?;
    if config.socket() != socket {
        return None;
    }
    let key = config::key::existing_key(&config).ok().flatten()?;
    let table = (hooks.credentials)(&config).ok()?;
    Some(Canon::new(&table, key))
}

/// Prints everything; whether there was something.
fn show(
    scanner: &Scanner,
    summary: &Summary,
    unjoined: Option<&str>,
    out: &mut Out,
) -> Result<bool, Failure> {
    let more = summary.scanned.more.saturating_add(summary.more_findings);
    let found = summary.findings.len() as u64;
    let live = summary
        .findings
        .iter()
        .filter(|(finding, _)| finding.live.is_some())
        .count() as u64;
    match out.form {
        Form::Json => {
            for (finding, _) in &summary.findings {
                out.json(finding)?;
            }
            out.json(&ScanRecord {
                r#type: "scan".to_owned(),
                v: 1,
                files: summary.files,
                bytes: summary.scanned.bytes,
                found,
                live,
                allowed: summary.allowed,
                more,
                unread: summary.unread.clone(),
                more_unread: summary.more_unread,
                unjoined: unjoined.map(str::to_owned),
            })?;
        }
        Form::Sarif => out.line(&sarif(scanner, summary, unjoined))?,
        // The page is refused before.
        Form::Compact | Form::Html => {
            for (finding, _) in &summary.findings {
                people(finding, out)?;
            }
        }
    }
    out.flush()?;
    for unread in summary.unread.iter().take(MOST_NAMED) {
        note(&format!("{} was not read: {}", unread.path, unread.why));
    }
    let unread = summary.unread.len() as u64 + summary.more_unread;
    if unread > MOST_NAMED as u64 {
        note(&format!(
            "{} more files were not read; -o json names them",
            unread - MOST_NAMED as u64
        ));
    }
    if summary.scanned.cut > 0 {
        note(&format!(
            "{} pieces of files were not looked at to their end: there is a keyword at every turn",
            summary.scanned.cut
        ));
    }
    if more > 0 {
        note(&format!("{more} more findings are not listed"));
    }
    if let Some(why) = unjoined.filter(|_| found > 0) {
        note(&format!("not compared with the credentials in use: {why}"));
    }
    say(&format!(
        "{found} found ({live} in use), {} allowed, {unread} not read, in {} files ({} MiB)",
        summary.allowed,
        summary.files,
        summary.scanned.bytes >> 20
    ));
    Ok(found.saturating_add(more) > 0)
}

fn people(finding: &Finding, out: &mut Out) -> Result<(), Failure> {
    let style = out.style;
    let line = format!(
        "{}: {}: {}, {}",
        style.paint(Ink::Bold, &quote::text(&finding.place())),
        style.paint(Ink::Doubtful, &quote::text(&finding.rule)),
        quote::text(&finding.text),
        finding.mask()
    );
    out.line(&line)?;
    if let Some(live) = &finding.live {
        out.line(&format!(
            "  {} {}",
            style.paint(Ink::Bad, "in use:"),
            quote::text(&live.words())
        ))?;
    }
    Ok(())
}

fn sarif(scanner: &Scanner, summary: &Summary, unjoined: Option<&str>) -> String {
    let rules = scanner
        .rules()
        .map(|rule| Rule {
            id: scanner.id(rule).to_owned(),
            name: scanner.id(rule).to_owned(),
            text: scanner.text(rule).to_owned(),
            help: "Take it out, replace it at its issuer, and pass it by a file or a secret store; a history keeps \
                   what was in it. A line may hold bailiwick:allow if it is no secret."
                .to_owned(),
        })
        .collect();
    let mut report = Report::new(rules);
    let mut seen: HashMap<(&str, &str, Option<&str>), usize> = HashMap::new();
    for (finding, _) in &summary.findings {
        let nth = seen
            .entry((&finding.rule, &finding.path, finding.within.as_deref()))
            .or_default();
        *nth += 1;
        report.push(finding.sarif(*nth));
    }
    for unread in &summary.unread {
        report.remark(format!("{} was not read: {}", unread.path, unread.why));
    }
    if let Some(why) = unjoined {
        report.remark(format!("not compared with the credentials in use: {why}"));
    }
    report.to_json()
}
