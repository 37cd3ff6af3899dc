//! What the machines said, and what is kept of it (docs/kernels.json).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// The last line of a machine whose tests came to their end.
pub(super) const END: &str = "bailiwick-vm-end";
/// What a test's result begins with that was not begun.
pub(super) const NOT_RUN: &str = "not run";
/// Growth of a program, in percent, that is told.
const GROWTH: u64 = 5;

/// How a machine ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, all said.
    Complete,
    /// In another way.
    Broken(String),
}

/// What the verifier made of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    /// Instructions walked through, where the kernel tells.
    pub(super) instructions: Option<u64>,
    /// Load time in microseconds, of the emulated machine.
    pub(super) load_us: u64,
}

/// One kernel's results.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// As `uname -r` says it.
    pub(super) release: String,
    /// How sends and receives are seen, in `doctor`'s words.
    pub(super) way: String,
    /// How io_uring's are seen, in the same words.
    pub(super) io_uring: String,
    /// How keys of TLS are taken.
    pub(super) keys: String,
    /// Seconds that all took, from power on.
    pub(super) seconds: u64,
    /// Why programs do not load; empty: they do.
    pub(super) refused: String,
    pub(super) programs: BTreeMap<String, Figure>,
    /// What is not `ok` says why.
    pub(super) tests: BTreeMap<String, Result<(), String>>,
    current: Option<String>,
    /// When the line before came.
    last: Duration,
}

impl Run {
    /// Takes a line of a machine, said `at` so long after power on; returns what a person should see of it.
    pub(super) fn take(&mut self, line: &str, at: Duration) -> Option<String> {
        let took = at.saturating_sub(std::mem::replace(&mut self.last, at));
        self.seconds = at.as_secs();
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        match (value["type"].as_str()?, value["event"].as_str()) {
            ("probe", _) => {
                self.probe(&text("name"), &text("outcome"), &text("detail"));
                None
            }
            ("test", Some("started")) => {
                self.current = Some(text("name"));
                None
            }
            ("test", Some(event)) => {
                let (name, why) = (text("name"), text("stdout"));
                let result = match event {
                    "ok" => Ok(()),
                    "ignored" => Err("was left out".to_owned()),
                    _ => Err(why.trim().to_owned()),
                };
                let said = match &result {
                    Ok(()) => format!("  {name} ok, {} s", took.as_secs()),
                    Err(why) => format!("  {name} FAILED: {why}"),
                };
                self.current = None;
                self.tests.insert(name, result);
                Some(said)
            }
            _ => None,
        }
    }

    fn probe(&mut self, name: &str, outcome: &str, detail: &str) {
        match name {
            "sends and receives" => detail.clone_into(&mut self.way),
            "io_uring" => detail.clone_into(&mut self.io_uring),
            "keys of TLS" => detail.clone_into(&mut self.keys),
            "kernel programs load and attach" if outcome == "fail" => {
                detail.clone_into(&mut self.refused);
            }
            _ => {
                if let Some(program) = name.strip_prefix("program ")
                    && let Some(figure) = figure(detail)
                {
                    self.programs.insert(program.to_owned(), figure);
                }
            }
        }
    }

    /// Tests that did not come to their end failed, whatever the reason.
    pub(super) fn finish(&mut self, wanted: &[String], end: &End) {
        let current = self.current.take();
        for name in wanted {
            if self.tests.contains_key(name) {
                continue;
            }
            let why = match end {
                End::Broken(why) if current.as_ref() == Some(name) => why.clone(),
                End::Broken(_) => format!("{NOT_RUN}: the machine ended before"),
                End::Complete => NOT_RUN.to_owned(),
            };
            self.tests.insert(name.clone(), Err(why));
        }
    }

    /// One line for each thing that is not as it should be.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        let refused = (!self.refused.is_empty()).then(|| first_line(&self.refused));
        let tests = self.tests.iter().filter_map(|(name, result)| {
            let why = result.as_ref().err()?;
            Some(format!("{name}: {}", first_line(why)))
        });
        refused.into_iter().chain(tests)
    }
}

/// `N instructions verified, loaded in N µs`.
fn figure(detail: &str) -> Option<Figure> {
    let (instructions, rest) = detail.split_once(" instructions verified, loaded in ")?;
    Some(Figure {
        instructions: instructions.parse().ok(),
        load_us: rest.strip_suffix(" µs")?.parse().ok()?,
    })
}

/// The first line, cut so that a table can hold it.
pub(super) fn first_line(text: &str) -> String {
    let text = text.trim_start_matches("Error: \"").trim();
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect()
}

/// What is kept, by series.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kernels: BTreeMap<String, Run>,
}

impl Record {
    /// Reads it; none is an empty one.
    pub(super) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path)?;
        Self::parse(&text).with_context(|| format!("{} is not as it was written", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let mut record = Self::default();
        for (series, kernel) in value.as_object().context("no object")? {
            let text = |key: &str| kernel[key].as_str().unwrap_or_default().to_owned();
            let mut run = Run {
                release: text("release"),
                way: text("way"),
                io_uring: text("io_uring"),
                keys: text("keys"),
                seconds: kernel["seconds"].as_u64().unwrap_or_default(),
                refused: text("refused"),
                ..Run::default()
            };
            for (name, program) in kernel["programs"].as_object().into_iter().flatten() {
                let figure = Figure {
                    instructions: program["instructions"].as_u64(),
                    load_us: program["load_us"].as_u64().context("no load time")?,
                };
                run.programs.insert(name.clone(), figure);
            }
            for (name, result) in kernel["tests"].as_object().into_iter().flatten() {
                let result = match result.as_str().context("no result")? {
                    "ok" => Ok(()),
                    why => Err(why.to_owned()),
                };
                run.tests.insert(name.clone(), result);
            }
            record.kernels.insert(series.clone(), run);
        }
        Ok(record)
    }

    /// Writes it.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.value())? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn value(&self) -> Value {
        let mut all = Map::new();
        for (series, run) in &self.kernels {
            let programs: Map<String, Value> = run
                .programs
                .iter()
                .map(|(name, figure)| {
                    let value =
                        json!({"instructions": figure.instructions, "load_us": figure.load_us});
                    (name.clone(), value)
                })
                .collect();
            let tests: Map<String, Value> = run
                .tests
                .iter()
                .map(|(name, result)| {
                    let word = result
                        .as_ref()
                        .map_or_else(|why| first_line(why), |()| "ok".to_owned());
                    (name.clone(), word.into())
                })
                .collect();
            all.insert(
                series.clone(),
                json!({
                    "release": run.release,
                    "way": run.way,
                    "io_uring": run.io_uring,
                    "keys": run.keys,
                    "seconds": run.seconds,
                    "refused": first_line(&run.refused),
                    "programs": programs,
                    "tests": tests,
                }),
            );
        }
        Value::Object(all)
    }

    /// Drops results of tests that are not there any more.
    pub(super) fn keep_only(&mut self, series: &str, all: &[String]) {
        if let Some(kept) = self.kernels.get_mut(series) {
            kept.tests.retain(|name, _| all.contains(name));
        }
    }

    /// Takes over a run. Tests that were not part of it keep their results if the kernel is the same.
    /// Returns what no longer loads; what grew is printed.
    pub(super) fn merge(&mut self, series: &str, release: &str, run: Run) -> Vec<String> {
        let kept = self.kernels.entry(series.to_owned()).or_default();
        let lost = kept
            .programs
            .keys()
            .filter(|name| !run.programs.contains_key(*name))
            .map(|name| format!("program {name} no longer loads"))
            .collect();
        for (name, now) in &run.programs {
            let before = kept
                .programs
                .get(name)
                .and_then(|figure| figure.instructions);
            if let (Some(before), Some(now)) = (before, now.instructions)
                && now > before + before * GROWTH / 100
            {
                println!("  program {name} grew: {before} to {now} instructions verified");
            }
        }
        if kept.release != release {
            kept.tests.clear();
        }
        // Of a part of the tests it says nothing about all of them.
        if run.tests.len() >= kept.tests.len() {
            kept.seconds = run.seconds;
        }
        release.clone_into(&mut kept.release);
        kept.tests.extend(run.tests);
        kept.way = run.way;
        kept.io_uring = run.io_uring;
        kept.keys = run.keys;
        kept.refused = run.refused;
        kept.programs = run.programs;
        lost
    }
}

/// The test program's path, out of cargo's messages.
pub(super) fn executable(messages: &str) -> Option<String> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["kind"] == json!(["test"]))
        .find_map(|message| Some(message["executable"].as_str()?.to_owned()))
}

/// Names of tests, out of `--list`; what would be skipped has its reason in brackets.
pub(super) fn listed(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(|line| line.rsplit(' ').next().unwrap_or(line).to_owned())
        .collect()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
