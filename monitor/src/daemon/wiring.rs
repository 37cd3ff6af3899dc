//! What the daemon's parts contribute to the command line.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DaemonError, lint_input, reporting, run};
use super::{policy, setup, usual};
use crate::access::FingerprintKey;
use crate::access::credential::Recogniser;
use crate::alert::Endpoint;
use crate::alert::secret::SecretEnv;
use crate::cli::{Exit, Failure, Hooks, Probe};
use crate::config::key::{KeyError, existing_key};
use crate::config::{self, Config, Diagnostic};
use crate::contain;
use crate::policy::{Policy, PolicyError};
use crate::source::kernel::{Figure, Kernel, KernelSettings, ProbeError, Probes, Refusing};

/// Fingerprints of captured credentials where the host's key is not to be had: they compare with each other only.
const REPLAY_KEY: [u8; 32] = *b"fingerprints of captures, public";

/// The real daemon behind the real command line.
#[must_use]
pub fn hooks() -> Hooks {
    Hooks {
        run: Box::new(|config| {
            let file = config.file().map(Path::to_owned);
            run(config, move || read_again(file.as_ref())).map_err(|error| failure(&error))
        }),
        validate: Box::new(validate),
        credentials: Box::new(|config| {
            setup::credential_table(config).map_err(|error| error.to_string())
        }),
        probes: Box::new(load_trial),
        lint: Box::new(lint_input::check),
        stored_report: Box::new(reporting::stored_report),
        stored_story: Box::new(reporting::stored_story),
        policy: Box::new(load_policy),
        policy_file: Box::new(policy_of),
        rules: Box::new(|config| (setup::settings(config), usual::settings(config))),
        recogniser: Box::new(recogniser),
    }
}

/// Finds credentials and fingerprints them with the host's key, if there is one that may be read.
fn recogniser(config: &Config) -> Result<(Recogniser, bool), Failure> {
    let told = |error: String| match error.split_once("; hint: ") {
        Some((message, hint)) => Failure::new(Exit::Config, message).hint(hint),
        None => Failure::new(Exit::Config, error),
    };
    let table = setup::credential_table(config).map_err(|error| told(error.to_string()))?;
    let key = match existing_key(config) {
        Ok(key) => key,
        // Whoever may not read it replays all the same.
        Err(KeyError::File { error, .. }) if error.kind() == ErrorKind::PermissionDenied => None,
        Err(KeyError::Secret(_)) => None,
        Err(error) => return Err(told(error.to_string())),
    };
    let own = key.is_some();
    let key = key.unwrap_or_else(|| FingerprintKey::new(REPLAY_KEY));
    Ok((Recogniser::new(table, key), own))
}

/// A policy that is not the configured one. What its `file:` credentials hash to is not known here.
fn policy_of(path: &Path) -> Result<Policy, Failure> {
    match policy::at(path) {
        Ok(loaded) => Ok(loaded.policy),
        Err(errors) => {
            let lines: Vec<String> = diagnostics(&errors)
                .iter()
                .map(ToString::to_string)
                .collect();
            Err(Failure::new(Exit::Config, lines.join("\n")))
        }
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
    match policy::unkeyed(config) {
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
            found.extend(diagnostics(&errors));
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

/// The policy alone; what its credentials hash to does not matter.
fn load_policy(config: &Config) -> Result<Arc<Policy>, Vec<Diagnostic>> {
    policy::unkeyed(config)
        .map(|loaded| Arc::new(loaded.policy))
        .map_err(|errors| diagnostics(&errors))
}

fn diagnostics(errors: &[PolicyError]) -> Vec<Diagnostic> {
    errors
        .iter()
        .map(|error| diagnostic(Diagnostic::error(words(error)), error))
        .collect()
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
fn load_trial(programs: bool) -> Vec<Probe> {
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
            let probes = kernel.take_probes();
            let mut all = vec![loaded, requests_trial(kernel.requests())];
            all.extend(probes.as_ref().map(keys_trial));
            all.extend(kernel.take_refusing().map(contain_trial));
            if programs {
                let probes = probes.and_then(Result::ok);
                let probes = probes.iter().flat_map(|probes| probes.figures());
                all.extend(kernel.figures().iter().chain(probes).map(figure));
            }
            all
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

/// `program NAME`: `N instructions verified, loaded in N µs`, as `cargo xtask vm` reads it.
fn figure(figure: &Figure) -> Probe {
    let instructions = figure
        .instructions
        .map_or_else(|| "?".to_owned(), |count| count.to_string());
    let took = figure.took.as_micros();
    Probe::ok(
        format!("program {}", figure.program),
        format!("{instructions} instructions verified, loaded in {took} µs"),
    )
}

/// Whether what goes through io_uring is seen.
fn requests_trial(functions: Result<usize, &str>) -> Probe {
    const NAME: &str = "io_uring";
    match functions {
        Ok(count) => Probe::ok(
            NAME,
            format!("its sends and receives are seen, at {count} functions"),
        ),
        Err(error) => Probe::warn(
            NAME,
            format!("its sends and receives are counted only: {error}"),
            "Linux 6.0 or later lets programs look at its requests, unless its builder took that out (fentry)",
        ),
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
