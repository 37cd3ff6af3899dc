//! The common and combined log formats: `host ident user [time] "request" status bytes …`, with `name:port` in front
//! in Apache's `vhost_combined`. <https://httpd.apache.org/docs/2.4/logs.html>

use std::net::IpAddr;

use jiff::civil::Date;
use jiff::tz::Offset;

use super::foreign::{Foreign, protocol};
use super::{Item, Reader, Refusal};
use crate::access::CredentialKind;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

pub(super) fn read(reader: &mut Reader, piece: &[u8]) -> Result<Item, Refusal> {
    let line = std::str::from_utf8(piece).map_err(|_| Refusal::Malformed)?;
    let (head, rest) = line.split_once(" [").ok_or(Refusal::Malformed)?;
    let (date, rest) = rest.split_once("] \"").ok_or(Refusal::Malformed)?;
    let (request, rest) = quoted(rest).ok_or(Refusal::Malformed)?;
    let mut words = head.split(' ');
    let mut first = words.next().unwrap_or_default();
    let mut host = "-";
    let second = words.clone().next().unwrap_or_default();
    if first.parse::<IpAddr>().is_err() && second.parse::<IpAddr>().is_ok() {
        host = first.trim_end_matches(":443").trim_end_matches(":80");
        first = second;
        words.next();
    }
    // `ident`, which nobody fills in.
    words.next().ok_or(Refusal::Malformed)?;
    let user = words.collect::<Vec<_>>().join(" ");
    let time_us = time(date).ok_or(Refusal::Fields)?;
    if matches!(user.as_str(), "" | "-" | "\"\"") {
        return Err(Refusal::NoIdentity);
    }
    let mut parts = request.split(' ');
    let (Some(method), Some(target), version) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Refusal::Fields);
    };
    let mut path = target;
    if let Some((_, absolute)) = target.split_once("://") {
        let at = absolute.find('/').unwrap_or(absolute.len());
        (host, path) = absolute.split_at(at);
    }
    let status = rest.split_ascii_whitespace().next();
    let status = status.and_then(|status| status.parse().ok());
    reader.foreign(&Foreign {
        time_us,
        kind: CredentialKind::Basic,
        name: &format!("basic:user={user}"),
        subject: &user,
        issuer: None,
        from: Some(first),
        method,
        host,
        path: if path.is_empty() { "/" } else { path },
        protocol: protocol(version.unwrap_or_default()),
        status,
        grpc_status: None,
        duration_us: None,
        tls: None,
    })
}

/// A text up to its quote, and what follows. Quotes inside have a backslash in front.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// `10/Oct/2000:13:55:36 -0700`, in µs since 1970.
fn time(text: &str) -> Option<i64> {
    let (stamp, zone) = text.split_once(' ')?;
    let mut parts = stamp.split(['/', ':']);
    let day = parts.next()?.parse::<i16>().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let mut number = || parts.next()?.parse::<i16>().ok();
    let (year, hour, minute, second) = (number()?, number()?, number()?, number()?);
    let small = |number: i16| i8::try_from(number).ok();
    // A leap second is the one before it.
    let date = Date::new(year, i8::try_from(month).ok()?, small(day)?).ok()?;
    let clock =
        jiff::civil::Time::new(small(hour)?, small(minute)?, small(second.min(59))?, 0).ok()?;
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let east = (hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?) * 60;
    let offset = Offset::from_seconds(sign * east).ok()?;
    let stamp = offset.to_timestamp(date.to_datetime(clock)).ok()?;
    Some(stamp.as_microsecond())
}
