use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400_000_000;

/// Runs a gate over (identity, evidence, gap) and checks the bound for every span, not only the whole.
fn holds(
    per_day: u32,
    per_identity: u32,
    events: impl Iterator<Item = (usize, f64, i64)>,
) -> usize {
    let mut gate = Gate::new(per_day, 0);
    let mut own = vec![Bucket::new(per_identity, 0); 1000];
    let mut now = 0_i64;
    let mut times: Vec<i64> = Vec::new();
    let mut owned: Vec<Vec<i64>> = vec![Vec::new(); own.len()];
    for (who, evidence, gap) in events {
        now += gap;
        if gate.judge(evidence, &mut own[who], per_identity, now) == Verdict::Alert {
            times.push(now);
            owned[who].push(now);
        }
        assert!(
            gate.threshold() <= MOST.max(FLOOR) + STEP,
            "{}",
            gate.threshold()
        );
    }
    bounded(&times, per_day);
    for times in owned {
        bounded(&times, per_identity);
    }
    times.len()
}

/// In each span: at most per day × days + C. Spans from one alert to another are enough. In integers.
fn bounded(times: &[i64], per_day: u32) {
    // n ≤ b·D + C for all pairs: n(to) − b·t(to)/day grows by no more than C − 1 from its least value.
    let mut least = i128::MAX;
    for (at, time) in times.iter().enumerate() {
        let level = at as i128 * i128::from(DAY) - i128::from(per_day) * i128::from(*time);
        least = least.min(level);
        let most = (i128::from(per_day) - 1) * i128::from(DAY);
        assert!(level - least <= most, "{at} alerts, {per_day} a day");
    }
}

/// 1,000 identities, 90 days, an event of each every half hour or so.
fn ninety_days(mut evidence: impl FnMut(usize, i64) -> f64) -> usize {
    let gap = DAY / 48 / 1000;
    let count = 90 * 48 * 1000_usize;
    let mut now = 0;
    holds(
        3,
        1,
        (0..count).map(|at| {
            now += gap;
            let who = (at * 7919) % 1000;
            (who, evidence(who, now), gap)
        }),
    )
}

fn noise(state: &mut u64) -> f64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695);
    (*state >> 40) as f64 / (1_u64 << 24) as f64
}

#[test]
fn stationary() {
    let mut state = 1;
    let alerts = ninety_days(|_, _| -4.0 * noise(&mut state).max(1e-9).log2());
    assert!(
        (100..=273).contains(&alerts),
        "{alerts}: the budget is of use, too"
    );
}

#[test]
fn drifting() {
    let mut state = 2;
    let alerts = ninety_days(|_, now| noise(&mut state) * 40.0 * now as f64 / (90 * DAY) as f64);
    assert!((90..=273).contains(&alerts), "{alerts}");
}

#[test]
fn bursty() {
    let mut state = 3;
    let alerts = ninety_days(|_, now| {
        let storm = (now / (DAY / 24)) % 37 == 0;
        if storm { 40.0 } else { noise(&mut state) * 9.0 }
    });
    assert!((90..=273).contains(&alerts), "{alerts}");
}

#[test]
fn periodic() {
    let alerts = ninety_days(|_, now| {
        20.0 + 20.0 * ((now as f64) / DAY as f64 * std::f64::consts::TAU).sin()
    });
    assert!((90..=273).contains(&alerts), "{alerts}");
}

#[test]
fn always_the_most() {
    let alerts = ninety_days(|_, _| MOST);
    assert!((200..=273).contains(&alerts), "{alerts}");
}

/// Always just past what the gate would take: the worst there is for the tracker alone.
#[test]
fn always_just_enough() {
    let mut gate = Gate::new(3, 0);
    let mut passed = 0_u32;
    for at in 1..90 * 24 {
        let now = at * (DAY / 24);
        gate.pass_time(now);
        let evidence = gate.threshold();
        if evidence > MOST {
            continue;
        }
        let mut own = Bucket::new(1, now);
        passed += u32::from(gate.judge(evidence, &mut own, 1, now) == Verdict::Alert);
    }
    assert!(passed <= 273, "{passed}");
}

/// Without its bucket, the tracker alone holds budget × days + C', with C' from its range.
#[test]
fn the_threshold_alone_holds_a_budget() {
    let mut gate = Gate::new(3, 0);
    let mut passed = 0_u32;
    let days = 90;
    for at in 1..i64::from(days) * 480 {
        let now = at * (DAY / 480);
        gate.bucket = Bucket::new(1, now);
        let mut own = Bucket::new(1, now);
        passed += u32::from(gate.judge(MOST, &mut own, 1, now) == Verdict::Alert);
    }
    let most = 3.0 * f64::from(days) + (MOST - FLOOR) / STEP + 1.0;
    assert!(
        f64::from(passed) <= most && passed > 200,
        "{passed} of {most}"
    );
}

/// One that is always loud takes its share and leaves the rest.
#[test]
fn a_noisy_identity_does_not_use_up_the_budget() {
    let mut gate = Gate::new(3, 0);
    let mut loud = Bucket::new(1, 0);
    let mut heard = 0;
    for minute in 0..30 * 1440_i64 {
        let now = minute * (DAY / 1440);
        gate.judge(MOST, &mut loud, 1, now);
        if minute % 1440 == 720 {
            let mut other = Bucket::new(1, now);
            heard += i32::from(gate.judge(20.0, &mut other, 1, now) == Verdict::Alert);
        }
    }
    assert_eq!(heard, 30, "once a day each");
}

#[test]
fn a_clock_that_goes_back_brings_nothing() {
    let mut gate = Gate::new(1, 10 * DAY);
    let mut alerts = 0;
    for at in 0..1000_i64 {
        let mut own = Bucket::new(1, 0);
        let now = if at % 2 == 0 { 10 * DAY } else { 0 };
        alerts += i32::from(gate.judge(MOST, &mut own, 1, now) == Verdict::Alert);
    }
    assert_eq!(alerts, 1);
}

proptest! {
    #[test]
    fn nothing_breaks_the_bound(
        per_day in 0_u32..5,
        per_identity in 0_u32..3,
        events in proptest::collection::vec((0_usize..5, -1.0_f64..50.0, 0_i64..DAY), 1..300),
    ) {
        holds(per_day, per_identity, events.into_iter());
    }
}
