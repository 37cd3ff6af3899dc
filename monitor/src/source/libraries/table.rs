//! What is looked for in a program file.

use super::super::elf::{Arguments, Name};

/// A function whose arguments are worth reading. Names are stable: they appear in status and coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeKind {
    /// OpenSSL 3: `int EVP_KDF_derive(EVP_KDF_CTX *ctx, unsigned char *key, size_t keylen,
    /// const OSSL_PARAM params[])`.
    OpensslKdfDerive,
    /// GnuTLS, TLS 1.2: `int _gnutls_prf_raw(mac, size_t master_size, const void *master,
    /// size_t label_size, const char *label, size_t seed_size, const uint8_t *seed, …)`; from the seed
    /// on, the arguments are on the stack.
    GnutlsPrfRaw,
    /// GnuTLS, TLS 1.3: `int gnutls_hkdf_expand(mac, const gnutls_datum_t *key,
    /// const gnutls_datum_t *info, void *output, size_t length)`. Since 3.7 the library itself uses an
    /// inner function with the same arguments, which is found through this one: both are told of.
    GnutlsHkdfExpand,
    /// Go: `func (c *Config) writeKeyLog(label string, clientRandom, secret []byte) error`:
    /// rax c; rbx, rcx label; rdi, rsi, r8 client random; r9, r10, r11 secret. Can be hit twice for one
    /// call, when the stack has to grow first.
    GoWriteKeyLog,
    /// BoringSSL and aws-lc: `bool bssl::ssl_log_secret(const SSL *ssl, const char *label,
    /// Span<const uint8_t> secret)`: rdi, rsi, and rdx, rcx for the secret. Entered whether or not the
    /// program logs keys.
    BoringLogSecret,
    /// BoringSSL, aws-lc (rustls), LibreSSL, TLS 1.3: `int HKDF_expand(uint8_t *out, size_t out_len,
    /// const EVP_MD *md, const uint8_t *prk, size_t prk_len, const uint8_t *info, size_t info_len)`;
    /// the last on the stack.
    HkdfExpand,
    /// BoringSSL and aws-lc (rustls), TLS 1.2: `int CRYPTO_tls1_prf(const EVP_MD *md, uint8_t *out,
    /// size_t out_len, const uint8_t *secret, size_t secret_len, const char *label, size_t label_len,
    /// const uint8_t *seed1, size_t, const uint8_t *seed2, size_t)`; from `label_len` on the stack.
    Tls1Prf,
    /// Fallback: `int SSL_read(SSL *ssl, void *buf, int num)`.
    SslRead,
    /// Fallback: `int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *done)`.
    SslReadEx,
    /// Fallback: `int SSL_write(SSL *ssl, const void *buf, int num)`.
    SslWrite,
    /// Fallback: `int SSL_write_ex(SSL *ssl, const void *buf, size_t num, size_t *done)`.
    SslWriteEx,
}

impl ProbeKind {
    /// Its name: library and function.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpensslKdfDerive => "openssl:EVP_KDF_derive",
            Self::GnutlsPrfRaw => "gnutls:_gnutls_prf_raw",
            Self::GnutlsHkdfExpand => "gnutls:gnutls_hkdf_expand",
            Self::GoWriteKeyLog => "go:crypto/tls.(*Config).writeKeyLog",
            Self::BoringLogSecret => "boringssl:ssl_log_secret",
            Self::HkdfExpand => "boringssl:HKDF_expand",
            Self::Tls1Prf => "boringssl:CRYPTO_tls1_prf",
            Self::SslRead => "openssl:SSL_read",
            Self::SslReadEx => "openssl:SSL_read_ex",
            Self::SslWrite => "openssl:SSL_write",
            Self::SslWriteEx => "openssl:SSL_write_ex",
        }
    }

    /// Costs at every read or write instead of once a connection.
    #[must_use]
    pub fn fallback(self) -> bool {
        matches!(
            self,
            Self::SslRead | Self::SslReadEx | Self::SslWrite | Self::SslWriteEx
        )
    }

    /// What a fallback probe is told of its function: bits of [`monitor_ebpf::ssl_call`].
    #[must_use]
    pub fn ssl_call(self) -> Option<u64> {
        use monitor_ebpf::ssl_call::{EX, WRITE};
        match self {
            Self::SslRead => Some(0),
            Self::SslReadEx => Some(EX),
            Self::SslWrite => Some(WRITE),
            Self::SslWriteEx => Some(WRITE | EX),
            _ => None,
        }
    }

    /// The library uses an inner function, which this one calls first and with its own arguments.
    pub(super) fn has_inner(self) -> bool {
        self == Self::GnutlsHkdfExpand
    }

    /// Where its arguments are.
    #[must_use]
    pub fn arguments(self) -> Arguments {
        match self {
            Self::GoWriteKeyLog => Arguments::Go,
            Self::GnutlsPrfRaw | Self::HkdfExpand | Self::Tls1Prf => Arguments::RegistersAndStack,
            _ => Arguments::Registers,
        }
    }
}

/// Go's function, and the beginning of the names of its package.
pub(super) const GO_FUNCTION: &str = "crypto/tls.(*Config).writeKeyLog";
/// A function's name in that package, not merely of a package below it.
pub(super) const GO_PACKAGE: &str = "crypto/tls.(*Conn).";

/// Functions with symbols. aws-lc for Rust puts its version before each name (`aws_lc_0_32_3_HKDF_expand`,
/// `aws_lc_fips_…`). `ssl_log_secret` is C++: mangled, with the types of its arguments, which have changed.
pub(super) const WANTED: [(ProbeKind, Name); 14] = [
    (ProbeKind::OpensslKdfDerive, Name::Exact("EVP_KDF_derive")),
    (ProbeKind::GnutlsPrfRaw, Name::Exact("_gnutls_prf_raw")),
    (
        ProbeKind::GnutlsHkdfExpand,
        Name::Exact("gnutls_hkdf_expand"),
    ),
    (ProbeKind::HkdfExpand, Name::Exact("HKDF_expand")),
    (ProbeKind::HkdfExpand, aws("_HKDF_expand")),
    (ProbeKind::Tls1Prf, Name::Exact("CRYPTO_tls1_prf")),
    (ProbeKind::Tls1Prf, aws("_CRYPTO_tls1_prf")),
    (
        ProbeKind::BoringLogSecret,
        Name::Exact("_ZN4bssl14ssl_log_secretEPK6ssl_stPKcNS_4SpanIKhEE"),
    ),
    (
        ProbeKind::BoringLogSecret,
        Name::Affix {
            prefix: "_ZN4bssl14ssl_log_secretE",
            suffix: "",
        },
    ),
    (ProbeKind::SslRead, Name::Exact("SSL_read")),
    (ProbeKind::SslReadEx, Name::Exact("SSL_read_ex")),
    (ProbeKind::SslWrite, Name::Exact("SSL_write")),
    (ProbeKind::SslWriteEx, Name::Exact("SSL_write_ex")),
    // The name that aws-lc's C build gives when it prefixes: `bssl` stays, as it is a namespace.
    (
        ProbeKind::BoringLogSecret,
        Name::Exact("_ZN4bssl14ssl_log_secretEPK6ssl_stPKcPKhm"),
    ),
];

const fn aws(suffix: &'static str) -> Name {
    Name::Affix {
        prefix: "aws_lc_",
        suffix,
    }
}

/// A family of libraries, by how their file names begin: what is to be expected of it.
pub(super) struct Family {
    pub(super) begins: &'static str,
    /// What it should have, and what to say if it does not.
    pub(super) expected: &'static [(ProbeKind, &'static str)],
    /// What is known to be missing whatever it has.
    pub(super) never: Option<(&'static str, &'static str)>,
}

pub(super) const FAMILIES: [Family; 4] = [
    Family {
        begins: "libcrypto.so",
        expected: &[(
            ProbeKind::OpensslKdfDerive,
            "not in this library: OpenSSL before 3.0, or another in its place",
        )],
        never: None,
    },
    Family {
        begins: "libssl.so",
        expected: &[
            (ProbeKind::SslRead, "not exported"),
            (ProbeKind::SslWrite, "not exported"),
        ],
        never: None,
    },
    Family {
        begins: "libgnutls.so",
        expected: &[
            (ProbeKind::GnutlsPrfRaw, "not exported by this version"),
            (
                ProbeKind::GnutlsHkdfExpand,
                "not exported: GnuTLS before 3.6.13 has none",
            ),
        ],
        never: None,
    },
    // NSS hands secrets about as PK11SymKey handles; their bytes are in the token's private structures.
    Family {
        begins: "libssl3.so",
        expected: &[],
        never: Some((
            "nss:secret",
            "NSS keeps secrets behind handles: no function has them in its arguments",
        )),
    },
];

/// The family that a file's name belongs to.
pub(super) fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| {
        let rest = name.strip_prefix(family.begins);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
