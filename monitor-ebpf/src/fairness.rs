//! Who may write how much into a ring that is filling up.
//!
//! While a CPU's ring is less than half full, everyone may: the rule costs one comparison. Above
//! that, a process writes from a bucket that refills at its fair share, under a cap for its control
//! group; out of tokens its calls shrink to 64 bytes, and when the ring is nearly full to a count. So
//! one flooder cannot blind the monitor to the others, and each step is counted for the process.

use aya_ebpf::helpers::generated as helpers;
use monitor_ebpf::{ProcessCounters, loss, uncovered};

use crate::{
    maps::{Bucket, CGROUPS, PROCESSES, add, count},
    setting,
};

/// How much of a call is sent up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// All that the message's share allows.
    Full,
    /// 64 bytes.
    Short,
    /// Nothing: it is counted.
    Nothing,
}

/// Root of the control-group hierarchy: it is not a tenant, so it has no cap.
const ROOT_CGROUP: u64 = 1;

/// Decides for `bytes` of process `tgid`, with `used` bytes in the ring.
#[inline(always)]
pub(crate) fn share(used: u64, tgid: u32, bytes: u32) -> Share {
    if used < u64::from(setting!(ring_half)) {
        return Share::Full;
    }
    contended(used, tgid, bytes)
}

#[inline(never)]
fn contended(used: u64, tgid: u32, bytes: u32) -> Share {
    // SAFETY: no preconditions.
    let (now, cgroup) = unsafe {
        (
            helpers::bpf_ktime_get_ns() >> 20,
            helpers::bpf_get_current_cgroup_id(),
        )
    };
    let Some(process) = counters(tgid, now, cgroup) else {
        return Share::Nothing;
    };
    // SAFETY: both point into map values; a race between CPUs can let a few bytes more through.
    unsafe {
        let enough = take(
            &raw mut (*process).tokens,
            &raw mut (*process).refilled,
            now,
            setting!(process_rate),
            setting!(process_burst),
            bytes,
        );
        if enough && (cgroup <= ROOT_CGROUP || cgroup_allows(cgroup, now, bytes)) {
            return Share::Full;
        }
        if used < u64::from(setting!(ring_high)) {
            add(&raw mut (*process).shed_short, 1);
            count(loss::SHED_SHORT, 1);
            Share::Short
        } else {
            add(&raw mut (*process).shed_count, 1);
            count(loss::SHED_COUNT, 1);
            Share::Nothing
        }
    }
}

#[inline(always)]
fn cgroup_allows(cgroup: u64, now: u64, bytes: u32) -> bool {
    if CGROUPS.get_ptr_mut(cgroup).is_none() {
        let fresh = Bucket {
            tokens: u64::from(setting!(cgroup_burst)),
            refilled: now,
        };
        let _ = CGROUPS.insert(cgroup, fresh, 0);
    }
    let Some(bucket) = CGROUPS.get_ptr_mut(cgroup) else {
        return true;
    };
    // SAFETY: points into a map value.
    unsafe {
        take(
            &raw mut (*bucket).tokens,
            &raw mut (*bucket).refilled,
            now,
            setting!(cgroup_rate),
            setting!(cgroup_burst),
            bytes,
        )
    }
}

/// Refills a bucket and takes from it.
///
/// # Safety
/// The pointers lead into one map value.
#[inline(always)]
unsafe fn take(
    tokens: *mut u64,
    refilled: *mut u64,
    now: u64,
    rate: u32,
    burst: u32,
    bytes: u32,
) -> bool {
    // SAFETY: by contract.
    unsafe {
        let mut have = *tokens;
        let elapsed = now.wrapping_sub(*refilled);
        if elapsed > 0 {
            have = have.wrapping_add(elapsed.wrapping_mul(u64::from(rate)));
            if have > u64::from(burst) || elapsed > u64::from(burst) {
                have = u64::from(burst);
            }
            *refilled = now;
        }
        let enough = have >= u64::from(bytes);
        *tokens = if enough {
            have - u64::from(bytes)
        } else {
            have
        };
        enough
    }
}

#[inline(always)]
fn counters(tgid: u32, now: u64, cgroup: u64) -> Option<*mut ProcessCounters> {
    if let Some(found) = PROCESSES.get_ptr_mut(tgid) {
        return Some(found);
    }
    let fresh = ProcessCounters {
        tokens: u64::from(setting!(process_burst)),
        refilled: now,
        shed_short: 0,
        shed_count: 0,
        uncovered: [0; uncovered::COUNT],
        cgroup,
    };
    let _ = PROCESSES.insert(tgid, fresh, 0);
    PROCESSES.get_ptr_mut(tgid)
}

/// Counts bytes that no buffer could be had for.
#[inline(never)]
pub(crate) fn uncovered(tgid: u32, cause: usize, bytes: u64) {
    // SAFETY: no preconditions.
    let (now, cgroup) = unsafe {
        (
            helpers::bpf_ktime_get_ns() >> 20,
            helpers::bpf_get_current_cgroup_id(),
        )
    };
    if let Some(process) = counters(tgid, now, cgroup)
        && cause < uncovered::COUNT
    {
        // SAFETY: points into a map value; the index is in bounds.
        unsafe { add(&raw mut (*process).uncovered[cause], bytes) };
    }
}
