//! From configuration to parts: what can be wrong is found here, before anything runs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use crate::access::FingerprintKey;
use crate::access::credential::CredentialTable;
use crate::audit::FileHash;
use crate::config::{CheckSetting, Config};
use crate::contain::{self, RealActs, RefusingSlot};
use crate::judge::{FindingKind, FindingSet, HistoryLimits, Settings};
use crate::listening::Listen;
use crate::metrics::MetricsServer;
use crate::policy::Policy;

use tokio::sync::mpsc;

use super::DaemonError;
use crate::source::kernel::Kernel;
use crate::source::key_logs::{self, KeyLogs, SharedKeyLogs};
use crate::source::libraries::{Finder, RealLibraryFiles, Requests};
use crate::source::prober::{self, SharedBook};

/// Acts of containment that may wait for their alert.
const CONTAINED: usize = 1024;

/// Makes a directory if it is missing.
pub(super) fn directory(path: &Path, mode: u32) -> Result<(), DaemonError> {
    let failed = |error| DaemonError::Directory {
        path: path.to_owned(),
        error,
    };
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
}

/// Directories below which the serving threads write: state, the control socket, sockets for scrapers and browsers,
/// the audit log.
pub(super) fn writable(config: &Config) -> Vec<PathBuf> {
    let mut writable = vec![config.state_dir.clone(), config.runtime_dir.clone()];
    for listen in [&config.metrics.listen, &config.page.listen] {
        if let Some(Listen::Unix(path)) = listen {
            writable.extend(path.parent().map(Path::to_owned));
        }
    }
    writable.extend(config.audit.directory.clone());
    writable
}

/// Loads the configured policy and logs its warnings. Also what its files held.
pub(super) fn policy(
    config: &Config,
    key: &FingerprintKey,
    generation: u64,
) -> Result<(Arc<Policy>, Vec<FileHash>), DaemonError> {
    match super::policy::hashed(config, key) {
        Ok((loaded, files)) => {
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            let mut policy = loaded.policy;
            policy.generation = generation;
            Ok((Arc::new(policy), files))
        }
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Err(DaemonError::Config(lines.join("\n")))
        }
    }
}

/// What the checks are told.
pub(super) fn settings(config: &Config) -> Settings {
    let mut severities = BTreeMap::new();
    let mut disabled = FindingSet::default();
    for kind in FindingKind::ALL {
        match config.checks.get(kind) {
            CheckSetting::Default => {}
            CheckSetting::Off => disabled.insert(kind),
            CheckSetting::Severity(severity) => {
                severities.insert(kind, severity);
            }
        }
    }
    Settings {
        environment: config.environment.as_deref().map(Arc::from),
        severities,
        disabled,
        proof_window_s: config.dpop.proof_window_s,
        key_window_s: config.dpop.key_window_s,
        history: HistoryLimits {
            grace_s: config.history.grace_s,
            bytes: (config.history.memory_mib as usize) << 20,
        },
        recorded: false,
    }
}

/// The built-in table of credentials with the configuration's own rules.
///
/// # Errors
/// Names the rule that is wrong and where it stands.
pub(super) fn credential_table(config: &Config) -> Result<CredentialTable, DaemonError> {
    let mut table = CredentialTable::builtin();
    for raw in &config.credentials {
        let mut file = toml::Table::new();
        file.insert(
            "credential".to_owned(),
            toml::Value::Array(vec![toml::Value::Table(raw.table.clone())]),
        );
        let own = CredentialTable::parse(&file.to_string()).map_err(|error| {
            DaemonError::Config(format!(
                "{}:{}: {error}",
                raw.place.file.display(),
                raw.place.line
            ))
        })?;
        table = table.merge(own);
    }
    if !config.cookies.is_empty() {
        let names: Vec<toml::Value> = config
            .cookies
            .iter()
            .cloned()
            .map(toml::Value::String)
            .collect();
        let mut rule = toml::Table::new();
        rule.insert(
            "name".to_owned(),
            toml::Value::String("configured cookies".to_owned()),
        );
        rule.insert("cookie".to_owned(), toml::Value::Array(names));
        let mut file = toml::Table::new();
        file.insert(
            "credential".to_owned(),
            toml::Value::Array(vec![toml::Value::Table(rule)]),
        );
        let own = CredentialTable::parse(&file.to_string())
            .map_err(|error| DaemonError::Config(format!("cookies: {error}")))?;
        table = table.merge(own);
    }
    Ok(table)
}

/// Probes the TLS libraries of this host, if the kernel lets it.
pub(super) fn probing(source: &mut Kernel) -> Option<(Requests, SharedBook)> {
    let probes = match source.take_probes()? {
        Ok(probes) => probes,
        Err(error) => {
            tracing::warn!(%error, "no probes: TLS stays closed\nhint: `bailiwick doctor` tells what this kernel allows");
            return None;
        }
    };
    let finder = Finder::new(Box::new(RealLibraryFiles::new()));
    prober::start(finder, probes)
        .inspect_err(|error| tracing::warn!(%error, "no thread for probes: TLS stays closed"))
        .ok()
}

/// Starts the thread of containment, which does nothing unless it is configured. Comes with where the kernel
/// side of refusals is to be put, and with what the thread has to tell.
pub(super) fn containment(
    config: &Config,
    policy: &Arc<Policy>,
) -> Result<(contain::Handle, RefusingSlot, mpsc::Receiver<contain::Told>), DaemonError> {
    let slot = RefusingSlot::default();
    let (sender, receiver) = mpsc::channel(CONTAINED);
    let handle = contain::start(
        RealActs::new(Arc::clone(&slot)),
        contain_rules(config, policy),
        move |told| sender.try_send(told).is_ok(),
    )
    .map_err(|error| DaemonError::Internal(format!("no thread: {error}")))?;
    Ok((handle, slot, receiver))
}

/// What containment follows.
pub(super) fn contain_rules(config: &Config, policy: &Arc<Policy>) -> contain::Rules {
    let kind = FindingKind::Contained;
    let own = kind.default_severity();
    let mode = config.containment.mode;
    if mode != contain::Mode::Off {
        tracing::info!(
            mode = mode.name(),
            rules = config.containment.rules.len(),
            "containment"
        );
    }
    contain::Rules {
        containment: Arc::new(config.containment.clone()),
        policy: Arc::clone(policy),
        severity: config.checks.severity(kind, own).unwrap_or(own),
    }
}

/// Gives containment its kernel side.
pub(super) fn hand_over(source: &mut Kernel, slot: &RefusingSlot) {
    match source.take_refusing() {
        Some(Ok(refusing)) => {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusing);
        }
        Some(Err(error)) => tracing::warn!(error, "containment cannot refuse connections"),
        None => {}
    }
}

/// Follows the configured key logs.
pub(super) fn key_logs(config: &Config) -> Option<(KeyLogs, SharedKeyLogs)> {
    if config.tls.key_logs.is_empty() {
        return None;
    }
    key_logs::start(&config.tls.key_logs)
        .inspect_err(|error| tracing::warn!(%error, "no thread for key logs: they are not read"))
        .ok()
}

/// Listens for scrapers, where that is configured.
pub(super) async fn metrics(config: &Config) -> Result<Option<MetricsServer>, DaemonError> {
    let Some(listen) = &config.metrics.listen else {
        return Ok(None);
    };
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let server = MetricsServer::bind(listen, &host, &config.socket_group).await?;
    tracing::info!(%listen, "metrics are served");
    Ok(Some(server))
}

/// Nothing of this process may be read by others or end in a core file.
pub(super) fn conceal() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process stays dumpable");
    }
    if let Err(error) = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    ) {
        tracing::warn!(%error, "core files stay possible");
    }
}

/// Gives the memory that starting took back to the system: reading the kernel's types needs tens of MiB
/// for a moment.
pub(super) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's function has no preconditions and may be called from any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
