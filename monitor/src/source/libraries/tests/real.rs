//! Against this machine's own files and processes.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::super::{Finder, LibraryFiles, ProbeKind, RealLibraryFiles, Root, examine, mapped};
use crate::source::elf::Emulation;

#[expect(clippy::print_stderr, reason = "a test that could not run says so")]
pub(super) fn ignored(why: &str) {
    eprintln!("ignored: {why}");
}

#[test]
fn own_mappings_open_as_the_files_they_are() {
    let files = RealLibraryFiles::new();
    let own = std::process::id();
    let mapped = mapped(&files.maps(own).unwrap());
    let exe = fs::metadata("/proc/self/exe").unwrap();
    let mut seen = false;
    for mapped in &mapped {
        let file = files.mapped(own, mapped).unwrap();
        let meta = fs::metadata(&mapped.path).unwrap();
        assert_eq!((file.id().dev, file.id().ino), (meta.dev(), meta.ino()));
        assert_eq!(file.version().size, meta.size());
        let mut magic = [0; 4];
        assert_eq!(file.read_at(0, &mut magic).unwrap(), 4);
        assert_eq!(&magic, b"\x7fELF");
        // The path leads to the same file.
        assert_eq!(fs::metadata(file.path()).unwrap().ino(), meta.ino());
        seen |= meta.ino() == exe.ino();
    }
    assert!(seen);
    // Without the right to open what is mapped, the name leads there; not to another file.
    let mut exe = mapped[0].clone();
    let by_name = files.named(own, &exe).unwrap();
    assert_eq!(rustix::fs::fstat(&by_name).unwrap().st_ino, exe.inode);
    exe.path = "/proc/self/status".to_owned();
    assert!(files.named(own, &exe).is_err());
    assert!(files.pids().contains(&own));
    assert!(files.mounts(own).unwrap().contains(" - "));
    assert!(Emulation::of(&files.kernel()) == Emulation::of(&files.kernel()));
}

/// A /proc with one process, whose root is a directory of ours.
fn container() -> (tempfile::TempDir, RealLibraryFiles) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("7/root/lib")).unwrap();
    fs::create_dir_all(dir.path().join("7/root/etc")).unwrap();
    let files = RealLibraryFiles::at(dir.path());
    (dir, files)
}

#[test]
fn links_do_not_lead_out_of_a_root() {
    let (dir, files) = container();
    let root = dir.path().join("7/root");
    fs::write(dir.path().join("secret"), "outside").unwrap();
    fs::write(root.join("lib/real"), "inside").unwrap();
    let below = |path: &str| {
        files
            .below(Root::Of(7), path)
            .map(|file| file.version().size)
    };
    symlink("/lib/real", root.join("lib/absolute")).unwrap();
    symlink("../../../../../lib/real", root.join("lib/upwards")).unwrap();
    assert_eq!(below("/lib/absolute").unwrap(), 6);
    assert_eq!(below("/lib/upwards").unwrap(), 6);
    let outside = dir.path().join("secret");
    symlink(&outside, root.join("lib/out")).unwrap();
    symlink("../../../secret", root.join("lib/up")).unwrap();
    symlink("loop", root.join("lib/loop")).unwrap();
    for name in ["out", "up", "loop", "../../../secret", "nothing"] {
        assert!(below(&format!("/lib/{name}")).is_err(), "{name}");
    }
    // Another file system below the root is not entered.
    symlink("/proc/self/exe", root.join("lib/magic")).unwrap();
    assert!(below("/lib/magic").is_err());
}

#[test]
fn only_regular_files_are_opened() {
    let (dir, files) = container();
    let root = dir.path().join("7/root");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("lib/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    // Opening a pipe for reading would wait for a writer.
    assert!(files.below(Root::Of(7), "/lib/pipe").is_err());
    assert!(files.below(Root::Of(7), "/lib").is_err());
    assert!(files.below(Root::Host, "/dev/null").is_err());
    symlink("/lib/pipe", root.join("etc/ld.so.cache")).unwrap();
    assert_eq!(files.cache(Root::Of(7)), None);
    assert_eq!(files.cache(Root::Of(8)), None);
}

#[test]
fn a_root_is_told_by_its_directory() {
    let (dir, files) = container();
    let meta = fs::metadata(dir.path().join("7/root")).unwrap();
    let root = files.root(Root::Of(7)).unwrap();
    assert_eq!((root.dev, root.ino), (meta.dev(), meta.ino()));
    assert_eq!(files.root(Root::Of(8)), None);
    assert_ne!(files.root(Root::Host), Some(root));
}

#[test]
fn libraries_of_this_host() {
    let mut finder = Finder::new(Box::new(RealLibraryFiles::new()));
    let plans = finder.start(Duration::ZERO);
    let counters = finder.counters();
    assert!(counters.files > 0 && counters.processes > 0, "{counters:?}");
    let kinds = |name: &str| -> Option<Vec<ProbeKind>> {
        let plan = plans.iter().find(|plan| plan.path.ends_with(name))?;
        let mut kinds: Vec<_> = plan.points.iter().map(|point| point.kind).collect();
        kinds.dedup();
        Some(kinds)
    };
    let expected = [
        ("/libcrypto.so.3", &[ProbeKind::OpensslKdfDerive][..]),
        (
            "/libgnutls.so.30",
            &[ProbeKind::GnutlsPrfRaw, ProbeKind::GnutlsHkdfExpand],
        ),
        (
            "/libssl.so.3",
            &[
                ProbeKind::SslRead,
                ProbeKind::SslReadEx,
                ProbeKind::SslWrite,
                ProbeKind::SslWriteEx,
            ],
        ),
    ];
    for (name, expected) in expected {
        match kinds(name) {
            Some(found) => assert_eq!(found, expected, "{name}"),
            None => ignored(&format!("no {name} on this host")),
        }
    }
}

#[test]
fn node_exports_openssl() {
    let Some(node) = ["/usr/bin/node", "/usr/local/bin/node"]
        .into_iter()
        .find(|path| Path::new(path).exists())
    else {
        return ignored("no node");
    };
    let file = RealLibraryFiles::new().below(Root::Host, node).unwrap();
    let found = examine(&*file, "node", Emulation::default());
    let has = |kind| found.points.iter().any(|point| point.kind == kind);
    if !has(ProbeKind::OpensslKdfDerive) {
        // Debian's is linked with the shared library.
        return ignored("node has no OpenSSL of its own");
    }
    assert!(has(ProbeKind::SslRead) && has(ProbeKind::SslWrite));
    assert!(found.read < 64 * 1024 * 1024, "{}", found.read);
}
