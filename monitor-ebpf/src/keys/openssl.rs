//! OpenSSL 3 and 4: `EVP_KDF_derive(EVP_KDF_CTX *, unsigned char *key, size_t keylen, const OSSL_PARAM [])`.
//!
//! `OSSL_PARAM` is public ABI (openssl/core.h), and so are the parameters' names. libssl's order is
//! mode, digest, key, prefix, label, data for `TLS13-KDF` and digest, secret, seeds (label, server
//! random, client random) for `TLS1-PRF`; only that of the seeds is relied on.

use aya_ebpf::programs::ProbeContext;
use monitor_ebpf::{key_label, key_source};

use super::{
    Found, Step, label_length, on_step, read_text, read_user, read_word, send, step, words,
};

/// Most parameters that are looked at; libssl passes seven and an end.
const MOST: u64 = 8;
/// `OSSL_PARAM_OCTET_STRING`.
const OCTETS: u32 = 5;
const KEY_EXPANSION: [u64; 2] = words(b"key expansion");
const KEY_EXPANSION_BYTES: u64 = 13;
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
pub(crate) fn derive(ctx: &ProbeContext) {
    let (Some(out), Some(params)) = (ctx.arg::<u64>(1), ctx.arg::<u64>(3)) else {
        return;
    };
    let mut what = Step::Other;
    let (mut secret, mut length) = (0, 0);
    // Seeds of a key expansion seen so far, its label among them.
    let mut seeds = 0_u32;
    let mut randoms = [0_u64; 2];
    for i in 0..MOST {
        let mut param = Param {
            name: 0,
            data_type: 0,
            pad: 0,
            data: 0,
            size: 0,
        };
        let from = params.wrapping_add(i * PARAM_BYTES);
        let bytes = size_of::<Param>() as u64;
        // SAFETY: the variable has that many bytes.
        if !unsafe { read_user((&raw mut param).cast(), bytes, bytes, from) } || param.name == 0 {
            break;
        }
        let size = param.size;
        // Names are read only where type and size fit: most parameters end here.
        if param.data_type != OCTETS
            || !(label_length(size)
                || size == KEY_EXPANSION_BYTES
                || (size >= RANDOM && size <= 64))
        {
            continue;
        }
        let Some(name) = read_word(param.name) else {
            continue;
        };
        if named(name, b"key") || named(name, b"secret") {
            secret = param.data;
            length = size;
        } else if named(name, b"label") {
            what = step(param.data, size);
            if what == Step::Other {
                return;
            }
        } else if named(name, b"seed") {
            if seeds == 0 {
                if size != KEY_EXPANSION_BYTES {
                    return;
                }
                match read_text(param.data, size) {
                    Some(text) if text[0] == KEY_EXPANSION[0] && text[1] == KEY_EXPANSION[1] => {}
                    _ => return,
                }
            } else if size != RANDOM {
                return;
            } else if seeds == 1 {
                randoms[0] = param.data;
            } else if seeds == 2 {
                randoms[1] = param.data;
            }
            seeds += 1;
        }
    }
    if seeds == 3 {
        send(&Found {
            source: key_source::OPENSSL,
            label: key_label::MASTER,
            length: length as u32,
            secret,
            client_random: randoms[1],
            server_random: randoms[0],
        });
    } else if seeds == 0 {
        on_step(what, key_source::OPENSSL, secret, length, out);
    }
}
