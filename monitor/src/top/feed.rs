//! Asks the daemon, and turns its answers into events. Over restarts of the daemon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::state::{Effect, Event, Pane};
use crate::access::record::AccessRecord;
use crate::alert::Alert;
use crate::cli::client::{self, Answer, Connection, Record};
use crate::cli::exit::Failure;
use crate::serve::protocol::Command;
use crate::serve::records::AlertQuery;

/// Accesses of the past asked for first, and after a reconnection.
const LAST: usize = 1000;
/// Longest wait between two attempts to reach the daemon.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Between two looks at the daemon's state, and at what is in view.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at identities or coverage: they interrupt the daemon's hot thread.
const SELDOM: Duration = Duration::from_secs(3);

/// What asks the daemon.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    socket: PathBuf,
    events: mpsc::Sender<Event>,
}

/// Nobody listens any more.
struct Over;

impl Feed {
    /// Starts to ask. `pane` is what is in view.
    pub(super) fn start(
        socket: &Path,
        events: mpsc::Sender<Event>,
        pane: watch::Receiver<Pane>,
    ) -> Self {
        let feed = Self {
            socket: socket.to_owned(),
            events,
        };
        let [accesses, alerts, status, rest] = [(); 4].map(|()| feed.clone());
        tokio::spawn(async move { accesses.follow(false).await });
        tokio::spawn(async move { alerts.follow(true).await });
        tokio::spawn(async move { status.status().await });
        tokio::spawn(async move { rest.in_view(pane).await });
        feed
    }

    async fn send(&self, event: Event) -> Result<(), Over> {
        self.events.send(event).await.map_err(|_| Over)
    }

    /// Records of the past, then new ones, for ever.
    async fn follow(&self, alerts: bool) {
        let command = if alerts {
            let query = AlertQuery {
                last: Some(super::state::MOST_ALERTS),
                ..AlertQuery::default()
            };
            Command::Alerts {
                query,
                follow: true,
            }
        } else {
            Command::Tail {
                last: LAST,
                follow: true,
                filter: Vec::new(),
                r#where: None,
            }
        };
        let mut wait = Duration::from_millis(100);
        // The newest access shown: times of one form compare as text.
        let mut newest = String::new();
        loop {
            let why = match Connection::open(&self.socket, &command).await {
                Ok(connection) => {
                    wait = Duration::from_millis(100);
                    match self.records(connection, alerts, &mut newest).await {
                        Ok(why) => why,
                        Err(Over) => return,
                    }
                }
                Err(error) => client::unreachable(&self.socket, &error).message,
            };
            if self.send(Event::Gone(why)).await.is_err() {
                return;
            }
            sleep(wait).await;
            wait = (wait * 2).min(MAX_WAIT);
        }
    }

    /// One connection's records; why it ended.
    async fn records(
        &self,
        mut connection: Connection,
        alerts: bool,
        newest: &mut String,
    ) -> Result<String, Over> {
        let mut past = !newest.is_empty();
        let mut first = true;
        loop {
            let answer = match connection.next().await {
                Ok(answer) => answer,
                Err(failure) => return Ok(words(&failure)),
            };
            if first && !matches!(answer, Answer::Gone) {
                self.send(Event::Connected).await?;
                first = false;
            }
            match answer {
                Answer::Record(record) if alerts => {
                    if let Ok(alert) = record.parse::<Alert>() {
                        self.send(Event::Alert(Box::new(alert))).await?;
                    }
                }
                Answer::Record(record) => {
                    let Ok(access) = record.parse::<AccessRecord>() else {
                        continue;
                    };
                    if past && access.time <= *newest {
                        continue;
                    }
                    if access.time > *newest {
                        newest.clone_from(&access.time);
                    }
                    self.send(Event::Access(Box::new(access))).await?;
                }
                Answer::Live => past = false,
                Answer::Lost(count) => self.send(Event::Missed(count)).await?,
                Answer::Gone | Answer::End => return Ok("it stopped".to_owned()),
                Answer::Ready => {}
            }
        }
    }

    /// The daemon's state, every second.
    async fn status(&self) {
        loop {
            if let Ok(records) = client::ask(&self.socket, &Command::Status).await
                && let Some(Ok(status)) = records.first().map(Record::parse)
                && self.send(Event::Status(Box::new(status))).await.is_err()
            {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// Identities or coverage, while they are in view.
    async fn in_view(&self, mut pane: watch::Receiver<Pane>) {
        loop {
            let shown = *pane.borrow_and_update();
            let event = match shown {
                Pane::Identities => self.identities().await,
                Pane::Coverage => self.coverage().await,
                Pane::Overview | Pane::Alerts | Pane::Accesses => None,
            };
            if let Some(event) = event
                && self.send(event).await.is_err()
            {
                return;
            }
            tokio::select! {
                changed = pane.changed() => if changed.is_err() { return },
                () = sleep(SELDOM) => {}
            }
        }
    }

    async fn identities(&self) -> Option<Event> {
        let records = client::ask(&self.socket, &Command::Identities).await.ok()?;
        let records = records.iter().filter_map(|record| record.parse().ok());
        Some(Event::Identities(records.collect()))
    }

    async fn coverage(&self) -> Option<Event> {
        let records = client::ask(&self.socket, &Command::Coverage).await.ok()?;
        let (mut workloads, mut probed) = (Vec::new(), Vec::new());
        for record in &records {
            match record.kind.as_str() {
                "coverage" => workloads.extend(record.parse().ok()),
                "probed" => probed.extend(record.parse().ok()),
                _ => {}
            }
        }
        Some(Event::Coverage(workloads, probed))
    }

    /// Does what a key asked for, beside everything else.
    pub(super) fn act(&self, effect: Effect) {
        let feed = self.clone();
        tokio::spawn(async move {
            let event = match effect {
                Effect::Quit => return,
                Effect::Explain(id) => {
                    let command = Command::Explain { id: id.clone() };
                    Event::Story(id, feed.one(command).await)
                }
                Effect::Acknowledge { id, note } => {
                    Event::Marked(feed.one(Command::Acknowledge { id, note }).await)
                }
                Effect::Mute { id, until } => {
                    Event::Marked(feed.one(Command::Mute { id, until }).await)
                }
                Effect::Unmark(id) => Event::Marked(feed.one(Command::Unmark { id }).await),
            };
            // Nobody listens at the end.
            _ = feed.send(event).await;
        });
    }

    /// The one record of an answer, or why there is none.
    async fn one<T: serde::de::DeserializeOwned>(
        &self,
        command: Command,
    ) -> Result<Box<T>, String> {
        let records = client::ask(&self.socket, &command)
            .await
            .map_err(|failure| words(&failure))?;
        match records.first().map(Record::parse::<T>) {
            Some(Ok(record)) => Ok(Box::new(record)),
            Some(Err(failure)) => Err(words(&failure)),
            None => Err("the daemon answered nothing".to_owned()),
        }
    }
}

/// A failure in one line.
fn words(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{}; {hint}", failure.message),
        None => failure.message.clone(),
    }
}
