//! Processes that end with what started them, and what they used.

use std::fs;
use std::ops::{Add, Sub};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// CPU time in clock ticks, user and system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu(u64);

impl Cpu {
    /// In microseconds.
    pub(crate) fn micros(self) -> f64 {
        self.0 as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64
    }
}

impl Sub for Cpu {
    type Output = Self;
    fn sub(self, before: Self) -> Self {
        Self(self.0.saturating_sub(before.0))
    }
}

impl Add for Cpu {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// A child that is asked to end, then made to, when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self(child))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it ended by itself.
    pub(crate) fn ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // Errors mean that it is gone already.
            let _ = kill_process(id, Signal::TERM);
        }
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(5) {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU time that a process used so far.
pub(crate) fn cpu(pid: u32) -> Result<Cpu> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    stat(&text)
        .map(|(_, cpu)| cpu)
        .with_context(|| format!("{path} has another form: {text}"))
}

/// Children of a process.
pub(crate) fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        if stat(&text).is_some_and(|(its, _)| its == parent) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Most memory that a process ever had resident, in KiB.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    text.lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .with_context(|| format!("{path} has no VmHWM"))
}

/// Parent and CPU time from proc_pid_stat(5); the name in parentheses may itself hold any character.
fn stat(text: &str) -> Option<(u32, Cpu)> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let parent = u32::try_from(number(1)?).ok()?;
    Some((parent, Cpu(number(11)? + number(12)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_parent_are_found_behind_any_name() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 100 1 1";
        assert_eq!(stat(text), Some((7, Cpu(200))));
        assert_eq!(stat("42 (x) S 7"), None);
    }

    #[test]
    fn this_process_is_a_child_of_its_parent() {
        let me = std::process::id();
        let parent = std::os::unix::process::parent_id();
        assert!(children(parent).unwrap().contains(&me));
        assert!(peak_memory(me).unwrap() > 0);
        assert!(cpu(me).is_ok());
    }
}
