//! The kernel programs: BTF tracepoints on sends and receives of sockets, on TCP's changes of state,
//! on births and deaths of processes, and on new control groups. They observe; they change nothing. Those of
//! `refuse` are the exception: they are loaded only when containment is configured.
//!
//! Sends and receives: Linux ≥ 6.3 has tracepoints for them (`sock_send_length`, `sock_recv_length`); before,
//! the functions of TCP, UDP and unix sockets are looked at as they return (fexit).
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod buffer;
mod classify;
mod clear;
mod connection;
mod emit;
mod fairness;
mod fallback;
mod kernel;
mod keys;
mod maps;
mod process;
mod refuse;
mod socket;
mod tls;
mod uring;

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, cgroup_sock_addr, fentry, fexit, uprobe, uretprobe},
    programs::{
        BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext,
        SockAddrContext,
    },
};
use monitor_ebpf::dir;

#[btf_tracepoint(function = "sock_send_length")]
fn sock_send(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the socket (include/trace/events/sock.h).
    unsafe { socket::on_socket_io(ctx.arg::<*const c_void>(0), ctx.arg(1), 0, dir::TX) };
    0
}

#[btf_tracepoint(function = "sock_recv_length")]
fn sock_recv(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: as above; argument 2 are the call's flags.
    unsafe { socket::on_socket_io(ctx.arg::<*const c_void>(0), ctx.arg(1), ctx.arg(2), dir::RX) };
    0
}

// Before Linux 6.3. What a function returned stands behind its arguments.

/// `int tcp_sendmsg(struct sock *, struct msghdr *, size_t)`.
#[fexit(function = "tcp_sendmsg")]
fn inet_send(ctx: FExitContext) -> i32 {
    // SAFETY: argument 0 is the socket.
    unsafe { socket::on_socket_io(ctx.arg::<*const c_void>(0), ctx.arg(3), 0, dir::TX) };
    0
}

/// `int tcp_sendpage(struct sock *, struct page *, int, size_t, int)`, before 6.5: sendfile, splice.
#[fexit(function = "tcp_sendpage")]
fn inet_send_page(ctx: FExitContext) -> i32 {
    // SAFETY: argument 0 is the socket.
    unsafe { socket::on_socket_io(ctx.arg::<*const c_void>(0), ctx.arg(5), 0, dir::TX) };
    0
}

/// `int tcp_recvmsg(struct sock *, struct msghdr *, size_t, int flags, int *)`, 5.19 and later.
#[fexit(function = "tcp_recvmsg")]
fn inet_recv(ctx: FExitContext) -> i32 {
    // SAFETY: argument 0 is the socket.
    unsafe { socket::on_socket_io(ctx.arg::<*const c_void>(0), ctx.arg(5), ctx.arg(3), dir::RX) };
    0
}

/// `int tcp_recvmsg(struct sock *, struct msghdr *, size_t, int, int flags, int *)`, before 5.19.
#[fexit(function = "tcp_recvmsg")]
fn inet_recv_old(ctx: FExitContext) -> i32 {
    // SAFETY: argument 0 is the socket.
    unsafe { socket::on_socket_io(ctx.arg::<*const c_void>(0), ctx.arg(6), ctx.arg(4), dir::RX) };
    0
}

/// `int udp_sendmsg(struct sock *, struct msghdr *, size_t)`.
#[fexit(function = "udp_sendmsg")]
fn udp_send(ctx: FExitContext) -> i32 {
    // SAFETY: argument 0 is the socket.
    unsafe { socket::datagram(ctx.arg::<*const c_void>(0), ctx.arg(3)) };
    0
}

/// `int udpv6_sendmsg(struct sock *, struct msghdr *, size_t)`.
#[fexit(function = "udpv6_sendmsg")]
fn udp6_send(ctx: FExitContext) -> i32 {
    // SAFETY: argument 0 is the socket.
    unsafe { socket::datagram(ctx.arg::<*const c_void>(0), ctx.arg(3)) };
    0
}

/// `int unix_stream_sendmsg(struct socket *, struct msghdr *, size_t)`.
#[fexit(function = "unix_stream_sendmsg")]
fn unix_send(ctx: FExitContext) -> i32 {
    // SAFETY: argument 0 is the file's side of the socket; its `sk` is set for as long as it is open.
    unsafe {
        let sk = kernel::field(ctx.arg::<*const c_void>(0), offset!(socket_sk));
        socket::on_socket_io(sk, ctx.arg(3), 0, dir::TX);
    };
    0
}

/// `int unix_stream_recvmsg(struct socket *, struct msghdr *, size_t, int flags)`.
#[fexit(function = "unix_stream_recvmsg")]
fn unix_recv(ctx: FExitContext) -> i32 {
    // SAFETY: as above.
    unsafe {
        let sk = kernel::field(ctx.arg::<*const c_void>(0), offset!(socket_sk));
        socket::on_socket_io(sk, ctx.arg(4), ctx.arg(3), dir::RX);
    };
    0
}

// Both are loaded once for each function of io_uring that moves bytes
// (`int io_send(struct io_kiocb *, unsigned int)` …).

#[fentry(function = "io_send")]
fn io_begin(ctx: FEntryContext) -> i32 {
    // SAFETY: argument 0 is the request.
    unsafe { uring::begin(ctx.arg::<*const c_void>(0)) };
    0
}

#[fexit(function = "io_send")]
fn io_end(_: FExitContext) -> i32 {
    uring::end();
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
fn sock_state(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the socket.
    unsafe { connection::on_state(ctx.arg::<*const c_void>(0), ctx.arg(1), ctx.arg(2)) };
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
fn process_exec(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: arguments 0 and 2 are the task and its new image.
    unsafe { process::on_exec(ctx.arg::<*const c_void>(0), ctx.arg::<*const c_void>(2)) };
    0
}

#[btf_tracepoint(function = "sched_process_fork")]
fn process_fork(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: arguments 0 and 1 are parent and child.
    unsafe { process::on_fork(ctx.arg::<*const c_void>(0), ctx.arg::<*const c_void>(1)) };
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
fn process_exit(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the task.
    unsafe { process::on_exit(ctx.arg::<*const c_void>(0)) };
    0
}

#[btf_tracepoint(function = "cgroup_mkdir")]
fn cgroup_made(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: arguments 0 and 1 are the control group and its path.
    unsafe { process::on_cgroup(ctx.arg::<*const c_void>(0), ctx.arg::<*const c_void>(1)) };
    0
}

// The probes of TLS libraries are sleepable: what they read may not be in memory yet (a label that no
// process has looked at so far), and can be brought in.

#[uprobe(sleepable)]
fn openssl_kdf(ctx: ProbeContext) -> u32 {
    keys::openssl::derive(&ctx);
    0
}

#[uprobe(sleepable)]
fn gnutls_prf(ctx: ProbeContext) -> u32 {
    keys::gnutls::prf(&ctx);
    0
}

#[uprobe(sleepable)]
fn gnutls_expand(ctx: ProbeContext) -> u32 {
    keys::gnutls::expand(&ctx);
    0
}

#[uprobe(sleepable)]
fn nettle_hkdf(ctx: ProbeContext) -> u32 {
    keys::gnutls::nettle_expand(&ctx);
    0
}

#[uprobe(sleepable)]
fn boring_log(ctx: ProbeContext) -> u32 {
    keys::boringssl::log_secret(&ctx);
    0
}

#[uprobe(sleepable)]
fn hkdf_expand(ctx: ProbeContext) -> u32 {
    keys::boringssl::expand(&ctx);
    0
}

#[uprobe(sleepable)]
fn tls1_prf(ctx: ProbeContext) -> u32 {
    keys::boringssl::prf(&ctx);
    0
}

#[uprobe(sleepable)]
fn go_key_log(ctx: ProbeContext) -> u32 {
    keys::go::write_key_log(&ctx);
    0
}

#[uprobe(sleepable)]
fn ssl_enter(ctx: ProbeContext) -> u32 {
    fallback::enter(&ctx);
    0
}

#[uretprobe(sleepable)]
fn ssl_leave(ctx: RetProbeContext) -> u32 {
    fallback::leave(&ctx);
    0
}

#[cgroup_sock_addr(connect4)]
fn refuse_connect4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the context is the program's own.
    unsafe { refuse::connect4(ctx.sock_addr) }
}

#[cgroup_sock_addr(connect6)]
fn refuse_connect6(ctx: SockAddrContext) -> i32 {
    // SAFETY: as above.
    unsafe { refuse::connect6(ctx.sock_addr) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never linked: every panic path is optimised out, or the verifier refuses the program.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
