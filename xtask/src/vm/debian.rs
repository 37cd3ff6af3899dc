//! Packages of Debian, fetched and unpacked without installing them.
//!
//! apt runs with directories of its own and checks signatures and hashes; this host's lists, sources and
//! installed packages are neither used nor touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{capture, run, unavailable};

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MIRROR: &str = "http://deb.debian.org";
/// Where each series' newest stock kernel is: the suite, and what else has its security updates.
const SUITES: [(&str, &str); 4] = [
    ("5.10", "bullseye"),
    ("6.1", "bookworm"),
    ("6.12", "trixie"),
    ("sid", "sid"),
];
/// The suite that QEMU comes from: its own libraries come along.
const TOOLS: &str = "bookworm";

/// Unpacked packages, and what fetches more.
#[derive(Debug)]
pub(super) struct Debian {
    dir: PathBuf,
}

/// An unpacked kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) release: String,
    /// The image that boots.
    pub(super) image: PathBuf,
    /// Its modules.
    pub(super) modules: PathBuf,
}

impl Debian {
    /// Makes sure of QEMU and busybox under `dir`.
    pub(super) fn prepare(dir: &Path) -> Result<Self> {
        let debian = Self {
            dir: dir.to_owned(),
        };
        if !debian.tool("usr/bin/qemu-system-x86_64").exists() || !debian.busybox().exists() {
            if !Path::new(KEYS).exists() {
                return Err(unavailable(format!(
                    "{KEYS} is missing, with which Debian's packages are checked.\n\
                     hint: install debian-archive-keyring"
                )));
            }
            debian.fetch(
                TOOLS,
                &["qemu-system-x86", "busybox-static"],
                &debian.tools(),
            )?;
        }
        Ok(debian)
    }

    fn tools(&self) -> PathBuf {
        self.dir.join("tools")
    }

    fn tool(&self, path: &str) -> PathBuf {
        self.tools().join(path)
    }

    /// A static shell with everything that a machine needs to come up.
    pub(super) fn busybox(&self) -> PathBuf {
        self.tool("bin/busybox")
    }

    /// A command that runs a program of the unpacked packages with the libraries that came along.
    pub(super) fn command(&self, path: &str) -> Command {
        let libraries = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
        let libraries = libraries.map(|dir| self.tool(dir).display().to_string());
        let mut command = Command::new(self.tool("lib64/ld-linux-x86-64.so.2"));
        command
            .args(["--library-path", &libraries.join(":")])
            .arg(self.tool(path))
            .env(
                "QEMU_MODULE_DIR",
                self.tool("usr/lib/x86_64-linux-gnu/qemu"),
            );
        command
    }

    /// Where QEMU's firmware lies.
    pub(super) fn firmware(&self) -> [PathBuf; 2] {
        ["usr/share/qemu", "usr/share/seabios"].map(|dir| self.tool(dir))
    }

    /// The newest stock cloud kernel of a series, fetched unless it is here.
    pub(super) fn kernel(&self, series: &str) -> Result<Kernel> {
        let Some((_, suite)) = SUITES.iter().find(|(known, _)| *known == series) else {
            let known: Vec<&str> = SUITES.iter().map(|(series, _)| *series).collect();
            bail!(
                "no kernel {series}; there are {}: Debian's stock kernels",
                known.join(", ")
            );
        };
        let dir = self.dir.join(format!("linux-{series}"));
        if let Some(kernel) = unpacked(&dir) {
            return Ok(kernel);
        }
        let apt = self.apt(suite)?;
        let mut policy = Command::new("apt-cache");
        policy
            .arg("--config-file")
            .arg(&apt)
            .args(["depends", "linux-image-cloud-amd64"]);
        let text = capture(&mut policy).map_err(unreachable_mirror)?;
        let package = depends(&text, "linux-image-").ok_or_else(|| {
            unavailable(format!(
                "Debian's {suite} has no kernel behind linux-image-cloud-amd64"
            ))
        })?;
        self.download(&apt, &[package.to_owned()], &dir)?;
        if unpacked(&dir).is_none() {
            // Newer packages of the kernel are in parts.
            let mut parts = Command::new("apt-cache");
            parts
                .arg("--config-file")
                .arg(&apt)
                .args(["depends", package]);
            let text = capture(&mut parts)?;
            let parts: Vec<String> = all_depends(&text)
                .filter(|name| {
                    name.starts_with("linux-binary-") || name.starts_with("linux-modules-")
                })
                .map(str::to_owned)
                .collect();
            self.download(&apt, &parts, &dir)?;
        }
        unpacked(&dir)
            .with_context(|| format!("{package} has no kernel and modules where they should be"))
    }

    /// Fetches packages with all that they need.
    fn fetch(&self, suite: &str, packages: &[&str], to: &Path) -> Result<()> {
        let apt = self.apt(suite)?;
        let mut plan = Command::new("apt-get");
        plan.arg("--config-file").arg(&apt).args([
            "install",
            "--simulate",
            "--no-install-recommends",
        ]);
        let text = capture(plan.args(packages)).map_err(unreachable_mirror)?;
        self.download(&apt, &installs(&text), to)
    }

    /// Fetches and unpacks just these.
    fn download(&self, apt: &Path, packages: &[String], to: &Path) -> Result<()> {
        let archives = self.dir.join("archives");
        if archives.exists() {
            fs::remove_dir_all(&archives)?;
        }
        fs::create_dir_all(&archives)?;
        println!("Fetching {} packages of Debian", packages.len());
        let mut download = Command::new("apt-get");
        download
            .current_dir(&archives)
            .arg("--config-file")
            .arg(apt)
            .args(["download", "--quiet=2"]);
        // Not shown: the list is long.
        capture(download.args(packages)).map_err(unreachable_mirror)?;
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(&archives)? {
            capture(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(entry?.path())
                    .arg(to),
            )?;
        }
        fs::remove_dir_all(&archives)?;
        Ok(())
    }

    /// Directories and sources of apt for one suite, its lists brought up to date; → its configuration.
    fn apt(&self, suite: &str) -> Result<PathBuf> {
        let dir = self.dir.join(format!("apt-{suite}"));
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part))?;
        }
        fs::write(dir.join("sources.list"), sources(suite))?;
        fs::write(dir.join("status"), "")?;
        let at = dir.display();
        let config = dir.join("apt.conf");
        fs::write(
            &config,
            format!(
                "Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"-\";\n\
                 Dir::State \"{at}/state\";\nDir::State::status \"{at}/status\";\nDir::Cache \"{at}/cache\";\n\
                 APT::Sandbox::User \"root\";\nAPT::Architecture \"amd64\";\nAcquire::Languages \"none\";\n\
                 Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
            ),
        )?;
        run(Command::new("apt-get")
            .arg("--config-file")
            .arg(&config)
            .args(["update", "--quiet=2"]))
        .context("is there a network, and a proxy configured for apt?")
        .map_err(unreachable_mirror)?;
        Ok(config)
    }
}

/// apt's own words, as what they mean: the mirror does not give what is wanted.
fn unreachable_mirror(error: anyhow::Error) -> anyhow::Error {
    unavailable(format!(
        "Debian's packages cannot be fetched from {MIRROR}: {error:#}"
    ))
}

/// Sources of one suite, with its security updates if it has such.
fn sources(suite: &str) -> String {
    let line = |archive: &str, suite: &str| {
        format!("deb [signed-by={KEYS}] {MIRROR}/{archive} {suite} main\n")
    };
    let mut text = line("debian", suite);
    if suite != "sid" {
        text += &line("debian-security", &format!("{suite}-security"));
    }
    text
}

/// Packages that a simulated installation would bring.
fn installs(plan: &str) -> Vec<String> {
    plan.lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// What a package depends on, as `apt-cache depends` says it.
fn all_depends(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        line.trim()
            .trim_start_matches('|')
            .strip_prefix("Depends: ")
    })
}

fn depends<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    all_depends(text).find(|name| name.starts_with(prefix))
}

/// A kernel whose image and modules are both there. `/lib` may be a link into `/usr` on newer systems.
fn unpacked(dir: &Path) -> Option<Kernel> {
    let first = |dir: &Path| fs::read_dir(dir).ok()?.next()?.ok();
    let modules = ["lib/modules", "usr/lib/modules"]
        .iter()
        .find_map(|at| first(&dir.join(at)))?;
    let release = modules.file_name().into_string().ok()?;
    let image = ["boot", "usr/lib/linux"]
        .iter()
        .map(|at| dir.join(at).join(format!("vmlinuz-{release}")))
        .chain([modules.path().join("vmlinuz")])
        .find(|path| path.is_file())?;
    Some(Kernel {
        release,
        image,
        modules: modules.path(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_and_dependencies() {
        let plan = "Reading…\nInst libc6 (2.36-9 Debian:12 [amd64])\nConf libc6 (2.36)\nInst qemu-system-x86 (1:7.2)\n";
        assert_eq!(installs(plan), ["libc6", "qemu-system-x86"]);
        let text =
            "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-50-cloud-amd64\n |Depends: x\n";
        assert_eq!(
            depends(text, "linux-image-"),
            Some("linux-image-6.1.0-50-cloud-amd64")
        );
        assert_eq!(all_depends(text).count(), 2);
        assert_eq!(depends("", "linux-image-"), None);
    }

    #[test]
    fn sid_has_no_security_suite() {
        assert_eq!(sources("sid").lines().count(), 1);
        assert!(sources("bullseye").contains("debian-security bullseye-security main"));
    }

    #[test]
    fn half_a_kernel_is_none() {
        let dir = std::env::temp_dir().join(format!("xtask-vm-{}", std::process::id()));
        fs::create_dir_all(dir.join("usr/lib/modules/6.12.1")).unwrap();
        assert!(unpacked(&dir).is_none());
        fs::create_dir_all(dir.join("boot")).unwrap();
        fs::write(dir.join("boot/vmlinuz-6.12.1"), "").unwrap();
        assert_eq!(unpacked(&dir).unwrap().release, "6.12.1");
        fs::remove_dir_all(&dir).unwrap();
    }
}
