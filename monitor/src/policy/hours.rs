//! When an identity may be used: `Mon-Fri 07-19 Europe/Berlin`.
//!
//! A clock on the wall there decides. So an hour that is there twice (clocks put back) counts both times, and
//! one that is missing (clocks put forward) never comes. The table of time zones is part of the program.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::error::Fault;
use crate::suggest::did_you_mean;

const FORM: &str = "hours are DAYS FROM-TO ZONE, as in \"Mon-Fri 07-19 Europe/Berlin\", \"Mon,Wed 07:30-12,13-18\" \
                    or \"22-06\": without days every day, without a zone UTC";

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Minutes and seconds of a day.
const DAY_MINUTES: u16 = 1440;
const DAY_SECONDS: i64 = 86_400;

/// Longest text that is looked at, in bytes.
const LONGEST: usize = 256;

/// Times of day on some days of the week, in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    text: Box<str>,
    /// Bit 0 is Monday.
    days: u8,
    /// Minutes of the day: from, and up to but without. When the end is not after the start it belongs to
    /// the next day.
    times: Box<[(u16, u16)]>,
    zone: TimeZone,
    zone_name: Box<str>,
}

/// All hours of one identity: it may be used when one of the entries says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours(Box<[Entry]>);

/// A stretch of time over which the answer stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Seconds since 1970, inclusive.
    pub from_s: i64,
    /// Seconds since 1970, exclusive.
    pub until_s: i64,
    /// Whether it lies within the hours.
    pub within: bool,
}

impl Stretch {
    /// Whether a time, in seconds since 1970, lies in it.
    #[must_use]
    pub fn contains(&self, time_s: i64) -> bool {
        self.from_s <= time_s && time_s < self.until_s
    }
}

impl Entry {
    /// Reads `[DAYS] FROM-TO[,FROM-TO] [ZONE]`.
    ///
    /// # Errors
    ///
    /// When it is none: what is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |hint: &str| Fault::new(format!("`{text}` are no hours"), hint);
        if text.len() > LONGEST {
            return Err(Fault::new("too long for hours", FORM));
        }
        let mut words = text.split_ascii_whitespace().peekable();
        let digit = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
        let days = match words.next_if(|word| !digit(word)) {
            Some(days) => parse_days(days)?,
            None => 0x7f,
        };
        let Some(times) = words.next().filter(digit) else {
            return Err(wrong(FORM));
        };
        let times = times
            .split(',')
            .map(parse_times)
            .collect::<Result<Box<[_]>, _>>()?;
        let name = words.next().unwrap_or("UTC");
        if words.next().is_some() {
            return Err(wrong(FORM));
        }
        Ok(Self {
            text: text.trim().into(),
            days,
            times,
            zone: parse_zone(name)?,
            zone_name: name.into(),
        })
    }

    /// Whether a day of the week, Monday being 0, is named.
    fn on(&self, weekday: i64) -> bool {
        u32::try_from(weekday.rem_euclid(7))
            .ok()
            .and_then(|bit| self.days.checked_shr(bit))
            .is_some_and(|days| days & 1 == 1)
    }

    /// The answer at a time, and how long before and after it is the same.
    fn at(&self, time_s: i64, time: Timestamp) -> Stretch {
        let offset = i64::from(self.zone.to_offset(time).seconds());
        let local = time_s.saturating_add(offset);
        let (day, second) = (local.div_euclid(DAY_SECONDS), local.rem_euclid(DAY_SECONDS));
        // 1970-01-01 was a Thursday.
        let weekday = day.saturating_add(3);
        let (today, yesterday) = (self.on(weekday), self.on(weekday.saturating_sub(1)));
        let (mut lower, mut upper) = (0, DAY_SECONDS);
        let mut within = false;
        for (from, to) in &self.times {
            let over_night = to <= from;
            let (from, to) = (i64::from(*from) * 60, i64::from(*to) * 60);
            within |= if over_night {
                (today && second >= from) || (yesterday && second < to)
            } else {
                today && second >= from && second < to
            };
            for edge in [from, to] {
                if edge <= second {
                    lower = lower.max(edge);
                } else {
                    upper = upper.min(edge);
                }
            }
        }
        // Seconds since 1970 at which the wall clock showed the day's beginning, had it not been changed.
        let midnight = time_s.saturating_sub(second);
        let (mut from_s, mut until_s) = (
            midnight.saturating_add(lower),
            midnight.saturating_add(upper),
        );
        // A change of the clock ends what can be said: it is strictly before, or after, the time given.
        let next = time
            .checked_add(jiff::SignedDuration::from_nanos(1))
            .unwrap_or(time);
        if let Some(change) = self.zone.preceding(next).next() {
            from_s = from_s.max(change.timestamp().as_second());
        }
        if let Some(change) = self.zone.following(time).next() {
            until_s = until_s.min(change.timestamp().as_second());
        }
        Stretch {
            from_s,
            until_s,
            within,
        }
    }
}

impl Hours {
    /// Hours of these entries.
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        Self(entries.into())
    }

    /// As they are written.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|entry| &*entry.text)
    }

    /// Whether a time, in seconds since 1970, is within the hours, and how long before and after the
    /// answer is the same. `None` for a time that no calendar has (before the year -9999 or after 9999).
    #[must_use]
    pub fn at(&self, time_s: i64) -> Option<Stretch> {
        let time = Timestamp::from_second(time_s).ok()?;
        let all = self.0.iter().map(|entry| entry.at(time_s, time));
        all.reduce(|a, b| Stretch {
            from_s: a.from_s.max(b.from_s),
            until_s: a.until_s.min(b.until_s),
            within: a.within || b.within,
        })
    }

    /// What a clock showed in the zone of the first entry: `Sat 2026-11-21 03:12 Europe/Berlin`.
    #[must_use]
    pub fn clock(&self, time_s: i64) -> Option<String> {
        let entry = self.0.first()?;
        let time = Timestamp::from_second(time_s).ok()?;
        let local = entry.zone.to_datetime(time);
        let shown = local.strftime("%a %Y-%m-%d %H:%M");
        Some(format!("{shown} {}", entry.zone_name))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `Mon-Fri`, `Mon,Wed`, `Sat-Mon`.
fn parse_days(text: &str) -> Result<u8, Fault> {
    let day = |name: &str| {
        let at = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        at.ok_or_else(|| {
            let hint = did_you_mean(name, DAYS)
                .unwrap_or_else(|| format!("the days are {}", DAYS.join(", ")));
            Fault::new(format!("`{name}` is no day"), hint)
        })
    };
    let mut days = 0_u8;
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        // A range may go over Sunday.
        let last = if last < first {
            last.saturating_add(DAYS.len())
        } else {
            last
        };
        for day in first..=last {
            days |= 1 << (day % DAYS.len());
        }
    }
    Ok(days)
}

/// `07-19`, `07:30-19`, `22-06`.
fn parse_times(text: &str) -> Result<(u16, u16), Fault> {
    let hint = "write FROM-TO, as in 07-19, 07:30-12:15 or 22-06; a day ends at 24";
    let wrong = || Fault::new(format!("`{text}` are no times of day"), hint);
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let from = minutes(from)
        .filter(|from| *from < DAY_MINUTES)
        .ok_or_else(wrong)?;
    let to = minutes(to).ok_or_else(wrong)?;
    if from == to {
        let hint = "write 00-24 for the whole day";
        return Err(Fault::new(
            format!("`{text}` begins and ends at the same time"),
            hint,
        ));
    }
    Ok((from, to))
}

/// Minutes of the day of `7`, `07` or `07:30`, up to 24.
fn minutes(text: &str) -> Option<u16> {
    let number = |text: &str, most: u16| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse::<u16>().ok())??;
        (number <= most).then_some(number)
    };
    let (hour, minute) = match text.split_once(':') {
        Some((hour, minute)) if minute.len() == 2 => (number(hour, 24)?, number(minute, 59)?),
        Some(_) => return None,
        None => (number(text, 24)?, 0),
    };
    let minutes = hour.checked_mul(60)?.checked_add(minute)?;
    (minutes <= DAY_MINUTES).then_some(minutes)
}

fn parse_zone(name: &str) -> Result<TimeZone, Fault> {
    let all = TimeZoneDatabase::bundled();
    if let Ok(zone) = all.get(name) {
        return Ok(zone);
    }
    let known: Vec<String> = all.available().map(|name| name.to_string()).collect();
    let hint = did_you_mean(name, known.iter().map(String::as_str)).unwrap_or_else(|| {
        "a zone has a name such as Europe/Berlin, America/New_York or UTC; write it after the times"
            .to_owned()
    });
    Err(Fault::new(format!("there is no time zone `{name}`"), hint))
}

#[cfg(test)]
#[path = "hours_tests.rs"]
mod tests;
