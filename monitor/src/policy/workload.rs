//! Which workloads an identity is bound to.

use std::fmt;

use super::error::Fault;
use crate::access::Workload;
use crate::suggest::did_you_mean;

const KINDS: [&str; 4] = ["unit", "exe", "container", "user"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unit,
    Exe,
    Container,
    User,
}

/// `unit:ci.service`, `exe:/usr/bin/curl`, `container:0123456789ab` or `user:deploy`; `*` in it stands for
/// any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadSelector {
    pub(super) kind: Kind,
    pub(super) pattern: Box<str>,
}

impl WorkloadSelector {
    /// Reads a selector.
    ///
    /// # Errors
    ///
    /// When it is none: what is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let kinds = "a workload is unit:NAME.service, exe:/PATH, container:ID or user:NAME";
        let Some((kind, pattern)) = text.split_once(':') else {
            return Err(Fault::new(format!("`{text}` is no workload"), kinds));
        };
        let kind = match kind {
            "unit" => Kind::Unit,
            "exe" => Kind::Exe,
            "container" => Kind::Container,
            "user" => Kind::User,
            other => {
                let hint = did_you_mean(other, KINDS).unwrap_or_else(|| kinds.to_owned());
                return Err(Fault::new(
                    format!("`{other}:` is no kind of workload"),
                    hint,
                ));
            }
        };
        let wrong = |hint: String| Err(Fault::new(format!("`{text}` is no workload"), hint));
        match kind {
            _ if pattern.is_empty() => return wrong(kinds.to_owned()),
            Kind::Unit if !pattern.contains(['.', '*']) => {
                return wrong(format!(
                    "give the unit with its type: unit:{pattern}.service"
                ));
            }
            Kind::Exe if !pattern.starts_with(['/', '*']) => {
                return wrong("give the absolute path of the executable".to_owned());
            }
            Kind::Container
                if pattern.len() < 12 || !pattern.bytes().all(|b| b.is_ascii_alphanumeric()) =>
            {
                return wrong(
                    "give at least the first 12 characters of the container's id".to_owned(),
                );
            }
            _ => {}
        }
        Ok(Self {
            kind,
            pattern: pattern.into(),
        })
    }

    /// How precise it is: a container more than a unit, that more than an executable, that more than a
    /// user; then text without `*` more than with, then the longer text.
    #[must_use]
    pub(crate) fn precision(&self) -> (u8, bool, usize) {
        let kind = match self.kind {
            Kind::Container => 3,
            Kind::Unit => 2,
            Kind::Exe => 1,
            Kind::User => 0,
        };
        (kind, !self.pattern.contains('*'), self.pattern.len())
    }

    /// Whether the workload is meant. A property that is not known matches nothing.
    #[must_use]
    pub fn matches(&self, workload: &Workload) -> bool {
        match self.kind {
            Kind::Unit => workload
                .unit
                .as_deref()
                .is_some_and(|unit| glob(&self.pattern, unit)),
            Kind::Exe => !workload.exe.is_empty() && glob(&self.pattern, &workload.exe),
            Kind::Container => workload.container.as_deref().is_some_and(|id| {
                id.len() >= 12 && (id.starts_with(&*self.pattern) || self.pattern.starts_with(id))
            }),
            Kind::User => !workload.user.is_empty() && glob(&self.pattern, &workload.user),
        }
    }
}

impl fmt::Display for WorkloadSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Unit => "unit",
            Kind::Exe => "exe",
            Kind::Container => "container",
            Kind::User => "user",
        };
        write!(f, "{kind}:{}", self.pattern)
    }
}

/// `*` stands for any characters, everything else for itself. Time: product of the lengths at most.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on when what follows the last `*` does not fit.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                pattern = rest;
                continue;
            }
            (Some((want, rest)), Some((have, after))) if want == have => {
                (pattern, text) = (rest, after);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((rest, from)) = retry else {
            return false;
        };
        let Some((_, after)) = from.split_first() else {
            return false;
        };
        retry = Some((rest, after));
        (pattern, text) = (rest, after);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn workload() -> Workload {
        Workload {
            exe: "/usr/bin/python3.11".into(),
            unit: Some("runner@7.service".into()),
            container: Some("0123456789abcdef".into()),
            user: "deploy".into(),
            lineage: Arc::from([]),
        }
    }

    #[test]
    fn matches_each_property() {
        for (selector, want) in [
            ("unit:runner@7.service", true),
            ("unit:runner@*.service", true),
            ("unit:runner.service", false),
            ("unit:*", true),
            ("exe:/usr/bin/python3.11", true),
            ("exe:/usr/bin/python3*", true),
            ("exe:/usr/bin/python3", false),
            ("exe:*/python3.11", true),
            ("container:0123456789ab", true),
            ("container:0123456789abcdef0000", true),
            ("container:0123456789abff", false),
            ("user:deploy", true),
            ("user:dep", false),
        ] {
            let parsed = WorkloadSelector::parse(selector).unwrap();
            assert_eq!(parsed.matches(&workload()), want, "{selector}");
            assert!(!parsed.matches(&Workload::default()), "unknown: {selector}");
            assert_eq!(parsed.to_string(), selector);
        }
    }

    #[test]
    fn globs() {
        for (pattern, text, want) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*ab", "aab", true),
            ("**", "", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
        ] {
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(100), &"b".repeat(4000)));
    }

    #[test]
    fn refuses_what_is_no_workload() {
        for bad in [
            "",
            "ci.service",
            "units:x.service",
            "unit:ci",
            "exe:curl",
            "container:abc",
            "user:",
        ] {
            let fault = WorkloadSelector::parse(bad).expect_err(bad);
            assert!(fault.hint.is_some(), "{bad}");
        }
        let fault = WorkloadSelector::parse("unti:x.service").unwrap_err();
        assert_eq!(fault.hint.as_deref(), Some("did you mean `unit`?"));
    }
}
