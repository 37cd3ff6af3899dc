//! Filters of system calls: what a part never does is refused with EPERM.
//!
//! A list of what is refused, not of what is allowed: the C library's calls differ from one version to the next, and a
//! monitor that dies of an update is none. The list of what is allowed is the unit's (`SystemCallFilter=`).

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

use super::Part;

/// No part runs programs, looks into other processes' memory, or changes the system or its own identity.
const NEVER: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_personality,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_syslog,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];
/// Programs in the kernel.
const KERNEL: &[i64] = &[libc::SYS_bpf, libc::SYS_perf_event_open];
/// New sockets, and what is done with them first.
const NETWORK: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
];
/// Signals to other processes, and their descriptors and namespaces.
const OTHERS: &[i64] = &[
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_setns,
];
/// Files by name.
const FILES: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_renameat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
];
/// Commands of bpf(2) on maps that are open: look up, update, delete, next key (include/uapi/linux/bpf.h).
const ELEMENTS: [u64; 4] = [1, 2, 3, 4];

/// What is refused to a part.
fn refused(part: Part) -> Vec<&'static [i64]> {
    match part {
        Part::Capture => vec![NEVER, &[libc::SYS_perf_event_open], NETWORK, OTHERS, FILES],
        Part::Serving | Part::Main => vec![NEVER, KERNEL, OTHERS],
        Part::HostFiles | Part::Search | Part::KeyLogs | Part::Scan | Part::AuditLog => {
            vec![NEVER, KERNEL, NETWORK, OTHERS]
        }
        Part::Probe => vec![NEVER, NETWORK, OTHERS],
        Part::Act => vec![NEVER],
    }
}

/// Puts the filter of a part on the calling thread.
pub(super) fn restrict(part: Part) -> Result<(), String> {
    let filter = program(part).map_err(|error| error.to_string())?;
    apply_filter(&filter).map_err(|error| error.to_string())
}

fn program(part: Part) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = refused(part)
        .into_iter()
        .flatten()
        .map(|call| (*call, Vec::new()))
        .collect();
    if part == Part::Capture {
        // Everything but work on elements of maps.
        let other = ELEMENTS
            .into_iter()
            .map(|command| {
                SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, command)
            })
            .collect::<Result<_, _>>()?;
        rules.insert(libc::SYS_bpf, vec![SeccompRule::new(other)?]);
    }
    #[allow(
        clippy::cast_sign_loss,
        reason = "a small positive number of the C library"
    )]
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        refuse,
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}
