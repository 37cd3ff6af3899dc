//! The table of what carries a credential: `[[credential]]` rules in TOML.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, de};
use toml::Spanned;

use super::super::CredentialKind;

/// Most rules in one table.
pub const MAX_RULES: usize = 1024;

/// The rules that come with the program: `config/credentials.toml`.
const BUILTIN: &str = include_str!("../../../../config/credentials.toml");

/// One string or an array of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Names, E> {
                Ok(Names(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

/// One `[[credential]]`. `config/credentials.toml` explains every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique name; a later table replaces the rule of that name.
    pub name: String,
    /// Field names whose value is (or holds) the credential.
    pub header: Option<Names>,
    /// Query parameter names.
    pub query: Option<Names>,
    /// Path patterns with one `{secret}`.
    pub path: Option<Names>,
    /// Cookie names.
    pub cookie: Option<Names>,
    /// Public beginnings of values: a hint, and a mark by which a secret in a path is known.
    pub prefix: Option<Names>,
    /// With `header`: authentication schemes, `*` for any other.
    pub scheme: Option<Names>,
    /// Only on these hosts: a name, or `*.suffix`.
    pub host: Option<Names>,
    /// Kind; by default `cookie` for a cookie, else `api-key`.
    pub kind: Option<CredentialKind>,
    /// With `header`: the parameters that hold it, the first present counts.
    pub parameter: Option<Names>,
    /// Only up to this character.
    pub until: Option<String>,
    /// The value matches one of these, in which `*` is any text.
    pub like: Option<Names>,
    /// With `query`: only when these other parameters are there too.
    pub with: Option<Names>,
    /// Fewest bytes of the value.
    pub min: Option<usize>,
    /// The value looks made by a machine.
    #[serde(default)]
    pub opaque: bool,
    /// It is a credential, but one without a durable part to know it by: counted as unread.
    #[serde(default)]
    pub ignore: bool,
    /// `false` takes the rule of this name away.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    credential: Vec<Spanned<Rule>>,
}

/// What is wrong with a table, and where. The caller knows the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}\nhint: {hint}", Place(self))]
pub struct TableError {
    /// Line, from 1, when known.
    pub line: Option<usize>,
    /// Name of the rule, when known.
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

struct Place<'a>(&'a TableError);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.0.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(rule) = &self.0.rule {
            write!(f, "credential {rule:?}: ")?;
        }
        Ok(())
    }
}

/// Rules in order: the first that fits counts.
#[derive(Clone, Debug, Default)]
pub struct CredentialTable {
    rules: Vec<Rule>,
}

impl CredentialTable {
    /// The rules that come with the program.
    #[must_use]
    pub fn builtin() -> Self {
        // A test parses it; a table without rules would recognise only what the code knows by itself.
        Self::parse(BUILTIN).unwrap_or_default()
    }

    /// Reads `[[credential]]` tables; nothing else may stand in the text.
    ///
    /// # Errors
    /// With line and hint: not TOML, an unknown key, a rule that says nothing or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let line = |at: usize| {
            1 + text
                .as_bytes()
                .iter()
                .take(at)
                .filter(|byte| **byte == b'\n')
                .count()
        };
        let file: File = toml::from_str(text).map_err(|error| TableError {
            line: error.span().map(|span| line(span.start)),
            rule: None,
            message: error.message().to_owned(),
            hint: "a table holds [[credential]] entries; config/credentials.toml explains each key"
                .to_owned(),
        })?;
        Self::from_rules(file.credential.into_iter().map(|rule| {
            let at = line(rule.span().start);
            (Some(at), rule.into_inner())
        }))
    }

    /// A table of rules that were read as part of another file; each with its line there, when known.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_rules(
        rules: impl IntoIterator<Item = (Option<usize>, Rule)>,
    ) -> Result<Self, TableError> {
        let mut table = Self::default();
        for (line, rule) in rules {
            let fail = |(message, hint): (String, &str)| TableError {
                line,
                rule: Some(rule.name.clone()),
                message,
                hint: hint.to_owned(),
            };
            check(&rule).map_err(fail)?;
            if table.rules.iter().any(|other| other.name == rule.name) {
                return Err(fail((
                    "a second rule of this name".to_owned(),
                    "give each rule a name of its own",
                )));
            }
            if table.rules.len() >= MAX_RULES {
                return Err(fail((
                    format!("more than {MAX_RULES} rules"),
                    "one rule takes an array of names: group them",
                )));
            }
            table.rules.push(rule);
        }
        Ok(table)
    }

    /// Both tables. A rule of `other` replaces the one of the same name (or takes it away, with
    /// `enabled = false`); its new rules come first.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        let mut new = Vec::new();
        for rule in other.rules {
            match self.rules.iter_mut().find(|held| held.name == rule.name) {
                Some(held) => *held = rule,
                None => new.push(rule),
            }
        }
        new.append(&mut self.rules);
        new.truncate(MAX_RULES);
        Self { rules: new }
    }

    /// The rules, in order, without those taken away.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.enabled)
    }
}

type Problem = (String, &'static str);

fn check(rule: &Rule) -> Result<(), Problem> {
    if rule.name.is_empty() || rule.name.len() > 64 {
        return Err((
            "the name has no or more than 64 characters".to_owned(),
            "name it in a word",
        ));
    }
    if !rule.enabled {
        return Ok(());
    }
    let places = [
        ("header", &rule.header),
        ("query", &rule.query),
        ("path", &rule.path),
        ("cookie", &rule.cookie),
        ("prefix", &rule.prefix),
    ];
    let mut set = places.iter().filter(|(_, names)| names.is_some());
    let place = match (set.next(), set.next()) {
        (Some((place, _)), None) => *place,
        (None, _) => {
            return Err((
                "says nowhere to look".to_owned(),
                "add one of header, query, path, cookie, prefix",
            ));
        }
        (Some((a, _)), Some((b, _))) => {
            return Err((
                format!("has both {a} and {b}"),
                "write a rule for each place",
            ));
        }
    };
    let only = |key: &str, set: bool, at: &str| {
        if set && place != at {
            return Err((format!("{key} means nothing with {place}"), "remove it"));
        }
        Ok(())
    };
    only("scheme", rule.scheme.is_some(), "header")?;
    only("parameter", rule.parameter.is_some(), "header")?;
    only("with", rule.with.is_some(), "query")?;
    if place == "prefix" && (rule.kind.is_some() || rule.host.is_some() || rule.like.is_some()) {
        return Err((
            "kind, host and like mean nothing with prefix".to_owned(),
            "a prefix only says what a value is called; remove them",
        ));
    }
    let decoded = matches!(
        rule.kind,
        Some(CredentialKind::Basic | CredentialKind::Digest)
    );
    if decoded && (rule.scheme.is_none() || rule.parameter.is_some() || rule.until.is_some()) {
        return Err((
            "kinds basic and digest need a scheme, and no parameter or until".to_owned(),
            "they decode the value themselves",
        ));
    }
    if rule.until.as_ref().is_some_and(|until| until.len() != 1) {
        return Err((
            "until is not one ASCII character".to_owned(),
            "for example until = \"/\"",
        ));
    }
    for (key, names) in places.into_iter().chain([
        ("scheme", &rule.scheme),
        ("parameter", &rule.parameter),
        ("host", &rule.host),
        ("like", &rule.like),
        ("with", &rule.with),
    ]) {
        let Some(Names(names)) = names else { continue };
        if names.is_empty() {
            return Err((format!("{key} is an empty array"), "name at least one"));
        }
        for name in names {
            check_name(key, name)?;
        }
    }
    Ok(())
}

fn check_name(key: &str, name: &str) -> Result<(), Problem> {
    let max = if key == "path" { 256 } else { 64 };
    if name.is_empty() || name.len() > max {
        return Err((
            format!("{key} {name:?} has no or more than {max} bytes"),
            "write the name as it stands in a request",
        ));
    }
    match key {
        "header" | "scheme" if name != "*" && !name.bytes().all(is_tchar) => Err((
            format!("{key} {name:?} is not a token of HTTP"),
            "letters, digits and !#$%&'*+-.^_`|~; no colon, no blank",
        )),
        "header" if ["host", "cookie"].contains(&&*name.to_ascii_lowercase()) => Err((
            format!("the {name} field is read by other means"),
            "name session cookies with cookie = [\"…\"], hosts with host = [\"…\"]",
        )),
        "path" => super::pattern::PathPattern::parse(name).map(|_| ()),
        "host"
            if name
                .strip_prefix("*.")
                .unwrap_or(name)
                .contains(['*', '/', ':']) =>
        {
            Err((
                format!("host {name:?} is no name or *.suffix"),
                "for example host = [\"hooks.example.com\", \"*.example.net\"]",
            ))
        }
        _ => Ok(()),
    }
}

/// RFC 9110 §5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    #[test]
    fn the_builtin_table_is_sound() {
        let table = CredentialTable::parse(BUILTIN).unwrap();
        assert!(table.rules().count() > 40);
    }

    #[test]
    fn bad_tables_say_where_and_what_to_do() {
        for (text, line, part) in [
            ("[[credential]]\nname = 1\n", 2, "invalid type"),
            (
                "\n\n[[credential]]\nname = \"a\"\nheadr = \"X\"\n",
                5,
                "unknown field `headr`",
            ),
            ("[[credential]]\nname = \"a\"\n", 1, "says nowhere to look"),
            (
                "\n[[credential]]\nname = \"a\"\nheader = \"X\"\nquery = \"y\"",
                2,
                "both header and query",
            ),
            (
                "[[credential]]\nname = \"a\"\nquery = \"x\"\nscheme = \"y\"",
                1,
                "scheme means nothing",
            ),
            (
                "[[credential]]\nname = \"a\"\nheader = []",
                1,
                "empty array",
            ),
            (
                "[[credential]]\nname = \"a\"\nheader = 7",
                3,
                "a string or an array",
            ),
            (
                "[[credential]]\nname = \"a\"\nheader = \"X Y\"",
                1,
                "not a token",
            ),
            (
                "[[credential]]\nname = \"a\"\nheader = \"Cookie\"",
                1,
                "by other means",
            ),
            ("[[credential]]\nname = \"a\"\npath = \"/x\"", 1, "{secret}"),
            (
                "[[credential]]\nname = \"a\"\ncookie = \"x\"\nuntil = \"ab\"",
                1,
                "until",
            ),
            (
                "[[credential]]\nname = \"a\"\ncookie = \"x\"\nhost = \"*a*\"",
                1,
                "host",
            ),
            (
                "[[credential]]\nname = \"a\"\ncookie = \"x\"\nkind = \"cake\"",
                4,
                "unknown variant",
            ),
            (
                "[[credential]]\nname = \"a\"\nheader = \"x\"\nkind = \"basic\"",
                1,
                "need a scheme",
            ),
            (
                "[[credential]]\nname = \"a\"\ncookie = \"x\"\n[[credential]]\nname = \"a\"\ncookie = \"y\"",
                4,
                "second rule",
            ),
            ("nonsense = 1\n", 1, "unknown field"),
            ("[[credential]\n", 1, ""),
        ] {
            let error = CredentialTable::parse(text).unwrap_err();
            assert_eq!(error.line, Some(line), "{error}");
            assert!(error.message.contains(part), "{error}");
            assert!(error.to_string().contains("\nhint: "), "{error}");
        }
    }

    #[test]
    fn a_later_table_replaces_adds_and_takes_away() {
        let base = "[[credential]]\nname='a'\nheader='A'\n[[credential]]\nname='b'\nheader='B'\n";
        let other = "[[credential]]\nname='b'\nheader='C'\n[[credential]]\nname='a'\nenabled=false\n\
                     [[credential]]\nname='n'\ncookie='session'\n";
        let table = CredentialTable::parse(base)
            .unwrap()
            .merge(CredentialTable::parse(other).unwrap());
        let names: Vec<_> = table.rules().map(|rule| &*rule.name).collect();
        assert_eq!(names, ["n", "b"]);
        assert_eq!(
            table
                .rules()
                .find(|rule| rule.name == "b")
                .and_then(|rule| rule.header.clone()),
            Some(Names(vec!["C".to_owned()]))
        );
    }
}
