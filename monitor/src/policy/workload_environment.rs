//! `[workload-environments]`: which environment a workload belongs to.

use std::cmp::Reverse;

use super::compile::{Compiler, Table};
use super::environment::EnvironmentId;
use super::error::Place;
use super::model::{Entry as Written, Texts};
use super::reader::dotted;
use super::workload::WorkloadSelector;
use crate::access::Workload;

/// Workloads that belong to an environment.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which workloads.
    pub selector: WorkloadSelector,
    /// Where they belong.
    pub environment: EnvironmentId,
    /// Where that is written.
    pub place: Place,
}

/// All of them, the most precise first.
#[derive(Clone, Debug, Default)]
pub struct WorkloadEnvironments(Vec<Entry>);

impl WorkloadEnvironments {
    /// Whether the policy says nothing about it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries, the most precise first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.0.iter()
    }

    /// The entry that a workload falls under. A container outranks a unit, that an executable, that a user;
    /// within a kind, text outranks text with `*`, and the longer one the shorter.
    #[must_use]
    pub fn find(&self, workload: &Workload) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.selector.matches(workload))
    }
}

impl Compiler<'_> {
    pub(super) fn workload_environments(&mut self, entries: &[Written<Texts>]) {
        let mut all: Vec<Entry> = Vec::new();
        for entry in entries {
            let key = format!("workload-environments.{}", dotted(&entry.name));
            let Some(environment) = self.environments.get(&entry.name).copied() else {
                let name = super::reader::Written {
                    value: entry.name.to_string(),
                    place: entry.place.clone(),
                };
                self.unknown(&name, &key, Table::Environments);
                continue;
            };
            for text in &entry.value {
                let selector = match WorkloadSelector::parse(&text.value) {
                    Ok(selector) => selector,
                    Err(fault) => {
                        self.out.fault(&text.place, &key, fault);
                        continue;
                    }
                };
                if let Some(other) = all
                    .iter()
                    .find(|other| other.selector == selector && other.environment != environment)
                {
                    let name = self.policy.environments.name(other.environment);
                    let problem = format!(
                        "`{}` belongs to {} already",
                        text.value,
                        name.map_or("?", |name| name)
                    );
                    let hint = "a workload has one environment: remove it from one of the two";
                    self.out
                        .error(&text.place, &key, problem, Some(hint.to_owned()));
                    continue;
                }
                all.push(Entry {
                    selector,
                    environment,
                    place: text.place.clone(),
                });
            }
        }
        all.sort_by_key(|entry| Reverse(entry.selector.precision()));
        self.policy.workload_environments = WorkloadEnvironments(all);
    }
}
