//! The record of a TLS secret, and the slots in which it comes up.

use crate::Header;

/// Which library a TLS secret was taken from; [`Key::source`].
pub mod key_source {
    /// OpenSSL 3: `EVP_KDF_derive`.
    pub const OPENSSL: u8 = 1;
    /// Go: `crypto/tls.(*Config).writeKeyLog`.
    pub const GO: u8 = 2;
    /// GnuTLS: `_gnutls_prf_raw`, libnettle's `nettle_hkdf_expand`.
    pub const GNUTLS: u8 = 3;
    /// BoringSSL, aws-lc: `HKDF_expand`, `CRYPTO_tls1_prf`.
    pub const BORINGSSL: u8 = 4;
    /// Their names, in order.
    pub const NAMES: [&str; 5] = ["unknown", "openssl", "go", "gnutls", "boringssl"];
}

/// What a TLS secret is for; [`Key::label`].
pub mod key_label {
    /// Traffic secret of TLS 1.3 whose own label was not seen being derived: any of the five below, or
    /// a later generation of the last two.
    pub const UNKNOWN: u8 = 0;
    /// Early data, client to server.
    pub const CLIENT_EARLY: u8 = 1;
    /// Handshake, client to server.
    pub const CLIENT_HANDSHAKE: u8 = 2;
    /// Handshake, server to client.
    pub const SERVER_HANDSHAKE: u8 = 3;
    /// Application data, client to server, before any key update.
    pub const CLIENT_TRAFFIC: u8 = 4;
    /// Application data, server to client, before any key update.
    pub const SERVER_TRAFFIC: u8 = 5;
    /// Master secret of TLS 1.2 and before.
    pub const MASTER: u8 = 6;
    /// Their names, in order.
    pub const NAMES: [&str; 7] = [
        "unknown",
        "client_early",
        "client_handshake",
        "server_handshake",
        "client_traffic",
        "server_traffic",
        "master",
    ];
}

/// Bits of a [`Key`]'s `header.flags`.
pub mod key_flag {
    /// [`Key::client_random`](super::Key) is known.
    pub const CLIENT_RANDOM: u8 = 1;
    /// [`Key::server_random`](super::Key) is known.
    pub const SERVER_RANDOM: u8 = 2;
}

/// States of a [`KeySlot`].
pub mod slot_state {
    /// Nobody's; its bytes are zero.
    pub const FREE: u64 = 0;
    /// A kernel program writes.
    pub const TAKEN: u64 = 1;
    /// User space may read; it overwrites the key with zeros, then frees the slot.
    pub const READY: u64 = 2;
}

/// Longest TLS secret, in bytes (a hash of SHA-512; the secrets of TLS have 32 or 48).
pub const SECRET_BYTES: usize = 64;
/// TLS secrets that can wait for user space at one time.
pub const KEY_SLOTS: usize = 1024;

/// A TLS secret, as its library was about to derive keys from it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Key {
    /// flags: [`key_flag`].
    pub header: Header,
    /// CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// TLS socket that this thread used last (its kernel cookie), 0 when none is known: a first guess.
    pub sock: u64,
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// `self_exec_id` of the process' image.
    pub exec_id: u32,
    /// [`key_source`].
    pub source: u8,
    /// [`key_label`].
    pub label: u8,
    /// Bytes of `secret` in use, 1 to [`SECRET_BYTES`].
    pub secret_len: u8,
    /// Reserved, zero.
    pub pad: u8,
    /// Random of the ClientHello, or zero.
    pub client_random: [u8; 32],
    /// Random of the ServerHello, or zero.
    pub server_random: [u8; 32],
    /// The secret, then zeros.
    pub secret: [u8; SECRET_BYTES],
}

/// Says what kind of secret it is, never the secret nor what would find its connection.
impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = |names: &[&'static str], index: u8| names.get(usize::from(index)).copied();
        f.debug_struct("Key")
            .field("time", &self.time)
            .field("sock", &self.sock)
            .field("tgid", &self.tgid)
            .field("tid", &self.tid)
            .field("source", &name(&key_source::NAMES, self.source))
            .field("label", &name(&key_label::NAMES, self.label))
            .field("secret_len", &self.secret_len)
            .finish_non_exhaustive()
    }
}

/// Where a secret waits for user space, which has the memory mapped.
#[repr(C)]
#[derive(Debug)]
pub struct KeySlot {
    /// [`slot_state`]; accessed atomically by both sides.
    pub state: u64,
    /// Zero but in state [`slot_state::READY`].
    pub key: Key,
}

const _: () = {
    assert!(size_of::<Key>() == 168);
    assert!(size_of::<KeySlot>() == 176);
};
