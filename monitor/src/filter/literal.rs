//! What a field is compared with, checked against what the field can be.

use std::net::IpAddr;

use ipnet::IpNet;

use super::field::{FieldInfo, Kind};
use super::lex::Tok;
use crate::suggest::nearest;

/// A value as written, and what it means where that is another thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    Number(f64),
    /// `250ms`: as written, and in the field's unit.
    Duration(String, f64),
    /// A time as written, and in the form that records have it.
    Time(String, String),
    /// Addresses, as written and read. An address alone is a network of one.
    Net(String, IpNet),
    Bool(bool),
}

/// Why a value cannot be compared with a field: what is wrong, and what to write.
pub(super) type Refused = (String, Option<String>);

impl Literal {
    /// Reads a token as a value of a field. `in_network`: where addresses may be networks.
    pub(super) fn read(token: &Tok, field: &FieldInfo, in_network: bool) -> Result<Self, Refused> {
        let name = field.name;
        let wrong = |what: &str, hint: &str| {
            Err((
                format!("`{name}` is {what}"),
                Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
            ))
        };
        match (field.kind, token) {
            (_, Tok::Word(word)) if word != "true" && word != "false" => Err((
                format!("`{word}` is no value"),
                Some(format!("a text stands in quotes: \"{word}\"")),
            )),
            (Kind::Bool, Tok::Word(word)) => Ok(Self::Bool(word == "true")),
            (Kind::Bool, _) => wrong("true or false", ""),
            (Kind::Number, Tok::Number(number, unit)) if unit.is_empty() => {
                Ok(Self::Number(*number))
            }
            (Kind::Number, _) => wrong("a number", "as in 404, without quotes"),
            (Kind::Micros, token) => duration(token, field, 1.0),
            (Kind::Seconds, token) => duration(token, field, 1e-6),
            (Kind::Time, Tok::Text(text)) => match text.parse::<jiff::Timestamp>() {
                Ok(time) => Ok(Self::Time(text.clone(), format!("{time:.6}"))),
                Err(_) => wrong("a time", "as in \"2026-11-24T12:00:00Z\""),
            },
            (Kind::Time, _) => wrong("a time", "as in \"2026-11-24T12:00:00Z\""),
            (Kind::Address, Tok::Text(text)) if in_network => match network(text) {
                Some(network) => Ok(Self::Net(text.clone(), network)),
                None if text.contains('/') && !text.starts_with("unix:") => wrong(
                    &format!("never in \"{text}\", which is no network"),
                    "as in \"10.0.0.0/8\" or \"2001:db8::/32\"",
                ),
                None => Ok(Self::Text(text.clone())),
            },
            (Kind::Words(words) | Kind::WordList(words), Tok::Text(text)) => {
                let words = words();
                if words.contains(&text.as_str()) {
                    return Ok(Self::Text(text.clone()));
                }
                let hint = match nearest(text, words.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("one of {}", words.join(", ")),
                };
                Err((format!("`{name}` is never \"{text}\""), Some(hint)))
            }
            (Kind::Severity, Tok::Text(text)) if rank(text).is_some() => {
                Ok(Self::Text(text.clone()))
            }
            (Kind::Severity, _) => wrong("\"low\", \"medium\", \"high\" or \"critical\"", ""),
            (Kind::Object, _) => wrong(
                "an object",
                &format!("write has({name}), or one of its fields"),
            ),
            (_, Tok::Text(text)) => Ok(Self::Text(text.clone())),
            _ => wrong("a text", "texts stand in quotes"),
        }
    }
}

/// `10.0.0.0/8`, or an address alone.
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// How bad a word is.
pub(super) fn rank(word: &str) -> Option<usize> {
    ["low", "medium", "high", "critical"]
        .iter()
        .position(|name| *name == word)
}

fn duration(token: &Tok, field: &FieldInfo, per_us: f64) -> Result<Literal, Refused> {
    let Tok::Number(number, unit) = token else {
        return Err((
            format!("`{}` is a duration", field.name),
            Some("as in 250ms, 5s, 2h or 1d, without quotes".to_owned()),
        ));
    };
    let us = match unit.as_str() {
        "" => return Ok(Literal::Number(*number)),
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        "d" => 86_400e6,
        _ => {
            return Err((
                format!("\"{unit}\" is no unit of time"),
                Some("us, ms, s, m, h or d".to_owned()),
            ));
        }
    };
    Ok(Literal::Duration(
        format!("{number}{unit}"),
        number * us * per_us,
    ))
}
