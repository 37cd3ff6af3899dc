//! Files become a [`Config`].

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::diagnostic::{Diagnostic, Place, position};
use super::reader::{Refused, Section, Source};
use super::{
    Baseline, Capture, CheckSetting, Checks, Config, ContainRule, DEFAULT_FILE, Dpop, Log,
    RawTable, SOCKET_NAME, SecretSource, Tls, WebhookConfig, contain,
};
use crate::judge::{FindingKind, Severity};
use crate::source::key_logs;

/// Longest configuration file read.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Longest path of a unix socket (sun_path without the NUL).
const MAX_SOCKET_PATH: usize = 107;

/// Why there is no configuration.
#[derive(Debug)]
pub enum LoadError {
    /// A file could not be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is in the files is wrong: at least one error, and warnings.
    Invalid(Vec<Diagnostic>),
}

impl LoadError {
    /// The same as diagnostics.
    #[must_use]
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        match self {
            Self::Invalid(diagnostics) => diagnostics,
            Self::Unreadable { path, error } => {
                let hint = match error.kind() {
                    io::ErrorKind::NotFound => {
                        "create it, or leave --config away to use the defaults"
                    }
                    io::ErrorKind::PermissionDenied => "run as root, or as a user who may read it",
                    _ => "name a readable file of UTF-8 text",
                };
                vec![
                    Diagnostic::error(format!("cannot read: {error}"))
                        .in_file(path)
                        .hint(hint),
                ]
            }
        }
    }

    /// Whether a permission was missing, rather than something wrong in a file.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Unreadable { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                write!(f, "{}: cannot read: {error}", path.display())
            }
            Self::Invalid(diagnostics) => {
                for (index, diagnostic) in diagnostics.iter().enumerate() {
                    if index > 0 {
                        f.write_str("\n")?;
                    }
                    write!(f, "{diagnostic}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads the configuration: `file` and the `*.toml` files of a `conf.d` directory beside it, in lexical
/// order of their names. A later file's keys replace an earlier one's; `[[webhook]]`, `[[credential]]` and
/// `[[contain]]` add to the list.
///
/// Without `file`, [`DEFAULT_FILE`] is read when it is there, and else the built-in defaults are
/// returned with an empty [`Config::files`].
///
/// # Errors
/// When a file cannot be read, or with everything that is wrong in all of them.
pub fn load(file: Option<&Path>) -> Result<Config, LoadError> {
    let main = match file {
        Some(file) => file,
        None if !exists(Path::new(DEFAULT_FILE))? => return Ok(Config::default()),
        None => Path::new(DEFAULT_FILE),
    };
    let mut texts = vec![(main.to_owned(), read(main)?)];
    for path in drop_ins(main)? {
        let text = read(&path)?;
        texts.push((path, text));
    }
    parse(texts)
}

fn exists(path: &Path) -> Result<bool, LoadError> {
    path.try_exists().map_err(|error| LoadError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn drop_ins(main: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let dir = directory(main).join("conf.d");
    let unreadable = |error| LoadError::Unreadable {
        path: dir.clone(),
        error,
    };
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|end| end == "toml") && !hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String, LoadError> {
    let unreadable = |error| LoadError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, MAX_FILE + 1), &mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(unreadable(io::Error::other("larger than 4 MiB")));
    }
    Ok(text)
}

/// The same from texts already read, each with its path (relative paths in it count from there).
///
/// # Errors
/// With everything that is wrong in all of them.
pub fn parse(texts: Vec<(PathBuf, String)>) -> Result<Config, LoadError> {
    let mut config = Config::default();
    let mut diagnostics = Vec::new();
    for (path, text) in &texts {
        apply(&mut config, Source { path, text }, &mut diagnostics);
    }
    config.files = texts.into_iter().map(|(path, _)| path).collect();
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(LoadError::Invalid(diagnostics));
    }
    Ok(config)
}

fn apply(config: &mut Config, source: Source<'_>, out: &mut Vec<Diagnostic>) {
    let first = out.len();
    let base = directory(source.path);
    let mut top = Section::parse(source, out);

    if let Some(name) = top.take_if("environment", out, environment_name) {
        config.environment = Some(name);
    }
    if let Some(paths) = top.take::<Vec<PathBuf>>("policy", out) {
        // Absolute: who loads them joins them with the directory of the main file.
        let place = |path: PathBuf| {
            let path = base.join(path);
            std::path::absolute(&path).unwrap_or(path)
        };
        config.policy = paths.into_iter().map(place).collect();
    }
    if let Some(path) = top.take_if("state_dir", out, some_path) {
        config.state_dir = base.join(path);
    }
    let socket = |path: PathBuf| {
        let path = base.join(some_path(path)?);
        let length = path.join(SOCKET_NAME).as_os_str().len();
        if length > MAX_SOCKET_PATH {
            return Err((
                format!("the socket's path would have {length} bytes, more than {MAX_SOCKET_PATH}"),
                "choose a shorter directory".to_owned(),
            ));
        }
        Ok(path)
    };
    if let Some(path) = top.take_if("runtime_dir", out, socket) {
        config.runtime_dir = path;
    }
    if let Some(group) = top.take_if("socket_group", out, group_name) {
        config.socket_group = group;
    }
    if let Some(key) = top.take_if("fingerprint_key", out, key_place) {
        config.fingerprint_key = Some(key);
    }
    if let Some(cookies) = top.take_if("cookies", out, cookie_names) {
        config.cookies = cookies;
    }
    if let Some(log) = top.section("log", out) {
        apply_log(&mut config.log, log, out);
    }
    if let Some(capture) = top.section("capture", out) {
        apply_capture(&mut config.capture, capture, out);
    }
    if let Some(checks) = top.section("checks", out) {
        apply_checks(&mut config.checks, checks, out);
    }
    if let Some(dpop) = top.section("dpop", out) {
        apply_dpop(&mut config.dpop, dpop, out);
    }
    if let Some(tls) = top.section("tls", out) {
        apply_tls(&mut config.tls, tls, base, out);
    }
    if let Some(baseline) = top.section("baseline", out) {
        apply_baseline(&mut config.baseline, baseline, out);
    }
    for (webhook, span) in top.tables::<WebhookConfig>("webhook", out) {
        if config
            .webhooks
            .iter()
            .any(|other| other.name == webhook.name)
        {
            out.push(
                source
                    .error(format!("a second [[webhook]] is called \"{}\"", webhook.name), span)
                    .hint("give each its own name; [[webhook]] in conf.d adds to the list, it replaces none"),
            );
        } else {
            config.webhooks.push(webhook);
        }
    }
    for (table, span) in top.tables::<toml::Table>("credential", out) {
        let (line, column) = position(source.text, span.start);
        let place = Place {
            file: source.path.to_owned(),
            line,
            column,
        };
        config.credentials.push(RawTable { table, place });
    }
    if let Some(section) = top.section("containment", out) {
        contain::apply(&mut config.containment, section, out);
    }
    for (rule, span) in top.tables::<ContainRule>("contain", out) {
        contain::add(&mut config.containment, rule, source, span, out);
    }
    top.finish(out);
    if let Some(own) = out.get_mut(first..) {
        own.sort_by_key(|diagnostic| diagnostic.position);
    }
}

fn apply_log(log: &mut Log, mut section: Section<'_>, out: &mut Vec<Diagnostic>) {
    if let Some(level) = section.take("level", out) {
        log.level = level;
    }
    if let Some(format) = section.take("format", out) {
        log.format = format;
    }
    section.finish(out);
}

fn apply_capture(capture: &mut Capture, mut section: Section<'_>, out: &mut Vec<Diagnostic>) {
    if let Some(mib) = section.take_if("ring_mib", out, within(1, 1024, "MiB")) {
        capture.ring_mib = mib;
    }
    if let Some(ms) = section.take_if("drain_interval_ms", out, within(1, 100, "milliseconds")) {
        capture.drain_interval = Duration::from_millis(ms.into());
    }
    if let Some(mib) = section.take_if(
        "process_share_mib_s",
        out,
        within(0, 65_536, "MiB a second"),
    ) {
        capture.process_share_mib_s = mib;
    }
    if let Some(mib) = section.take_if("cgroup_share_mib_s", out, within(0, 65_536, "MiB a second"))
    {
        capture.cgroup_share_mib_s = mib;
    }
    if let Some(mib) = section.take_if("max_connection_memory_mib", out, within(1, 4096, "MiB")) {
        capture.max_connection_memory_mib = mib;
    }
    section.finish(out);
}

fn apply_dpop(dpop: &mut Dpop, mut section: Section<'_>, out: &mut Vec<Diagnostic>) {
    if let Some(seconds) = section.take_if("proof_window_s", out, within(1, 86_400, "seconds")) {
        dpop.proof_window_s = seconds;
    }
    if let Some(seconds) = section.take_if("key_window_s", out, within(1, 604_800, "seconds")) {
        dpop.key_window_s = seconds;
    }
    if let Some(ms) = section.take_if(
        "verify_ms_per_second",
        out,
        within(0, 1000, "milliseconds a second"),
    ) {
        dpop.verify_ms_per_second = ms;
    }
    section.finish(out);
}

fn apply_baseline(baseline: &mut Baseline, mut section: Section<'_>, out: &mut Vec<Diagnostic>) {
    if let Some(enabled) = section.take("enabled", out) {
        baseline.enabled = enabled;
    }
    if let Some(alerts) = section.take_if("alerts_per_day", out, within(0, 1000, "alerts")) {
        baseline.alerts_per_day = alerts;
    }
    if let Some(alerts) = section.take_if("alerts_per_identity", out, within(0, 1000, "alerts")) {
        baseline.alerts_per_identity = alerts;
    }
    if let Some(mib) = section.take_if("memory_mib", out, within(1, 512, "MiB")) {
        baseline.memory_mib = mib;
    }
    let mut days = |key, slot: &mut u16, most| {
        let number = section.take_if(key, out, within(1, most, "days"));
        if let Some(number) = number.and_then(|number| u16::try_from(number).ok()) {
            *slot = number;
        }
    };
    days("usual_after_days", &mut baseline.usual_after_days, 30);
    days("mature_after_days", &mut baseline.mature_after_days, 90);
    if let Some(windows) =
        section.take_if("mature_after_windows", out, within(1, 100_000, "windows"))
    {
        baseline.mature_after_windows = windows;
    }
    if let Some(seconds) = section.take_if("window_s", out, within(1, 3600, "seconds")) {
        baseline.window_s = seconds;
    }
    section.finish(out);
}

fn apply_tls(tls: &mut Tls, mut section: Section<'_>, base: &Path, out: &mut Vec<Diagnostic>) {
    let paths = |paths: Vec<PathBuf>| {
        if paths.len() > key_logs::MOST_FILES {
            return Err((
                format!("{} key logs are too many", paths.len()),
                format!(
                    "at most {}: several programs can write into one",
                    key_logs::MOST_FILES
                ),
            ));
        }
        paths
            .into_iter()
            .map(|path| match path.file_name() {
                Some(_) => Ok(base.join(path)),
                None => Err((
                    format!("\"{}\" is no file", path.display()),
                    "the path that the programs have in SSLKEYLOGFILE".to_owned(),
                )),
            })
            .collect()
    };
    if let Some(paths) = section.take_if("key_logs", out, paths) {
        tls.key_logs = paths;
    }
    section.finish(out);
}

fn apply_checks(checks: &mut Checks, mut section: Section<'_>, out: &mut Vec<Diagnostic>) {
    for kind in FindingKind::ALL {
        let setting = |text: String| match text.as_str() {
            "off" if kind == FindingKind::Contained => Err((
                "an act of containment is always told".to_owned(),
                "mode = \"off\" in [containment] has none".to_owned(),
            )),
            "off" => Ok(CheckSetting::Off),
            "low" => Ok(CheckSetting::Severity(Severity::Low)),
            "medium" => Ok(CheckSetting::Severity(Severity::Medium)),
            "high" => Ok(CheckSetting::Severity(Severity::High)),
            "critical" => Ok(CheckSetting::Severity(Severity::Critical)),
            other => Err((
                format!("\"{other}\" is no severity"),
                match crate::suggest::nearest(other, ["off", "low", "medium", "high", "critical"]) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => {
                        "one of \"off\", \"low\", \"medium\", \"high\", \"critical\"".to_owned()
                    }
                },
            )),
        };
        if let Some(setting) = section.take_if(kind.name(), out, setting) {
            checks.set(kind, setting);
        }
    }
    section.finish(out);
}

pub(super) fn within(
    low: u32,
    high: u32,
    unit: &'static str,
) -> impl FnOnce(i64) -> Result<u32, Refused> {
    move |value| {
        u32::try_from(value)
            .ok()
            .filter(|value| (low..=high).contains(value))
            .ok_or_else(|| {
                (
                    format!("{value} is out of range"),
                    format!("between {low} and {high} {unit}"),
                )
            })
    }
}

fn environment_name(name: String) -> Result<String, Refused> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        return Ok(name);
    }
    Err((
        "not a name of an environment".to_owned(),
        "1 to 64 letters, digits, `.`, `_` or `-`, as under [environments] in the policy"
            .to_owned(),
    ))
}

fn some_path(path: PathBuf) -> Result<PathBuf, Refused> {
    if path.as_os_str().is_empty() {
        return Err((
            "the path is empty".to_owned(),
            "name a directory, or leave the key away".to_owned(),
        ));
    }
    Ok(path)
}

fn group_name(name: String) -> Result<String, Refused> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.len() <= 32 && name.chars().all(plain) {
        return Ok(name);
    }
    Err((
        "not a name of a group".to_owned(),
        "a name as in /etc/group, or a number".to_owned(),
    ))
}

fn key_place(place: SecretSource) -> Result<SecretSource, Refused> {
    if matches!(place, SecretSource::Env(_)) {
        return Err((
            "the fingerprint key is not read from the environment, where every child process sees it".to_owned(),
            "\"credential:NAME\" or \"file:PATH\"".to_owned(),
        ));
    }
    Ok(place)
}

/// RFC 6265: a cookie's name is a token (RFC 9110 §5.6.2).
fn cookie_names(names: Vec<String>) -> Result<Vec<String>, Refused> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match names
        .iter()
        .find(|name| name.is_empty() || name.len() > 256 || !name.chars().all(token))
    {
        None => Ok(names),
        Some(bad) => Err((
            format!("\"{bad}\" cannot be the name of a cookie"),
            "names only, without `=` and value".to_owned(),
        )),
    }
}

/// Where a client finds the daemon: `socket`, else `runtime_dir` of the configuration.
///
/// Only `runtime_dir` is looked at, so that a mistake elsewhere in the file, or a file that only root
/// may read, does not keep a person from the daemon's own view of it; the second value is a remark
/// about that.
///
/// # Errors
/// When a file was named and cannot be read or parsed.
pub fn client_socket(
    socket: Option<&Path>,
    file: Option<&Path>,
) -> Result<(PathBuf, Option<String>), LoadError> {
    if let Some(socket) = socket {
        return Ok((socket.to_owned(), None));
    }
    let main = file.unwrap_or(Path::new(DEFAULT_FILE));
    let fallback = Config::default().socket();
    let mut texts = Vec::new();
    let found = exists(main).and_then(|there| {
        if !there && file.is_none() {
            return Ok(());
        }
        texts.push((main.to_owned(), read(main)?));
        for path in drop_ins(main)? {
            let text = read(&path)?;
            texts.push((path, text));
        }
        Ok(())
    });
    if let Err(error) = found {
        if file.is_some() {
            return Err(error);
        }
        return Ok((
            fallback.clone(),
            Some(format!("{error}; trying {}", fallback.display())),
        ));
    }
    let mut runtime_dir = None;
    let mut diagnostics = Vec::new();
    for (path, text) in &texts {
        let mut top = Section::parse(Source { path, text }, &mut diagnostics);
        if let Some(dir) = top.take::<PathBuf>("runtime_dir", &mut diagnostics) {
            runtime_dir = Some(directory(path).join(dir));
        }
    }
    let socket = runtime_dir.map_or(fallback, |dir| dir.join(SOCKET_NAME));
    match (diagnostics.is_empty(), file) {
        (true, _) => Ok((socket, None)),
        (false, Some(_)) => Err(LoadError::Invalid(diagnostics)),
        (false, None) => {
            let remark = format!(
                "{} is not valid (see `bailiwick check`); trying {}",
                main.display(),
                socket.display()
            );
            Ok((socket, Some(remark)))
        }
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
