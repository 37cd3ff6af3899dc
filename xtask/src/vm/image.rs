//! The first file system of a machine: busybox, a few modules, and a script that mounts the host's root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{Debian, Kernel};
use crate::shell::show;

/// What a first file system holds.
#[derive(Debug)]
pub(super) struct Plan {
    /// Beginning of the file's name.
    name: &'static str,
    /// With what they depend on. What a kernel has built in has no file, and needs none.
    modules: &'static [&'static str],
    /// Process 1.
    init: &'static str,
}

/// For a machine whose root is this host's.
pub(super) const HOST: Plan = Plan {
    name: "initramfs",
    modules: &[
        "virtio_pci",
        "virtiofs",
        "veth",
        "tun",
        "inet_diag",
        "tcp_diag",
        "udp_diag",
        "unix_diag",
    ],
    init: INIT,
};

/// For a machine with disks of its own.
pub(super) const DISKS: Plan = Plan {
    name: "initramfs-disks",
    modules: &["virtio_pci", "virtio_blk", "ext4"],
    init: INIT_DISKS,
};

/// Passes on to the init of the first disk.
const INIT_DISKS: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in MODULES; do insmod /m/$m.ko; done
for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/vda ] && break; sleep 1; done
mount -t ext4 /dev/vda /new || { echo "no root"; poweroff -f; }
umount /proc /sys; mount --move /dev /new/dev
exec switch_root /new /sbin/init
"#;

/// The root is the host's; what tests write to is memory. `panic=-1` ends the machine with it.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in MODULES; do insmod /m/$m.ko; done
mount -t virtiofs -o ro root /new || { echo "no root"; poweroff -f; }
cd /new
mount -t proc proc proc; mount -t sysfs sys sys; mount -t devtmpfs dev dev
mkdir -p dev/pts dev/shm; mount -t devpts pts dev/pts; mount -t tmpfs shm dev/shm
for d in tmp run var/tmp var/lib/nginx; do [ ! -d $d ] || mount -t tmpfs memory $d; done
mount -t cgroup2 cgroup sys/fs/cgroup; mount -t bpf bpf sys/fs/bpf
chroot /new /bin/sh "$(tr ' ' '\n' </proc/cmdline | sed -n 's/^guest=//p')"
echo o >/proc/sysrq-trigger
sleep 60
"#;

/// Writes the image for a kernel and returns its path.
pub(super) fn write(dir: &Path, debian: &Debian, kernel: &Kernel, plan: &Plan) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "m", "new", "proc", "sys"] {
        archive.folder(folder);
    }
    let busybox = debian.busybox();
    let bytes = fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))?;
    archive.file("bin/busybox", &bytes);
    let mut found = Vec::new();
    find(&kernel.modules, &mut found)?;
    let read = |module: &str| {
        let path = found.iter().find(|path| is_module(path, module))?;
        Some(unpack(path))
    };
    let mut modules = Vec::new();
    for module in plan.modules {
        with_dependencies(module, &read, &mut modules)?;
    }
    let names: Vec<&str> = modules.iter().map(|(name, _)| name.as_str()).collect();
    archive.file(
        "init",
        plan.init.replace("MODULES", &names.join(" ")).as_bytes(),
    );
    for (name, bytes) in &modules {
        archive.file(&format!("m/{name}.ko"), bytes);
    }
    let path = dir.join(format!("{}-{}", plan.name, kernel.release));
    fs::write(&path, archive.finish())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Adds a module after those that it depends on, each once.
fn with_dependencies(
    module: &str,
    read: &dyn Fn(&str) -> Option<Result<Vec<u8>>>,
    modules: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    if modules.iter().any(|(name, _)| name == module) {
        return Ok(());
    }
    let Some(bytes) = read(module).transpose()? else {
        return Ok(());
    };
    for needed in dependencies(&bytes) {
        with_dependencies(&needed, read, modules)?;
    }
    modules.push((module.to_owned(), bytes));
    Ok(())
}

/// What a module says that it depends on (`depends=a,b` in its section `.modinfo`, between zeros).
fn dependencies(module: &[u8]) -> Vec<String> {
    let text = module
        .split(|byte| *byte == 0)
        .find_map(|text| text.strip_prefix(b"depends="))
        .unwrap_or_default();
    String::from_utf8_lossy(text)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn find(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Links lead out of the package.
        if entry.file_type()?.is_dir() {
            find(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn is_module(path: &Path, name: &str) -> bool {
    path.file_name()
        .and_then(|file| file.to_str()?.strip_prefix(name))
        .is_some_and(|rest| [".ko", ".ko.xz", ".ko.zst"].contains(&rest))
}

/// A module's bytes, decompressed.
fn unpack(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut command = Command::new(program);
    command.arg("-dc").arg(path);
    let shown = show(&command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{shown}`: install {program}"))?;
    anyhow::ensure!(output.status.success(), "`{shown}` failed");
    Ok(output.stdout)
}

/// cpio in the form that the kernel reads (Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, 0o100_755, content);
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_length = u32::try_from(name.len()).unwrap_or(u32::MAX) + 1;
        // inode, mode, uid, gid, links, time, size, device (4), length of the name, checksum
        let fields = [
            self.inode,
            mode,
            0,
            0,
            1,
            0,
            length,
            0,
            0,
            0,
            0,
            name_length,
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_as_the_kernel_reads_them() {
        let mut archive = Archive::default();
        archive.file("a", b"hello");
        let bytes = archive.finish();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("07070100000001000081ed"), "{text}");
        // Header 110, name with its zero, padded to 112; five bytes padded to eight.
        assert_eq!(&text[54..62], "00000005");
        assert_eq!(&text[110..117], "a\0hello");
        assert_eq!(&text[120..126], "070701");
        assert!(text.contains("TRAILER!!!\0"));
        assert_eq!(text.len() % 4, 0);
    }

    #[test]
    fn modules_come_after_what_they_depend_on() {
        let read = |name: &str| {
            let depends = match name {
                "fs" => "depends=ring,bus",
                "bus" => "depends=ring",
                "ring" => "depends=",
                _ => return None,
            };
            Some(Ok(format!("ELF\0license=GPL\0{depends}\0").into_bytes()))
        };
        let mut modules = Vec::new();
        for module in ["fs", "built_in", "bus"] {
            with_dependencies(module, &read, &mut modules).unwrap();
        }
        let names: Vec<&str> = modules.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ring", "bus", "fs"]);
    }

    #[test]
    fn modules_by_name() {
        assert!(is_module(Path::new("/x/fuse.ko.xz"), "fuse"));
        assert!(is_module(Path::new("/x/virtio.ko"), "virtio"));
        assert!(!is_module(Path::new("/x/virtio_ring.ko"), "virtio"));
    }
}
