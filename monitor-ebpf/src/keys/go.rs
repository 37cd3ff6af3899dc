//! Go ≥ 1.17: `crypto/tls.(*Config).writeKeyLog(label string, clientRandom, secret []byte)`, called at every
//! handshake whether or not a log is wanted. Arguments are in registers (Go's internal ABI); the labels
//! are those of the key log's format (draft-ietf-tls-keylogfile).

use aya_ebpf::programs::ProbeContext;
use monitor_ebpf::{key_label, key_source, loss};

use super::{Found, read_text, registers, send, words};
use crate::maps::count;

const RANDOM: u64 = 32;

#[inline(always)]
pub(crate) fn write_key_log(ctx: &ProbeContext) {
    let (text, length) = (registers::go::<1>(ctx), registers::go::<2>(ctx));
    let (random, random_size) = (registers::go::<3>(ctx), registers::go::<4>(ctx));
    let (secret, secret_size) = (registers::go::<6>(ctx), registers::go::<7>(ctx));
    if random_size != RANDOM || secret_size > 64 || length < 13 {
        return;
    }
    // The first eight bytes and the length tell the labels apart.
    let Some(text) = read_text(text, 8) else {
        return count(loss::KEY_FAULT, 1);
    };
    const CLIENT: [u64; 2] = words(b"CLIENT_H");
    const CLIENT_EARLY: [u64; 2] = words(b"CLIENT_E");
    const CLIENT_TRAFFIC: [u64; 2] = words(b"CLIENT_T");
    const CLIENT_RANDOM: [u64; 2] = words(b"CLIENT_R");
    const SERVER: [u64; 2] = words(b"SERVER_H");
    const SERVER_TRAFFIC: [u64; 2] = words(b"SERVER_T");
    let is = |other: [u64; 2], bytes: u64| text[0] == other[0] && length == bytes;
    let label = if is(CLIENT_TRAFFIC, 23) {
        key_label::CLIENT_TRAFFIC
    } else if is(SERVER_TRAFFIC, 23) {
        key_label::SERVER_TRAFFIC
    } else if is(CLIENT, 31) {
        key_label::CLIENT_HANDSHAKE
    } else if is(SERVER, 31) {
        key_label::SERVER_HANDSHAKE
    } else if is(CLIENT_RANDOM, 13) {
        key_label::MASTER
    } else if is(CLIENT_EARLY, 27) {
        key_label::CLIENT_EARLY
    } else {
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
