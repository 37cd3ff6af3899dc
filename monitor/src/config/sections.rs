//! The sections of the file, and what their values must be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::reader::{Refused, Section};
use super::{
    Baseline, Capture, CheckSetting, Checks, Dpop, History, Log, ScanConfig, SecretSource, Tls,
};
use crate::judge::{FindingKind, Severity};
use crate::listening::{Listen, Listening};
use crate::source::key_logs;

pub(super) fn apply_log(log: &mut Log, mut section: Section<'_>, out: &mut Vec<Diagnostic>) {
    if let Some(level) = section.take("level", out) {
        log.level = level;
    }
    if let Some(format) = section.take("format", out) {
        log.format = format;
    }
    section.finish(out);
}

pub(super) fn apply_capture(
    capture: &mut Capture,
    mut section: Section<'_>,
    out: &mut Vec<Diagnostic>,
) {
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

pub(super) fn apply_dpop(dpop: &mut Dpop, mut section: Section<'_>, out: &mut Vec<Diagnostic>) {
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

pub(super) fn apply_history(
    history: &mut History,
    mut section: Section<'_>,
    out: &mut Vec<Diagnostic>,
) {
    if let Some(seconds) = section.take_if("grace_s", out, within(1, 600, "seconds")) {
        history.grace_s = seconds;
    }
    if let Some(mib) = section.take_if("memory_mib", out, within(1, 12, "MiB")) {
        history.memory_mib = mib;
    }
    if let Some(seconds) = section.take_if("save_s", out, within(1, 3600, "seconds")) {
        history.save_s = seconds;
    }
    section.finish(out);
}

pub(super) fn apply_baseline(
    baseline: &mut Baseline,
    mut section: Section<'_>,
    out: &mut Vec<Diagnostic>,
) {
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

pub(super) fn apply_tls(
    tls: &mut Tls,
    mut section: Section<'_>,
    base: &Path,
    out: &mut Vec<Diagnostic>,
) {
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

/// `[metrics]` and `[page]`: the section's name, and what an address looks like there.
pub(super) fn apply_listening(
    listening: &mut Listening,
    (name, examples): (&str, &str),
    mut section: Section<'_>,
    out: &mut Vec<Diagnostic>,
) {
    if let Some(allow) = section.take("allow_remote", out) {
        listening.allow_remote = allow;
    }
    let allow_remote = listening.allow_remote;
    let address = |text: String| {
        let listen = Some(Listen::parse(&text, examples)?);
        let listening = Listening {
            listen,
            allow_remote,
        };
        listening.check(name)?;
        Ok(listening.listen)
    };
    if let Some(listen) = section.take_if("listen", out, address) {
        listening.listen = listen;
    }
    section.finish(out);
}

pub(super) fn apply_scan(
    scan: &mut ScanConfig,
    mut section: Section<'_>,
    out: &mut Vec<Diagnostic>,
) {
    if let Some(workloads) = section.take("workloads", out) {
        scan.workloads = workloads;
    }
    if let Some(environment) = section.take("environment", out) {
        scan.environment = environment;
    }
    if let Some(files) = section.take_if("max_files", out, within(1, 1_000_000, "files")) {
        scan.bounds.files = files;
    }
    if let Some(mib) = section.take_if("max_mib", out, within(1, 4096, "MiB")) {
        scan.bounds.bytes = u64::from(mib) << 20;
    }
    if let Some(depth) = section.take_if("max_depth", out, within(0, 64, "directories")) {
        scan.bounds.depth = depth;
    }
    if let Some(ms) = section.take_if("max_ms", out, within(1, 60_000, "milliseconds")) {
        scan.bounds.time = Duration::from_millis(ms.into());
    }
    if let Some(allow) = section.take_if("allow", out, globs) {
        scan.allow = allow;
    }
    section.finish(out);
}

/// Patterns of absolute paths: `*` within a name, `**` over directories.
fn globs(patterns: Vec<String>) -> Result<Vec<globset::GlobMatcher>, Refused> {
    if patterns.len() > 1000 {
        return Err((
            format!("{} patterns are too many", patterns.len()),
            "at most 1000: ** stands for any directories".to_owned(),
        ));
    }
    let glob = |pattern: &String| {
        if !pattern.starts_with('/') && !pattern.starts_with("**/") {
            return Err((
                format!("\"{pattern}\" is not absolute"),
                "begin it with / or **/".to_owned(),
            ));
        }
        globset::GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map(|glob| glob.compile_matcher())
            .map_err(|error| {
                (
                    format!("\"{pattern}\" is no pattern: {}", error.kind()),
                    "* within a name, ** over directories".to_owned(),
                )
            })
    };
    patterns.iter().map(glob).collect()
}

pub(super) fn apply_checks(
    checks: &mut Checks,
    mut section: Section<'_>,
    out: &mut Vec<Diagnostic>,
) {
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

pub(super) fn environment_name(name: String) -> Result<String, Refused> {
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

pub(super) fn some_path(path: PathBuf) -> Result<PathBuf, Refused> {
    if path.as_os_str().is_empty() {
        return Err((
            "the path is empty".to_owned(),
            "name a directory, or leave the key away".to_owned(),
        ));
    }
    Ok(path)
}

pub(super) fn group_name(name: String) -> Result<String, Refused> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.len() <= 32 && name.chars().all(plain) {
        return Ok(name);
    }
    Err((
        "not a name of a group".to_owned(),
        "a name as in /etc/group, or a number".to_owned(),
    ))
}

pub(super) fn key_place(place: SecretSource) -> Result<SecretSource, Refused> {
    if matches!(place, SecretSource::Env(_)) {
        return Err((
            "the fingerprint key is not read from the environment, where every child process sees it".to_owned(),
            "\"credential:NAME\" or \"file:PATH\"".to_owned(),
        ));
    }
    Ok(place)
}

/// RFC 6265: a cookie's name is a token (RFC 9110 §5.6.2).
pub(super) fn cookie_names(names: Vec<String>) -> Result<Vec<String>, Refused> {
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
