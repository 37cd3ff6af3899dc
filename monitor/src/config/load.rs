//! Files become a [`Config`].

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Place, position};
use super::reader::{Section, Source};
use super::sections::{
    apply_baseline, apply_capture, apply_checks, apply_dpop, apply_history, apply_listening,
    apply_log, apply_scan, apply_tls, cookie_names, environment_name, group_name, key_place,
    some_path,
};
use super::{
    Config, ContainRule, DEFAULT_FILE, RawTable, SOCKET_NAME, WebhookConfig, audit, contain,
};
use crate::alert::config::Where;

/// Sections that say where something is served, and what an address looks like there.
const METRICS: (&str, &str) = (
    "metrics",
    "\"127.0.0.1:9464\" or \"unix:/run/bailiwick/metrics.sock\"",
);
const PAGE: (&str, &str) = (
    "page",
    "\"127.0.0.1:9465\", \"[::1]:9465\" or \"unix:/run/bailiwick/page.sock\"",
);
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
    if let Some(history) = top.section("history", out) {
        apply_history(&mut config.history, history, out);
    }
    if let Some(tls) = top.section("tls", out) {
        apply_tls(&mut config.tls, tls, base, out);
    }
    if let Some(scan) = top.section("scan", out) {
        apply_scan(&mut config.scan, scan, out);
    }
    if let Some(baseline) = top.section("baseline", out) {
        apply_baseline(&mut config.baseline, baseline, out);
    }
    for (webhook, span) in top.tables::<WebhookConfig>("webhook", out) {
        if let Some((error, span)) = webhook.only.as_ref().and_then(Where::problem) {
            let place = source.within(span, error.span());
            let hint = error
                .help()
                .unwrap_or("docs/filter.md describes the language");
            out.push(
                source
                    .error(format!("where: {}", error.message()), place)
                    .hint(hint),
            );
        } else if let Err((what, hint)) = webhook.check() {
            out.push(source.error(what, span).hint(hint));
        } else if config
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
    if let Some(section) = top.section("metrics", out) {
        apply_listening(&mut config.metrics, METRICS, section, out);
    }
    if let Some(section) = top.section("page", out) {
        apply_listening(&mut config.page, PAGE, section, out);
    }
    if let Some(section) = top.section("audit", out) {
        audit::apply(&mut config.audit, section, base, out);
    }
    top.finish(out);
    if let Some(own) = out.get_mut(first..) {
        own.sort_by_key(|diagnostic| diagnostic.position);
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
