//! A checker of exposed text, written from the formats' own documents and from nothing of [`super::text`].
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> ("Text format details"), and for OpenMetrics
//! the specification 1.0.0: "# EOF", names of counters.

use std::collections::{BTreeMap, BTreeSet};

/// Names and values.
type Labels = Vec<(String, String)>;

/// A sample: name, labels as written in order of their names, value.
pub(super) type Samples = BTreeMap<(String, Labels), f64>;

fn is_name(text: &str, colon: bool) -> bool {
    let good = |(at, c): (usize, char)| {
        c.is_ascii_alphabetic() || c == '_' || (colon && c == ':') || (at > 0 && c.is_ascii_digit())
    };
    !text.is_empty() && text.chars().enumerate().all(good)
}

/// Reads `name="value",…}` up to the brace; what is left behind it.
fn labels(mut text: &str) -> Result<(Labels, &str), String> {
    let mut all = Vec::new();
    loop {
        let (name, rest) = text.split_once("=\"").ok_or("a label without value")?;
        if !is_name(name, false) || name.starts_with("__") {
            return Err(format!("{name:?} is no name of a label"));
        }
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().ok_or("a value without end")? {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next().ok_or("nothing behind a backslash")?.1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    c => return Err(format!("\\{c} is no escape")),
                },
                (_, c) => value.push(c),
            }
        };
        if all.iter().any(|(known, _)| known == name) {
            return Err(format!("label {name} twice"));
        }
        all.push((name.to_owned(), value));
        let rest = rest.get(end..).unwrap_or("");
        match rest.split_at_checked(1) {
            Some((",", rest)) => text = rest,
            Some(("}", rest)) => {
                all.sort();
                return Ok((all, rest));
            }
            _ => return Err("labels without end".to_owned()),
        }
    }
}

/// Checks text and gives its samples.
pub(super) fn check(text: &str, open: bool) -> Result<Samples, String> {
    let mut text = text;
    if open {
        text = text.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
    }
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let mut samples = Samples::new();
    let mut seen = BTreeSet::new();
    let mut helped = String::new();
    let mut family = (String::new(), String::new());
    for line in text.lines() {
        let bad = |why: &str| format!("{why}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| bad("no help"))?;
            if help.is_empty() {
                return Err(bad("no help"));
            }
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| bad("no type"))?;
            if name != helped || !is_name(name, true) {
                return Err(bad("a type of something else"));
            }
            if !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(bad("no such type"));
            }
            if !seen.insert(name.to_owned()) {
                return Err(bad("a family twice"));
            }
            if (kind == "counter" && !open) != name.ends_with("_total") {
                return Err(bad("_total belongs to counters"));
            }
            family = (name.to_owned(), kind.to_owned());
        } else if line.starts_with('#') || line.is_empty() {
            return Err(bad("neither help nor type"));
        } else {
            let (key, value) = sample(line, &family, open).map_err(|why| bad(&why))?;
            if samples.insert(key, value).is_some() {
                return Err(bad("a sample twice"));
            }
        }
    }
    histograms(&samples)?;
    Ok(samples)
}

fn sample(
    line: &str,
    (family, kind): &(String, String),
    open: bool,
) -> Result<((String, Labels), f64), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let behind = name
        .strip_prefix(family.as_str())
        .ok_or("of another family")?;
    let fits = match kind.as_str() {
        "counter" => behind == if open { "_total" } else { "" },
        "gauge" => behind.is_empty(),
        _ => match behind {
            "_bucket" => labels.iter().any(|(name, _)| name == "le"),
            "_sum" | "_count" => true,
            _ => false,
        },
    };
    if !fits {
        return Err(format!("not of a {kind}"));
    }
    let number = rest.strip_prefix(' ').ok_or("no value")?;
    let value: f64 = number.parse().map_err(|_| "no number")?;
    if kind != "gauge" && (value < 0.0 || value.is_nan()) {
        return Err("negative".to_owned());
    }
    Ok(((name.to_owned(), labels), value))
}

/// Buckets are cumulative, and the last is the count.
fn histograms(samples: &Samples) -> Result<(), String> {
    let mut buckets: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for ((name, labels), value) in samples {
        if let Some(name) = name.strip_suffix("_bucket") {
            let le = labels.iter().find(|(name, _)| name == "le");
            let le = le.ok_or("a bucket without le")?.1.as_str();
            let le = if le == "+Inf" {
                f64::INFINITY
            } else {
                le.parse().map_err(|_| "le")?
            };
            buckets.entry(name).or_default().push((le, *value));
        }
    }
    for (name, mut all) in buckets {
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        if !all.is_sorted_by(|a, b| a.1 <= b.1) {
            return Err(format!("{name}: buckets that fall"));
        }
        let count = samples.get(&(format!("{name}_count"), Vec::new()));
        let last = all.last().filter(|(le, _)| le.is_infinite());
        if last.map(|(_, count)| count) != count {
            return Err(format!("{name}: +Inf is not the count"));
        }
    }
    Ok(())
}
