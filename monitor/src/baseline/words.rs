//! An alert in counts: how often the identity, and how many of its peers, did what is unusual.

use std::fmt::Write;

use super::digest::what;
use super::profile::{Entry, Exhibit};
use super::rate::Rate;
use super::room::Room;
use super::stream::Stream;
use crate::judge::Words;
use crate::judge::words::Quoted;

/// Streams, as an alert calls them.
fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Operation => "this operation",
        Stream::Host => "this host",
        Stream::Environment => "this environment",
        Stream::Workload => "this program",
        Stream::Lineage => "these ancestors of the process",
        Stream::Network => "this network",
        Stream::Tls => "this TLS client",
        Stream::Hour => "this hour of the week",
    }
}

/// How much there was of something, and the most there ever was.
fn amount(rate: Rate, count: u32, (most, days): (u32, u16), window_s: u32) -> String {
    let within = |what: &str| match window_s {
        60 => format!("{what} within a minute"),
        window_s => format!("{what} within {window_s} s"),
    };
    // Counted to an eighth.
    let about = |what: &str| format!("about {} {what}", grouped(count.into()));
    let what = match rate {
        Rate::Requests => within(&format!("{} requests", grouped(count.into()))),
        Rate::Objects => within(&about("different objects")),
        Rate::Failures => within(&format!("{} failed requests", grouped(count.into()))),
        Rate::Daily => format!("{} in a day", about("different objects")),
    };
    let days = match days {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    format!("{what}, at most {} in {days} before", grouped(most.into()))
}

/// Puts it into words.
pub(super) fn of(
    entry: &Entry,
    exhibit: &Exhibit,
    room: &Room,
    (after, window_s): (u16, u32),
) -> Words {
    let access = &exhibit.access;
    let profile = &entry.profile;
    let who = Quoted(&entry.name);
    let days = profile.last_day.saturating_sub(profile.first_day) + 1;
    let requests = grouped(profile.requests);
    let did = match exhibit.novel {
        0 => "did far more than usual",
        _ => "did something unusual",
    };
    let mut title = format!("{who} {did}: {}: ", what(access));
    let rates = Rate::ALL
        .into_iter()
        .zip(exhibit.amounts)
        .zip(&profile.rates);
    let rates = rates.filter(|((rate, _), _)| exhibit.excess & (1 << *rate as u8) != 0);
    for (at, ((rate, count), gauge)) in rates.enumerate() {
        let and = if at > 0 { ", and " } else { "" };
        let _ = write!(
            title,
            "{and}{}",
            amount(rate, count, gauge.greatest(), window_s)
        );
    }
    if exhibit.excess != 0 && exhibit.novel != 0 {
        title.push_str("; ");
    }
    let novel = Stream::ALL
        .into_iter()
        .zip(exhibit.values)
        .filter(|(stream, _)| exhibit.novel & (1 << *stream as u8) != 0);
    for (at, (stream, key)) in novel.enumerate() {
        let seen = profile.table(stream).and_then(|table| table.get(key));
        let own = seen.map_or(0, |seen| seen.requests);
        let comma = if at > 0 { ", " } else { "" };
        let _ = write!(title, "{comma}{} in {}", name(stream), grouped(own.into()));
        if at == 0 {
            let _ = write!(title, " of {requests} requests in {days} days");
        }
        if let Some(seen) = seen {
            let _ = write!(title, " on {} days", seen.days.saturating_add(seen.held));
        }
        let (peers, with) = peers(entry, stream, key, room, after);
        let unit = if at == 0 { " peers" } else { "" };
        let _ = write!(title, " and {with} of {peers}{unit}");
    }
    if exhibit.novel != 0 {
        let missing = profile.missing() * 100.0;
        let _ = write!(title, "; expected novelty {missing:.1} %");
    }
    title.push_str("; ");
    match access.duties.first() {
        Some(duty) => {
            let _ = write!(title, "duty {} grants the operation", Quoted(duty));
        }
        None => title.push_str("no clause covers it"),
    }
    let usual = |stream: Stream| {
        let table = profile.table(stream);
        table.map_or(0, |table| table.usual)
    };
    let mut normal = format!(
        "one of the {} operations, {} hosts and {} programs that are usual for {who}",
        usual(Stream::Operation),
        usual(Stream::Host),
        usual(Stream::Workload)
    );
    let (most, days) = profile
        .rates
        .first()
        .map_or((0, 0), super::rate::Gauge::greatest);
    if days > 0 {
        let _ = write!(
            normal,
            ", at most {} requests within a window",
            grouped(most.into())
        );
    }
    if profile.lossy > 0 {
        let _ = write!(
            normal,
            " ({} of {} windows are incomplete: something was lost on this host meanwhile)",
            grouped(profile.lossy),
            grouped(profile.lossy.saturating_add(profile.windows))
        );
    }
    Words {
        clause: "baseline: what is usual for the identity".to_owned(),
        title,
        normal,
        action: "Find out who did it and why. If the credential is in other hands, replace it. If it is meant, nothing \
                 need be done: it is not told again, and becomes usual if it goes on; a duty in the policy says so at once."
            .to_owned(),
        // Valid Accounts.
        techniques: &["T1078"],
    }
}

/// Peers with a profile, and those of them that the value is usual for.
fn peers(entry: &Entry, stream: Stream, key: u64, room: &Room, after: u16) -> (usize, usize) {
    let peers = room.iter().filter(|other| {
        other.group == entry.group && other.hash != entry.hash && other.profile.windows > 0
    });
    peers.fold((0, 0), |(all, with), other| {
        let table = other.profile.table(stream);
        let seen = table.and_then(|table| table.get(key));
        let usual = seen.is_some_and(|seen| seen.usual(after));
        (all + 1, with + usize::from(usual))
    })
}

/// `8,412`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + 6);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0, 12, 999, 8412, 1_000_000].map(grouped),
            ["0", "12", "999", "8,412", "1,000,000"]
        );
    }
}
