//! What protocol a socket speaks, from the first bytes of its messages.
//!
//! Bias: a token of three capitals is taken for a method (SMTP's `EHLO` passes), because user space
//! decides and a missed request costs more than a few needless bytes. Failure mode: a request whose
//! method has lower-case letters, on a connection whose responses do not begin with `HTTP/1.` either,
//! is taken for another protocol after [`MOST_MISSES_UNKNOWN`] messages and then only counted. A
//! connection that has spoken HTTP is left alone only when user space, which reads the messages, says
//! so: odd-sized writes of pipelined requests look like anything from here.

use monitor_ebpf::{advice as told, class};

use crate::maps::{HEAD_DECIDED, SockState, advice};

/// Messages that do not look like HTTP before a connection that never did is left alone.
const MOST_MISSES_UNKNOWN: u16 = 16;
/// Misses after which user space is asked about a connection that has spoken HTTP (upgraded, or a duplex
/// body).
const MISSES_TO_ASK: u16 = 8;

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
    if have == HEAD_DECIDED || state.class == class::HTTP2 {
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
        let method = head as u32;
        if method == word(b"PRI ") {
            state.class = class::HTTP2;
            return;
        }
        state.class = class::HTTP1;
        if method == word(b"HTTP") {
            // Answers to requests that came without end do the same.
            state.heads[w] = state.heads[w ^ 1];
        } else {
            state.heads[w] = u8::from(
                method == word(b"GET ")
                    || method == word(b"HEAD")
                    || method == word(b"DELE")
                    || method == word(b"OPTI")
                    || method == word(b"TRAC"),
            );
            state.tunnel = u8::from(method == word(b"CONN"));
        }
        return;
    }
    state.misses = state.misses.saturating_add(1);
    if state.class != class::HTTP1 {
        if state.misses >= MOST_MISSES_UNKNOWN {
            state.class = class::OTHER;
        }
    } else if state.misses >= MISSES_TO_ASK && advice(state.cookie) & told::LEAVE != 0 {
        state.class = class::OTHER;
    }
}

/// Takes note of what a connection begins with, of which the other end has told.
#[inline(always)]
pub(crate) fn glance(state: &mut SockState, head: u64, length: u32) {
    if length > 3 && head as u32 == word(b"PRI ") {
        state.class = class::HTTP2;
    } else if length > 2 && is_handshake(head) {
        state.class = class::TLS;
    }
}

#[inline(always)]
fn word(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes)
}

/// Whether these bytes begin a TLS record.
#[inline(always)]
pub(crate) fn is_tls(head: u64) -> bool {
    byte(head, 0).wrapping_sub(0x14) <= 3 && byte(head, 1) == 3 && byte(head, 2) <= 4
}

/// Whether these bytes begin a TLS handshake.
#[inline(always)]
pub(crate) fn is_handshake(head: u64) -> bool {
    byte(head, 0) == 0x16 && byte(head, 1) == 3
}
