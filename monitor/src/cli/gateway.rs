//! `export`, and `check --gateway`: the duties as a gateway's role lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::args::{CheckArgs, ExportArgs, ExportTarget, Form, GatewayFormat, RoleArgs, RoleKind};
use super::exit::{Exit, Failure};
use super::out::{Ink, Out, note};
use super::{configuration, quote, told};
use crate::config::{Config, Diagnostic};
use crate::gateway::{self, Code, Comparison, Format, Lock, RoleFrom, RoleIs, Target, nginx};
use crate::policy::Policy;
use crate::sarif::{Level, Report, Rule, SarifResult};

/// Loads the policy of a configuration, or says what is wrong with it.
pub type PolicyLoader = dyn Fn(&Config) -> Result<Arc<Policy>, Vec<Diagnostic>>;

/// Rule of what was not understood of a gateway's file.
const UNREAD: &str = "GW090";

fn policy(file: Option<&Path>, load: &PolicyLoader) -> Result<Arc<Policy>, Failure> {
    let config = configuration(file)?;
    let policy = load(&config).map_err(|diagnostics| told(&diagnostics, Exit::Config))?;
    if policy.duties().len() == 0 {
        return Err(Failure::new(Exit::Config, "the policy has no duties").hint(
            "name a policy in the configuration, and write [duties]; docs/policy.md explains them",
        ));
    }
    Ok(policy)
}

fn lock(policy: &Policy, args: &RoleArgs, default: &str) -> Result<Lock, Failure> {
    let from = args.role_from.as_deref().unwrap_or(default);
    let from = RoleFrom::parse(from).map_err(|hint| {
        Failure::new(Exit::Usage, format!("--role-from {from}: not understood")).hint(hint)
    })?;
    let is = match args.role {
        RoleKind::Identity => RoleIs::Identity,
        RoleKind::Duty => RoleIs::Duty,
    };
    Ok(Lock::new(policy, is, from))
}

/// Where a format has roles from, unless it is said.
fn default_source(nginx: bool) -> &'static str {
    if nginx {
        "variable:bailiwick_role"
    } else {
        "claim:role"
    }
}

/// `export`
pub(super) fn export(
    file: Option<&Path>,
    args: &ExportArgs,
    load: &PolicyLoader,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let target = match args.to {
        ExportTarget::EnvoyRbac => Target::EnvoyRbac,
        ExportTarget::Istio => Target::Istio,
        ExportTarget::Opa => Target::Opa,
        ExportTarget::Nginx => Target::Nginx,
    };
    let policy = policy(file, load)?;
    let lock = lock(
        &policy,
        &args.roles,
        default_source(target == Target::Nginx),
    )?;
    let fits = match (target, &lock.from) {
        (Target::EnvoyRbac | Target::Istio, RoleFrom::Variable(_)) => {
            Err("use claim:NAME, spiffe:PREFIX or header:NAME")
        }
        (Target::Nginx, RoleFrom::Spiffe(_)) => {
            Err("use variable:NAME, and map $ssl_client_s_dn or the like to it")
        }
        (Target::Nginx, RoleFrom::Claim(path)) if path.len() > 1 => {
            Err("use variable:NAME; nginx has variables of top claims only")
        }
        _ => Ok(()),
    };
    if let Err(hint) = fits {
        let what = format!("{} has no {}", args.to.name(), lock.from.text());
        return Err(Failure::new(Exit::Usage, what).hint(hint));
    }
    let written = gateway::write(target, &lock);
    for one in &written.notes {
        note(one);
    }
    let text = match (args.tests, &written.tests) {
        (false, _) => &written.text,
        (true, Some(tests)) => tests,
        (true, None) => {
            return Err(
                Failure::new(Exit::Usage, format!("--tests: {} has none", args.to.name()))
                    .hint("only opa has"),
            );
        }
    };
    out.raw(text.as_bytes())?;
    Ok(Exit::Success)
}

/// Files of a gateway, and what they include.
struct Disk;

/// Largest directory that is searched for a pattern.
const MOST_ENTRIES: usize = 10_000;

impl nginx::Files for Disk {
    fn include(&self, file: &str, pattern: &str) -> io::Result<Vec<(String, String)>> {
        let base = Path::new(file).parent().unwrap_or(Path::new("."));
        let path = base.join(pattern);
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let mut files = vec![path.clone()];
        if name.contains(['*', '?', '[']) {
            if name.contains('[')
                || path
                    .parent()
                    .is_some_and(|dir| dir.to_string_lossy().contains(['*', '?', '[']))
            {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "only `*` and `?` in the last part are read",
                ));
            }
            files.clear();
            for entry in std::fs::read_dir(path.parent().unwrap_or(base))?.take(MOST_ENTRIES) {
                let entry = entry?;
                let hit = entry
                    .file_name()
                    .to_str()
                    .is_some_and(|own| glob(name.as_bytes(), own.as_bytes()));
                if hit
                    && (name.starts_with('.')
                        || !entry.file_name().as_encoded_bytes().starts_with(b"."))
                {
                    files.push(entry.path());
                }
            }
            files.sort();
        }
        files
            .into_iter()
            .map(|path| Ok((path.to_string_lossy().into_owned(), text(&path)?)))
            .collect()
    }
}

/// `*` and `?`.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || name.get(n) == Some(c) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == b'*')
}

fn text(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut bytes = Vec::new();
    let limit = u64::try_from(gateway::LARGEST_FILE).unwrap_or(u64::MAX);
    std::fs::File::open(path)?
        .take(limit + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > gateway::LARGEST_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {limit} bytes"),
        ));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}

/// `check --gateway`
pub(super) fn check(
    file: Option<&Path>,
    args: &CheckArgs,
    load: &PolicyLoader,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let policy = policy(file, load)?;
    let format = args.gateway_format.map(|format| match format {
        GatewayFormat::EnvoyRbac => Format::EnvoyRbac,
        GatewayFormat::Istio => Format::Istio,
        GatewayFormat::Nginx => Format::Nginx,
    });
    let mut all = Vec::new();
    for path in &args.gateway {
        all.push((path, one(path, format, &policy, &args.roles)?));
    }
    let clean = all
        .iter()
        .all(|(_, compared)| compared.findings.is_empty() && compared.unread.is_empty());
    match out.form {
        Form::Sarif => out.line(&quote::json(&sarif(&all)))?,
        Form::Json | Form::Html => {
            for (path, compared) in &all {
                json(path, compared, out)?;
            }
        }
        Form::Compact => {
            for (path, compared) in &all {
                lines(path, compared, out)?;
            }
        }
    }
    Ok(if clean { Exit::Success } else { Exit::Found })
}

fn one(
    path: &Path,
    format: Option<Format>,
    policy: &Policy,
    roles: &RoleArgs,
) -> Result<Comparison, Failure> {
    let name = path.to_string_lossy();
    let text = text(path).map_err(|error| {
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::Data,
        };
        Failure::new(exit, format!("{name}: {error}"))
    })?;
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Data, error.to_string())
            .hint("--gateway-format says which format it has: envoy-rbac, istio or nginx")
    };
    let (read_as, gate) =
        gateway::read::detect(&name, &text, format, &Disk).map_err(|error| wrong(&error))?;
    let lock = lock(policy, roles, default_source(read_as == Format::Nginx))?;
    gateway::compare(&lock, &gate)
        .map_err(|error| Failure::new(Exit::Data, format!("{name}: cannot be compared: {error}")))
}

fn lines(path: &Path, compared: &Comparison, out: &mut Out) -> Result<(), Failure> {
    let name = path.to_string_lossy();
    let style = out.style;
    for finding in &compared.findings {
        let place = quote::text(&format!("{name}:{}", finding.line)).into_owned();
        let code = style.paint(Ink::Bad, finding.code.id());
        out.line(&format!(
            "{place}: {code} {}",
            quote::text(&finding.message())
        ))?;
        out.line(&format!("  hint: {}", finding.code.help()))?;
    }
    for unread in &compared.unread {
        let text = format!(
            "{}:{}: not understood: {}",
            unread.file, unread.line, unread.text
        );
        out.line(&quote::text(&text))?;
    }
    for one in &compared.notes {
        note(&format!("{name}: {one}"));
    }
    let mut summary = format!(
        "{name}: {}, {} kinds of requests compared",
        super::check::counted(compared.findings.len(), "difference"),
        compared.asked
    );
    let unread = compared.unread.len() + compared.unread_more;
    if unread > 0 {
        summary.push_str(&format!(
            ", {unread} places not understood, {} kinds undecided",
            compared.undecided
        ));
    }
    out.line(&quote::text(&summary))
}

/// A difference as a record.
#[derive(Serialize)]
struct FindingRecord<'a> {
    r#type: &'static str,
    v: u32,
    code: &'static str,
    file: &'a str,
    line: usize,
    role: Option<&'a str>,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    granted: &'a [String],
    kinds: usize,
    message: String,
    hint: &'static str,
}

#[derive(Serialize)]
struct UnreadRecord<'a> {
    r#type: &'static str,
    v: u32,
    file: &'a str,
    line: usize,
    text: &'a str,
}

#[derive(Serialize)]
struct ComparedRecord<'a> {
    r#type: &'static str,
    v: u32,
    file: &'a str,
    findings: usize,
    compared: usize,
    unread: usize,
    undecided: usize,
    notes: &'a [String],
}

fn json(path: &Path, compared: &Comparison, out: &mut Out) -> Result<(), Failure> {
    let file = path.to_string_lossy();
    for finding in &compared.findings {
        out.json(&FindingRecord {
            r#type: "gateway-finding",
            v: 1,
            code: finding.code.id(),
            file: &file,
            line: finding.line,
            role: finding.role.as_deref(),
            method: &finding.method,
            host: &finding.host,
            path: &finding.path,
            granted: &finding.granted,
            kinds: finding.kinds,
            message: finding.message(),
            hint: finding.code.help(),
        })?;
    }
    for unread in &compared.unread {
        out.json(&UnreadRecord {
            r#type: "gateway-unread",
            v: 1,
            file: &unread.file,
            line: unread.line,
            text: &unread.text,
        })?;
    }
    out.json(&ComparedRecord {
        r#type: "gateway-compared",
        v: 1,
        file: &file,
        findings: compared.findings.len(),
        compared: compared.asked,
        unread: compared.unread.len() + compared.unread_more,
        undecided: compared.undecided,
        notes: &compared.notes,
    })
}

fn sarif(all: &[(&PathBuf, Comparison)]) -> String {
    let mut rules: Vec<Rule> = Code::ALL
        .iter()
        .map(|code| Rule {
            id: code.id().to_owned(),
            name: code.name().to_owned(),
            text: code.text().to_owned(),
            help: code.help().to_owned(),
        })
        .collect();
    rules.push(Rule {
        id: UNREAD.to_owned(),
        name: "gateway-not-understood".to_owned(),
        text: "Something in the gateway's file may decide who passes, and is not understood."
            .to_owned(),
        help: "look at it yourself; what depends on it is not compared".to_owned(),
    });
    let mut report = Report::new(rules);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    for (path, compared) in all {
        for finding in &compared.findings {
            let role = finding.role.as_deref().unwrap_or_default();
            report.push(SarifResult {
                rule_id: finding.code.id().to_owned(),
                level: if finding.code == Code::RoleNotAsked {
                    Level::Warning
                } else {
                    Level::Error
                },
                message: format!("{}. Hint: {}", finding.message(), finding.code.help()),
                path: (*path).clone(),
                line: number(finding.line),
                column: 0,
                fingerprint: Some(format!(
                    "{} {role} {} {}{} {}",
                    finding.code.id(),
                    finding.method,
                    finding.host,
                    finding.path,
                    finding.granted.join(" ")
                )),
            });
        }
        for unread in &compared.unread {
            report.push(SarifResult {
                rule_id: UNREAD.to_owned(),
                level: Level::Note,
                message: format!("not understood: {}", unread.text),
                path: PathBuf::from(&unread.file),
                line: number(unread.line),
                column: 0,
                fingerprint: None,
            });
        }
        if compared.unread_more > 0 {
            report.remark(format!(
                "{} more places were not understood",
                compared.unread_more
            ));
        }
        for one in &compared.notes {
            report.remark(format!("{}: {one}", path.display()));
        }
    }
    report.to_json()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::gateway::nginx::Files as _;

    #[test]
    fn globs() {
        for (pattern, name, want) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("*a*b*", "xxaxbx", true),
            ("*", "", true),
            ("?", "", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), name.as_bytes()),
                want,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn includes_of_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", ".hidden.conf", "c.txt"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let file = dir.path().join("nginx.conf").to_string_lossy().into_owned();
        let texts: Vec<String> = Disk
            .include(&file, "*.conf")
            .unwrap()
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(texts, ["a.conf", "b.conf"]);
        assert!(Disk.include(&file, "missing").is_err());
        assert!(
            Disk.include(&file, "*/x.conf").is_err(),
            "not understood is said"
        );
        assert_eq!(Disk.include(&file, "none*.conf").unwrap(), []);
    }
}
