//! The proposal as a file for people to read and change.

use std::fmt::Write as _;

use super::duties::Duty;
use super::evidence::Span;
use super::names::Owner;
use super::places::Places;
use super::propose::{Identity, Proposal};
use crate::access::record::rfc3339;

/// Longest line of a list before it is broken up.
const WIDTH: usize = 100;

/// A TOML string. Whatever could deceive a reader is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ if c.is_alphanumeric() => out.push(c),
            _ => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

fn list(texts: &[String]) -> String {
    let all: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    let line = format!("[{}]", all.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    format!("[\n    {},\n]", all.join(",\n    "))
}

/// `8,412`
fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().wrapping_sub(at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn date(time_us: i64) -> String {
    rfc3339(time_us).chars().take(10).collect()
}

fn many(count: u64, one: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {one}{s}", number(count))
}

fn last(span: Span) -> String {
    span.0
        .map_or_else(String::new, |(_, last)| format!(", last {}", date(last)))
}

pub(super) fn environments(places: &Places) -> String {
    let mut out = String::from("[environments]\n");
    for (name, destinations) in places {
        if destinations.is_empty() {
            let _ = writeln!(out, "{} = []  # where this host itself belongs", key(name));
            continue;
        }
        let _ = writeln!(out, "{} = [", key(name));
        for (destination, reason) in destinations {
            let _ = writeln!(out, "    {},  # {reason}", quoted(destination));
        }
        out.push_str("]\n");
    }
    out
}

fn duty(out: &mut String, duty: &Duty) {
    let holders = u64::try_from(duty.holders.len()).unwrap_or(u64::MAX);
    let identities = if holders == 1 {
        "1 identity".to_owned()
    } else {
        format!("{holders} identities")
    };
    let _ = writeln!(
        out,
        "# {} by {identities}{}",
        many(duty.requests, "request"),
        last(duty.span)
    );
    let _ = writeln!(out, "{} = [", key(&duty.name));
    for (operation, count) in &duty.operations {
        let _ = writeln!(out, "    {},  # {}", quoted(operation), number(*count));
    }
    out.push_str("]\n");
}

fn identity(out: &mut String, identity: &Identity) {
    let days = match identity.days {
        0 => String::new(),
        days => format!(", {}", many(u64::try_from(days).unwrap_or(u64::MAX), "day")),
    };
    let _ = write!(
        out,
        "\n# {}{days}{}",
        many(identity.requests, "request"),
        last(identity.span)
    );
    for hint in identity.hints.iter().take(3) {
        let _ = write!(out, "; a key that begins with {}", quoted(hint));
    }
    out.push('\n');
    if !identity.findings.is_empty() {
        let all = identity.findings.iter();
        let all: Vec<String> = all
            .map(|(kind, count)| format!("{} {}", number(*count), quoted(kind)))
            .collect();
        let _ = writeln!(
            out,
            "# LOOK AT THIS FIRST: it had findings ({}): what raised them is granted below",
            all.join(", ")
        );
    }
    let _ = writeln!(out, "[identities.{}]", key(&identity.name));
    let owner = quoted(identity.owner.text());
    let _ = match &identity.owner {
        Owner::Known(_) => writeln!(out, "owner = {owner}"),
        Owner::Guessed(_, why) => writeln!(out, "owner = {owner}  # guessed: {why}"),
        Owner::Unknown(_) => writeln!(
            out,
            "owner = {owner}  # FILL IN: the person or team behind it"
        ),
    };
    if let Some(why) = identity.unsure {
        let _ = writeln!(out, "# {why}");
    }
    let _ = writeln!(out, "credentials = {}", list(&identity.credentials));
    let _ = match &identity.workloads {
        Ok(all) => writeln!(out, "workloads = {}", list(all)),
        Err(why) => writeln!(out, "# workloads: {why}"),
    };
    let _ = writeln!(out, "duties = {}", list(&identity.duties));
    let _ = match &identity.environments {
        Ok(all) => writeln!(out, "environments = {}", list(all)),
        Err(why) => writeln!(out, "# environments: {why}"),
    };
}

pub(super) fn toml(proposal: &Proposal) -> String {
    let mut out = String::new();
    let identities = u64::try_from(proposal.identities.len()).unwrap_or(u64::MAX);
    let who = if identities == 1 {
        "1 identity".to_owned()
    } else {
        format!("{} identities", number(identities))
    };
    let _ = writeln!(
        out,
        "# Proposed by `bailiwick learn` from {} of {who}.",
        many(proposal.requests, "request")
    );
    if let Some((first, last)) = proposal.span.0 {
        let _ = writeln!(out, "# Seen from {} to {}.", rfc3339(first), rfc3339(last));
    }
    out.push_str(
        "# It grants what was seen, and what was seen need not be what is meant: read it before you use it.\n\
         # Numbers behind `#` are requests. Environments and owners are guesses, each with its reason.\n",
    );
    let placeholders = proposal
        .identities
        .iter()
        .filter(|identity| matches!(identity.owner, Owner::Unknown(_)))
        .count();
    if placeholders > 0 {
        let _ = writeln!(
            out,
            "# FILL IN {}: whoever owns two identities is one person to every separation.",
            many(u64::try_from(placeholders).unwrap_or(u64::MAX), "owner")
        );
    }
    for (why, count) in &proposal.left_out {
        let _ = writeln!(
            out,
            "# Not granted: {} {}.",
            many(*count, "request"),
            why.words()
        );
    }
    out.push_str("\nversion = 1\n\n");
    out.push_str(&environments(&proposal.environments));
    out.push_str("\n[duties]\n");
    for one in &proposal.duties {
        duty(&mut out, one);
    }
    for one in &proposal.identities {
        identity(&mut out, one);
    }
    for separation in &proposal.separations {
        let _ = writeln!(out, "\n# It holds already: {}.", separation.why);
        let _ = writeln!(out, "[[separate]]\nduties = {}", list(&separation.duties));
        if let Some(on) = &separation.on {
            let _ = writeln!(out, "on = {}\nwithin = \"30d\"", quoted(on));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_keep_their_text_and_hide_nothing() {
        for text in ["a\"b\\c", "\u{202e}x\n", "\u{7f}", "ü", ""] {
            let line = format!("x = {}", quoted(text));
            let read: toml::Table = line.parse().unwrap();
            assert_eq!(read["x"].as_str(), Some(text));
            assert!(!line.contains(['\n', '\u{202e}', '\u{7f}']));
        }
        assert_eq!(number(8412), "8,412");
        assert_eq!(number(1_000_000), "1,000,000");
        assert_eq!(number(100), "100");
    }
}
