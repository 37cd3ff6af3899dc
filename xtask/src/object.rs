//! Which sources a built kernel object belongs to.
//!
//! `cargo xtask build-ebpf` leaves this mark beside the object, and monitor/build.rs, which includes
//! this file, compares: records whose layout changed must not meet programs built before the change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The mark beside an object.
pub(crate) fn mark_path(object: &Path) -> PathBuf {
    object.with_extension("sources")
}

/// Files that decide what the kernel object is: sources and manifest, sorted.
pub(crate) fn sources(ebpf: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![ebpf.join("Cargo.toml")];
    let mut pending = vec![ebpf.join("src")];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A mark of those files: changes when any name or content does. Guards against forgetting, not
/// against an attacker, so 64-bit FNV-1a is enough.
pub(crate) fn mark(ebpf: &Path) -> io::Result<String> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut update = |bytes: &[u8]| {
        // The length keeps a byte from moving between a name and a content unnoticed.
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for path in sources(ebpf)? {
        update(
            path.strip_prefix(ebpf)
                .unwrap_or(&path)
                .as_os_str()
                .as_encoded_bytes(),
        );
        update(&fs::read(&path)?);
    }
    Ok(format!("{hash:016x}\n"))
}
