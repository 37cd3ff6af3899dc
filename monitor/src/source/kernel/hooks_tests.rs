#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::source::btf_fixture::{COMMON, FUNCTIONS_6_1, kernel};

fn chosen(
    tracepoints: &[&str],
    functions: &[(&str, u32)],
) -> Result<(Way, Vec<String>), &'static str> {
    let blob = kernel(tracepoints, functions);
    let types = Btf::parse(&blob).unwrap();
    choose(&types).map(|(way, hooks)| {
        let names = hooks.iter().map(|hook| format!("{}={hook}", hook.program));
        (way, names.skip(COMMON.len()).collect())
    })
}

#[test]
fn tracepoints_come_first() {
    let mut all = COMMON.to_vec();
    all.extend(["sock_send_length", "sock_recv_length"]);
    let (way, hooks) = chosen(&all, &FUNCTIONS_6_1).unwrap();
    assert_eq!(way, Way::Tracepoints);
    assert_eq!(way.shortcoming(), None);
    assert_eq!(
        hooks,
        [
            "sock_send=tp_btf/sock_send_length",
            "sock_recv=tp_btf/sock_recv_length"
        ]
    );
}

#[test]
fn one_tracepoint_of_the_two_is_not_enough() {
    let mut all = COMMON.to_vec();
    all.push("sock_send_length");
    assert_eq!(chosen(&all, &FUNCTIONS_6_1).unwrap().0, Way::Returns);
    assert_eq!(chosen(&all, &[]), Err("tcp_sendmsg"));
}

#[test]
fn functions_of_6_1() {
    let (way, hooks) = chosen(&COMMON, &FUNCTIONS_6_1).unwrap();
    assert_eq!(way, Way::Returns);
    assert!(way.shortcoming().is_some());
    assert_eq!(
        hooks,
        [
            "inet_send=fexit/tcp_sendmsg",
            "inet_recv=fexit/tcp_recvmsg",
            "inet_send_page=fexit/tcp_sendpage",
            "unix_send=fexit/unix_stream_sendmsg",
            "unix_recv=fexit/unix_stream_recvmsg",
            "udp_send=fexit/udp_sendmsg",
            "udp6_send=fexit/udpv6_sendmsg",
        ]
    );
}

#[test]
fn six_arguments_before_5_19() {
    let mut functions = FUNCTIONS_6_1;
    functions[1].1 = 6;
    let (way, hooks) = chosen(&COMMON, &functions).unwrap();
    assert_eq!(way, Way::Returns);
    assert!(hooks.contains(&"inet_recv_old=fexit/tcp_recvmsg".to_owned()));
    assert!(!hooks.contains(&"inet_recv=fexit/tcp_recvmsg".to_owned()));
}

#[test]
fn a_function_that_was_inlined_or_is_not_as_known_is_named() {
    assert_eq!(
        chosen(&COMMON, &FUNCTIONS_6_1[..4]),
        Err("unix_stream_recvmsg")
    );
    let mut functions = FUNCTIONS_6_1;
    functions[1].1 = 7;
    assert_eq!(chosen(&COMMON, &functions), Err("tcp_recvmsg"));
    // Without UDP, QUIC is not counted; everything else is seen.
    assert_eq!(chosen(&COMMON, &FUNCTIONS_6_1[..5]).unwrap().1.len(), 5);
    assert_eq!(
        chosen(&COMMON[..4], &FUNCTIONS_6_1),
        Err("inet_sock_set_state")
    );
    assert_eq!(chosen(&[], &[]), Err("sched_process_exec"));
}
