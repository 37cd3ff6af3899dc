//! GnuTLS.
//!
//! - TLS 1.2: `_gnutls_prf_raw(gnutls_mac_algorithm_t, size_t secret_size, const void *secret, size_t
//!   label_size, const char *label, size_t seed_size, const uint8_t *seed, size_t, char *)`, exported since
//!   3.6; the seed of `key expansion` is the server's random, then the client's.
//! - TLS 1.3: `gnutls_hkdf_expand(gnutls_mac_algorithm_t, const gnutls_datum_t *key, const gnutls_datum_t
//!   *info, void *output, size_t)`, since 3.6.13; a `gnutls_datum_t` is an address and an unsigned length.
//!   Since 3.7.3 the library itself uses an inner function with the same arguments, not exported.
//! - Or both versions' `nettle_hkdf_expand(void *mac, nettle_hash_update_func *, nettle_hash_digest_func *,
//!   size_t, size_t info_size, const uint8_t *info, size_t length, uint8_t *dst)` of libnettle. The input is
//!   in `mac` in another form by then, but it is what the derivation before has written: GnuTLS derives
//!   a traffic secret, its key and its iv in a row.

use aya_ebpf::{helpers::generated as helpers, programs::ProbeContext};
use monitor_ebpf::{key_label, key_source};

use super::{
    Found, LABEL_UPDATED, Step, is_key_expansion, on_key, on_secret, read_word, registers, send,
    step_of_info,
};
use crate::maps::PENDING;

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
    if seed_size != 2 * RANDOM || !is_key_expansion(label, label_size) {
        return;
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

/// Address and length of a `gnutls_datum_t`.
#[inline(always)]
fn datum(at: u64) -> Option<(u64, u64)> {
    let (Some(data), Some(size)) = (read_word(at), read_word(at.wrapping_add(8))) else {
        return None;
    };
    Some((data, size & 0xffff_ffff))
}

#[inline(always)]
pub(crate) fn expand(ctx: &ProbeContext) {
    let (Some(key), Some(info), Some(out)) =
        (ctx.arg::<u64>(1), ctx.arg::<u64>(2), ctx.arg::<u64>(3))
    else {
        return;
    };
    let Some((info, info_size)) = datum(info) else {
        return;
    };
    match step_of_info(info, info_size) {
        Step::Other => {}
        Step::Secret(label) => on_secret(label, out),
        Step::Key => {
            if let Some((secret, length)) = datum(key) {
                on_key(key_source::GNUTLS, secret, length);
            }
        }
    }
}

/// A traffic secret that a thread is deriving.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    address: u64,
    length: u32,
    /// [`key_label`] or [`LABEL_UPDATED`].
    label: u32,
}

#[inline(always)]
pub(crate) fn nettle_expand(ctx: &ProbeContext) {
    let (Some(info_size), Some(info)) = (ctx.arg::<u64>(4), ctx.arg::<u64>(5)) else {
        return;
    };
    // SAFETY: no preconditions.
    let thread = unsafe { helpers::bpf_get_current_pid_tgid() };
    match step_of_info(info, info_size) {
        Step::Other => {}
        Step::Secret(label) => {
            let (Some(length), Some(address)) =
                (registers::argument::<6>(ctx), registers::argument::<7>(ctx))
            else {
                return;
            };
            let pending = Pending {
                address,
                length: length as u32,
                label,
            };
            let _ = PENDING.insert(thread, pending, 0);
        }
        Step::Key => {
            // SAFETY: the value is copied at once.
            let Some(pending) = (unsafe { PENDING.get(thread) }).copied() else {
                return;
            };
            let _ = PENDING.remove(thread);
            if pending.label != LABEL_UPDATED {
                send(&Found {
                    source: key_source::GNUTLS,
                    label: pending.label as u8,
                    length: pending.length,
                    secret: pending.address,
                    client_random: 0,
                    server_random: 0,
                });
            }
        }
    }
}
