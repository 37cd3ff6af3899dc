//! How tests say that they cannot run.

use anyhow::Result;
use libtest_mimic::{Failed, Trial};

/// A test that watches the real kernel. Without root it is reported by name as skipped (`ignored`);
/// where `CI=true` it fails instead, so that nothing passes by not being run.
pub fn root(name: &str, test: fn() -> Result<()>) -> Trial {
    if rustix::process::geteuid().is_root() {
        return Trial::test(name, move || test().map_err(failed));
    }
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        return Trial::test(
            name,
            || Err("needs root, and CI=true allows no skip".into()),
        );
    }
    Trial::test(name, || Ok(()))
        .with_kind("skipped: needs root")
        .with_ignored_flag(true)
}

/// A test that needs no privileges.
pub fn plain(name: &str, test: fn() -> Result<()>) -> Trial {
    Trial::test(name, move || test().map_err(failed))
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:?}").into()
}
