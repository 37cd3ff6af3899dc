//! What protocol a socket speaks, from the first bytes of its messages.
//!
//! Bias: a token of three capitals is taken for a method (SMTP's `EHLO` passes), because user space
//! decides and a missed request costs more than a few needless bytes. Failure mode: a request whose
//! method has lower-case letters, on a connection whose responses do not begin with `HTTP/1.` either,
//! is taken for another protocol after [`MOST_MISSES_UNKNOWN`] messages and then only counted.

use monitor_ebpf::class;

use crate::maps::{HEAD_DECIDED, SockState};

/// Messages that do not look like HTTP before a connection that never did is left alone.
const MOST_MISSES_UNKNOWN: u16 = 16;
/// The same for a connection that has spoken HTTP (upgraded, or a duplex body).
const MOST_MISSES_HTTP: u16 = 64;

#[inline(always)]
fn byte(head: u64, i: u32) -> u8 {
    (head >> (8 * i)) as u8
}

#[inline(always)]
fn capital(c: u8) -> bool {
    c >= b'A' && c <= b'Z'
}

/// Whether a message may begin with these bytes (three at least).
#[inline(always)]
pub(crate) fn may_begin(head: u64) -> bool {
    let (a, b, c) = (byte(head, 0), byte(head, 1), byte(head, 2));
    // Methods, `HTTP/1.`; some clients send an empty line before a request (RFC 9112 §2.2).
    (capital(a) && (capital(b) || b == b'-') && (capital(c) || c == b'-'))
        || (a == b'\r' && b == b'\n')
}

/// Takes `valid` more bytes of the message under way into account.
#[inline(always)]
pub(crate) fn observe(state: &mut SockState, w: usize, bytes: u64, valid: u32) {
    let have = state.head_len[w];
    if have == HEAD_DECIDED {
        return;
    }
    let mask = if valid >= 8 {
        u64::MAX
    } else {
        (1_u64 << (8 * (valid & 7))) - 1
    };
    let head = if have == 0 {
        bytes & mask
    } else {
        state.head[w] | (bytes & mask) << (8 * u32::from(have & 7))
    };
    let length = u32::from(have) + if valid > 8 { 8 } else { valid };
    state.head[w] = head;
    if length < 3 {
        state.head_len[w] = length as u8;
        return;
    }
    state.head_len[w] = HEAD_DECIDED;
    if may_begin(head) {
        state.misses = 0;
        if head as u32 == u32::from_le_bytes(*b"PRI ") {
            state.class = class::HTTP2;
        } else {
            state.class = class::HTTP1;
        }
        return;
    }
    if state.class == class::UNKNOWN && byte(head, 0) == 0x16 && byte(head, 1) == 3 {
        state.class = class::TLS;
        return;
    }
    state.misses = state.misses.saturating_add(1);
    let most = if state.class == class::HTTP1 {
        MOST_MISSES_HTTP
    } else {
        MOST_MISSES_UNKNOWN
    };
    if state.misses >= most {
        state.class = class::OTHER;
    }
}
