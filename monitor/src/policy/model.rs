//! What one policy file says, with the place of everything it says. Nothing is resolved yet.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::error::{Diagnostics, Place};
use super::reader::{Source, TableReader, Written, strings, wrong_type};

/// The version this program reads.
pub(crate) const VERSION: i64 = 1;

/// Most syntax errors reported of one file.
const MOST_SYNTAX_ERRORS: usize = 3;

/// A definition under a name.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) name: Arc<str>,
    pub(crate) place: Place,
    pub(crate) value: T,
}

/// A list of strings, each with its place.
pub(crate) type Texts = Vec<Written<String>>;

/// One policy file.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) version: Option<Written<i64>>,
    pub(crate) environments: Vec<Entry<Texts>>,
    pub(crate) duties: Vec<Entry<DutyForm>>,
    pub(crate) identities: Vec<Entry<IdentityForm>>,
    pub(crate) separate: Vec<Written<SeparateForm>>,
    pub(crate) approve: Vec<Written<ApproveForm>>,
    pub(crate) high_value: Texts,
    pub(crate) workload_environments: Vec<Entry<Texts>>,
    pub(crate) accept: Vec<Written<AcceptForm>>,
    /// Where the first definition stands; `None` for a file that defines nothing.
    pub(crate) first: Option<Place>,
}

/// A duty: the list of its operations, or `[duties.NAME]`.
#[derive(Debug)]
pub(crate) struct DutyForm {
    pub(crate) operations: Texts,
    pub(crate) privileged: bool,
    pub(crate) second_factor: Option<Written<bool>>,
}

/// `[identities.NAME]`.
#[derive(Debug)]
pub(crate) struct IdentityForm {
    /// Dotted key, for messages.
    pub(crate) key: String,
    pub(crate) owner: Option<Written<String>>,
    pub(crate) credentials: Option<Written<Texts>>,
    pub(crate) workloads: Option<Written<Texts>>,
    pub(crate) duties: Option<Written<Texts>>,
    pub(crate) environments: Option<Written<Texts>>,
    pub(crate) hours: Option<Written<Texts>>,
}

/// `[[separate]]`.
#[derive(Debug)]
pub(crate) struct SeparateForm {
    pub(crate) key: String,
    pub(crate) duties: Option<Written<Texts>>,
    pub(crate) on: Option<Written<String>>,
    pub(crate) within: Option<Written<String>>,
}

/// `[[approve]]`.
#[derive(Debug)]
pub(crate) struct ApproveForm {
    pub(crate) key: String,
    pub(crate) duty: Option<Written<String>>,
    pub(crate) by: Option<Written<String>>,
    pub(crate) distinct: Option<Written<String>>,
    pub(crate) within: Option<Written<String>>,
}

/// `[[accept]]`.
#[derive(Debug)]
pub(crate) struct AcceptForm {
    pub(crate) key: String,
    pub(crate) code: Option<Written<String>>,
    pub(crate) subject: Option<Written<String>>,
    pub(crate) reason: Option<Written<String>>,
    pub(crate) until: Option<Written<String>>,
}

/// Reads one file. `None` when it is no TOML; everything else that is wrong is reported and left out.
pub(crate) fn parse(file: &str, text: &str, out: &mut Diagnostics) -> Option<Document> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(file, text);
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // After a syntax error the parser is guessing: one error a line, and not many.
        let mut last = None;
        let mut left = MOST_SYNTAX_ERRORS;
        for error in errors {
            let place = source.place(error.span().map_or(0, |span| span.start));
            if left == 0 || last.replace(place.line) == Some(place.line) {
                continue;
            }
            let hint = (left == MOST_SYNTAX_ERRORS)
                .then(|| "mend this one first: what follows may come from it".to_owned());
            out.error(&place, "", format!("not TOML: {}", error.message()), hint);
            left = left.saturating_sub(1);
        }
        return None;
    }
    let table = root.get_ref();
    let first = table
        .iter()
        .map(|(key, _)| key.span().start)
        .min()
        .map(|start| source.place(start));
    let mut root = TableReader::new(&source, table, String::new(), Place::file(file));
    let document = Document {
        version: root.integer("version", out),
        environments: entries(root.named("environments", out, list)),
        duties: entries(root.named("duties", out, duty)),
        identities: entries(root.named("identities", out, identity)),
        separate: root.tables("separate", out, separate),
        approve: root.tables("approve", out, approve),
        high_value: root
            .strings("high-value", out)
            .map_or_else(Vec::new, |list| list.value),
        workload_environments: entries(root.named("workload-environments", out, list)),
        accept: root.tables("accept", out, super::accept::read),
        first,
    };
    root.finish(out);
    Some(document)
}

fn entries<T>(all: Vec<(String, Written<T>)>) -> Vec<Entry<T>> {
    let mut entries: Vec<_> = all
        .into_iter()
        .map(|(name, Written { value, place })| Entry {
            name: name.into(),
            place,
            value,
        })
        .collect();
    // TOML tables are sorted by key; a person reads from the top.
    entries.sort_by(|a, b| a.place.cmp(&b.place));
    entries
}

fn list(
    source: &Source<'_>,
    value: &DeValue<'_>,
    place: &Place,
    key: &str,
    out: &mut Diagnostics,
) -> Option<Texts> {
    strings(source, value, place, key, out)
}

fn duty<'t, 's>(
    source: &'s Source<'s>,
    value: &'t DeValue<'t>,
    place: &Place,
    key: &str,
    out: &mut Diagnostics,
) -> Option<DutyForm> {
    let DeValue::Table(table) = value else {
        return Some(DutyForm {
            operations: strings(source, value, place, key, out)?,
            privileged: false,
            second_factor: None,
        });
    };
    let mut table = TableReader::new(source, table, key.to_owned(), place.clone());
    let operations = table.strings("operations", out);
    if operations.is_none() && !table.has("operations") {
        let hint = "add operations = [\"…\"]: what the duty grants";
        let problem = "operations is missing";
        out.error(table.place(), key, problem, Some(hint.to_owned()));
    }
    let form = DutyForm {
        operations: Vec::new(),
        privileged: table
            .boolean("privileged", out)
            .is_some_and(|written| written.value),
        second_factor: table.boolean("second-factor", out),
    };
    table.finish(out);
    operations.map(|list| DutyForm {
        operations: list.value,
        ..form
    })
}

fn identity<'t, 's>(
    source: &'s Source<'s>,
    value: &'t DeValue<'t>,
    place: &Place,
    key: &str,
    out: &mut Diagnostics,
) -> Option<IdentityForm> {
    let DeValue::Table(table) = value else {
        wrong_type(out, place, key, "a table", value);
        return None;
    };
    let mut table = TableReader::new(source, table, key.to_owned(), place.clone());
    let form = IdentityForm {
        key: key.to_owned(),
        owner: table.string("owner", out),
        credentials: table.strings("credentials", out),
        workloads: table.strings("workloads", out),
        duties: table.strings("duties", out),
        environments: table.strings("environments", out),
        hours: table.string_or_strings("hours", out),
    };
    if form.owner.is_none() && !table.has("owner") {
        let hint = "add owner = \"…\", the person or team behind it: two keys of one human are one \
                    subject";
        out.error(
            table.place(),
            key,
            "owner is missing",
            Some(hint.to_owned()),
        );
    }
    table.finish(out);
    Some(form)
}

fn separate(mut table: TableReader<'_, '_>, out: &mut Diagnostics) -> Option<SeparateForm> {
    let form = SeparateForm {
        key: table.path().to_owned(),
        duties: table.strings("duties", out),
        on: table.string("on", out),
        within: table.string("within", out),
    };
    if form.duties.is_none() && !table.has("duties") {
        let hint = "add duties = [\"…\", \"…\"]: what one subject must not combine";
        out.error(
            table.place(),
            table.path(),
            "duties is missing",
            Some(hint.to_owned()),
        );
    }
    table.finish(out);
    Some(form)
}

fn approve(mut table: TableReader<'_, '_>, out: &mut Diagnostics) -> Option<ApproveForm> {
    let form = ApproveForm {
        key: table.path().to_owned(),
        duty: table.string("duty", out),
        by: table.string("by", out),
        distinct: table.string("distinct", out),
        within: table.string("within", out),
    };
    for (name, value, hint) in [
        (
            "duty",
            &form.duty,
            "add duty = \"…\": what needs an approval",
        ),
        (
            "by",
            &form.by,
            "add by = \"…\": the duty whose use is the approval",
        ),
        (
            "within",
            &form.within,
            "add within = \"1h\": how long an approval counts",
        ),
    ] {
        if value.is_none() && !table.has(name) {
            let problem = format!("{name} is missing");
            out.error(table.place(), table.path(), problem, Some(hint.to_owned()));
        }
    }
    table.finish(out);
    Some(form)
}
