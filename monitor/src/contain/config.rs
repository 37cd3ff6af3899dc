//! `[containment]` and `[[contain]]` of the configuration.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::Place;
use crate::judge::{FindingKind, Severity};
use crate::policy::workload::WorkloadSelector;
use crate::suggest::did_you_mean;

/// Acts an hour unless configured.
pub const DEFAULT_MAX_PER_HOUR: u32 = 10;
/// Most that can be configured.
pub const MOST_PER_HOUR: u32 = 1000;
/// How long a refusal lasts unless configured.
pub const DEFAULT_FOR: Duration = Duration::from_secs(600);
/// Most rules.
pub const MOST_RULES: usize = 64;

/// Findings that containment may follow: each is about one access and either is so or not. A kind that is not
/// here (a statistical one, one about no access, one made later) cannot be named in a rule.
const FOLLOWED: [&str; 19] = [
    "duty",
    "environment",
    "workload",
    "canary",
    "cleartext",
    "credential-in-url",
    "expired-token",
    "bound-token-as-bearer",
    "proof-missing",
    "proof-mismatch",
    "proof-replayed",
    "key-shared",
    "separation",
    "approval",
    "credential-shared",
    "second-factor",
    "read-writes",
    "hours",
    "workload-environment",
];

/// Whether containment does anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing.
    #[default]
    Off,
    /// It says what it would have done.
    DryRun,
    /// It acts.
    Enforce,
}

impl Mode {
    /// Name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::DryRun => "dry-run",
            Self::Enforce => "enforce",
        }
    }
}

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// End the connection.
    Reset,
    /// Refuse the workload new connections to that environment for a time.
    Refuse,
    /// Stop the process.
    Stop,
}

impl Act {
    /// Name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Refuse => "refuse",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One `[[contain]]`. Unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainRule {
    /// Findings it follows; at least one.
    #[serde(deserialize_with = "kinds")]
    pub kinds: Vec<FindingKind>,
    /// Only these identities (exact, or with `*` for any run of characters); all when empty.
    #[serde(default)]
    pub identities: Vec<String>,
    /// Only these environments; all when empty.
    #[serde(default)]
    pub environments: Vec<String>,
    /// Only findings at least this bad.
    #[serde(default = "lowest")]
    pub min_severity: Severity,
    /// What is done.
    pub act: Act,
    /// For how long connections are refused, 1 s to 1 d; with `act = "refuse"` only.
    #[serde(default, rename = "for", deserialize_with = "duration")]
    pub duration: Option<Duration>,
    /// Acts of this rule an hour, beside what `[containment]` allows all of them.
    #[serde(default, deserialize_with = "some_per_hour")]
    pub max_per_hour: Option<u32>,
    /// Where it stands.
    #[serde(skip, default = "nowhere")]
    pub place: Place,
}

impl ContainRule {
    /// What the types do not say: an error and what to do.
    ///
    /// # Errors
    /// `for` with an act that does not last.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        if self.duration.is_some() && self.act != Act::Refuse {
            return Err((
                format!("`for` has no meaning with act = \"{}\"", self.act),
                "leave it away, or write act = \"refuse\"",
            ));
        }
        Ok(())
    }

    /// How long a refusal lasts.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.duration.unwrap_or(DEFAULT_FOR)
    }
}

/// `[containment]` and all `[[contain]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Containment {
    /// Whether anything is done.
    pub mode: Mode,
    /// Acts of all rules an hour.
    pub max_per_hour: u32,
    /// Workloads that are never touched.
    pub never: Vec<WorkloadSelector>,
    /// When what is done.
    pub rules: Vec<ContainRule>,
}

impl Default for Containment {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            max_per_hour: DEFAULT_MAX_PER_HOUR,
            never: Vec::new(),
            rules: Vec::new(),
        }
    }
}

/// Reads `never`.
pub(crate) fn never(list: Vec<String>) -> Result<Vec<WorkloadSelector>, (String, String)> {
    list.iter()
        .map(|text| {
            WorkloadSelector::parse(text).map_err(|fault| {
                let hint = fault.hint.unwrap_or_default();
                (fault.problem, hint)
            })
        })
        .collect()
}

fn lowest() -> Severity {
    Severity::Low
}

fn nowhere() -> Place {
    Place {
        file: std::path::PathBuf::new(),
        line: 0,
        column: 0,
    }
}

fn kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FindingKind>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let custom = |text: String| Err(serde::de::Error::custom(text));
    if names.is_empty() {
        return custom(
            "kinds is empty; name the findings that it follows, as in kinds = [\"environment\"]"
                .to_owned(),
        );
    }
    let mut kinds = Vec::new();
    for name in names {
        let known = FindingKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name);
        match known.filter(|kind| follows(*kind)) {
            Some(kind) => kinds.push(kind),
            None if known.is_some() => {
                return custom(format!(
                    "containment never follows `{name}`; it follows findings that are certain and about one access: {}",
                    list().join(", ")
                ));
            }
            None => {
                let hint = did_you_mean(&name, list())
                    .unwrap_or_else(|| format!("the kinds are {}", list().join(", ")));
                return custom(format!("`{name}` is no kind of finding; {hint}"));
            }
        }
    }
    Ok(kinds)
}

/// Whether a rule may name the kind.
#[must_use]
pub fn follows(kind: FindingKind) -> bool {
    FOLLOWED.contains(&kind.name())
}

fn list() -> Vec<&'static str> {
    FindingKind::ALL
        .into_iter()
        .filter(|kind| follows(*kind))
        .map(FindingKind::name)
        .collect()
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |what: &str| {
        serde::de::Error::custom(format_args!(
            "{text:?} {what}; between 1s and 1d, as in for = \"10m\""
        ))
    };
    let duration =
        crate::alert::config::parse_duration(&text).ok_or_else(|| wrong("is no duration"))?;
    if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&duration) {
        return Err(wrong("is out of range"));
    }
    Ok(Some(duration))
}

fn some_per_hour<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match u32::deserialize(deserializer)? {
        rate @ 1..=MOST_PER_HOUR => Ok(Some(rate)),
        rate => Err(serde::de::Error::custom(format_args!(
            "{rate} acts an hour are out of range; between 1 and {MOST_PER_HOUR}"
        ))),
    }
}
