//! System calls that aya does not make: programs for `uprobe_multi` links (Linux 6.6), and those links.
//!
//! aya 0.14 attaches user probes by perf events only. Those want CAP_SYS_ADMIN since Linux 6.16 and its
//! stable updates ("perf: Revert to requiring CAP_SYS_ADMIN for uprobes"), which the service has not; a
//! `uprobe_multi` link wants CAP_BPF and CAP_PERFMON. Layouts are those of include/uapi/linux/bpf.h and
//! perf_event.h.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{bpf_insn, bpf_prog_info};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_KPROBE: u32 = 2;
const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const BPF_CGROUP_INET4_CONNECT: u32 = 10;
const BPF_CGROUP_INET6_CONNECT: u32 = 11;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_FENTRY: u32 = 24;
const BPF_TRACE_FEXIT: u32 = 25;
const BPF_F_SLEEPABLE: u32 = 1 << 4;
const BPF_PERF_EVENT: u32 = 41;
const BPF_TRACE_UPROBE_MULTI: u32 = 48;
const BPF_F_UPROBE_MULTI_RETURN: u32 = 1;
/// `perf_event_attr.config` of a user probe: bit 0 (/sys/bus/event_source/devices/uprobe/format/retprobe).
const PERF_RETURN: u64 = 1;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
/// Bytes of the verifier's words that are asked for.
const LOG_BYTES: usize = 1 << 20;

/// On which connect(2) a program of a control group decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connect {
    V4,
    V6,
}

impl Connect {
    /// Name of the program in the object.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::V4 => "refuse_connect4",
            Self::V6 => "refuse_connect6",
        }
    }

    fn attach_type(self) -> u32 {
        match self {
            Self::V4 => BPF_CGROUP_INET4_CONNECT,
            Self::V6 => BPF_CGROUP_INET6_CONNECT,
        }
    }
}

/// `bpf_attr` of BPF_PROG_LOAD, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// `bpf_attr` of BPF_RAW_TRACEPOINT_OPEN.
#[repr(C)]
struct OpenTracing {
    name: u64,
    prog_fd: u32,
    pad: u32,
}

/// `bpf_attr` of BPF_OBJ_GET_INFO_BY_FD.
#[repr(C)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

/// `bpf_attr` of BPF_LINK_CREATE for `uprobe_multi`.
#[repr(C)]
#[derive(Default)]
struct LinkMulti {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    link_flags: u32,
    path: u64,
    offsets: u64,
    ref_ctr_offsets: u64,
    cookies: u64,
    cnt: u32,
    flags: u32,
    pid: u32,
    pad: u32,
}

/// `bpf_attr` of BPF_LINK_CREATE for a perf event, and, without a cookie, for a control group.
#[repr(C)]
#[derive(Default)]
struct LinkPerf {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    cookie: u64,
}

/// `perf_event_attr`, first version with `config2`.
#[repr(C)]
#[derive(Default)]
struct PerfEvent {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    bits: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
}

const _: () = {
    assert!(size_of::<ProgLoad>() == 112);
    assert!(size_of::<OpenTracing>() == 16);
    assert!(size_of::<InfoByFd>() == 16);
    assert!(size_of::<LinkMulti>() == 64);
    assert!(size_of::<LinkPerf>() == 24);
    assert!(size_of::<PerfEvent>() == 72);
};

fn pointer<T: ?Sized>(to: *const T) -> u64 {
    to.cast::<()>() as u64
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    // A valid descriptor is not negative.
    fd.as_raw_fd().unsigned_abs()
}

/// Makes a bpf(2) call that returns a descriptor.
///
/// # Safety
/// `attr` is the command's structure, and its pointers are valid for the call.
unsafe fn bpf<T>(command: libc::c_long, attr: &T) -> io::Result<OwnedFd> {
    // SAFETY: by contract; the kernel takes what the structure lacks as zero.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attr),
            size_of::<T>(),
        )
    };
    descriptor(result)
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(result) {
        // SAFETY: the call has made this descriptor for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How many instructions the verifier walked through for a program; 0 where the kernel does not tell
/// (before 5.16).
///
/// # Errors
/// What the kernel said.
pub(super) fn verified_instructions(program: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: integers and arrays of them; zero asks for nothing that is longer than the structure.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let attr = InfoByFd {
        fd: raw(program),
        length: u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(0),
        info: pointer(&raw mut info),
    };
    // SAFETY: the kernel writes at most `length` bytes to `info`, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw const attr,
            size_of::<InfoByFd>(),
        )
    };
    if result == 0 {
        Ok(info.verified_insns)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Loads a sleepable user probe, for `uprobe_multi` links or for perf events.
///
/// # Errors
/// What the kernel said; when the verifier refused, its words (up to 1 MiB) as the second value.
pub(super) fn load_probe(
    name: &str,
    instructions: &[bpf_insn],
    license: &CStr,
    multi: bool,
) -> Result<OwnedFd, (io::Error, String)> {
    let mut attr = ProgLoad {
        prog_type: BPF_PROG_TYPE_KPROBE,
        insn_cnt: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        insns: pointer(instructions.as_ptr()),
        license: pointer(license.as_ptr()),
        prog_flags: BPF_F_SLEEPABLE,
        expected_attach_type: if multi { BPF_TRACE_UPROBE_MULTI } else { 0 },
        ..ProgLoad::default()
    };
    // The last byte stays zero.
    for (to, from) in attr.prog_name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    load(&mut attr)
}

/// Loads what `attr` says, whose pointers the caller keeps alive.
fn load(attr: &mut ProgLoad) -> Result<OwnedFd, (io::Error, String)> {
    // SAFETY: instructions and licence outlive the call.
    let error = match unsafe { bpf(BPF_PROG_LOAD, &*attr) } {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    let mut log = vec![0_u8; LOG_BYTES];
    attr.log_level = 1;
    attr.log_size = u32::try_from(log.len()).unwrap_or(0);
    attr.log_buf = pointer(log.as_mut_ptr());
    // SAFETY: as above, and so does the log.
    match unsafe { bpf(BPF_PROG_LOAD, &*attr) } {
        Ok(fd) => Ok(fd),
        Err(_) => {
            let words = CStr::from_bytes_until_nul(&log)
                .map(|text| text.to_string_lossy().into_owned())
                .unwrap_or_default();
            Err((error, words))
        }
    }
}

/// When a program is to see a function of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Entry,
    Return,
}

/// Loads a program for the function of the kernel whose BTF id is `function`.
///
/// # Errors
/// As [`load_probe`].
pub(super) fn load_tracing(
    name: &str,
    instructions: &[bpf_insn],
    license: &CStr,
    moment: Moment,
    function: u32,
) -> Result<OwnedFd, (io::Error, String)> {
    let mut attr = ProgLoad {
        prog_type: BPF_PROG_TYPE_TRACING,
        insn_cnt: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        insns: pointer(instructions.as_ptr()),
        license: pointer(license.as_ptr()),
        expected_attach_type: match moment {
            Moment::Entry => BPF_TRACE_FENTRY,
            Moment::Return => BPF_TRACE_FEXIT,
        },
        attach_btf_id: function,
        ..ProgLoad::default()
    };
    for (to, from) in attr.prog_name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    load(&mut attr)
}

/// Attaches a program of [`load_tracing`] where it was loaded for, until the link is dropped.
///
/// # Errors
/// What the kernel said.
pub(super) fn link_tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let attr = OpenTracing {
        name: 0,
        prog_fd: raw(program),
        pad: 0,
    };
    // SAFETY: no name, no pointer.
    unsafe { bpf(BPF_RAW_TRACEPOINT_OPEN, &attr) }
}

/// Loads a program that decides on connect(2) in a control group.
///
/// # Errors
/// As [`load_probe`].
pub(super) fn load_connect(
    which: Connect,
    instructions: &[bpf_insn],
    license: &CStr,
) -> Result<OwnedFd, (io::Error, String)> {
    let mut attr = ProgLoad {
        prog_type: BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
        insn_cnt: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        insns: pointer(instructions.as_ptr()),
        license: pointer(license.as_ptr()),
        expected_attach_type: which.attach_type(),
        ..ProgLoad::default()
    };
    for (to, from) in attr.prog_name[..15].iter_mut().zip(which.program().bytes()) {
        *to = from;
    }
    load(&mut attr)
}

/// Attaches a program to a control group (its directory), beside whatever is attached there, until the link is
/// dropped (Linux 5.7).
///
/// # Errors
/// What the kernel said.
pub(super) fn link_group(
    program: BorrowedFd<'_>,
    group: BorrowedFd<'_>,
    which: Connect,
) -> io::Result<OwnedFd> {
    let attr = LinkPerf {
        prog_fd: raw(program),
        target_fd: raw(group),
        attach_type: which.attach_type(),
        ..LinkPerf::default()
    };
    // SAFETY: the structure has no pointers.
    unsafe { bpf(BPF_LINK_CREATE, &attr) }
}

/// Attaches a program to `offset` (bytes into the file) of the file at `path`, in every process that maps
/// it, now and later. Dropping the link detaches it.
///
/// # Errors
/// EINVAL where the kernel has no such links (before 6.6), or no instruction can be probed there; EBADF
/// when `path` is not a regular file.
pub(super) fn link_multi(program: BorrowedFd<'_>, path: &CStr, offset: u64) -> io::Result<OwnedFd> {
    let attr = LinkMulti {
        prog_fd: raw(program),
        attach_type: BPF_TRACE_UPROBE_MULTI,
        path: pointer(path.as_ptr()),
        offsets: pointer(&raw const offset),
        cnt: 1,
        ..LinkMulti::default()
    };
    // SAFETY: path and offset outlive the call.
    unsafe { bpf(BPF_LINK_CREATE, &attr) }
}

/// Several places of one file.
pub(super) struct Places<'a> {
    pub(super) path: &'a CStr,
    /// In bytes into the file.
    pub(super) offsets: &'a [u64],
    /// What the program is told at each.
    pub(super) cookies: &'a [u64],
    /// The only process, or 0 for all.
    pub(super) pid: u32,
    /// When the functions that begin there return.
    pub(super) at_return: bool,
}

/// Like [`link_multi`], for several places.
///
/// # Errors
/// As there; ESRCH when there is no such process.
pub(super) fn link_places(program: BorrowedFd<'_>, places: &Places<'_>) -> io::Result<OwnedFd> {
    if places.offsets.len() != places.cookies.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let attr = LinkMulti {
        prog_fd: raw(program),
        attach_type: BPF_TRACE_UPROBE_MULTI,
        path: pointer(places.path.as_ptr()),
        offsets: pointer(places.offsets.as_ptr()),
        cookies: pointer(places.cookies.as_ptr()),
        cnt: u32::try_from(places.offsets.len()).unwrap_or(0),
        flags: if places.at_return {
            BPF_F_UPROBE_MULTI_RETURN
        } else {
            0
        },
        pid: places.pid,
        ..LinkMulti::default()
    };
    // SAFETY: path, offsets and as many cookies outlive the call.
    unsafe { bpf(BPF_LINK_CREATE, &attr) }
}

/// A place of one file, for a perf event.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a CStr,
    /// In bytes into the file.
    pub(super) offset: u64,
    /// What the program is told.
    pub(super) cookie: u64,
    /// The only process, all of its threads; `None`: all.
    pub(super) pid: Option<u32>,
    /// When the function that begins there returns.
    pub(super) at_return: bool,
}

/// Like [`link_multi`], by way of a perf event of type `kind` (Linux 5.15). The event comes second; both
/// are dropped to detach.
///
/// # Errors
/// What the kernel said.
pub(super) fn link_perf(
    program: BorrowedFd<'_>,
    kind: u32,
    place: &Place<'_>,
) -> io::Result<(OwnedFd, OwnedFd)> {
    // A process that is asked for is the one whose memory is probed: whichever of its threads comes by.
    let pid = match place.pid {
        Some(pid) => libc::pid_t::try_from(pid).map_err(io::Error::other)?,
        None => -1,
    };
    // An event of all processes belongs to a processor; it is hit on every one.
    let processor: libc::c_int = if pid < 0 { 0 } else { -1 };
    let attr = PerfEvent {
        kind,
        size: u32::try_from(size_of::<PerfEvent>()).unwrap_or(0),
        config: if place.at_return { PERF_RETURN } else { 0 },
        config1: pointer(place.path.as_ptr()),
        config2: place.offset,
        ..PerfEvent::default()
    };
    // SAFETY: the structure and the path outlive the call.
    let event = descriptor(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            pid,
            processor,
            -1 as libc::c_int,
            PERF_FLAG_FD_CLOEXEC,
        )
    })?;
    let attr = LinkPerf {
        prog_fd: raw(program),
        target_fd: event.as_raw_fd().unsigned_abs(),
        attach_type: BPF_PERF_EVENT,
        cookie: place.cookie,
        ..LinkPerf::default()
    };
    // SAFETY: the structure has no pointers.
    let link = unsafe { bpf(BPF_LINK_CREATE, &attr) }?;
    Ok((link, event))
}
