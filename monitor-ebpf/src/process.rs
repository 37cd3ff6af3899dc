//! Births, images and deaths of processes, and control groups as they are made.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, helpers::generated as helpers};
use monitor_ebpf::{
    Cgroup, Exec, Exit, Fork, Header, PATH_BYTES, PATH_COMPONENTS, exec_flag, kind, loss,
};

use crate::{
    kernel::{copy, field, follow},
    maps::{CONTROL, count},
    offset,
};

/// Half of a path's room: a component is read only while the position is below it.
const HALF: u32 = (PATH_BYTES / 2) as u32;

#[inline(always)]
fn header(kind: u8) -> Header {
    Header {
        kind,
        dir: 0,
        class: 0,
        flags: 0,
        len: 0,
    }
}

#[inline(always)]
fn real_uid() -> u32 {
    // SAFETY: no preconditions.
    unsafe { helpers::bpf_get_current_uid_gid() as u32 }
}

/// # Safety
/// `task` and `bprm` are the tracepoint's arguments.
#[inline(always)]
pub(crate) unsafe fn on_exec(task: *const c_void, bprm: *const c_void) {
    let Some(mut slot) = CONTROL.reserve_untyped::<Exec>(0) else {
        return count(loss::CONTROL_RING, 1);
    };
    let record = slot.as_mut_ptr();
    // SAFETY: the reservation has the record's size; user space reads only `len` bytes of the path,
    // and every other field is written here.
    unsafe {
        let path: *mut u8 = (&raw mut (*record).path).cast();
        let mut flags = 0;
        let mut length = walk(task, bprm, path);
        if length > 0 {
            flags = exec_flag::WALKED;
        } else if let Some(name) = follow(bprm, offset!(bprm_filename)) {
            let got = helpers::bpf_probe_read_kernel_str(path.cast(), HALF, name);
            length = if got > 0 { got as u32 } else { 0 };
        }
        let mut head = header(kind::EXEC);
        head.flags = flags;
        head.len = length;
        (*record).header = head;
        (*record).time = helpers::bpf_ktime_get_ns();
        (*record).cgroup = helpers::bpf_get_current_cgroup_id();
        (*record).start = field::<u64>(task, offset!(task_start_boottime));
        (*record).tgid = field::<u32>(task, offset!(task_tgid));
        (*record).ppid = follow(task, offset!(task_real_parent))
            .and_then(|parent| copy::<u32>(parent, offset!(task_tgid)))
            .unwrap_or(0);
        (*record).uid = real_uid();
        (*record).exec_id = field::<u32>(task, offset!(task_self_exec_id));
    }
    slot.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// Writes the components of the new image's path, last first, each with its zero byte; returns the
/// bytes written, 0 when the root was not reached.
///
/// # Safety
/// `to` has room for [`PATH_BYTES`]; the others are the tracepoint's arguments.
#[inline(always)]
unsafe fn walk(task: *const c_void, bprm: *const c_void, to: *mut u8) -> u32 {
    let (Some(file), Some(fs)) = (
        follow(bprm, offset!(bprm_file)),
        follow(task, offset!(task_fs)),
    ) else {
        return 0;
    };
    let (Some(mut dentry), Some(mnt)) = (
        follow(file, offset!(file_f_path) + offset!(path_dentry)),
        follow(file, offset!(file_f_path) + offset!(path_mnt)),
    ) else {
        return 0;
    };
    let root_dentry = follow(fs, offset!(fs_root) + offset!(path_dentry));
    let root_mnt = follow(fs, offset!(fs_root) + offset!(path_mnt));
    let mut mount = mnt
        .cast::<u8>()
        .wrapping_sub(offset!(mount_mnt))
        .cast::<c_void>();
    let mut position = 0_u32;
    for _ in 0..PATH_COMPONENTS {
        let mnt: *const c_void = mount.cast::<u8>().wrapping_add(offset!(mount_mnt)).cast();
        if Some(dentry) == root_dentry && Some(mnt) == root_mnt {
            return position;
        }
        let Some(parent) = follow(dentry, offset!(dentry_d_parent)) else {
            return 0;
        };
        if Some(dentry) == follow(mnt, offset!(vfsmount_mnt_root)) || dentry == parent {
            let Some(above) = follow(mount, offset!(mount_mnt_parent)) else {
                return 0;
            };
            if above == mount {
                return position;
            }
            let Some(point) = follow(mount, offset!(mount_mnt_mountpoint)) else {
                return 0;
            };
            dentry = point;
            mount = above;
            continue;
        }
        let Some(name) = follow(dentry, offset!(dentry_d_name)) else {
            return 0;
        };
        if position >= HALF {
            return 0;
        }
        // SAFETY: position < HALF and at most HALF bytes are written: within PATH_BYTES.
        let got = unsafe {
            helpers::bpf_probe_read_kernel_str(
                to.add((position & (HALF - 1)) as usize).cast(),
                HALF,
                name,
            )
        };
        if got <= 0 {
            return 0;
        }
        position += (got as u32) & (PATH_BYTES as u32 - 1);
        dentry = parent;
    }
    0
}

/// # Safety
/// `parent` and `child` are the tracepoint's arguments.
#[inline(always)]
pub(crate) unsafe fn on_fork(parent: *const c_void, child: *const c_void) {
    // SAFETY: fields of trusted tasks.
    let (pid, tgid) = unsafe {
        (
            field::<u32>(child, offset!(task_pid)),
            field::<u32>(child, offset!(task_tgid)),
        )
    };
    if pid != tgid {
        return;
    }
    let Some(mut slot) = CONTROL.reserve_untyped::<Fork>(0) else {
        return count(loss::CONTROL_RING, 1);
    };
    // SAFETY: fields of trusted tasks; helpers without preconditions.
    unsafe {
        slot.write(Fork {
            header: header(kind::FORK),
            time: helpers::bpf_ktime_get_ns(),
            cgroup: helpers::bpf_get_current_cgroup_id(),
            start: field::<u64>(child, offset!(task_start_boottime)),
            tgid,
            ppid: field::<u32>(parent, offset!(task_tgid)),
            uid: real_uid(),
            exec_id: field::<u32>(child, offset!(task_self_exec_id)),
        });
    }
    slot.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// # Safety
/// `task` is the tracepoint's argument.
#[inline(always)]
pub(crate) unsafe fn on_exit(task: *const c_void) {
    // The last thread of a process takes it with it.
    let alive = follow(task, offset!(task_signal))
        .and_then(|signal| copy::<i32>(signal, offset!(signal_live)))
        .unwrap_or(0);
    if alive > 0 {
        return;
    }
    let Some(mut slot) = CONTROL.reserve_untyped::<Exit>(0) else {
        return count(loss::CONTROL_RING, 1);
    };
    // SAFETY: a field of the trusted task.
    let tgid = unsafe { field::<u32>(task, offset!(task_tgid)) };
    slot.write(Exit {
        header: header(kind::EXIT),
        // SAFETY: no preconditions.
        time: unsafe { helpers::bpf_ktime_get_ns() },
        start: follow(task, offset!(task_group_leader))
            .and_then(|leader| copy::<u64>(leader, offset!(task_start_boottime)))
            .unwrap_or(0),
        tgid,
        pad: 0,
    });
    slot.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// # Safety
/// `cgroup` and `path` are the tracepoint's arguments.
#[inline(always)]
pub(crate) unsafe fn on_cgroup(cgroup: *const c_void, path: *const c_void) {
    let hierarchy = follow(cgroup, offset!(cgroup_root))
        .and_then(|root| copy::<i32>(root, offset!(cgroup_root_hierarchy_id)));
    // Only the unified hierarchy names units; the others carry no ids that sockets know.
    if hierarchy != Some(0) {
        return;
    }
    let Some(mut slot) = CONTROL.reserve_untyped::<Cgroup>(0) else {
        return count(loss::CONTROL_RING, 1);
    };
    let record = slot.as_mut_ptr();
    // SAFETY: the reservation has the record's size; user space reads only `len` bytes of the path.
    unsafe {
        let got = helpers::bpf_probe_read_kernel_str(
            (&raw mut (*record).path).cast(),
            PATH_BYTES as u32,
            path,
        );
        let mut head = header(kind::CGROUP);
        head.len = if got > 0 { got as u32 } else { 0 };
        (*record).header = head;
        (*record).id = follow(cgroup, offset!(cgroup_kn))
            .and_then(|node| copy::<u64>(node, offset!(kernfs_node_id)))
            .unwrap_or(0);
    }
    slot.submit(u64::from(BPF_RB_NO_WAKEUP));
}
