//! Containment: new connections of a control group to some addresses are refused for a time.
//!
//! Attached to single control groups, and only while such a refusal is in force: everybody else never comes
//! by. The links belong to the monitor's descriptors, so they end when it does.

use aya_ebpf::{
    bindings::bpf_sock_addr,
    btf_maps::{LpmTrie, lpm_trie::Key},
    helpers::generated as helpers,
    macros::btf_map,
};
use monitor_ebpf::{REFUSE_BITS, REFUSE_LEVELS, REFUSE_MOST, Refused};

/// What is refused: until when (CLOCK_MONOTONIC, ns). 0 marks an address that belongs to something else, and is
/// let through although it lies in a range that is refused.
#[btf_map]
pub(crate) static REFUSED: LpmTrie<Refused, u64, { REFUSE_MOST as usize }> = LpmTrie::new();

const ALLOW: i32 = 1;
const DENY: i32 = 0;

/// Decides on a connect(2) to an IPv4 address.
///
/// # Safety
/// `ctx` is the program's context.
#[inline(always)]
pub(crate) unsafe fn connect4(ctx: *const bpf_sock_addr) -> i32 {
    // SAFETY: the verifier lets these fields be read, word by word.
    let (ip, port) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*ctx).user_ip4),
            core::ptr::read_volatile(&raw const (*ctx).user_port),
        )
    };
    // As an IPv4-mapped address (RFC 4291 §2.5.5.2); what the kernel gives is in network order.
    decide([0, 0, u32::from_be(0xffff), ip], port)
}

/// Decides on a connect(2) to an IPv6 address.
///
/// # Safety
/// `ctx` is the program's context.
#[inline(always)]
pub(crate) unsafe fn connect6(ctx: *const bpf_sock_addr) -> i32 {
    // SAFETY: as above.
    let (ip, port) = unsafe {
        (
            [
                core::ptr::read_volatile(&raw const (*ctx).user_ip6[0]),
                core::ptr::read_volatile(&raw const (*ctx).user_ip6[1]),
                core::ptr::read_volatile(&raw const (*ctx).user_ip6[2]),
                core::ptr::read_volatile(&raw const (*ctx).user_ip6[3]),
            ],
            core::ptr::read_volatile(&raw const (*ctx).user_port),
        )
    };
    decide(ip, port)
}

#[inline(always)]
fn decide(address: [u32; 4], port: u32) -> i32 {
    // SAFETY: no preconditions.
    let now = unsafe { helpers::bpf_ktime_get_ns() };
    let mut key = Key::new(
        REFUSE_BITS,
        Refused {
            cgroup: 0,
            port: 0,
            address,
        },
    );
    let mut level = 1;
    while level <= REFUSE_LEVELS {
        // SAFETY: no preconditions; 0 where the group is not that deep.
        let cgroup = unsafe { helpers::bpf_get_current_ancestor_cgroup_id(level) };
        if cgroup == 0 {
            return ALLOW;
        }
        key.data.cgroup = cgroup;
        // One port of an address comes before the address as a whole.
        key.data.port = u64::from(port);
        let mut until = REFUSED.get(&key).copied();
        if until.is_none_or(|until| until != 0 && until <= now) {
            key.data.port = 0;
            until = REFUSED.get(&key).copied();
        }
        if until.is_some_and(|until| until > now) {
            return DENY;
        }
        level += 1;
    }
    ALLOW
}
