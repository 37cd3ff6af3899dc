//! BoringSSL, and aws-lc which descends from it.
//!
//! - TLS 1.3: `HKDF_expand(uint8_t *out, size_t, const EVP_MD *, const uint8_t *prk, size_t prk_len, const
//!   uint8_t *info, size_t info_len)`. rustls moves a secret between its derivation and its use: it goes
//!   up without its label.
//! - TLS 1.2: `CRYPTO_tls1_prf(const EVP_MD *, uint8_t *, size_t, const uint8_t *secret, size_t secret_len,
//!   const char *label, size_t label_len, const uint8_t *seed1, size_t seed1_len, const uint8_t *seed2,
//!   size_t seed2_len)`; the server's random and the client's are two seeds, or one.
//! - Both: `bssl::ssl_log_secret(const SSL *, const char *label, bssl::Span<const uint8_t> secret)`, called
//!   whether or not a log is wanted, without the client's random.

use aya_ebpf::programs::ProbeContext;
use monitor_ebpf::{key_label, key_source};

use super::{
    Found, Step, is_key_expansion, logged, on_key, on_secret, registers, send, step_of_info,
};

const RANDOM: u64 = 32;

#[inline(always)]
pub(crate) fn expand(ctx: &ProbeContext) {
    let (Some(out), Some(secret), Some(length), Some(info), Some(info_size)) = (
        ctx.arg::<u64>(0),
        ctx.arg::<u64>(3),
        ctx.arg::<u64>(4),
        ctx.arg::<u64>(5),
        registers::argument::<6>(ctx),
    ) else {
        return;
    };
    match step_of_info(info, info_size) {
        Step::Other => {}
        Step::Secret(label) => on_secret(label, out),
        Step::Key => on_key(key_source::BORINGSSL, secret, length),
    }
}

#[inline(always)]
pub(crate) fn prf(ctx: &ProbeContext) {
    let (Some(secret), Some(length), Some(label), Some(label_size)) = (
        ctx.arg::<u64>(3),
        ctx.arg::<u64>(4),
        ctx.arg::<u64>(5),
        registers::argument::<6>(ctx),
    ) else {
        return;
    };
    if !is_key_expansion(label, label_size) {
        return;
    }
    let (Some(first), Some(first_size), Some(second), Some(second_size)) = (
        registers::argument::<7>(ctx),
        registers::argument::<8>(ctx),
        registers::argument::<9>(ctx),
        registers::argument::<10>(ctx),
    ) else {
        return;
    };
    let client_random = if first_size == 2 * RANDOM && second_size == 0 {
        first.wrapping_add(RANDOM)
    } else if first_size == RANDOM && second_size == RANDOM {
        second
    } else {
        return;
    };
    send(&Found {
        source: key_source::BORINGSSL,
        label: key_label::MASTER,
        length: length as u32,
        secret,
        client_random,
        server_random: first,
    });
}

#[inline(always)]
pub(crate) fn log_secret(ctx: &ProbeContext) {
    let (Some(text), Some(secret), Some(length)) =
        (ctx.arg::<u64>(1), ctx.arg::<u64>(2), ctx.arg::<u64>(3))
    else {
        return;
    };
    let Some(label) = logged(text) else {
        return;
    };
    send(&Found {
        source: key_source::BORINGSSL,
        label,
        length: length as u32,
        secret,
        client_random: 0,
        server_random: 0,
    });
}
