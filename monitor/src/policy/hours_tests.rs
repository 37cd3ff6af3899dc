//! Hours: how they are read, and that a clock on the wall decides.

use super::*;

fn hours(texts: &[&str]) -> Hours {
    Hours::new(
        texts
            .iter()
            .map(|text| Entry::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}")))
            .collect(),
    )
}

fn second(rfc3339: &str) -> i64 {
    rfc3339.parse::<Timestamp>().unwrap().as_second()
}

fn within(hours: &Hours, time: &str) -> bool {
    hours.at(second(time)).unwrap().within
}

#[test]
fn days_and_times() {
    // 2026-11-20 is a Friday.
    for (text, time, want) in [
        ("Mon-Fri 07-19", "2026-11-20T07:00:00Z", true),
        ("Mon-Fri 07-19", "2026-11-20T06:59:59Z", false),
        ("Mon-Fri 07-19", "2026-11-20T18:59:59Z", true),
        ("Mon-Fri 07-19", "2026-11-20T19:00:00Z", false),
        ("Mon-Fri 07-19", "2026-11-21T12:00:00Z", false),
        ("07:30-19", "2026-11-21T07:29:59Z", false),
        ("07:30-19", "2026-11-21T07:30:00Z", true),
        ("7-12,13-18:15", "2026-11-21T12:30:00Z", false),
        ("7-12,13-18:15", "2026-11-21T18:14:59Z", true),
        ("00-24", "2026-11-21T23:59:59Z", true),
        ("22-00", "2026-11-21T23:59:59Z", true),
        ("22-00", "2026-11-21T00:00:00Z", false),
        ("Sat-Mon 08-09", "2026-11-22T08:30:00Z", true),
        ("Sat-Mon 08-09", "2026-11-24T08:30:00Z", false),
        ("mon,WED 08-09", "2026-11-25T08:30:00Z", true),
        // Over midnight the day is that of the beginning.
        ("Fri 22-06", "2026-11-20T21:59:59Z", false),
        ("Fri 22-06", "2026-11-20T22:00:00Z", true),
        ("Fri 22-06", "2026-11-21T05:59:59Z", true),
        ("Fri 22-06", "2026-11-21T06:00:00Z", false),
        ("Fri 22-06", "2026-11-20T03:00:00Z", false),
        ("Fri 22-06", "2026-11-21T23:00:00Z", false),
        ("Sun 22-06", "2026-11-23T03:00:00Z", true),
        // The zone's day, not that of UTC.
        ("Fri 07-19 Asia/Tokyo", "2026-11-19T22:30:00Z", true),
        ("Fri 07-19 Asia/Tokyo", "2026-11-20T10:00:00Z", false),
        ("Fri 07-19 America/New_York", "2026-11-20T23:59:59Z", true),
        ("12-13 Asia/Kathmandu", "2026-11-20T06:15:00Z", true),
        ("12-13 Asia/Kathmandu", "2026-11-20T06:14:59Z", false),
        // Before 1970.
        ("Wed 22-23", "1969-12-31T22:30:00Z", true),
    ] {
        assert_eq!(within(&hours(&[text]), time), want, "{text} {time}");
    }
    let two = hours(&["Mon-Fri 07-19", "Sat 08-12 Europe/Berlin"]);
    assert!(within(&two, "2026-11-21T07:30:00Z"), "the second entry");
    assert!(!within(&two, "2026-11-21T11:30:00Z"));
}

#[test]
fn clocks_put_forward_skip_an_hour() {
    // Berlin, 2026-03-29: 01:59:59 is followed by 03:00:00.
    let skipped = hours(&["02-03 Europe/Berlin"]);
    for minute in 0..180 {
        let time = second("2026-03-28T23:30:00Z") + minute * 60;
        assert!(!skipped.at(time).unwrap().within, "{minute}");
    }
    let morning = hours(&["02:30-04 Europe/Berlin"]);
    for (time, want) in [
        ("2026-03-29T00:59:59Z", false), // 01:59:59
        ("2026-03-29T01:00:00Z", true),  // 03:00:00
        ("2026-03-29T01:59:59Z", true),
        ("2026-03-29T02:00:00Z", false), // 04:00
    ] {
        assert_eq!(within(&morning, time), want, "{time}");
    }
    let night = hours(&["22-06 Europe/Berlin"]);
    assert_eq!(total(&night, "2026-03-28T12:00:00Z"), 7 * 3600);
    assert_eq!(total(&night, "2026-03-27T12:00:00Z"), 8 * 3600);
}

#[test]
fn clocks_put_back_have_an_hour_twice() {
    // Berlin, 2026-10-25: 02:00 to 03:00 is there twice, from 00:00 and from 01:00 UTC.
    let twice = hours(&["02-02:30 Europe/Berlin"]);
    for (time, want) in [
        ("2026-10-24T23:59:59Z", false),
        ("2026-10-25T00:00:00Z", true),
        ("2026-10-25T00:29:59Z", true),
        ("2026-10-25T00:30:00Z", false),
        ("2026-10-25T00:59:59Z", false),
        ("2026-10-25T01:00:00Z", true),
        ("2026-10-25T01:29:59Z", true),
        ("2026-10-25T01:30:00Z", false),
    ] {
        assert_eq!(within(&twice, time), want, "{time}");
    }
    let night = hours(&["22-06 Europe/Berlin"]);
    assert_eq!(total(&night, "2026-10-24T12:00:00Z"), 9 * 3600);
}

/// Seconds within the hours in the 24 hours (and one) from a time on.
fn total(hours: &Hours, from: &str) -> i64 {
    let from = second(from);
    let within = |time: &i64| hours.at(*time).unwrap().within;
    i64::try_from((from..from + 86_400).step_by(60).filter(within).count()).unwrap() * 60
}

/// A stretch is right if every time in it, asked alone, has the same answer and the ones around it are its
/// neighbours': over both changes of the clock, in zones that change by an hour, by half an hour, at
/// midnight, and that left out a whole day.
#[test]
fn stretches_hold_what_they_say() {
    for (zone, from) in [
        ("Europe/Berlin", "2026-03-27T00:00:00Z"),
        ("Europe/Berlin", "2026-10-23T00:00:00Z"),
        ("America/New_York", "2026-10-30T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-03T00:00:00Z"),
        ("America/Sao_Paulo", "2018-11-02T00:00:00Z"),
        ("Pacific/Apia", "2011-12-28T00:00:00Z"),
        ("Europe/Berlin", "2090-03-24T00:00:00Z"),
        ("UTC", "2026-03-27T00:00:00Z"),
    ] {
        for times in [
            "Mon-Fri 07-19",
            "Sat,Sun 22-06",
            "02-02:30,12-13:30",
            "00-24",
        ] {
            let hours = hours(&[&format!("{times} {zone}"), "Tue 03-04"]);
            let start = second(from);
            for time in (start..start + 5 * 86_400).step_by(600) {
                let stretch = hours.at(time).unwrap();
                assert!(stretch.contains(time), "{zone} {times} {time} {stretch:?}");
                assert!(stretch.until_s - stretch.from_s <= 86_400);
                for inside in [stretch.from_s, time + 1, stretch.until_s - 1] {
                    if stretch.contains(inside) {
                        let other = hours.at(inside).unwrap();
                        assert_eq!(other, stretch, "{zone} {times} {time} {inside}");
                    }
                }
                // As a calendar would say it, computed another way.
                assert_eq!(
                    stretch.within,
                    oracle(times, zone, time) || oracle("Tue 03-04", "UTC", time),
                    "{zone} {times} {time}"
                );
            }
        }
    }
}

/// The answer by jiff's own calendar.
fn oracle(times: &str, zone: &str, time: i64) -> bool {
    let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
    let local = zone.to_datetime(Timestamp::from_second(time).unwrap());
    let at = u16::try_from(local.hour()).unwrap() * 60 + u16::try_from(local.minute()).unwrap();
    // The day before in the calendar, whether or not the zone had it.
    let day = local.weekday().to_monday_zero_offset();
    let before = (day + 6) % 7;
    let named = |days: &[i8], day| days.contains(&day);
    match times {
        "Mon-Fri 07-19" => day < 5 && (420..1140).contains(&at),
        "Sat,Sun 22-06" => {
            (named(&[5, 6], day) && at >= 1320) || (named(&[5, 6], before) && at < 360)
        }
        "02-02:30,12-13:30" => (120..150).contains(&at) || (720..810).contains(&at),
        "00-24" => true,
        "Tue 03-04" => day == 1 && (180..240).contains(&at),
        other => panic!("{other}"),
    }
}

#[test]
fn says_what_the_clock_showed() {
    let berlin = hours(&["Mon-Fri 07-19 Europe/Berlin"]);
    assert_eq!(
        berlin.clock(second("2026-07-18T01:12:00Z")).as_deref(),
        Some("Sat 2026-07-18 03:12 Europe/Berlin")
    );
    let utc = hours(&["07-19"]);
    assert_eq!(
        utc.clock(second("2026-07-18T01:12:00Z")).as_deref(),
        Some("Sat 2026-07-18 01:12 UTC")
    );
}

#[test]
fn times_that_no_calendar_has() {
    let all = hours(&["Mon-Fri 07-19 Europe/Berlin"]);
    for time in [i64::MIN, i64::MAX] {
        assert_eq!(all.at(time), None);
        assert_eq!(all.clock(time), None);
    }
    for time in [
        Timestamp::MIN.as_second(),
        Timestamp::MAX.as_second(),
        -62_135_596_800,
    ] {
        assert!(all.at(time).unwrap().contains(time), "{time}");
    }
}

#[test]
fn refuses_what_are_no_hours() {
    for bad in [
        "",
        "Mon-Fri",
        "Berlin",
        "24-25",
        "24-06",
        "7",
        "07-",
        "-07",
        "07-07",
        "7:5-8",
        "007-8",
        "07:60-8",
        "24:01-1",
        "00-24:01",
        "07-19 Mars/Olympus",
        "07-19 UTC UTC",
        "Mon-Fri- 07-19",
        "Mon,,Tue 07-19",
        "Mon-Fri 07-12, 13-18",
        "Montag 07-19",
        "07-19,",
    ] {
        let fault = Entry::parse(bad).expect_err(bad);
        assert!(fault.hint.is_some(), "{bad}");
    }
    let long = Entry::parse(&"07-19,".repeat(100)).unwrap_err();
    assert_eq!(long.problem, "too long for hours");
}

proptest::proptest! {
    #[test]
    fn reading_never_panics(text in "(?s).{0,60}", near in "[MonTueFri, 0-9:-]{0,30}( UTC)?") {
        for text in [text, near] {
            if let Ok(entry) = Entry::parse(&text) {
                proptest::prop_assert!(Hours::new(vec![entry]).at(1_800_000_000).is_some());
            }
        }
    }
}
