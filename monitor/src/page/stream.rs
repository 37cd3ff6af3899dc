//! One viewer's stream: server-sent events (HTML Living Standard §9.2), whose ids are `RUN-NUMBER`, the number
//! being that of the newest access that was dealt with.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::feed::{Begin, MOST_SENT, Message, RING, Row, json, rows};
use crate::filter::Filter;

/// Accesses that one who comes first is shown.
const FIRST: usize = 200;
/// Accesses in one event, of those that passed.
const CHUNK: usize = 200;

/// The first event.
#[derive(Serialize)]
struct Hello {
    run: String,
    version: &'static str,
    /// Whether the viewer was here before, with another run of the daemon.
    restarted: bool,
    /// Accesses since then that are no longer kept; after a restart those of this run.
    missed: u64,
    /// What is kept for one who comes back.
    kept: usize,
}

#[derive(Serialize)]
struct Missed {
    count: u64,
}

/// `Last-Event-ID`, taken apart.
pub(super) fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (run, number) = id.split_once('-')?;
    Some((u64::from_str_radix(run, 16).ok()?, number.parse().ok()?))
}

/// A viewer.
pub(super) struct Viewer {
    filter: Filter,
    to: mpsc::Sender<Bytes>,
    run: u64,
    /// Number of the newest access that was dealt with.
    last: u64,
}

/// The viewer is gone.
struct Gone;

impl Viewer {
    /// Of the daemon's run `run`.
    pub(super) fn new(run: u64, filter: Filter, to: mpsc::Sender<Bytes>) -> Self {
        Self {
            filter,
            to,
            run,
            last: 0,
        }
    }

    /// Sends until the viewer is gone. `since` is where it was before.
    pub(super) async fn run(mut self, begin: Begin, since: Option<(u64, u64)>) {
        let _: Result<(), Gone> = self.all(begin, since).await;
    }

    async fn all(&mut self, begin: Begin, since: Option<(u64, u64)>) -> Result<(), Gone> {
        let Begin {
            mut receiver,
            past,
            last,
            map,
        } = begin;
        self.past(&past, last, since).await?;
        self.send("map", &map).await?;
        drop(past);
        loop {
            let message = tokio::select! {
                message = receiver.recv() => message,
                () = self.to.closed() => return Err(Gone),
            };
            match message {
                Ok(Message::Accesses(batch)) => {
                    if batch.last <= self.last {
                        continue;
                    }
                    let missed = batch.before.saturating_sub(self.last);
                    // Parts of a batch were among the past when somebody joined in its midst.
                    let whole = batch.before >= self.last;
                    let known = self.last;
                    self.last = batch.last;
                    if missed > 0 {
                        self.missed(missed).await?;
                    }
                    if whole && self.filter.is_empty() {
                        if let Some(plain) = &batch.plain {
                            self.send("accesses", plain).await?;
                        }
                        continue;
                    }
                    let wanted = self.wanted(&batch.rows, known);
                    let span = batch.last - batch.before.max(known);
                    let looked = batch.rows.iter().filter(|row| row.number > known).count() as u64;
                    let not_seen = span.saturating_sub(looked);
                    if !wanted.is_empty() || not_seen > 0 {
                        let data = rows(&wanted, MOST_SENT, not_seen);
                        self.send("accesses", &data).await?;
                    }
                }
                Ok(Message::Other(event, data)) => self.send(event, &data).await?,
                // How many accesses were in them, the next batch tells; alerts are asked for anew.
                Err(RecvError::Lagged(_)) => self.send("refresh", b"{}").await?,
                Err(RecvError::Closed) => return Err(Gone),
            }
        }
    }

    fn wanted<'r>(&self, all: &'r [Row], known: u64) -> Vec<&'r Row> {
        all.iter()
            .filter(|row| row.number > known && !row.own && self.filter.matches(&*row.record))
            .collect()
    }

    async fn past(
        &mut self,
        past: &[Row],
        last: u64,
        since: Option<(u64, u64)>,
    ) -> Result<(), Gone> {
        let restarted = since.is_some_and(|(run, _)| run != self.run);
        // A number that this run has not reached was made up.
        let from = match since {
            Some((run, number)) if run == self.run => number.min(last),
            _ => 0,
        };
        let held = past.iter().filter(|row| row.number > from).count() as u64;
        let missed = match since {
            None => 0,
            Some(_) => (last - from).saturating_sub(held),
        };
        self.last = last;
        let hello = Hello {
            run: format!("{:x}", self.run),
            version: env!("CARGO_PKG_VERSION"),
            restarted,
            missed,
            kept: RING,
        };
        self.send("hello", &json(&hello)).await?;
        let mut wanted = self.wanted(past, from);
        if since.is_none() {
            let skip = wanted.len().saturating_sub(FIRST);
            wanted.drain(..skip);
        }
        for chunk in wanted.chunks(CHUNK) {
            self.send("accesses", &rows(chunk, CHUNK, 0)).await?;
        }
        Ok(())
    }

    async fn missed(&self, count: u64) -> Result<(), Gone> {
        self.send("missed", &json(&Missed { count })).await
    }

    async fn send(&self, event: &str, data: &[u8]) -> Result<(), Gone> {
        let mut head = String::with_capacity(64);
        // Writing to a string does not fail.
        let _ = write!(
            head,
            "id: {:x}-{}\nevent: {event}\ndata: ",
            self.run, self.last
        );
        let mut all = Vec::with_capacity(head.len() + data.len() + 2);
        all.extend_from_slice(head.as_bytes());
        // JSON as it is written here has no line break.
        all.extend_from_slice(data);
        all.extend_from_slice(b"\n\n");
        self.to.send(Bytes::from(all)).await.map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_or_refused() {
        assert_eq!(parse_id("ff-12"), Some((255, 12)));
        for bad in ["", "-", "12", "x-1", "1-", "1--1", "1-99999999999999999999"] {
            assert_eq!(parse_id(bad), None, "{bad}");
        }
    }
}
