//! GnuTLS.
//!
//! - TLS 1.2: `_gnutls_prf_raw(gnutls_mac_algorithm_t, size_t secret_size, const void *secret, size_t
//!   label_size, const char *label, size_t seed_size, const uint8_t *seed, size_t, char *)`, exported since
//!   3.6; the seed of `key expansion` is the server's random, then the client's.
//! - TLS 1.3: `gnutls_hkdf_expand(gnutls_mac_algorithm_t, const gnutls_datum_t *key, const gnutls_datum_t
//!   *info, void *output, size_t)`, since 3.6.13; a `gnutls_datum_t` is an address and an unsigned length.

use aya_ebpf::programs::ProbeContext;
use monitor_ebpf::{key_label, key_source};

use super::{Found, on_step, read_text, read_word, registers, send, step_of_info, words};

const KEY_EXPANSION: [u64; 2] = words(b"key expansion");
const KEY_EXPANSION_BYTES: u64 = 13;
const RANDOM: u64 = 32;

#[inline(always)]
pub(crate) fn prf(ctx: &ProbeContext) {
    let (Some(length), Some(secret), Some(label_size), Some(label), Some(seed_size)) = (
        ctx.arg::<u64>(1),
        ctx.arg::<u64>(2),
        ctx.arg::<u64>(3),
        ctx.arg::<u64>(4),
        ctx.arg::<u64>(5),
    ) else {
        return;
    };
    if label_size != KEY_EXPANSION_BYTES || seed_size != 2 * RANDOM {
        return;
    }
    match read_text(label, label_size) {
        Some(text) if text[0] == KEY_EXPANSION[0] && text[1] == KEY_EXPANSION[1] => {}
        _ => return,
    }
    let Some(seed) = registers::argument::<6>(ctx) else {
        return;
    };
    send(&Found {
        source: key_source::GNUTLS,
        label: key_label::MASTER,
        length: length as u32,
        secret,
        client_random: seed.wrapping_add(RANDOM),
        server_random: seed,
    });
}

#[inline(always)]
pub(crate) fn expand(ctx: &ProbeContext) {
    let (Some(key), Some(info), Some(out)) =
        (ctx.arg::<u64>(1), ctx.arg::<u64>(2), ctx.arg::<u64>(3))
    else {
        return;
    };
    let (Some(info), Some(info_size)) = (read_word(info), read_word(info.wrapping_add(8))) else {
        return;
    };
    let what = step_of_info(info, info_size & 0xffff_ffff);
    let (Some(secret), Some(length)) = (read_word(key), read_word(key.wrapping_add(8))) else {
        return;
    };
    on_step(what, key_source::GNUTLS, secret, length & 0xffff_ffff, out);
}
