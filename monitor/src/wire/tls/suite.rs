//! Cipher suites that can be read.

/// Bulk cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cipher {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
    /// AES-128-CBC with an HMAC (TLS 1.2).
    Aes128Cbc,
    /// AES-256-CBC with an HMAC (TLS 1.2).
    Aes256Cbc,
}

impl Cipher {
    /// Bytes of a key.
    pub(super) fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Cbc => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 | Self::Aes256Cbc => 32,
        }
    }

    /// Whether a record's beginning can be checked with its tag.
    pub(super) fn is_aead(self) -> bool {
        !matches!(self, Self::Aes128Cbc | Self::Aes256Cbc)
    }

    /// Name, as in the coverage.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes-128-gcm",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::Aes128Cbc => "aes-128-cbc",
            Self::Aes256Cbc => "aes-256-cbc",
        }
    }
}

/// Hash of the key schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
}

impl Hash {
    /// Bytes of its output.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

/// What a suite means for records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) cipher: Cipher,
    pub(super) hash: Hash,
    /// Bytes of the MAC (CBC alone).
    pub(super) mac: usize,
}

impl Suite {
    /// By its number (the IANA registry "TLS Cipher Suites"); `None` for those that are not read.
    pub(super) fn new(id: u16) -> Option<Self> {
        use Cipher::{Aes128Cbc, Aes128Gcm, Aes256Cbc, Aes256Gcm, ChaCha20Poly1305};
        use Hash::{Sha256, Sha384};
        let (cipher, hash, mac) = match id {
            0x1301 => (Aes128Gcm, Sha256, 0),
            0x1302 => (Aes256Gcm, Sha384, 0),
            0x1303 => (ChaCha20Poly1305, Sha256, 0),
            // RFC 5288, 5289, 5487; RFC 8442 for 0xd001 and 0xd002.
            0x009c | 0x009e | 0x00a0 | 0x00a2 | 0x00a4 | 0x00a6 | 0x00a8 | 0x00aa | 0x00ac
            | 0xc02b | 0xc02d | 0xc02f | 0xc031 | 0xd001 => (Aes128Gcm, Sha256, 0),
            0x009d | 0x009f | 0x00a1 | 0x00a3 | 0x00a5 | 0x00a7 | 0x00a9 | 0x00ab | 0x00ad
            | 0xc02c | 0xc02e | 0xc030 | 0xc032 | 0xd002 => (Aes256Gcm, Sha384, 0),
            // RFC 7905.
            0xcca8..=0xccae => (ChaCha20Poly1305, Sha256, 0),
            // RFC 5246, 4492, 5289: CBC; under TLS 1.2 those with SHA-1 derive with SHA-256.
            0x002f..=0x0034
            | 0x008c
            | 0x0090
            | 0x0094
            | 0xc004
            | 0xc009
            | 0xc00e
            | 0xc013
            | 0xc018
            | 0xc035 => (Aes128Cbc, Sha256, 20),
            0x0035..=0x003a
            | 0x008d
            | 0x0091
            | 0x0095
            | 0xc005
            | 0xc00a
            | 0xc00f
            | 0xc014
            | 0xc019
            | 0xc036 => (Aes256Cbc, Sha256, 20),
            0x003c | 0x003e | 0x003f | 0x0040 | 0x0067 | 0x006c | 0x00ae | 0x00b2 | 0x00b6
            | 0xc023 | 0xc025 | 0xc027 | 0xc029 | 0xc037 => (Aes128Cbc, Sha256, 32),
            0x003d | 0x0068..=0x006b | 0x006d => (Aes256Cbc, Sha256, 32),
            0x00af | 0x00b3 | 0x00b7 | 0xc024 | 0xc026 | 0xc028 | 0xc02a | 0xc038 => {
                (Aes256Cbc, Sha384, 48)
            }
            _ => return None,
        };
        Some(Self { cipher, hash, mac })
    }

    /// Whether a number is of TLS 1.3.
    pub(super) fn is_13(id: u16) -> bool {
        id >> 8 == 0x13
    }
}
