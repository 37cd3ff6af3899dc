//! How tests say that they cannot run.

use std::path::Path;

use anyhow::Result;
use libtest_mimic::{Failed, Trial};
use rustix::thread::{CapabilitySet, capabilities};

/// A test that watches the real kernel. Where this user or kernel does not allow it, it is reported by
/// name as skipped (`ignored`); with `CI=true` it fails instead, so that nothing passes by not being run.
pub fn root(name: &str, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    let Some(lack) = lack() else {
        return Trial::test(name, move || test().map_err(failed));
    };
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        return Trial::test(name, move || {
            Err(format!("needs {lack}, and CI=true allows no skip").into())
        });
    }
    Trial::test(name, || Ok(()))
        .with_kind(format!("skipped: needs {lack}"))
        .with_ignored_flag(true)
}

/// A test that needs no privileges.
pub fn plain(name: &str, test: fn() -> Result<()>) -> Trial {
    Trial::test(name, move || test().map_err(failed))
}

/// What is missing to watch this kernel and to make network namespaces.
fn lack() -> Option<&'static str> {
    const NEEDED: CapabilitySet = CapabilitySet::BPF
        .union(CapabilitySet::PERFMON)
        .union(CapabilitySet::SYS_ADMIN);
    if !rustix::process::geteuid().is_root() {
        return Some("root");
    }
    if !capabilities(None).is_ok_and(|sets| sets.effective.contains(NEEDED)) {
        return Some("CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN");
    }
    (!Path::new("/sys/kernel/btf/vmlinux").exists()).then_some("a kernel with BTF")
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
