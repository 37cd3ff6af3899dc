//! `learn`: from files, or from the running daemon, to a policy or a comparison with one.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{Cli, Form, LearnArgs};
use super::exit::{Exit, Failure};
use super::out::{Out, note};
use super::recorded_args::RecordedFormat;
use super::{Hooks, client, quote, recorded, socket};
use crate::access::record::AccessRecord;
use crate::census::IdentityRecord;
use crate::learn::{Difference, Evidence, difference, propose};
use crate::serve::protocol::Command as Ask;

/// Accesses asked of the daemon: all that it still has.
const LAST: usize = 1_000_000;

/// `{"type":"learn","v":1,…}`
#[derive(Serialize)]
struct Learnt<'a> {
    r#type: &'static str,
    v: u32,
    requests: u64,
    identities: usize,
    left_out: std::collections::BTreeMap<&'static str, u64>,
    policy: &'a str,
}

pub(super) async fn learn(
    cli: &Cli,
    args: &LearnArgs,
    hooks: &Hooks,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let evidence = if args.files.is_empty() {
        from_daemon(cli).await?
    } else {
        from_files(&args.files)?
    };
    if evidence.identities() == 0 {
        return Err(
            Failure::new(Exit::Data, "no request with a credential was seen").hint(
                "let `bailiwick run` watch for a while, or name files that `bailiwick tail -o json` wrote",
            ),
        );
    }
    if let Some(path) = &args.diff {
        let policy = (hooks.policy_file)(path)?;
        return differences(&difference(&evidence, &policy), out);
    }
    let proposal = propose(&evidence);
    let text = proposal.to_toml();
    if out.form == Form::Json {
        out.json(&Learnt {
            r#type: "learn",
            v: 1,
            requests: evidence.requests(),
            identities: proposal.identities(),
            left_out: evidence
                .left_out()
                .iter()
                .map(|(why, count)| (why.name(), *count))
                .collect(),
            policy: &text,
        })?;
        return Ok(Exit::Success);
    }
    match &args.out {
        None => out.raw(text.as_bytes())?,
        Some(path) => {
            write_new(path, &text)?;
            note(&format!(
                "{}: {} identities from {} requests; read it, fill in the owners, then `bailiwick check`",
                path.display(),
                proposal.identities(),
                evidence.requests()
            ));
        }
    }
    Ok(Exit::Success)
}

/// Never over a policy that is there: somebody wrote it.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let made = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::AlreadyExists {
            "it is there already: name another file, then compare the two"
        } else {
            "name a file in a directory that is there and that you may write to"
        };
        Failure::new(Exit::Unavailable, format!("{}: {error}", path.display())).hint(hint)
    })
}

async fn from_daemon(cli: &Cli) -> Result<Evidence, Failure> {
    let socket = socket(cli)?;
    let mut evidence = Evidence::new();
    let tail = Ask::Tail {
        last: LAST,
        follow: false,
        filter: Vec::new(),
        r#where: None,
    };
    for record in client::ask(&socket, &tail).await? {
        if record.kind == "access" {
            evidence.add(&record.parse::<AccessRecord>()?);
        }
    }
    for record in client::ask(&socket, &Ask::Identities).await? {
        if record.kind == "identity" {
            evidence.add_identity(&record.parse::<IdentityRecord>()?);
        }
    }
    Ok(evidence)
}

fn from_files(files: &[PathBuf]) -> Result<Evidence, Failure> {
    let mut evidence = Evidence::new();
    let mut strange: Vec<(String, u64)> = Vec::new();
    recorded::read(files, RecordedFormat::Accesses, |file, _, found| {
        if add(&mut evidence, found) {
            return;
        }
        match strange.last_mut() {
            Some((name, count)) if name == file => *count += 1,
            _ => strange.push((file.to_owned(), 1)),
        }
    })?;
    for (file, count) in strange {
        note(&format!(
            "{file}: {count} lines are no accesses as `bailiwick tail -o json` writes them; left out"
        ));
    }
    Ok(evidence)
}

/// Adds an access; says whether it was one, or an empty line.
fn add(evidence: &mut Evidence, found: recorded::Found<'_>) -> bool {
    let Ok((_, line)) = found else {
        return false;
    };
    match serde_json::from_slice::<AccessRecord>(line) {
        Ok(record) if record.r#type == "access" && record.v == 1 => {
            evidence.add(&record);
            true
        }
        _ => line.trim_ascii().is_empty(),
    }
}

fn differences(found: &[Difference], out: &mut Out) -> Result<Exit, Failure> {
    for one in found {
        if out.form == Form::Json {
            out.json(one)?;
            continue;
        }
        let since = match &one.first_seen {
            Some(time) => format!("{} requests since {time}", one.requests),
            None => format!("{} requests", one.requests),
        };
        let stranger = if one.named { "" } else { ", not in the policy" };
        out.line(&format!(
            "{}: {since}{stranger}",
            quote::text(&one.identity)
        ))?;
        for unused in &one.unused {
            let text = format!("{} ({})", unused.operation, unused.duty);
            out.line(&format!("  granted, never used  {}", quote::text(&text)))?;
        }
        for used in &one.not_granted {
            let last = used
                .last
                .as_ref()
                .map_or_else(String::new, |last| format!(", last {last}"));
            let operation = quote::text(&used.operation);
            out.line(&format!(
                "  used, not granted    {operation}  {} requests{last}",
                used.count
            ))?;
        }
    }
    if found.is_empty() {
        if out.form == Form::Compact {
            note("no difference: everything that is granted was used, and the other way round");
        }
        return Ok(Exit::Success);
    }
    Ok(Exit::Found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn lines_that_are_no_accesses_are_counted() {
        let good = r#"{"type":"access","v":1,"time":"2026-11-24T10:00:00Z","role":"client","identity":"bw1:00112233445566778899aabbccddeeff","credential":{"kind":"bearer","fingerprint":"bw1:00112233445566778899aabbccddeeff"},"protocol":"h2","request":{"method":"GET","host":"x.example","path":"/a","route":"/a"}}"#;
        let long = "x".repeat(3 << 20);
        let text = format!("{good}\n\nnothing\n{{\"type\":\"live\",\"v\":1}}\n{long}\n{good}");
        let (mut evidence, mut strange) = (Evidence::new(), 0);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let files = [file.path().to_owned()];
        recorded::read(&files, RecordedFormat::Accesses, |_, _, found| {
            strange += u32::from(!add(&mut evidence, found));
        })
        .unwrap();
        assert_eq!((evidence.requests(), strange), (2, 3));
    }
}
