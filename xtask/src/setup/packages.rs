//! Distribution packages, each with a file that shows it is there.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::shell::system_program;

/// A Debian package and what it is wanted for.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Name in Debian and Ubuntu.
    pub(crate) name: Cow<'static, str>,
    /// A program, or an absolute path, that it brings.
    pub(crate) brings: Cow<'static, str>,
}

impl Package {
    const fn new(name: &'static str, brings: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            brings: Cow::Borrowed(brings),
        }
    }

    /// Whether what it brings is here, wherever it came from.
    pub(crate) fn present(&self) -> bool {
        if self.brings.starts_with('/') {
            Path::new(&*self.brings).exists()
        } else {
            system_program(&self.brings).is_some()
        }
    }
}

/// Headers that bpf-linker's build wants beside LLVM.
pub(crate) const LINKER: [Package; 3] = [
    Package::new("zlib1g-dev", "/usr/include/zlib.h"),
    Package::new("libzstd-dev", "/usr/include/zstd.h"),
    Package::new("g++", "g++"),
];

/// Where Debian puts one major version of LLVM.
pub(crate) fn llvm_prefix(major: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{major}"))
}

/// LLVM of one major version, for bpf-linker.
pub(crate) fn llvm(major: u32) -> Package {
    let config = llvm_prefix(major).join("bin/llvm-config");
    Package {
        name: format!("llvm-{major}-dev").into(),
        brings: config.display().to_string().into(),
    }
}

/// Clients, servers and tools of the end-to-end tests.
pub(crate) const TESTS: [Package; 24] = [
    Package::new(
        "android-libboringssl",
        "/usr/lib/x86_64-linux-gnu/android/libcrypto.so.0",
    ),
    Package::new("binutils", "objdump"),
    Package::new("chromium", "/usr/bin/chromium"),
    Package::new("curl", "curl"),
    Package::new("default-jdk-headless", "java"),
    Package::new("gnutls-bin", "gnutls-cli"),
    Package::new("golang-go", "go"),
    Package::new("iproute2", "ip"),
    Package::new("nghttp2-client", "h2load"),
    Package::new("nginx-light", "nginx"),
    Package::new("nodejs", "node"),
    Package::new("npm", "npm"),
    Package::new("openssl", "openssl"),
    Package::new("procps", "ps"),
    Package::new("python3", "python3"),
    Package::new("python3-aiohttp", "/usr/lib/python3/dist-packages/aiohttp"),
    Package::new("python3-grpcio", "/usr/lib/python3/dist-packages/grpc"),
    Package::new("python3-h2", "/usr/lib/python3/dist-packages/h2"),
    Package::new("python3-httpx", "/usr/lib/python3/dist-packages/httpx"),
    Package::new(
        "python3-requests",
        "/usr/lib/python3/dist-packages/requests",
    ),
    Package::new("systemd", "systemd-analyze"),
    Package::new("tmux", "tmux"),
    Package::new("util-linux", "setpriv"),
    Package::new("wget", "wget"),
];

/// What the throughput measurement wants.
pub(crate) const BENCH: [Package; 5] = [
    Package::new("bpftrace", "bpftrace"),
    Package::new("curl", "curl"),
    Package::new("nginx-light", "nginx"),
    Package::new("openssl", "openssl"),
    Package::new("wrk", "wrk"),
];

/// libFuzzer is C++.
pub(crate) const FUZZ: [Package; 1] = [Package::new("g++", "g++")];

/// What packages are made with.
pub(crate) const PACKAGING: [Package; 3] = [
    Package::new("binutils", "strip"),
    Package::new("dpkg-dev", "dpkg-shlibdeps"),
    Package::new("musl-tools", "musl-gcc"),
];

/// What a small Debian is made with.
pub(crate) const BOOTSTRAP: [Package; 2] = [
    Package::new("mmdebstrap", "mmdebstrap"),
    Package::new("e2fsprogs", "mke2fs"),
];
