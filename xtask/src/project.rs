//! Where things lie in a checkout.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A checkout.
#[derive(Debug)]
pub(crate) struct Project {
    /// Its top directory.
    pub(crate) root: PathBuf,
    cargo: PathBuf,
}

impl Project {
    /// The checkout that this program was started from.
    pub(crate) fn find() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .parent()
            .context("the xtask package has no parent directory")?
            .canonicalize()
            .context("the checkout is gone")?;
        let cargo = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
        Ok(Self { root, cargo })
    }

    /// The cargo that runs this program, at the top of the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", self.target());
        // What `cargo run` set for this program would reach build scripts, which run again when it differs from
        // what a plain `cargo build` has.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_")
                || text.starts_with("CARGO_MANIFEST_")
                || text == "LD_LIBRARY_PATH"
            {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Everything built lies here, whatever the user's own configuration says: the README names paths in it.
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Programs that setup built for this checkout alone.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target().join("tools")
    }

    /// The built kernel programs.
    pub(crate) fn object(&self) -> PathBuf {
        self.target().join("bpf/bailiwick.o")
    }

    /// The release binary.
    pub(crate) fn binary(&self) -> PathBuf {
        self.target().join("release/bailiwick")
    }

    /// The sources of the kernel programs.
    pub(crate) fn ebpf_sources(&self) -> PathBuf {
        self.root.join("monitor-ebpf")
    }

    /// A path relative to the top, for messages.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}
