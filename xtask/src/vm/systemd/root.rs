//! Disks of the machine: a Debian with systemd, and the packages to be tried.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup;
use crate::shell::run;
use crate::vm::debian::Kernel;

const SUITE: &str = "trixie";
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Beside Debian's smallest system: systemd as process 1, what containers need, and clients.
const PACKAGES: &str = "systemd,systemd-sysv,systemd-container,dbus,udev,kmod,iproute2,procps,curl,podman,crun,\
                        netavark,busybox-static,python3-minimal,init-system-helpers";

/// Runs the checks once the machine is up, and ends it.
const UNIT: &str = "[Unit]
Description=Checks of the package
After=dbus.service systemd-journald.service

[Service]
Type=oneshot
TimeoutStartSec=infinity
StandardOutput=file:/dev/ttyS1
StandardError=inherit
ExecStart=/bin/sh -c 'mount -o ro /dev/vdb /mnt && exec /mnt/xtask systemd-guest /mnt'
ExecStopPost=/bin/systemctl --no-block poweroff

[Install]
WantedBy=multi-user.target
";

/// The system's disk, made unless it is here.
pub(super) fn system(dir: &Path, kernel: &Kernel) -> Result<PathBuf> {
    let disk = dir.join(format!("debian-{SUITE}-{}.ext4", kernel.release));
    if disk.exists() {
        return Ok(disk);
    }
    setup::bootstrapping()?;
    let tree = dir.join("debian-tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    let unit = dir.join("check.service");
    fs::write(&unit, UNIT)?;
    let hooks = [
        "mkdir -p \"$1/usr/lib/modules\"".to_owned(),
        format!("cp -a {} \"$1/usr/lib/modules/\"", kernel.modules.display()),
        format!("chroot \"$1\" depmod {}", kernel.release),
        format!("cp {} \"$1/etc/systemd/system/\"", unit.display()),
        "chroot \"$1\" systemctl enable check.service".to_owned(),
        // A machine that was there before: else systemd asks for a time zone.
        "echo 0123456789abcdef0123456789abcdef > \"$1/etc/machine-id\"".to_owned(),
        "echo machine > \"$1/etc/hostname\"".to_owned(),
        // For a container: one static program.
        "mkdir -p \"$1/opt/box/bin\" \"$1/opt/box/etc\" && cp \"$1/bin/busybox\" \"$1/opt/box/bin/\"".to_owned(),
    ];
    let mut bootstrap = Command::new("mmdebstrap");
    bootstrap
        .args(["--variant=minbase", "--mode=root", "--format=directory"])
        .args([
            "--aptopt=APT::Install-Recommends \"false\"",
            "--aptopt=Acquire::Languages \"none\"",
        ])
        .arg(format!("--keyring={KEYS}"))
        .arg(format!("--include={PACKAGES}"))
        .args(hooks.map(|hook| format!("--customize-hook={hook}")))
        .arg(SUITE)
        .arg(&tree)
        .arg(MIRROR);
    run(&mut bootstrap).context("a Debian for the machine cannot be made")?;
    let making = dir.join("debian.making");
    ext4(&tree, &making, "2G")?;
    fs::remove_dir_all(&tree)?;
    fs::rename(&making, &disk)?;
    Ok(disk)
}

/// The disk with the packages and the program with the checks.
pub(super) fn packages(dir: &Path, packages: &[PathBuf]) -> Result<PathBuf> {
    let tree = dir.join("packages-tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    fs::create_dir_all(&tree)?;
    for (number, package) in packages.iter().enumerate() {
        fs::copy(package, tree.join(format!("{}.deb", number + 1)))?;
    }
    let this = std::env::current_exe()?;
    fs::copy(&this, tree.join("xtask"))
        .with_context(|| format!("cannot copy {}", this.display()))?;
    let disk = dir.join("packages.ext4");
    ext4(&tree, &disk, "256M")?;
    Ok(disk)
}

fn ext4(tree: &Path, disk: &Path, size: &str) -> Result<()> {
    if disk.exists() {
        fs::remove_file(disk)?;
    }
    run(Command::new("/usr/sbin/mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .arg(tree)
        .arg(disk)
        .arg(size))
}
