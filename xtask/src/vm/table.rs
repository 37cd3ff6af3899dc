//! docs/kernels.md: its tables are made from the record, the rest is written by hand.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::record::{NOT_RUN, Record, Run, first_line};

const BEGIN: &str = "<!-- begin: written by `cargo xtask vm` -->\n";
const END: &str = "<!-- end -->\n";

/// Replaces what is between the marks.
pub(super) fn update(path: &Path, record: &Record) -> Result<()> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let new = between(&text, &tables(record))
        .with_context(|| format!("{} has no place for the tables", path.display()))?;
    fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}

fn between(text: &str, content: &str) -> Result<String> {
    let begin = text.find(BEGIN).context("no begin")? + BEGIN.len();
    let end = text.find(END).context("no end")?;
    ensure!(begin <= end, "the end is before the begin");
    Ok(format!("{}\n{content}\n{}", &text[..begin], &text[end..]))
}

fn tables(record: &Record) -> String {
    let kernels: Vec<(&String, &Run)> = {
        let mut all: Vec<_> = record.kernels.iter().collect();
        all.sort_by_key(|(series, _)| numbers(series));
        all
    };
    let mut out = String::new();
    let releases: Vec<&str> = kernels
        .iter()
        .map(|(_, run)| run.release.as_str())
        .collect();
    let row = |out: &mut String, first: &str, cells: &[String]| {
        let _ = writeln!(out, "| {first} | {} |", cells.join(" | "));
    };
    let head = |out: &mut String, first: &str| {
        let _ = writeln!(out, "| {first} | {} |", releases.join(" | "));
        let _ = writeln!(out, "|---|{}", "---|".repeat(releases.len()));
    };
    let per_kernel = |cell: &dyn Fn(&Run) -> String| -> Vec<String> {
        kernels.iter().map(|(_, run)| cell(run)).collect()
    };

    head(&mut out, "tests passed, of those run");
    let mut themes: BTreeMap<&str, ()> = BTreeMap::new();
    for name in kernels.iter().flat_map(|(_, run)| run.tests.keys()) {
        themes.insert(theme(name), ());
    }
    for name in themes.keys() {
        let cells = per_kernel(&|run| count(run, Some(name)));
        row(&mut out, name, &cells);
    }
    row(&mut out, "**all**", &per_kernel(&|run| count(run, None)));
    let minutes = |run: &Run| match run.seconds.div_ceil(60) {
        0 => String::new(),
        minutes => format!("{minutes} minutes"),
    };
    row(&mut out, "took", &per_kernel(&minutes));

    for (_, run) in &kernels {
        let bad = |(name, result): (&String, &Result<(), String>)| {
            Some((name.clone(), first_line(result.as_ref().err()?)))
        };
        let (not_run, failed): (Vec<_>, Vec<_>) = run
            .tests
            .iter()
            .filter_map(bad)
            .partition(|(_, why)| why.starts_with(NOT_RUN));
        let mut failures: Vec<String> = failed
            .iter()
            .map(|(name, why)| format!("- `{name}`: {}", escape(why)))
            .collect();
        if !not_run.is_empty() {
            let names: Vec<String> = not_run
                .iter()
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            failures.push(format!("- {NOT_RUN}: {}", names.join(", ")));
        }
        if !failures.is_empty() {
            let _ = writeln!(
                out,
                "\nNot passed on {}:\n\n{}",
                run.release,
                failures.join("\n")
            );
        }
    }

    out.push('\n');
    head(&mut out, "how sends and receives are seen");
    row(&mut out, "", &per_kernel(&|run| escape(&run.way)));
    row(
        &mut out,
        "io_uring",
        &per_kernel(&|run| escape(&run.io_uring)),
    );
    row(
        &mut out,
        "keys of TLS",
        &per_kernel(&|run| escape(&run.keys)),
    );
    let refused = |run: &Run| match &*first_line(&run.refused) {
        "" if run.programs.is_empty() => "not known".to_owned(),
        "" => "all load".to_owned(),
        why => escape(why),
    };
    row(&mut out, "programs", &per_kernel(&refused));

    out.push('\n');
    head(&mut out, "instructions verified, and load time");
    let mut programs: BTreeMap<&str, ()> = BTreeMap::new();
    for name in kernels.iter().flat_map(|(_, run)| run.programs.keys()) {
        programs.insert(name, ());
    }
    for name in programs.keys() {
        let cells = per_kernel(&|run| {
            run.programs
                .get(*name)
                .map_or_else(String::new, |figure| match figure.instructions {
                    Some(count) => format!("{count}, {} ms", figure.load_us / 1000),
                    None => format!("{} ms", figure.load_us / 1000),
                })
        });
        row(&mut out, &format!("`{name}`"), &cells);
    }
    out
}

fn theme(test: &str) -> &str {
    test.split("::").next().unwrap_or(test)
}

/// `7 of 8`; empty when none was run.
fn count(run: &Run, of: Option<&str>) -> String {
    let tests = run
        .tests
        .iter()
        .filter(|(name, _)| of.is_none_or(|of| theme(name) == of));
    let (not_run, run): (Vec<_>, Vec<_>) = tests
        .map(|(_, result)| result)
        .partition(|result| matches!(result, Err(why) if why.starts_with(NOT_RUN)));
    let passed = run.iter().filter(|result| result.is_ok()).count();
    let text = match (run.len(), not_run.len()) {
        (0, 0) => return String::new(),
        (0, left) => return format!("✗ {left} not run"),
        (all, _) if all == passed => format!("✓ {all}"),
        (all, _) => format!("✗ {passed} of {all}"),
    };
    match not_run.len() {
        0 => text,
        left => format!("{text}, ✗ {left} not run"),
    }
}

/// So that 5.10 comes before 6.1, and names come last.
fn numbers(series: &str) -> Vec<u32> {
    series
        .split('.')
        .map(|part| part.parse().unwrap_or(u32::MAX))
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let new = between(&text, "new").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n{END}after\n"));
        assert_eq!(between(&new, "new").unwrap(), new);
        assert!(between("nothing", "new").is_err());
    }

    fn left_out() -> Record {
        let mut run = Run::default();
        let names = ["a::one", "a::two"].map(str::to_owned);
        run.finish(&names, &crate::vm::record::End::Complete);
        let mut record = Record::default();
        let _ = record.merge("6.1", "6.1", run);
        record
    }

    #[test]
    fn kernels_in_order_and_failures_by_name() {
        let mut record = Record::default();
        for (series, event) in [("6.1", "failed"), ("5.10", "ok"), ("sid", "ok")] {
            let mut run = Run::default();
            let _ = run.take(
                &format!(r#"{{"type":"test","name":"a::one","event":"{event}","stdout":"x|y"}}"#),
                std::time::Duration::ZERO,
            );
            let _ = record.merge(series, series, run);
        }
        let text = tables(&record);
        assert!(
            text.starts_with("| tests passed, of those run | 5.10 | 6.1 | sid |\n"),
            "{text}"
        );
        assert!(text.contains("| a | ✓ 1 | ✗ 0 of 1 | ✓ 1 |"), "{text}");
        assert!(
            tables(&left_out()).contains("| a | ✗ 2 not run |"),
            "{text}"
        );
        assert!(
            tables(&left_out()).contains("Not passed on 6.1:\n\n- not run: `a::one`, `a::two`\n"),
            "{text}"
        );
        assert!(
            text.contains("Not passed on 6.1:\n\n- `a::one`: x\\|y"),
            "{text}"
        );
    }
}
