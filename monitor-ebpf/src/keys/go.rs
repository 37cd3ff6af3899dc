//! Go ≥ 1.17: `crypto/tls.(*Config).writeKeyLog(label string, clientRandom, secret []byte)`, called at every
//! handshake whether or not a log is wanted. Arguments are in registers (Go's internal ABI); the labels
//! are those of the key log's format (draft-ietf-tls-keylogfile).

use aya_ebpf::programs::ProbeContext;
use monitor_ebpf::key_source;

use super::{Found, logged, registers, send};

const RANDOM: u64 = 32;

#[inline(always)]
pub(crate) fn write_key_log(ctx: &ProbeContext) {
    let (text, length) = (registers::go::<1>(ctx), registers::go::<2>(ctx));
    let (random, random_size) = (registers::go::<3>(ctx), registers::go::<4>(ctx));
    let (secret, secret_size) = (registers::go::<6>(ctx), registers::go::<7>(ctx));
    if random_size != RANDOM || secret_size > 64 || length < 13 {
        return;
    }
    let Some(label) = logged(text) else {
        return;
    };
    send(&Found {
        source: key_source::GO,
        label,
        length: secret_size as u32,
        secret,
        client_random: random,
        server_random: 0,
    });
}
