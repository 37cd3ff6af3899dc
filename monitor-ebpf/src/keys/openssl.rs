//! OpenSSL 3 and 4: `EVP_KDF_derive(EVP_KDF_CTX *, unsigned char *key, size_t keylen, const OSSL_PARAM [])`.
//!
//! `OSSL_PARAM` is public ABI (openssl/core.h), and so are the parameters' names. libssl's order is
//! mode, digest, key, prefix, label, data for `TLS13-KDF` and digest, secret, seeds (label, server
//! random, client random) for `TLS1-PRF`; only that of the seeds is relied on.

use aya_ebpf::programs::ProbeContext;
use monitor_ebpf::{SECRET_BYTES, key_label, key_source};

use super::{Found, is_key_expansion, on_step, read_user, read_word, send, step, words};

/// Most parameters that are looked at; libssl passes seven and an end.
const MOST: u64 = 8;
/// `OSSL_PARAM_OCTET_STRING`.
const OCTETS: u32 = 5;
const RANDOM: u64 = 32;

/// `OSSL_PARAM`, less its last field.
#[repr(C)]
struct Param {
    name: u64,
    data_type: u32,
    pad: u32,
    data: u64,
    size: u64,
}
const PARAM_BYTES: u64 = 40;

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

#[inline(always)]
fn read_param(from: u64) -> Option<Param> {
    let mut param = Param {
        name: 0,
        data_type: 0,
        pad: 0,
        data: 0,
        size: 0,
    };
    let bytes = size_of::<Param>() as u64;
    // SAFETY: the variable has that many bytes.
    let read = unsafe { read_user((&raw mut param).cast(), bytes, bytes, from) };
    if read && param.name != 0 {
        Some(param)
    } else {
        None
    }
}

#[inline(always)]
pub(crate) fn derive(ctx: &ProbeContext) {
    let (Some(out), Some(params)) = (ctx.arg::<u64>(1), ctx.arg::<u64>(3)) else {
        return;
    };
    let (mut secret, mut length) = (0, 0);
    let (mut label, mut label_size) = (0, 0);
    let mut seed = 0;
    // What is found is looked at afterwards: the verifier walks every way through a loop.
    for i in 0..MOST {
        let from = params.wrapping_add(i * PARAM_BYTES);
        let Some(param) = read_param(from) else {
            return;
        };
        if param.data_type != OCTETS || param.size > SECRET_BYTES as u64 {
            continue;
        }
        let Some(name) = read_word(param.name) else {
            continue;
        };
        if named(name, b"key") || named(name, b"secret") {
            secret = param.data;
            length = param.size;
        } else if named(name, b"label") {
            label = param.data;
            label_size = param.size;
        } else if named(name, b"seed") {
            // The first of them is the label.
            label = param.data;
            label_size = param.size;
            seed = from;
        }
        if secret != 0 && label != 0 {
            break;
        }
    }
    if secret == 0 || label == 0 {
        return;
    }
    if seed == 0 {
        let what = step(label, label_size);
        return on_step(what, key_source::OPENSSL, secret, length, out);
    }
    if !is_key_expansion(label, label_size) {
        return;
    }
    let (Some(server), Some(client)) = (
        read_param(seed.wrapping_add(PARAM_BYTES)),
        read_param(seed.wrapping_add(2 * PARAM_BYTES)),
    ) else {
        return;
    };
    if server.size != RANDOM || client.size != RANDOM {
        return;
    }
    send(&Found {
        source: key_source::OPENSSL,
        label: key_label::MASTER,
        length: length as u32,
        secret,
        client_random: client.data,
        server_random: server.data,
    });
}
