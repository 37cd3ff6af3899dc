use super::*;
use crate::judge::HistoryLimits;

fn small(bytes: usize) -> Judge {
    let settings = Settings {
        history: HistoryLimits { grace_s: 60, bytes },
        ..Settings::default()
    };
    let mut judge = Judge::new(policy(POLICY), settings);
    judge.look_back(us(-30 * 86_400));
    judge
}

#[test]
fn memory_is_bounded_and_what_it_costs_is_counted() {
    let mut judge = small(256 << 10);
    for n in 0..5_000 {
        let what = format!("POST ci.example/deployments/{n}");
        arrive(&mut judge, n, act(n, "dan", &what));
        let memory = judge.history_memory();
        assert!(memory.bytes <= 256 << 10, "{memory:?}");
    }
    let memory = judge.history_memory();
    assert!(memory.acts > 50 && memory.forgotten > 4_000, "{memory:?}");
    assert_eq!(memory.forgotten + memory.acts as u64, 5_000);
    assert!(memory.waiting <= 61);
}

#[test]
fn whoever_repeats_himself_crowds_nobody_out() {
    let mut judge = small(256 << 10);
    arrive(&mut judge, 0, act(0, "alice-approve", APPROVE));
    for n in 1..20_000 {
        let what = format!("GET pay.example/{n}");
        let mut read = act(n / 10, "dan", &what);
        read.time_us += n % 10 * 100_000;
        arrive(&mut judge, n / 10, read);
        if n == 10_000 {
            assert!(
                judge.history_memory().acts < 40,
                "{:?}",
                judge.history_memory()
            );
        }
    }
    assert_eq!(judge.history_memory().forgotten, 0);
    let told = arrive(&mut judge, 3_000, act(3_000, "alice-deploy", DEPLOY));
    assert_eq!(kinds(&told), [("separation", 3_000)]);
}

#[test]
fn whoever_has_most_makes_room() {
    let mut judge = small(256 << 10);
    arrive(&mut judge, 0, act(0, "alice-approve", APPROVE));
    for n in 1..5_000 {
        let what = format!("POST ci.example/deployments/x{n}");
        arrive(&mut judge, n, act(n, "dan", &what));
    }
    assert!(judge.history_memory().forgotten > 0);
    let told = arrive(&mut judge, 6_000, act(6_000, "alice-deploy", DEPLOY));
    assert_eq!(kinds(&told), [("separation", 6_000)]);
}

#[test]
fn what_is_over_is_forgotten() {
    let mut judge = judge();
    arrive(&mut judge, 0, act(0, "alice-approve", APPROVE));
    assert_eq!(judge.history_memory().acts, 1);
    wait(&mut judge, 100);
    assert_eq!(judge.history_memory().waiting, 0);
    wait(&mut judge, 100 * 86_400);
    assert_eq!(judge.history_memory().acts, 0);
    assert_eq!(judge.history_memory().bytes, 0);
    assert_eq!(judge.history_memory().forgotten, 0, "it was time");
}

#[test]
fn too_many_to_wait_for_are_counted() {
    let mut judge = small(64 << 10);
    for n in 0..200 {
        let what = format!("POST ci.example/deployments/{n}");
        arrive(&mut judge, 0, act(0, "dan", &what));
    }
    let memory = judge.history_memory();
    assert_eq!(memory.unjudged + memory.waiting as u64, 200);
    assert!(memory.unjudged > 100, "{memory:?}");
}

#[test]
fn other_accesses_leave_no_trace() {
    let mut judge = judge();
    arrive(
        &mut judge,
        0,
        act(0, "alice-deploy", "GET elsewhere.example/x"),
    );
    let mut refused = act(1, "alice-deploy", DEPLOY);
    refused.status = Some(401);
    arrive(&mut judge, 1, refused);
    assert_eq!(judge.history_memory().acts, 0);
}
