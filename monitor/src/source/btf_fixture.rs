//! Small BTF blobs for tests (Documentation/bpf/btf.rst: header, types, strings).

const INT: u32 = 1 << 24;
const TYPEDEF: u32 = 8 << 24;
const FUNC: u32 = 12 << 24;
const FUNC_PROTO: u32 = 13 << 24;

/// A kernel with these tracepoints, and these functions with their numbers of arguments.
pub(crate) fn kernel(tracepoints: &[&str], functions: &[(&str, u32)]) -> Vec<u8> {
    let mut strings = vec![0];
    let mut name = |text: &str| {
        let at = strings.len() as u32;
        strings.extend(text.as_bytes());
        strings.push(0);
        at
    };
    // Type 1: int.
    let mut words = vec![name("int"), INT, 4, 32];
    let mut types = 1;
    for tracepoint in tracepoints {
        words.extend([name(&format!("btf_trace_{tracepoint}")), TYPEDEF, 1]);
        types += 1;
    }
    for (function, arguments) in functions {
        words.extend([0, FUNC_PROTO | arguments, 1]);
        for _ in 0..*arguments {
            words.extend([0, 1]);
        }
        words.extend([name(function), FUNC, types + 1]);
        types += 2;
    }
    let mut out = 0xeb9f_u16.to_ne_bytes().to_vec();
    out.extend([1, 0]);
    let length = words.len() as u32 * 4;
    let header = [24, 0, length, length, strings.len() as u32];
    for word in header.into_iter().chain(words) {
        out.extend(word.to_ne_bytes());
    }
    out.extend(strings);
    out
}

/// Tracepoints that every kernel has.
pub(crate) const COMMON: [&str; 5] = [
    "sched_process_exec",
    "sched_process_fork",
    "sched_process_exit",
    "cgroup_mkdir",
    "inet_sock_set_state",
];

/// Functions of Linux 6.1 that are looked at.
pub(crate) const FUNCTIONS_6_1: [(&str, u32); 7] = [
    ("tcp_sendmsg", 3),
    ("tcp_recvmsg", 5),
    ("tcp_sendpage", 5),
    ("unix_stream_sendmsg", 3),
    ("unix_stream_recvmsg", 4),
    ("udp_sendmsg", 3),
    ("udpv6_sendmsg", 3),
];
