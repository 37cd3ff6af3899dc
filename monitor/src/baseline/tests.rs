use super::testing::{DAY, MONDAY, SECOND, access, baseline, feed};
use super::*;

/// `count` days of the same work: three operations of one program, each hour of the working day.
fn work(baseline: &mut Baseline, identity: &str, from_day: i64, count: i64) {
    let mut usual: Vec<Access> = ["/a", "/b", "/c"]
        .iter()
        .map(|route| access(identity, "GET", "api.example", route, "/usr/bin/worker"))
        .collect();
    for day in from_day..from_day + count {
        for hour in 8..18 {
            let at = MONDAY + day * DAY + hour * 3600 * SECOND;
            feed(baseline, &mut usual, at);
        }
    }
}

fn taken(baseline: &mut Baseline) -> Vec<Unusual> {
    std::iter::from_fn(|| baseline.next_unusual()).collect()
}

fn strange(identity: &str) -> Access {
    access(
        identity,
        "DELETE",
        "admin.example",
        "/users/{id}",
        "/usr/bin/curl",
    )
}

#[test]
fn a_takeover_is_told_in_counts() {
    let mut baseline = baseline(Settings::default());
    for peer in ["b", "c"] {
        work(&mut baseline, peer, 0, 20);
    }
    work(&mut baseline, "ci-bot", 0, 20);
    assert!(taken(&mut baseline).is_empty(), "work as usual");
    assert!(baseline.standing("ci-bot").unwrap().mature);
    let at = MONDAY + 20 * DAY;
    feed(&mut baseline, &mut [strange("ci-bot")], at);
    let found = taken(&mut baseline);
    let [one] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        one.words.title,
        "ci-bot did something unusual: DELETE admin.example/users/{id} by /usr/bin/curl: \
         this operation in 0 of 600 requests in 20 days and 0 of 2 peers, this host in 0 and 0 of 2, \
         this program in 0 and 0 of 2; expected novelty 0.0 %; no clause covers it"
    );
    assert!(
        one.words
            .normal
            .contains("3 operations, 1 hosts and 1 programs"),
        "{}",
        one.words.normal
    );
    assert!(one.access.findings.contains(FindingKind::Unusual));
}

#[test]
fn more_of_the_same_is_not_told_again() {
    let mut baseline = baseline(Settings {
        budget: 50,
        per_identity: 50,
        ..Settings::default()
    });
    work(&mut baseline, "ci-bot", 0, 20);
    for minute in 0..600 {
        let at = MONDAY + 20 * DAY + minute * 120 * SECOND;
        feed(&mut baseline, &mut [strange("ci-bot")], at);
    }
    assert_eq!(taken(&mut baseline).len(), 1);
}

#[test]
fn nothing_is_told_while_learning_and_it_says_why() {
    let mut baseline = baseline(Settings::default());
    work(&mut baseline, "ci-bot", 0, 5);
    let standing = baseline.standing("ci-bot").unwrap();
    assert_eq!(standing.waits_for.as_deref(), Some("days: 5 of 7"));
    feed(&mut baseline, &mut [strange("ci-bot")], MONDAY + 5 * DAY);
    assert!(taken(&mut baseline).is_empty());
}

/// An identity that does something new all the time never matures.
#[test]
fn what_is_always_new_is_no_news() {
    let mut baseline = baseline(Settings::default());
    for number in 0..400 {
        let route = format!("/r{number}");
        let mut one = [access(
            "explorer",
            "GET",
            "api.example",
            &route,
            "/usr/bin/x",
        )];
        feed(&mut baseline, &mut one, MONDAY + number * DAY / 10);
    }
    let standing = baseline.standing("explorer").unwrap();
    assert!(!standing.mature && standing.waits_for.unwrap().starts_with("less novelty"));
    assert!(taken(&mut baseline).is_empty());
}

/// A value becomes usual after distinct days, whatever the number of requests.
#[test]
fn requests_make_nothing_usual() {
    let mut baseline = baseline(Settings::default());
    let mut one = [access("a", "GET", "api.example", "/a", "/usr/bin/x")];
    for window in 0..500 {
        feed(&mut baseline, &mut one, MONDAY + window * 70 * SECOND);
    }
    let key = baseline.sights.of(&one[0]).values[0];
    let seen = |baseline: &Baseline| {
        let at = baseline.room.find("a").unwrap();
        let profile = &baseline.room.get(at).unwrap().profile;
        *profile.table(Stream::Operation).unwrap().get(key).unwrap()
    };
    assert_eq!((seen(&baseline).days, seen(&baseline).usual(3)), (1, false));
    feed(&mut baseline, &mut one, MONDAY + DAY);
    feed(&mut baseline, &mut one, MONDAY + 2 * DAY);
    assert_eq!((seen(&baseline).days, seen(&baseline).usual(3)), (3, true));
}

/// What was alerted of is learnt four times as slowly, and not by how often it is done in a day.
#[test]
fn held_back_is_learnt_slowly() {
    let mut baseline = baseline(Settings::default());
    work(&mut baseline, "ci-bot", 0, 20);
    let key = baseline.sights.of(&strange("ci-bot")).values[0];
    let usual = |baseline: &Baseline| {
        let at = baseline.room.find("ci-bot").unwrap();
        let table = baseline
            .room
            .get(at)
            .unwrap()
            .profile
            .table(Stream::Operation)
            .unwrap();
        table.get(key).is_some_and(|seen| seen.usual(3))
    };
    let mut days = 0;
    while !usual(&baseline) {
        for hour in 0..5 {
            let at = MONDAY + (20 + days) * DAY + hour * 3600 * SECOND;
            feed(&mut baseline, &mut [strange("ci-bot")], at);
        }
        days += 1;
    }
    assert_eq!(days, 12, "4 × usual_after_days");
}

#[test]
fn policy_and_refusals_are_left_to_others() {
    let mut baseline = baseline(Settings::default());
    work(&mut baseline, "ci-bot", 0, 20);
    let mut refused = strange("ci-bot");
    refused.status = Some(403);
    let mut broken = strange("ci-bot");
    broken.findings.insert(FindingKind::Duty);
    let mut unsure = strange("ci-bot");
    unsure.unknown_fields = 2;
    feed(
        &mut baseline,
        &mut [refused, broken, unsure],
        MONDAY + 20 * DAY,
    );
    assert!(taken(&mut baseline).is_empty());
    // Granted by a duty, and everything else as ever: the operation alone is no news.
    let mut granted = access("ci-bot", "PUT", "api.example", "/new", "/usr/bin/worker");
    granted.duties = Arc::from([Arc::from("write")]);
    feed(
        &mut baseline,
        &mut [granted],
        MONDAY + 20 * DAY + 3600 * SECOND,
    );
    assert!(taken(&mut baseline).is_empty() && baseline.digest.entries.is_empty());
}

/// A first use of something that peers do is weaker than one of something nobody does.
#[test]
fn what_peers_do_is_milder() {
    let evidence = |peers_do_it: bool| {
        let settings = Settings {
            budget: 0,
            ..Settings::default()
        };
        let mut baseline = baseline(settings);
        for peer in ["b", "c", "d", "e"] {
            for day in 0..20 {
                work(&mut baseline, peer, day, 1);
                if peers_do_it {
                    let at = MONDAY + day * DAY + 20 * 3600 * SECOND;
                    feed(&mut baseline, &mut [strange(peer)], at);
                }
            }
        }
        work(&mut baseline, "ci-bot", 0, 20);
        feed(&mut baseline, &mut [strange("ci-bot")], MONDAY + 20 * DAY);
        let entry = baseline
            .digest
            .entries
            .iter()
            .find(|e| e.identity == "ci-bot");
        entry.map_or(0.0, |entry| entry.evidence)
    };
    let (alone, shared) = (evidence(false), evidence(true));
    assert!(alone > shared + 2.0 && alone > 10.0, "{alone} {shared}");
}

#[test]
fn losses_are_not_learnt_from_but_do_not_blind() {
    let mut baseline = baseline(Settings::default());
    let mut one = [access("a", "GET", "api.example", "/a", "/usr/bin/x")];
    for window in 0..100_i64 {
        one[0].time_us = MONDAY + window * DAY / 10;
        baseline.observe(&one[0]);
        baseline.tick(one[0].time_us + 61 * SECOND, window as u64);
    }
    let standing = baseline.standing("a").unwrap();
    // The very first tick found nothing lost yet.
    assert_eq!(standing.waits_for.as_deref(), Some("windows: 1 of 50"));
    work(&mut baseline, "ci-bot", 20, 20);
    let mut two = strange("ci-bot");
    two.time_us = MONDAY + 41 * DAY;
    baseline.observe(&two);
    baseline.tick(two.time_us + 61 * SECOND, 1_000_000);
    assert_eq!(
        taken(&mut baseline).len(),
        1,
        "a flood elsewhere hides nothing"
    );
}

#[test]
fn a_profile_survives_a_restart() {
    let settings = Settings::default();
    let mut before = baseline(settings);
    work(&mut before, "b", 0, 20);
    work(&mut before, "ci-bot", 0, 20);
    let parts: Vec<Vec<u8>> = (0..PARTS)
        .filter_map(|part| before.save_part(part))
        .collect();
    assert!(
        (0..PARTS).all(|part| before.save_part(part).is_none()),
        "nothing changed since"
    );
    let mut after = baseline(settings);
    for part in &parts {
        assert!(after.restore_part(part).1);
    }
    for name in ["b", "ci-bot"] {
        let of = |baseline: &Baseline| {
            let at = baseline.room.find(name).unwrap();
            baseline.room.get(at).unwrap().profile.clone()
        };
        let (mut old, new) = (of(&before), of(&after));
        old.own = new.own;
        assert_eq!(old, new);
        assert!(old.heap() <= 32 << 10);
    }
    let at = MONDAY + 20 * DAY;
    for baseline in [&mut before, &mut after] {
        feed(baseline, &mut [strange("ci-bot")], at);
    }
    assert_eq!(taken(&mut before)[0].words, taken(&mut after)[0].words);
    // Cut anywhere, or changed anywhere: something or nothing comes back, and no more than was there.
    for part in &parts {
        for cut in 0..part.len() {
            let mut other = baseline(settings);
            other.restore_part(&part[..cut]);
            let mut changed = part.clone();
            changed[cut] ^= 0x41;
            other.restore_part(&changed);
        }
    }
}

#[test]
fn profiles_merge() {
    let settings = Settings::default();
    let make = |from| {
        let mut baseline = baseline(settings);
        work(&mut baseline, "a", from, 5);
        let at = baseline.room.find("a").unwrap();
        baseline.room.get(at).unwrap().profile.clone()
    };
    let (mut one, two) = (make(0), make(10));
    one.merge(&two, &settings);
    assert_eq!((one.requests, one.windows), (300, 100));
    assert_eq!(
        (one.days, one.last_day - one.first_day),
        (5, 14),
        "days may be the same ones"
    );
}

/// Junk identities, routes, hosts and programs: the bound holds, and what was learnt over days stays.
#[test]
fn junk_does_not_exceed_the_memory_nor_push_out_what_is_known() {
    let settings = Settings {
        bytes: 2 << 20,
        ..Settings::default()
    };
    let mut baseline = baseline(settings);
    work(&mut baseline, "ci-bot", 0, 20);
    for number in 0..60_000_u32 {
        let text = format!("junk{number}");
        let who = if number % 3 == 0 { "one" } else { &text };
        let mut one = access(who, "GET", &text, &text, &text);
        one.time_us = MONDAY + 20 * DAY + i64::from(number) * 10_000;
        baseline.observe(&one);
        if number % 100 == 0 {
            baseline.tick(one.time_us, 0);
        }
        assert!(baseline.room.bytes() <= settings.bytes);
        let real: usize = if number % 5_000 == 0 {
            baseline.room.iter().map(|entry| entry.weigh()).sum()
        } else {
            0
        };
        assert!(real <= settings.bytes, "{real}");
    }
    assert!(baseline.room.forgotten > 30_000);
    assert!(baseline.ends.len() <= 2 * baseline.room.len() + windows::SPARE + 1);
    assert!(
        baseline.standing("ci-bot").unwrap().mature,
        "weeks outweigh a spray"
    );
}

/// Identical input, identical output.
#[test]
fn it_is_deterministic() {
    let run = || {
        let mut baseline = baseline(Settings::default());
        work(&mut baseline, "a", 0, 15);
        work(&mut baseline, "b", 0, 20);
        feed(&mut baseline, &mut [strange("b")], MONDAY + 21 * DAY);
        let words: Vec<Words> = taken(&mut baseline)
            .into_iter()
            .map(|one| one.words)
            .collect();
        let parts: Vec<_> = (0..PARTS).map(|part| baseline.save_part(part)).collect();
        (words, parts)
    };
    assert_eq!(run(), run());
}

/// Acknowledged, it is usual at once, also for peers; taken back, it is not, and not told a second time either.
#[test]
fn a_grant_is_usual_at_once_and_can_be_taken_back() {
    let mut baseline = baseline(Settings::default());
    work(&mut baseline, "ci-bot", 0, 20);
    let mut told = strange("ci-bot");
    feed(&mut baseline, &mut [told.clone()], MONDAY + 20 * DAY);
    told.time_us = MONDAY + 20 * DAY;
    assert_eq!(taken(&mut baseline).len(), 1);
    let key = baseline.sights.of(&told).values[0];
    let usual = |baseline: &Baseline| {
        let at = baseline.room.find("ci-bot").unwrap();
        let entry = baseline.room.get(at).unwrap();
        let table = entry.profile.table(Stream::Operation).unwrap();
        let peers = baseline.levels.peers(entry.group);
        (
            table.get(key).unwrap().usual(3),
            table.usual,
            peers.map_or(0, |peers| peers.count(Stream::Operation, key)),
            baseline.levels.host().count(Stream::Operation, key),
        )
    };
    let before = usual(&baseline);
    assert_eq!(before, (false, 3, 0, 0));
    for _ in 0..2 {
        baseline.grant(&told, true);
        assert_eq!(usual(&baseline), (true, 4, 1, 1));
    }
    for _ in 0..2 {
        baseline.grant(&told, false);
        assert_eq!(usual(&baseline), before);
    }
    // What no alert told of is not granted with it.
    let mut other = strange("ci-bot");
    other.host = "other.example".into();
    feed(
        &mut baseline,
        &mut [other.clone()],
        MONDAY + 20 * DAY + 3600 * SECOND,
    );
    taken(&mut baseline);
    let others = baseline.sights.of(&other).values[1];
    let at = baseline.room.find("ci-bot").unwrap();
    let hosts = baseline
        .room
        .get(at)
        .unwrap()
        .profile
        .table(Stream::Host)
        .unwrap();
    let told_too = hosts.get(others).unwrap().told;
    baseline.grant(&other, true);
    let hosts = baseline
        .room
        .get(at)
        .unwrap()
        .profile
        .table(Stream::Host)
        .unwrap();
    assert_eq!(hosts.get(others).unwrap().usual(3), told_too);
    // Nobody of that name: nothing happens.
    baseline.grant(&strange("nobody"), true);
}

/// The same operation on one object after the other, `gap` apart; then the window's time passes.
fn sweep(baseline: &mut Baseline, from_us: i64, objects: u32, gap: i64) -> i64 {
    let mut now = from_us;
    let mut one = access("ci-bot", "GET", "api.example", "/a", "/usr/bin/worker");
    for object in 0..objects {
        now += gap;
        one.time_us = now;
        one.path = format!("/a/{object}");
        baseline.observe(&one);
        baseline.tick(now, 0);
    }
    baseline.tick(now + 61 * SECOND, 0);
    now + 61 * SECOND
}

#[test]
fn a_burst_and_an_enumeration_are_told_in_counts() {
    let mut baseline = baseline(Settings::default());
    work(&mut baseline, "ci-bot", 0, 20);
    let at = MONDAY + 20 * DAY + 9 * 3600 * SECOND;
    sweep(&mut baseline, at, 10, SECOND);
    assert!(taken(&mut baseline).is_empty(), "a little more is nothing");
    sweep(&mut baseline, at + 600 * SECOND, 3000, 10_000);
    let found = taken(&mut baseline);
    let [one] = &found[..] else {
        panic!("{found:?}")
    };
    let title = &one.words.title;
    for part in [
        "ci-bot did far more than usual: GET api.example/a by /usr/bin/worker: ",
        " requests within a minute, at most ",
        " different objects within a minute, at most ",
        "; no clause covers it",
    ] {
        assert!(title.contains(part), "{part:?} in {title}");
    }
    // Told once, though it goes on.
    let mut now = at + 1200 * SECOND;
    for _ in 0..20 {
        now = sweep(&mut baseline, now, 3000, 10_000);
    }
    assert!(taken(&mut baseline).is_empty());
}

/// While a burst grows it is told of at each doubling; going on, it is not, and nothing of it is learnt.
#[test]
fn a_burst_that_goes_on_is_not_told_again() {
    let mut baseline = baseline(Settings {
        budget: 50,
        per_identity: 50,
        ..Settings::default()
    });
    work(&mut baseline, "ci-bot", 0, 20);
    let mut now = MONDAY + 20 * DAY + 9 * 3600 * SECOND;
    now = sweep(&mut baseline, now, 3000, 10_000);
    let told = taken(&mut baseline).len();
    assert!((1..=5).contains(&told), "{told}");
    for _ in 0..20 {
        now = sweep(&mut baseline, now, 3000, 10_000);
    }
    assert!(taken(&mut baseline).is_empty());
    let at = baseline.room.find("ci-bot").unwrap();
    let rates = &baseline.room.get(at).unwrap().profile.rates;
    assert_eq!(rates[0].greatest().0, 3, "three requests a window");
}

/// A few objects a minute, all day long.
#[test]
fn a_slow_scan_is_told() {
    let mut baseline = baseline(Settings::default());
    work(&mut baseline, "ci-bot", 0, 20);
    let at = MONDAY + 20 * DAY + 8 * 3600 * SECOND;
    sweep(&mut baseline, at, 1100, 30 * SECOND);
    let found = taken(&mut baseline);
    let [one] = &found[..] else {
        panic!("{found:?}")
    };
    let title = &one.words.title;
    assert!(
        title.contains(" different objects in a day, at most "),
        "{title}"
    );
}

/// A nightly run is usual, however much it is.
#[test]
fn what_comes_every_night_is_usual() {
    let mut baseline = baseline(Settings::default());
    for day in 0..20 {
        work(&mut baseline, "ci-bot", day, 1);
        sweep(
            &mut baseline,
            MONDAY + day * DAY + 20 * 3600 * SECOND,
            3000,
            10_000,
        );
    }
    assert!(taken(&mut baseline).is_empty());
}

#[test]
fn rates_outlive_a_restart() {
    let mut baseline = baseline(Settings::default());
    work(&mut baseline, "ci-bot", 0, 20);
    let at = baseline.room.find("ci-bot").unwrap();
    let rates = baseline.room.get(at).unwrap().profile.rates.clone();
    assert_eq!(rates[0].greatest().1, 20);
    let mut other = super::testing::baseline(Settings::default());
    for part in 0..PARTS {
        if let Some(bytes) = baseline.save_part(part) {
            assert!(other.restore_part(&bytes).1);
        }
    }
    let at = other.room.find("ci-bot").unwrap();
    assert_eq!(other.room.get(at).unwrap().profile.rates, rates);
}
