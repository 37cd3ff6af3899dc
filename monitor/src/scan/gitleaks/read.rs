//! The file becomes rules.

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use toml::Value;

use super::{Aim, AllowList, Foreign, ForeignRules, MOST_RULES};

/// Largest compiled expression, in bytes.
const REGEX_SIZE: usize = 8 * 1024 * 1024;
/// Most entries of one list.
const MOST_ENTRIES: usize = 10_000;

/// A file that cannot be taken over.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadRules {
    /// Not this TOML.
    #[error("not a rule file of gitleaks: {0}")]
    File(String),
    /// A rule that cannot be taken over.
    #[error("rule \"{rule}\": {problem}")]
    Rule {
        /// Its id.
        rule: String,
        /// Why.
        problem: String,
    },
}

/// The rules, and what a person must know of how they were taken.
#[derive(Debug)]
pub struct Read {
    /// Rules.
    pub rules: ForeignRules,
    /// Remarks.
    pub remarks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    #[serde(default, rename = "title")]
    _title: Option<Value>,
    #[serde(default, rename = "description")]
    _description: Option<Value>,
    /// Least version of gitleaks: of no meaning here.
    #[serde(default, rename = "minVersion")]
    _min_version: Option<Value>,
    #[serde(default)]
    extend: Option<Extend>,
    #[serde(default)]
    rules: Vec<Value>,
    #[serde(default)]
    allowlist: Option<RawList>,
    #[serde(default)]
    allowlists: Vec<RawList>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Extend {
    #[serde(default)]
    use_default: bool,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    disabled_rules: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawRule {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    regex: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    secret_group: u16,
    #[serde(default)]
    entropy: Option<f64>,
    #[serde(default)]
    keywords: Vec<String>,
    /// Labels: of no meaning for what is found.
    #[serde(default, rename = "tags")]
    _tags: Vec<String>,
    #[serde(default)]
    allowlist: Option<RawList>,
    #[serde(default)]
    allowlists: Vec<RawList>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawList {
    #[serde(default, rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    condition: Option<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default)]
    regex_target: Option<String>,
    #[serde(default)]
    stopwords: Vec<String>,
    #[serde(default)]
    commits: Vec<String>,
    #[serde(default)]
    target_rules: Vec<String>,
}

/// Reads a rule file.
///
/// # Errors
/// The first thing that cannot be taken over, and in which rule.
pub fn parse(text: &str) -> Result<Read, BadRules> {
    let file: File = toml::from_str(text).map_err(|error| BadRules::File(error.to_string()))?;
    let mut remarks = Vec::new();
    if let Some(extend) = file.extend {
        if let Some(other) = extend.path.or(extend.url) {
            return Err(BadRules::File(format!(
                "[extend] names another file (\"{other}\"); give a file that holds all its rules"
            )));
        }
        if let Some(rule) = extend.disabled_rules.first() {
            return Err(BadRules::File(format!(
                "[extend] disables rule \"{rule}\" of gitleaks, which is not here; leave disabledRules away"
            )));
        }
        if extend.use_default {
            remarks.push(
                "[extend] useDefault: the rules that gitleaks brings along are not part of bailiwick; its own are used in \
                 their place"
                    .to_owned(),
            );
        }
    }
    if file.rules.len() > MOST_RULES {
        return Err(BadRules::File(format!(
            "{} rules are more than {MOST_RULES}",
            file.rules.len()
        )));
    }
    let mut rules: Vec<Foreign> = Vec::with_capacity(file.rules.len());
    for (number, raw) in file.rules.into_iter().enumerate() {
        let rule = rule(raw, number)?;
        if rules.iter().any(|known| known.id == rule.id) {
            return Err(bad(&rule.id, "there is another of this id"));
        }
        rules.push(rule);
    }
    let mut allow = Vec::new();
    for list in file.allowlist.into_iter().chain(file.allowlists) {
        allow.push(list_of("global allowlist", list)?);
    }
    for target in allow.iter().flat_map(|list| &list.targets) {
        if !rules.iter().any(|rule| rule.id == *target) {
            return Err(BadRules::File(format!(
                "an allowlist is for rule \"{target}\", which is not in the file"
            )));
        }
    }
    Ok(Read {
        rules: ForeignRules { rules, allow },
        remarks,
    })
}

fn bad(rule: &str, problem: impl Into<String>) -> BadRules {
    BadRules::Rule {
        rule: rule.to_owned(),
        problem: problem.into(),
    }
}

fn rule(value: Value, number: usize) -> Result<Foreign, BadRules> {
    let name = value
        .get("id")
        .and_then(Value::as_str)
        .map_or_else(|| format!("number {}", number + 1), str::to_owned);
    let raw: RawRule = value
        .try_into()
        .map_err(|error: toml::de::Error| bad(&name, error.message().to_owned()))?;
    if raw.id.is_empty() || raw.id.len() > 128 || raw.id.chars().any(char::is_whitespace) {
        return Err(bad(&name, "its id is empty, too long, or has blanks"));
    }
    let compile = |what: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => regex(text)
            .map(Some)
            .map_err(|error| bad(&name, format!("{what}: {error}"))),
    };
    let pattern = compile("regex", &raw.regex)?;
    let path = compile("path", &raw.path)?;
    if pattern.is_none() && path.is_none() {
        return Err(bad(&name, "it has neither regex nor path"));
    }
    let group = usize::from(raw.secret_group);
    let groups = pattern.as_ref().map_or(1, Regex::captures_len);
    if group >= groups {
        return Err(bad(
            &name,
            format!(
                "secretGroup {group}, but its regex has {} groups",
                groups - 1
            ),
        ));
    }
    if raw.entropy.is_some_and(|entropy| !entropy.is_finite()) {
        return Err(bad(&name, "its entropy is no number"));
    }
    if raw.keywords.len() > MOST_ENTRIES {
        return Err(bad(&name, "too many keywords"));
    }
    let keywords: Vec<String> = raw
        .keywords
        .iter()
        .map(|word| word.to_lowercase())
        .collect();
    if let Some(word) = keywords
        .iter()
        .find(|word| word.is_empty() || !word.is_ascii())
    {
        return Err(bad(
            &name,
            format!("keyword \"{word}\" is empty or not ASCII"),
        ));
    }
    let mut allow = Vec::new();
    for list in raw.allowlist.into_iter().chain(raw.allowlists) {
        if !list.target_rules.is_empty() {
            return Err(bad(&name, "targetRules belongs into a global allowlist"));
        }
        allow.push(list_of(&name, list)?);
    }
    Ok(Foreign {
        description: if raw.description.is_empty() {
            raw.id.clone()
        } else {
            raw.description
        },
        id: raw.id,
        regex: pattern,
        path,
        group,
        entropy: raw.entropy.filter(|entropy| *entropy > 0.0),
        keywords,
        allow,
    })
}

fn list_of(rule: &str, raw: RawList) -> Result<AllowList, BadRules> {
    if !raw.commits.is_empty() {
        return Err(bad(
            rule,
            "its allowlist names commits; blobs are scanned once, whichever commits hold them",
        ));
    }
    let all = match raw
        .condition
        .as_deref()
        .map(str::to_ascii_uppercase)
        .as_deref()
    {
        None | Some("" | "OR" | "||") => false,
        Some("AND" | "&&") => true,
        Some(other) => {
            return Err(bad(
                rule,
                format!("condition \"{other}\" is neither AND nor OR"),
            ));
        }
    };
    let aim = match raw.regex_target.as_deref() {
        None | Some("" | "secret") => Aim::Secret,
        Some("match") => Aim::Match,
        Some("line") => Aim::Line,
        Some(other) => {
            return Err(bad(
                rule,
                format!("regexTarget \"{other}\" is none of secret, match, line"),
            ));
        }
    };
    let lists = [&raw.paths, &raw.regexes, &raw.stopwords];
    if lists.iter().all(|list| list.is_empty()) {
        return Err(bad(rule, "its allowlist is empty"));
    }
    if lists.iter().any(|list| list.len() > MOST_ENTRIES) {
        return Err(bad(rule, "its allowlist is too long"));
    }
    let compile = |what: &str, texts: &[String]| {
        texts
            .iter()
            .map(|text| {
                regex(text).map_err(|error| bad(rule, format!("allowlist, {what}: {error}")))
            })
            .collect::<Result<Vec<Regex>, BadRules>>()
    };
    Ok(AllowList {
        all,
        paths: compile("paths", &raw.paths)?,
        regexes: compile("regexes", &raw.regexes)?,
        aim,
        stop_words: raw
            .stopwords
            .iter()
            .map(|word| word.to_lowercase())
            .filter(|word| !word.is_empty())
            .collect(),
        targets: raw.target_rules,
    })
}

/// An expression of Go (RE2): its classes are those of ASCII, and bytes need not be UTF-8. Where the text itself names
/// characters beyond ASCII, they are meant as such.
fn regex(text: &str) -> Result<Regex, String> {
    let unicode = !text.is_ascii() || text.contains("\\p") || text.contains("\\P");
    RegexBuilder::new(text)
        .unicode(unicode)
        .size_limit(REGEX_SIZE)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "too large when compiled".to_owned(),
            // The last line says what is wrong; those before draw the place.
            other => {
                let words = other.to_string();
                words
                    .lines()
                    .last()
                    .unwrap_or("does not compile")
                    .trim_start_matches("error: ")
                    .to_owned()
            }
        })
}
