//! OpenSSL 3 and 4: `EVP_KDF_derive(EVP_KDF_CTX *, unsigned char *key, size_t keylen, const OSSL_PARAM [])`.
//!
//! `OSSL_PARAM` is public ABI (openssl/core.h), and so are the parameters' names. libssl's order is
//! mode, digest, key, prefix, label, data for `TLS13-KDF` and digest, secret, seeds (label, server
//! random, client random) for `TLS1-PRF`. Of it is relied on that the first [`FIRST`] hold what is
//! wanted, and the order of the seeds. Of the twenty derivations of a handshake twelve have labels of
//! other lengths than those of interest, and cost one read.

use aya_ebpf::programs::ProbeContext;
use monitor_ebpf::{SECRET_BYTES, key_label, key_source};

use super::{
    Found, Step, is_key_expansion, on_key, on_secret, read_user, read_word, send, step, words,
};

/// Parameters that are read at once.
const FIRST: usize = 5;
/// `OSSL_PARAM_OCTET_STRING`.
const OCTETS: u32 = 5;
const RANDOM: u64 = 32;

/// `OSSL_PARAM`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Param {
    name: u64,
    data_type: u32,
    pad: u32,
    data: u64,
    size: u64,
    returned: u64,
}
const PARAM_BYTES: u64 = size_of::<Param>() as u64;
const NONE: Param = Param {
    name: 0,
    data_type: 0,
    pad: 0,
    data: 0,
    size: 0,
    returned: 0,
};

#[inline(always)]
fn named(name: u64, other: &[u8]) -> bool {
    // With the zero byte at the end.
    let bits = 8 * (other.len() as u64 + 1);
    let mask = if bits >= 64 {
        u64::MAX
    } else {
        (1 << bits) - 1
    };
    name & mask == words(other)[0]
}

/// Address of the random that a parameter holds.
#[inline(always)]
fn random(param: u64) -> Option<u64> {
    // Data and size.
    let mut out = [0_u64; 2];
    // SAFETY: the variable has sixteen bytes.
    let read = unsafe { read_user((&raw mut out).cast(), 16, 16, param.wrapping_add(16)) };
    if read && out[1] == RANDOM {
        Some(out[0])
    } else {
        None
    }
}

#[inline(always)]
pub(crate) fn derive(ctx: &ProbeContext) {
    let (Some(out), Some(from)) = (ctx.arg::<u64>(1), ctx.arg::<u64>(3)) else {
        return;
    };
    let mut params = [NONE; FIRST];
    let bytes = size_of_val(&params) as u64;
    // SAFETY: the variable has that many bytes.
    if !unsafe { read_user((&raw mut params).cast(), bytes, bytes, from) } {
        return;
    }
    let (mut label, mut size, mut seed) = (0, 0, 0);
    for (i, param) in params.iter().enumerate() {
        let fits = param.size == 3 || (param.size >= 11 && param.size <= 13);
        if param.data_type == OCTETS
            && fits
            && let Some(name) = read_word(param.name)
        {
            if named(name, b"label") {
                (label, size) = (param.data, param.size);
                break;
            }
            if named(name, b"seed") {
                (label, size) = (param.data, param.size);
                seed = from.wrapping_add(i as u64 * PARAM_BYTES);
                break;
            }
        }
    }
    if label == 0 {
        return;
    }
    let what = if seed == 0 {
        step(label, size)
    } else if is_key_expansion(label, size) {
        Step::Key
    } else {
        Step::Other
    };
    if let Step::Secret(label) = what {
        return on_secret(label, out);
    }
    if what == Step::Other {
        return;
    }
    let (mut secret, mut length) = (0, 0);
    for param in &params {
        if param.data_type == OCTETS
            && param.size >= RANDOM
            && param.size <= SECRET_BYTES as u64
            && let Some(name) = read_word(param.name)
            && (named(name, b"key") || named(name, b"secret"))
        {
            (secret, length) = (param.data, param.size);
            break;
        }
    }
    if secret == 0 {
        return;
    }
    if seed == 0 {
        return on_key(key_source::OPENSSL, secret, length);
    }
    let (Some(server), Some(client)) = (
        random(seed.wrapping_add(PARAM_BYTES)),
        random(seed.wrapping_add(2 * PARAM_BYTES)),
    ) else {
        return;
    };
    send(&Found {
        source: key_source::OPENSSL,
        label: key_label::MASTER,
        length: length as u32,
        secret,
        client_random: client,
        server_random: server,
    });
}
