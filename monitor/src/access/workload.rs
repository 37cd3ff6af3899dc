//! The durable identity of a process.

pub mod cgroup;

use std::fmt;
use std::sync::Arc;

pub use cgroup::Cgroup;

/// Most ancestors that are named.
pub const MAX_LINEAGE: usize = 16;
/// Most ancestors that are followed to find the eldest.
const MAX_DEPTH: usize = 256;

/// What a process durably is. A pid is only how it was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Workload {
    /// Path of the executable; empty when unknown.
    pub exe: Arc<str>,
    /// systemd unit (`ci.service`, `session-3.scope`).
    pub unit: Option<Arc<str>>,
    /// Container id, first 12 characters or more as the runtime names it.
    pub container: Option<Arc<str>>,
    /// User name, else the number.
    pub user: Arc<str>,
    /// Executables of the ancestors, parent first, at most 16.
    pub lineage: Arc<[Arc<str>]>,
}

impl Workload {
    /// The one name by which a workload is called in alerts: `container:ID`, else `unit:NAME`, else
    /// `exe:PATH` (`exe:?` when that is not known).
    ///
    /// A unit counts only if it is there tomorrow under the same name: not the scope of a login session, nor
    /// what `systemd-run` numbers. The container comes before the unit, which often is its runtime's.
    #[must_use]
    pub fn label(&self) -> Label<'_> {
        label_of(&self.exe, self.unit.as_deref(), self.container.as_deref())
    }
}

/// [`Workload::label`] of its parts.
pub(crate) fn label_of<'a>(
    exe: &'a str,
    unit: Option<&'a str>,
    container: Option<&'a str>,
) -> Label<'a> {
    let unit = unit.filter(|unit| is_durable(unit));
    match (container, unit) {
        (Some(container), _) => Label {
            kind: "container",
            name: container,
        },
        (None, Some(unit)) => Label {
            kind: "unit",
            name: unit,
        },
        (None, None) if exe.is_empty() => Label {
            kind: "exe",
            name: "?",
        },
        (None, None) => Label {
            kind: "exe",
            name: exe,
        },
    }
}

/// See [`Workload::label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label<'a> {
    /// `container`, `unit` or `exe`.
    pub kind: &'static str,
    /// Which.
    pub name: &'a str,
}

impl Label<'_> {
    /// Whether `text` is this label, printed. Does not allocate.
    #[must_use]
    pub fn is(self, text: &str) -> bool {
        text.strip_prefix(self.kind)
            .and_then(|rest| rest.strip_prefix(':'))
            == Some(self.name)
    }
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// Whether a unit keeps its name from one start to the next.
pub(crate) fn is_durable(unit: &str) -> bool {
    let own = unit.rsplit('/').next().unwrap_or(unit);
    if own == "init.scope" {
        return true;
    }
    // `run-u123.service`, `run-p1-i2.service`, `run-r0a1b….service`: made by systemd-run without a name.
    let stem = own.split('.').next().unwrap_or(own);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbered = stem.strip_prefix("run-").is_some_and(|rest| {
        rest.strip_prefix('u').is_some_and(digits)
            || rest.strip_prefix('p').is_some_and(|rest| {
                rest.split_once("-i")
                    .is_some_and(|(pid, id)| digits(pid) && digits(id))
            })
            || rest.strip_prefix('r').is_some_and(|rest| {
                rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
    });
    !own.ends_with(".scope") && !numbered
}

/// Executables of ancestors, parent first, in the form of [`Workload::lineage`]: an unknown one is `?`, a run
/// of the same executable (forked workers, subshells) is one, and when there are more than
/// [`MAX_LINEAGE`] the last one is the eldest: it says which service or session all this descends from.
#[must_use]
pub fn lineage(ancestors: impl IntoIterator<Item = Arc<str>>) -> Arc<[Arc<str>]> {
    let mut names: Vec<Arc<str>> = Vec::with_capacity(MAX_LINEAGE);
    for exe in ancestors.into_iter().take(MAX_DEPTH) {
        let exe = if exe.is_empty() { Arc::from("?") } else { exe };
        if names.last() == Some(&exe) {
            continue;
        }
        if names.len() == MAX_LINEAGE {
            names.pop();
        }
        names.push(exe);
    }
    names.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arcs(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn labels() {
        for (container, unit, exe, expected) in [
            (
                Some("4c01db0b339c"),
                Some("containerd.service"),
                "/bin/a",
                "container:4c01db0b339c",
            ),
            (None, Some("ci.service"), "/bin/a", "unit:ci.service"),
            (
                None,
                Some("user@1000.service/app.service"),
                "/bin/a",
                "unit:user@1000.service/app.service",
            ),
            (None, Some("init.scope"), "/bin/a", "unit:init.scope"),
            (
                None,
                Some("session-3.scope"),
                "/usr/bin/curl",
                "exe:/usr/bin/curl",
            ),
            (
                None,
                Some("run-u12.service"),
                "/usr/bin/curl",
                "exe:/usr/bin/curl",
            ),
            (
                None,
                Some("run-r0123456789abcdef0123456789abcdef.service"),
                "/usr/bin/curl",
                "exe:/usr/bin/curl",
            ),
            (
                None,
                Some("run-report.service"),
                "/bin/a",
                "unit:run-report.service",
            ),
            (
                None,
                Some("runner.service"),
                "/bin/a",
                "unit:runner.service",
            ),
            (None, None, "/usr/bin/curl", "exe:/usr/bin/curl"),
            (None, None, "", "exe:?"),
        ] {
            let workload = Workload {
                exe: Arc::from(exe),
                unit: unit.map(Arc::from),
                container: container.map(Arc::from),
                ..Workload::default()
            };
            let label = workload.label();
            assert_eq!(label.to_string(), expected);
            assert!(label.is(expected));
            assert!(!label.is(label.name) && !label.is(&format!("user:{}", label.name)));
        }
    }

    #[test]
    fn lineages() {
        let of = |names: &[&str]| lineage(arcs(names)).to_vec();
        assert_eq!(
            of(&["/bin/sh", "/bin/sh", "", "/sbin/init"]),
            arcs(&["/bin/sh", "?", "/sbin/init"])
        );
        assert_eq!(of(&[]), arcs(&[]));
        let many: Vec<String> = (0..40).map(|i| format!("/{i}")).collect();
        let many: Vec<&str> = many.iter().map(|name| &**name).collect();
        let line = of(&many);
        assert_eq!(line.len(), MAX_LINEAGE);
        assert_eq!(line.first(), Some(&Arc::from("/0")));
        assert_eq!(line.get(14), Some(&Arc::from("/14")));
        assert_eq!(line.last(), Some(&Arc::from("/39")));
    }
}
