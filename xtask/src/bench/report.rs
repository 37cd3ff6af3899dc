//! Figures as Markdown.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::Options;
use crate::shell::capture;

/// One run of wrk against nginx.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    /// wrk reported errors.
    pub(crate) failed: bool,
    /// Server CPU per request, µs.
    pub(crate) server: f64,
    /// Monitor CPU per request, µs.
    pub(crate) agent: Option<f64>,
    /// The monitor's account.
    pub(crate) status: Option<Value>,
    /// Most memory of the monitor, KiB.
    pub(crate) peak: Option<u64>,
}

/// A section for docs/performance.md.
pub(crate) fn markdown(pairs: &[(Run, Run)], options: &Options) -> Result<String> {
    ensure!(!pairs.is_empty(), "nothing was measured");
    ensure!(
        !pairs
            .iter()
            .any(|(bare, watched)| bare.failed || watched.failed),
        "wrk reports failed requests; these figures mean nothing"
    );
    let mut text = String::new();
    writeln!(text, "## nginx and wrk, {}\n", date())?;
    writeln!(text, "{}\n", machine())?;
    writeln!(
        text,
        "{} alternating pairs of {} s, {} kept-alive connections, one nginx worker and one wrk thread, every \
         request with a bearer token. `cargo xtask bench --pairs {} --seconds {} --connections {}`.\n",
        pairs.len(),
        options.seconds,
        options.connections,
        options.pairs,
        options.seconds,
        options.connections
    )?;
    writeln!(
        text,
        "| pair | requests/s without | with | ratio | server µs without | with | agent µs | lost |"
    )?;
    writeln!(text, "|---:|---:|---:|---:|---:|---:|---:|---:|")?;
    for (number, (bare, watched)) in pairs.iter().enumerate() {
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.3} | {:.2} | {:.2} | {:.2} | {} |",
            number + 1,
            bare.per_second,
            watched.per_second,
            watched.per_second / bare.per_second,
            bare.server,
            watched.server,
            watched.agent.unwrap_or(f64::NAN),
            lost(watched).map_or_else(|| "?".to_owned(), |lost| lost.to_string()),
        )?;
    }
    let column = |value: &dyn Fn(&(Run, Run)) -> f64| pairs.iter().map(value).collect::<Vec<f64>>();
    let ratio = Spread::of(column(&|(bare, watched)| {
        watched.per_second / bare.per_second
    }));
    let server = Spread::of(column(&|(bare, watched)| watched.server - bare.server));
    let agent = Spread::of(column(&|(_, watched)| watched.agent.unwrap_or(f64::NAN)));
    let lost: Option<u64> = pairs.iter().map(|(_, watched)| lost(watched)).sum();
    let requests: u64 = pairs.iter().map(|(_, watched)| watched.requests).sum();
    let peak = pairs
        .iter()
        .filter_map(|(_, watched)| watched.peak)
        .max()
        .unwrap_or_default();
    writeln!(
        text,
        "\n| figure | median | least | most | goal |\n|---|---:|---:|---:|---:|"
    )?;
    writeln!(text, "| throughput ratio | {} | ≥ 0.95 |", ratio.columns(3))?;
    writeln!(
        text,
        "| server CPU added per request, µs | {} | ≤ 0.6 |",
        server.columns(2)
    )?;
    writeln!(
        text,
        "| agent CPU per request, µs | {} | ≤ 1 |",
        agent.columns(2)
    )?;
    writeln!(
        text,
        "| records lost, of {requests} requests | {} | | | 0 |",
        lost.map_or_else(|| "?".to_owned(), |lost| lost.to_string())
    )?;
    writeln!(
        text,
        "| peak resident memory, MiB | {:.1} | | | ≤ 64 |",
        peak as f64 / 1024.0
    )?;
    Ok(text)
}

/// All losses that the monitor counted, of every cause. Causes that never happened are missing.
fn lost(run: &Run) -> Option<u64> {
    losses(run.status.as_ref()?)
}

/// As in [`lost`], of a status.
pub(crate) fn losses(status: &Value) -> Option<u64> {
    status
        .get("losses")?
        .as_array()?
        .iter()
        .map(|loss| loss.get("count")?.as_u64())
        .sum()
}

/// Median, least and most.
#[derive(Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let median = if values.len().is_multiple_of(2) {
            (at(middle.wrapping_sub(1)) + at(middle)) / 2.0
        } else {
            at(middle)
        };
        Self {
            median,
            least: at(0),
            most: at(values.len().wrapping_sub(1)),
        }
    }

    fn columns(&self, digits: usize) -> String {
        format!(
            "{:.digits$} | {:.digits$} | {:.digits$}",
            self.median, self.least, self.most
        )
    }
}

/// Today.
pub(crate) fn date() -> String {
    capture(Command::new("date").args(["--utc", "+%Y-%m-%d"]))
        .map_or_else(|_| "date unknown".to_owned(), |text| text.trim().to_owned())
}

/// Kernel and processors.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")?
                .split_once(':')
                .map(|(_, name)| name.trim())
        })
        .unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let virtual_machine = if cpus.contains("hypervisor") {
        ", virtual machine"
    } else {
        ""
    };
    format!(
        "Linux {}, {cores} × {model}{virtual_machine}.",
        read("/proc/sys/kernel/osrelease").trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_even_and_odd() {
        assert_eq!(
            Spread::of(vec![3.0, 1.0, 2.0]),
            Spread {
                median: 2.0,
                least: 1.0,
                most: 3.0
            }
        );
        assert_eq!(
            Spread::of(vec![4.0, 1.0, 2.0, 3.0]),
            Spread {
                median: 2.5,
                least: 1.0,
                most: 4.0
            }
        );
    }

    #[test]
    fn losses_of_all_causes_count() {
        let status = serde_json::json!({"losses": [
            {"cause": "data_ring", "count": 3, "unit": "records"},
            {"cause": "fault", "count": 1, "unit": "calls"},
        ]});
        assert_eq!(losses(&status), Some(4));
        assert_eq!(losses(&serde_json::json!({"losses": []})), Some(0));
        assert_eq!(losses(&serde_json::json!({})), None);
    }

    #[test]
    fn failed_requests_make_no_table() {
        let run = |failed| Run {
            requests: 10,
            per_second: 10.0,
            failed,
            server: 1.0,
            agent: Some(0.5),
            status: Some(serde_json::json!({"losses": []})),
            peak: Some(2048),
        };
        let options = Options {
            pairs: 1,
            seconds: 1,
            connections: 1,
            no_micro: true,
            tls: false,
        };
        let text = markdown(&[(run(false), run(false))], &options).unwrap();
        assert!(
            text.contains("| throughput ratio | 1.000 | 1.000 | 1.000 | ≥ 0.95 |"),
            "{text}"
        );
        assert!(
            text.contains("| peak resident memory, MiB | 2.0 |"),
            "{text}"
        );
        assert!(markdown(&[(run(false), run(true))], &options).is_err());
    }
}
