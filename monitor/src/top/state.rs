//! What is shown, and how what happens changes it. No I/O, no clock.

use std::collections::VecDeque;

use super::list::List;
use super::prompt::Prompt;
use crate::access::record::AccessRecord;
use crate::alert::Alert;
use crate::census::IdentityRecord;
use crate::coverage::CoverageRecord;
use crate::explain::Story;
use crate::filter::Subject;
use crate::serve::records::{Loss, ProbedRecord, StatusRecord};

/// Most accesses kept.
pub const MOST_ACCESSES: usize = 2000;
/// Most alerts kept; each holds up to ten accesses.
pub const MOST_ALERTS: usize = 1000;
/// Most identities kept.
pub const MOST_IDENTITIES: usize = 10_000;
/// Rates kept for the picture, one a second.
const MOST_RATES: usize = 200;
/// How long a remark stands, in microseconds.
const REMARK_US: i64 = 8_000_000;

/// Parts of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// The daemon's state.
    Overview,
    /// Alerts.
    Alerts,
    /// Accesses as they come.
    Accesses,
    /// Identities.
    Identities,
    /// Workloads and what of them is understood.
    Coverage,
}

impl Pane {
    /// In the order of their keys, 1 to 5.
    pub const ALL: [Self; 5] = [
        Self::Overview,
        Self::Alerts,
        Self::Accesses,
        Self::Identities,
        Self::Coverage,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Alerts => "alerts",
            Self::Accesses => "accesses",
            Self::Identities => "identities",
            Self::Coverage => "coverage",
        }
    }

    /// The sort of records it lists; none: it is text.
    #[must_use]
    pub fn subject(self) -> Option<Subject> {
        match self {
            Self::Alerts => Some(Subject::Alert),
            Self::Accesses => Some(Subject::Access),
            Self::Identities => Some(Subject::Identity),
            Self::Overview | Self::Coverage => None,
        }
    }
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// The time, microseconds since 1970; about once a second.
    Tick(i64),
    /// Columns and rows of the terminal.
    Size(u16, u16),
    /// The daemon answers.
    Connected,
    /// It does not, and why.
    Gone(String),
    /// An access, old or new.
    Access(Box<AccessRecord>),
    /// An alert, old, new or changed.
    Alert(Box<Alert>),
    /// This reader was too slow for so many.
    Missed(u64),
    /// The daemon's state.
    Status(Box<StatusRecord>),
    /// All identities.
    Identities(Vec<IdentityRecord>),
    /// How traffic is understood, and what is probed.
    Coverage(Vec<CoverageRecord>, Vec<ProbedRecord>),
    /// An alert's story, or why there is none.
    Story(String, Result<Box<Story>, String>),
    /// An alert after it was acknowledged or muted, or why it was not.
    Marked(Result<Box<Alert>, String>),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// End.
    Quit,
    /// Ask for an alert's story.
    Explain(String),
    /// Acknowledge an alert.
    Acknowledge {
        /// Its id.
        id: String,
        /// Why.
        note: Option<String>,
    },
    /// Mute an alert.
    Mute {
        /// Its id.
        id: String,
        /// Until when, RFC 3339.
        until: String,
    },
    /// Take both back.
    Unmark(String),
}

/// How the daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing was heard yet.
    Connecting,
    /// It answers.
    Up,
    /// It does not: why, and since when (0: not known).
    Gone(String, i64),
}

/// One thing in full.
#[derive(Clone, Debug)]
pub enum Detail {
    /// An alert, and its story once it is there.
    Alert(Box<Alert>, Option<Result<Box<Story>, String>>),
    /// An access.
    Access(Box<AccessRecord>),
    /// An identity.
    Identity(Box<IdentityRecord>),
}

/// What came while the picture stands still.
#[derive(Clone, Debug, Default)]
pub struct Paused {
    pub(super) accesses: VecDeque<AccessRecord>,
    pub(super) alerts: VecDeque<Alert>,
    /// How many came.
    pub came: u64,
    /// Of these, how many had no room.
    pub dropped: u64,
}

/// The picture.
#[derive(Clone, Debug)]
pub struct State {
    /// In view.
    pub pane: Pane,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Microseconds since 1970; 0 before the first tick.
    pub now_us: i64,
    /// How the daemon is reached.
    pub link: Link,
    /// The daemon's state, the newest.
    pub status: Option<StatusRecord>,
    /// Accesses a second, the newest last.
    pub rates: VecDeque<f64>,
    /// Accesses.
    pub accesses: List<AccessRecord>,
    /// Alerts.
    pub alerts: List<Alert>,
    /// Identities.
    pub identities: List<IdentityRecord>,
    /// Whether they were heard of at all.
    pub identities_known: bool,
    /// Workloads and probes; none before they were heard of.
    pub coverage: Option<(Vec<CoverageRecord>, Vec<ProbedRecord>)>,
    /// Set while the picture stands still.
    pub paused: Option<Paused>,
    /// What this reader was too slow for.
    pub missed: u64,
    /// What is typed.
    pub prompt: Option<Prompt>,
    /// One thing in full.
    pub detail: Option<Detail>,
    /// Whether the keys are explained.
    pub help: bool,
    /// First line shown of a text.
    pub scroll: usize,
    /// Columns left out on the left.
    pub shift: usize,
    /// A remark, whether it is a bad one, and until when it stands.
    remark: Option<(String, bool, i64)>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            pane: Pane::Overview,
            size: (80, 24),
            now_us: 0,
            link: Link::Connecting,
            status: None,
            rates: VecDeque::new(),
            accesses: List::new(Subject::Access, MOST_ACCESSES),
            alerts: List::new(Subject::Alert, MOST_ALERTS),
            identities: List::new(Subject::Identity, MOST_IDENTITIES),
            identities_known: false,
            coverage: None,
            paused: None,
            missed: 0,
            prompt: None,
            detail: None,
            help: false,
            scroll: 0,
            shift: 0,
            remark: None,
        }
    }
}

impl State {
    /// Changes the picture by what happened.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Tick(now_us) => {
                self.now_us = now_us;
                let over = |(_, _, until): &(String, bool, i64)| *until <= now_us;
                self.remark.take_if(|remark| over(remark));
            }
            Event::Size(columns, rows) => self.size = (columns, rows),
            Event::Connected => {
                if matches!(self.link, Link::Gone(..)) {
                    self.say("the daemon is back", false);
                }
                self.link = Link::Up;
            }
            Event::Gone(why) => {
                let since = match self.link {
                    Link::Gone(_, since) => since,
                    _ => self.now_us,
                };
                self.link = Link::Gone(why, since);
            }
            Event::Access(access) => match &mut self.paused {
                Some(paused) => paused.access(*access),
                None => self.accesses.push(*access),
            },
            Event::Alert(alert) => match &mut self.paused {
                Some(paused) => paused.alert(*alert),
                None => self.alert(*alert),
            },
            Event::Missed(count) => self.missed = self.missed.saturating_add(count),
            Event::Status(status) => {
                self.rates.push_back(status.accesses.per_second);
                let over = self.rates.len().saturating_sub(MOST_RATES);
                self.rates.drain(..over);
                self.status = Some(*status);
            }
            Event::Identities(mut records) => {
                self.identities_known = true;
                if self.paused.is_none() {
                    crate::cli::render::newest_first(&mut records);
                    self.identities
                        .replace(records, |a, b| a.identity == b.identity);
                }
            }
            Event::Coverage(workloads, probed) => {
                if self.paused.is_none() || self.coverage.is_none() {
                    self.coverage = Some((workloads, probed));
                }
            }
            Event::Story(id, story) => {
                if let Some(Detail::Alert(alert, shown)) = &mut self.detail
                    && alert.id == id
                {
                    *shown = Some(story);
                }
            }
            Event::Marked(Ok(alert)) => {
                let words = crate::cli::render::mark(&alert);
                self.say(
                    &words.unwrap_or_else(|| "neither known nor muted any more".to_owned()),
                    false,
                );
                if let Some(Detail::Alert(shown, _)) = &mut self.detail
                    && shown.id == alert.id
                {
                    shown.clone_from(&alert);
                }
                let id = alert.id.clone();
                self.alerts.change(*alert, |other| other.id == id);
            }
            Event::Marked(Err(why)) => self.say(&why, true),
        }
    }

    fn alert(&mut self, alert: Alert) {
        let id = alert.id.clone();
        self.alerts.upsert(alert, |other| other.id == id);
    }

    /// Shows a remark for a while.
    pub(super) fn say(&mut self, words: &str, bad: bool) {
        self.remark = Some((words.to_owned(), bad, self.now_us.saturating_add(REMARK_US)));
    }

    /// The remark that stands, and whether it is a bad one.
    #[must_use]
    pub fn remark(&self) -> Option<(&str, bool)> {
        let (words, bad, _) = self.remark.as_ref()?;
        Some((words, *bad))
    }

    /// Lets the picture stand still, or go on with what came meanwhile.
    pub(super) fn pause(&mut self) {
        match self.paused.take() {
            None => self.paused = Some(Paused::default()),
            Some(paused) => {
                self.missed = self.missed.saturating_add(paused.dropped);
                for access in paused.accesses {
                    self.accesses.push(access);
                }
                for alert in paused.alerts {
                    self.alert(alert);
                }
            }
        }
    }

    /// Rows between header and footer.
    #[must_use]
    pub fn body_height(&self) -> usize {
        let below = match &self.prompt {
            Some(prompt) => 1 + prompt.wrong.len(),
            None => 1,
        };
        usize::from(self.size.1).saturating_sub(super::view::HEADER + below)
    }

    /// What the daemon lost since it started, and what its queues dropped.
    #[must_use]
    pub fn losses(&self) -> Vec<Loss> {
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let queues = status.queues.iter().map(|queue| Loss {
            cause: format!("queue {}", queue.name),
            count: queue.dropped,
            unit: "dropped".to_owned(),
        });
        let all = status.losses.iter().cloned().chain(queues);
        all.filter(|loss| loss.count > 0).collect()
    }

    /// The id of the alert that keys are about.
    pub(super) fn alert_id(&self) -> Option<String> {
        match &self.detail {
            Some(Detail::Alert(alert, _)) => Some(alert.id.clone()),
            Some(_) => None,
            None if self.pane == Pane::Alerts => {
                self.alerts.selected().map(|alert| alert.id.clone())
            }
            None => None,
        }
    }
}

impl Paused {
    fn access(&mut self, access: AccessRecord) {
        self.came += 1;
        if self.accesses.len() >= MOST_ACCESSES {
            self.accesses.pop_front();
            self.dropped += 1;
        }
        self.accesses.push_back(access);
    }

    fn alert(&mut self, alert: Alert) {
        // One that changes is one.
        self.alerts.retain(|other| other.id != alert.id);
        self.came += 1;
        if self.alerts.len() >= MOST_ALERTS {
            self.alerts.pop_front();
            self.dropped += 1;
        }
        self.alerts.push_back(alert);
    }
}
