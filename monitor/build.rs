//! Embeds the kernel programs, which another compiler target builds beforehand.

#[path = "../xtask/src/object.rs"]
mod object;

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=BAILIWICK_EBPF");
    if let Err(message) = embed() {
        println!("cargo::error={message}");
    }
}

/// Copies the object to `$OUT_DIR/bailiwick.o`; the error is one sentence.
fn embed() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // A packager's own object is taken as it is.
    let given = env::var_os("BAILIWICK_EBPF").map(PathBuf::from);
    let path = given
        .clone()
        .unwrap_or_else(|| root.join("target/bpf/bailiwick.o"));
    println!("cargo::rerun-if-changed={}", path.display());

    let built = fs::read(&path).map_err(|error| match &given {
        Some(path) => format!("BAILIWICK_EBPF names {}, which cannot be read: {error}", path.display()),
        None => "the kernel programs are not built: run `cargo xtask setup` once, then `cargo xtask build` \
                 (it makes target/bpf/bailiwick.o)"
            .to_owned(),
    })?;
    if given.is_none() {
        let ebpf = root.join("monitor-ebpf");
        println!("cargo::rerun-if-changed={}", ebpf.join("src").display());
        println!(
            "cargo::rerun-if-changed={}",
            ebpf.join("Cargo.toml").display()
        );
        println!(
            "cargo::rerun-if-changed={}",
            object::mark_path(&path).display()
        );
        let now =
            object::mark(&ebpf).map_err(|error| format!("cannot read monitor-ebpf/: {error}"))?;
        if fs::read_to_string(object::mark_path(&path)).ok().as_ref() != Some(&now) {
            return Err(
                "target/bpf/bailiwick.o was built from other sources than monitor-ebpf/ has now: \
                        run `cargo xtask build-ebpf`"
                    .to_owned(),
            );
        }
    }
    let out = env::var_os("OUT_DIR").ok_or("cargo set no OUT_DIR")?;
    let to = Path::new(&out).join("bailiwick.o");
    fs::write(&to, built).map_err(|error| format!("cannot write {}: {error}", to.display()))
}
