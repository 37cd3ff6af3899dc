//! What the daemon's parts contribute to the command line.

use std::path::{Path, PathBuf};

use super::setup::{self, PolicyFiles};
use super::{DaemonError, lint_input, reporting, run};
use crate::access::FingerprintKey;
use crate::alert::Endpoint;
use crate::alert::secret::SecretEnv;
use crate::cli::{Exit, Failure, Hooks, Probe};
use crate::config::{self, Config, Diagnostic};
use crate::contain;
use crate::policy::{self, PolicyError};
use crate::source::kernel::{Kernel, KernelSettings, ProbeError, Probes, Refusing};

/// The real daemon behind the real command line.
#[must_use]
pub fn hooks() -> Hooks {
    Hooks {
        run: Box::new(|config| {
            let file = config.file().map(Path::to_owned);
            run(config, move || read_again(file.as_ref())).map_err(|error| failure(&error))
        }),
        validate: Box::new(validate),
        probes: Box::new(load_trial),
        lint: Box::new(lint_input::check),
        stored_report: Box::new(reporting::stored_report),
        stored_story: Box::new(reporting::stored_story),
    }
}

fn read_again(file: Option<&PathBuf>) -> Result<Config, String> {
    config::load(file.map(PathBuf::as_path)).map_err(|error| {
        let lines: Vec<String> = error
            .into_diagnostics()
            .iter()
            .map(ToString::to_string)
            .collect();
        lines.join("\n")
    })
}

fn failure(error: &DaemonError) -> Failure {
    let exit = match error.exit_code() {
        77 => Exit::NoPermission,
        78 => Exit::Config,
        70 => Exit::Software,
        _ => Exit::Unavailable,
    };
    let text = error.to_string();
    match text.split_once("\nhint: ") {
        Some((message, hint)) => Failure::new(exit, message).hint(hint),
        None => Failure::new(exit, text),
    }
}

/// Everything that hangs on the configuration: policy, credential rules, webhooks' secrets.
fn validate(config: &Config) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    // Only whether selectors are well-formed matters here, not what they hash to.
    let key = FingerprintKey::new([0; 32]);
    let base = config
        .file()
        .and_then(Path::parent)
        .unwrap_or(Path::new("."));
    match policy::load(&config.policy, base, &PolicyFiles, &key) {
        Ok(loaded) => {
            let rules = &config.containment.rules;
            let here = config.environment.as_deref();
            for (at, name) in contain::strange_environments(rules, &loaded.policy, here) {
                let place = rules.get(at).map(|rule| rule.place.clone());
                let mut found_one = Diagnostic::warning(format!(
                    "[[contain]] follows no access: no environment is called \"{name}\""
                ))
                .hint("name one of [environments] in the policy");
                if let Some(place) = place {
                    found_one = found_one.in_file(place.file).at(place.line, place.column);
                }
                found.push(found_one);
            }
            for warning in &loaded.warnings {
                let make = if warning.fails_check() {
                    Diagnostic::error
                } else {
                    Diagnostic::warning
                };
                found.push(diagnostic(
                    make(warning.what.problem.clone()),
                    &warning.what,
                ));
            }
        }
        Err(errors) => {
            found.extend(
                errors
                    .iter()
                    .map(|e| diagnostic(Diagnostic::error(words(e)), e)),
            );
        }
    }
    if let Err(error) = setup::credential_table(config) {
        found.push(Diagnostic::error(error.to_string()));
    }
    if let Err(error) = Endpoint::load(&config.webhooks, &SecretEnv::from_process()) {
        let text = error.to_string();
        let (message, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
        let made = Diagnostic::error(message);
        found.push(if hint.is_empty() {
            made
        } else {
            made.hint(hint)
        });
    }
    found
}

fn words(error: &PolicyError) -> String {
    if error.key.is_empty() {
        error.problem.clone()
    } else {
        format!("{}: {}", error.key, error.problem)
    }
}

fn diagnostic(made: Diagnostic, error: &PolicyError) -> Diagnostic {
    let place = &error.place;
    let mut made = made.in_file(&*place.file);
    if place.line > 0 {
        made = made.at(place.line as usize, place.column as usize);
    }
    match &error.hint {
        Some(hint) => made.hint(hint.clone()),
        None => made,
    }
}

/// Loads and attaches the kernel programs for a moment, and loads those that take the keys of TLS.
fn load_trial() -> Vec<Probe> {
    const NAME: &str = "kernel programs load and attach";
    let settings = KernelSettings {
        ring_bytes: 1 << 20,
        process_bytes_per_second: 1 << 20,
        cgroup_bytes_per_second: 1 << 20,
        monitor_pid: std::process::id(),
        secret: 1,
    };
    match Kernel::load(&settings) {
        Ok(mut kernel) => {
            let hooks = crate::source::Source::hooks(&kernel);
            let loaded = Probe::ok(NAME, format!("{} hooks: {}", hooks.len(), hooks.join(", ")));
            let keys = kernel.take_probes().map(|probes| keys_trial(&probes));
            let contain = kernel.take_refusing().map(contain_trial);
            std::iter::once(loaded).chain(keys).chain(contain).collect()
        }
        Err(error) => {
            let exit = if error.exit_code() == 77 {
                Exit::NoPermission
            } else {
                Exit::Unavailable
            };
            vec![Probe::fail(NAME, exit, error.to_string(), error.hint())]
        }
    }
}

/// How keys of TLS can be had here.
fn keys_trial(probes: &Result<Probes, ProbeError>) -> Probe {
    const NAME: &str = "keys of TLS";
    match probes {
        Ok(probes) if probes.means() == "uprobe_multi" => {
            Probe::ok(NAME, "probes of TLS libraries attach by uprobe_multi")
        }
        Ok(probes) => Probe::warn(
            NAME,
            format!("probes of TLS libraries attach by {}", probes.means()),
            "before Linux 6.6 attaching them takes root (CAP_SYS_ADMIN): the service's own user sees inside \
             TLS on newer kernels only",
        ),
        Err(error) => Probe::warn(
            NAME,
            error.to_string(),
            "TLS stays closed; everything in clear text is seen",
        ),
    }
}

/// Whether containment could act here. It is off unless configured, so that nothing is amiss when it could not.
fn contain_trial(refusing: Result<Refusing, String>) -> Probe {
    const NAME: &str = "containment";
    let refuse =
        refusing.and_then(|mut refusing| refusing.load().map_err(|(error, _)| error.to_string()));
    let told = |act: &str, result: Result<(), String>| match result {
        Ok(()) => format!("{act} would work"),
        Err(error) => format!("{act} would not ({error})"),
    };
    let reset = contain::can_destroy().map_err(|error| error.to_string());
    let works = reset.is_ok() && refuse.is_ok();
    let detail = format!(
        "{}; {}; stop would work on processes that this user may signal{}",
        told("reset", reset),
        told("refuse", refuse),
        if works {
            ""
        } else {
            " (it is off unless configured; docs/containment.md tells what it needs)"
        }
    );
    Probe::ok(NAME, detail)
}
