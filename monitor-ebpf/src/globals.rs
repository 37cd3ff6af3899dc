//! What the loader tells the programs before they load: the verifier sees constants.

/// Byte offsets of the kernel's fields, resolved from its BTF at load. The verifier sees constants.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Offsets {
    /// `sock_common.skc_family` within `struct sock`.
    pub skc_family: u32,
    /// `sock_common.skc_daddr`.
    pub skc_daddr: u32,
    /// `sock_common.skc_rcv_saddr`.
    pub skc_rcv_saddr: u32,
    /// `sock_common.skc_dport`.
    pub skc_dport: u32,
    /// `sock_common.skc_num`.
    pub skc_num: u32,
    /// `sock_common.skc_v6_daddr`.
    pub skc_v6_daddr: u32,
    /// `sock_common.skc_v6_rcv_saddr`.
    pub skc_v6_rcv_saddr: u32,
    /// `sock_common.skc_net` (its `net` pointer).
    pub skc_net: u32,
    /// `net.ns.inum`.
    pub net_inum: u32,
    /// `sock.sk_protocol`.
    pub sk_protocol: u32,
    /// `sock.sk_type`.
    pub sk_type: u32,
    /// `socket.sk`.
    pub socket_sk: u32,
    /// `tcp_sock.write_seq`.
    pub tcp_write_seq: u32,
    /// `tcp_sock.copied_seq`.
    pub tcp_copied_seq: u32,
    /// `unix_sock.addr`.
    pub unix_addr: u32,
    /// `unix_sock.peer`.
    pub unix_peer: u32,
    /// `unix_address.len`.
    pub unix_addr_len: u32,
    /// `unix_address.name`.
    pub unix_addr_name: u32,
    /// `task_struct.flags`.
    pub task_flags: u32,
    /// `task_struct.pid`.
    pub task_pid: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.real_parent`.
    pub task_real_parent: u32,
    /// `task_struct.group_leader`.
    pub task_group_leader: u32,
    /// `task_struct.start_boottime`.
    pub task_start_boottime: u32,
    /// `task_struct.self_exec_id`.
    pub task_self_exec_id: u32,
    /// `task_struct.signal`.
    pub task_signal: u32,
    /// `signal_struct.live`.
    pub signal_live: u32,
    /// `task_struct.fs`.
    pub task_fs: u32,
    /// `fs_struct.root` (a `struct path`).
    pub fs_root: u32,
    /// `task_struct.thread_info.status`; [`ABSENT`] where the architecture has none.
    pub task_ti_status: u32,
    /// `linux_binprm.file`.
    pub bprm_file: u32,
    /// `linux_binprm.filename`.
    pub bprm_filename: u32,
    /// `file.f_path` (a `struct path`).
    pub file_f_path: u32,
    /// `path.mnt`.
    pub path_mnt: u32,
    /// `path.dentry`.
    pub path_dentry: u32,
    /// `dentry.d_parent`.
    pub dentry_d_parent: u32,
    /// `dentry.d_name.name`.
    pub dentry_d_name: u32,
    /// `mount.mnt`.
    pub mount_mnt: u32,
    /// `mount.mnt_parent`.
    pub mount_mnt_parent: u32,
    /// `mount.mnt_mountpoint`.
    pub mount_mnt_mountpoint: u32,
    /// `vfsmount.mnt_root`.
    pub vfsmount_mnt_root: u32,
    /// `cgroup.kn`.
    pub cgroup_kn: u32,
    /// `cgroup.root`.
    pub cgroup_root: u32,
    /// `cgroup_root.hierarchy_id`.
    pub cgroup_root_hierarchy_id: u32,
    /// `kernfs_node.id`.
    pub kernfs_node_id: u32,
    /// `pt_regs`: number of the system call.
    pub regs_nr: u32,
    /// `pt_regs`: second argument (a buffer, vector or message header).
    pub regs_arg1: u32,
    /// `pt_regs`: third argument (a length or count).
    pub regs_arg2: u32,
    /// `task_struct.io_uring`; [`ABSENT`] where requests to io_uring are not looked at, and then so are those
    /// that follow.
    pub task_io_uring: u32,
    /// `file.f_inode`.
    pub file_f_inode: u32,
    /// `file.private_data`.
    pub file_private_data: u32,
    /// `inode.i_mode`.
    pub inode_i_mode: u32,
    /// `io_kiocb.file`.
    pub kiocb_file: u32,
    /// `io_kiocb.opcode`.
    pub kiocb_opcode: u32,
    /// `io_kiocb.flags`.
    pub kiocb_flags: u32,
    /// `io_sr_msg.buf`, which is `umsg` as well: what a request sends or receives. Like the next, it lies at the
    /// beginning of an `io_kiocb`.
    pub io_sr_buf: u32,
    /// `io_sr_msg.len`.
    pub io_sr_len: u32,
    /// `io_sr_msg.done_io`.
    pub io_sr_done: u32,
    /// `io_sr_msg.flags`.
    pub io_sr_flags: u32,
    /// `io_rw.addr`: what a request reads or writes.
    pub io_rw_addr: u32,
    /// `io_rw.len`.
    pub io_rw_len: u32,
}

/// An [`Offsets`] field that this architecture or kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Numbers of the system calls whose buffers are read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Syscalls {
    /// read(2).
    pub read: u32,
    /// write(2).
    pub write: u32,
    /// readv(2).
    pub readv: u32,
    /// writev(2).
    pub writev: u32,
    /// preadv2(2) (with offset -1 it reads a socket).
    pub preadv2: u32,
    /// pwritev2(2).
    pub pwritev2: u32,
    /// sendto(2), and send(2).
    pub sendto: u32,
    /// recvfrom(2), and recv(2).
    pub recvfrom: u32,
    /// sendmsg(2).
    pub sendmsg: u32,
    /// recvmsg(2).
    pub recvmsg: u32,
    /// sendmmsg(2).
    pub sendmmsg: u32,
    /// recvmmsg(2).
    pub recvmmsg: u32,
    /// sendfile(2).
    pub sendfile: u32,
    /// splice(2).
    pub splice: u32,
    /// io_uring_enter(2).
    pub io_uring_enter: u32,
    /// Reserved, zero.
    pub pad: u32,
}

/// What the loader tells the programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// [`ABI`](crate::ABI) of the loader.
    pub abi: u32,
    /// The monitor itself: its sockets are left out.
    pub monitor_tgid: u32,
    /// Added to kernel addresses before they are sent up as ids.
    pub secret: u64,
    /// Bytes in a CPU's data ring above which the fair shares begin.
    pub ring_half: u32,
    /// Bytes above which a process over its share is only counted.
    pub ring_high: u32,
    /// Fair share of a process, bytes per tick of 2²⁰ ns.
    pub process_rate: u32,
    /// Fair share of a control group, bytes per tick.
    pub cgroup_rate: u32,
    /// Most bytes a process can save up.
    pub process_burst: u32,
    /// Most bytes a control group can save up.
    pub cgroup_burst: u32,
}

const _: () = {
    assert!(size_of::<Offsets>() == 61 * 4);
    assert!(size_of::<Syscalls>() == 64);
    assert!(size_of::<Settings>() == 40);
};
