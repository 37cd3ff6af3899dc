//! What the programs must know of the running kernel: field offsets and system-call numbers.

use monitor_ebpf::{ABSENT, Offsets, Syscalls};

use crate::source::btf::{Btf, BtfError};

/// Looks up every offset that the programs use.
///
/// # Errors
/// The first field that this kernel does not have, by name.
pub fn resolve(btf: &Btf<'_>) -> Result<Offsets, BtfError> {
    let common = btf.offset("sock", "__sk_common")?;
    let sock = |field: &str| btf.offset("sock_common", field).map(|at| at + common);
    let path = btf.offset("file", "f_path");
    let (nr, arg1, arg2) = REGISTERS;
    let io = requests(btf).unwrap_or([ABSENT; 13]);
    Ok(Offsets {
        skc_family: sock("skc_family")?,
        skc_daddr: sock("skc_daddr")?,
        skc_rcv_saddr: sock("skc_rcv_saddr")?,
        skc_dport: sock("skc_dport")?,
        skc_num: sock("skc_num")?,
        skc_v6_daddr: sock("skc_v6_daddr")?,
        skc_v6_rcv_saddr: sock("skc_v6_rcv_saddr")?,
        skc_net: sock("skc_net.net")?,
        net_inum: btf.offset("net", "ns.inum")?,
        sk_protocol: btf.offset("sock", "sk_protocol")?,
        sk_type: btf.offset("sock", "sk_type")?,
        socket_sk: btf.offset("socket", "sk")?,
        tcp_write_seq: btf.offset("tcp_sock", "write_seq")?,
        tcp_copied_seq: btf.offset("tcp_sock", "copied_seq")?,
        unix_addr: btf.offset("unix_sock", "addr")?,
        unix_peer: btf.offset("unix_sock", "peer")?,
        unix_addr_len: btf.offset("unix_address", "len")?,
        unix_addr_name: btf.offset("unix_address", "name")?,
        task_flags: btf.offset("task_struct", "flags")?,
        task_pid: btf.offset("task_struct", "pid")?,
        task_tgid: btf.offset("task_struct", "tgid")?,
        task_real_parent: btf.offset("task_struct", "real_parent")?,
        task_group_leader: btf.offset("task_struct", "group_leader")?,
        task_start_boottime: btf.offset("task_struct", "start_boottime")?,
        task_self_exec_id: btf.offset("task_struct", "self_exec_id")?,
        task_signal: btf.offset("task_struct", "signal")?,
        signal_live: btf.offset("signal_struct", "live")?,
        task_fs: btf.offset("task_struct", "fs")?,
        fs_root: btf.offset("fs_struct", "root")?,
        task_ti_status: if cfg!(target_arch = "x86_64") {
            btf.offset("task_struct", "thread_info.status")?
        } else {
            ABSENT
        },
        bprm_file: btf.offset("linux_binprm", "file")?,
        bprm_filename: btf.offset("linux_binprm", "filename")?,
        file_f_path: path?,
        path_mnt: btf.offset("path", "mnt")?,
        path_dentry: btf.offset("path", "dentry")?,
        dentry_d_parent: btf.offset("dentry", "d_parent")?,
        dentry_d_name: btf.offset("dentry", "d_name.name")?,
        mount_mnt: btf.offset("mount", "mnt")?,
        mount_mnt_parent: btf.offset("mount", "mnt_parent")?,
        mount_mnt_mountpoint: btf.offset("mount", "mnt_mountpoint")?,
        vfsmount_mnt_root: btf.offset("vfsmount", "mnt_root")?,
        cgroup_kn: btf.offset("cgroup", "kn")?,
        cgroup_root: btf.offset("cgroup", "root")?,
        cgroup_root_hierarchy_id: btf.offset("cgroup_root", "hierarchy_id")?,
        kernfs_node_id: btf.offset("kernfs_node", "id")?,
        regs_nr: btf.offset("pt_regs", nr)?,
        regs_arg1: btf.offset("pt_regs", arg1.0)? + arg1.1,
        regs_arg2: btf.offset("pt_regs", arg2.0)? + arg2.1,
        task_io_uring: io[0],
        file_f_inode: io[1],
        file_private_data: io[2],
        inode_i_mode: io[3],
        kiocb_file: io[4],
        kiocb_opcode: io[5],
        kiocb_flags: io[6],
        io_sr_buf: io[7],
        io_sr_len: io[8],
        io_sr_done: io[9],
        io_sr_flags: io[10],
        io_rw_addr: io[11],
        io_rw_len: io[12],
    })
}

/// What is read of requests to io_uring, in the order of [`Offsets`]; `None`: they are not looked at.
fn requests(btf: &Btf<'_>) -> Option<[u32; 13]> {
    if super::requests::functions(btf).is_empty() {
        return None;
    }
    let mut found = [0; 13];
    let fields = [
        ("task_struct", "io_uring"),
        ("file", "f_inode"),
        ("file", "private_data"),
        ("inode", "i_mode"),
        ("io_kiocb", "file"),
        ("io_kiocb", "opcode"),
        ("io_kiocb", "flags"),
        ("io_sr_msg", "buf"),
        ("io_sr_msg", "len"),
        ("io_sr_msg", "done_io"),
        ("io_sr_msg", "flags"),
        ("io_rw", "addr"),
        ("io_rw", "len"),
    ];
    for (to, (name, field)) in found.iter_mut().zip(fields) {
        *to = btf.offset(name, field).ok()?;
    }
    Some(found)
}

/// Fields of `pt_regs`: the call's number, second and third argument (field, bytes into it).
#[cfg(target_arch = "x86_64")]
const REGISTERS: (&str, (&str, u32), (&str, u32)) = ("orig_ax", ("si", 0), ("dx", 0));
#[cfg(target_arch = "aarch64")]
const REGISTERS: (&str, (&str, u32), (&str, u32)) = ("syscallno", ("regs", 8), ("regs", 16));

/// Numbers of the system calls on this architecture.
#[must_use]
pub fn syscalls() -> Syscalls {
    let nr = |number: libc::c_long| u32::try_from(number).unwrap_or(u32::MAX);
    Syscalls {
        read: nr(libc::SYS_read),
        write: nr(libc::SYS_write),
        readv: nr(libc::SYS_readv),
        writev: nr(libc::SYS_writev),
        preadv2: nr(libc::SYS_preadv2),
        pwritev2: nr(libc::SYS_pwritev2),
        sendto: nr(libc::SYS_sendto),
        recvfrom: nr(libc::SYS_recvfrom),
        sendmsg: nr(libc::SYS_sendmsg),
        recvmsg: nr(libc::SYS_recvmsg),
        sendmmsg: nr(libc::SYS_sendmmsg),
        recvmmsg: nr(libc::SYS_recvmmsg),
        sendfile: nr(libc::SYS_sendfile),
        splice: nr(libc::SYS_splice),
        io_uring_enter: nr(libc::SYS_io_uring_enter),
        pad: 0,
    }
}
