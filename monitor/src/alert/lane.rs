//! What one lane remembers: what waits, what is due, and how the endpoint has been doing.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::store::{Queued, Verdict};

use super::schedule::{LONGEST_PAUSE, LONGEST_RETRY_AFTER, delay_after, longest};
use super::webhook::{Reply, retry_after};

/// Failures to reach the endpoint in a row that make an outage: the first success after one brings
/// forward what waits because of it.
const OUTAGE: u32 = 3;

#[derive(Default)]
pub(super) struct State {
    pub(super) items: HashMap<u64, Item>,
    /// (due, sequence) of what is neither ready nor under way.
    pub(super) waiting: BTreeSet<(i64, u64)>,
    /// What is due: the worst first, then by time.
    pub(super) ready: BTreeSet<(Reverse<u8>, i64, u64)>,
    pub(super) under_way: usize,
    pub(super) unsettled: usize,
    pub(super) stopping: bool,
    pub(super) disabled: Option<String>,
    pub(super) paused_until_us: i64,
    /// Failures in a row to reach the endpoint.
    pub(super) unreachable: u32,
    pub(super) bucket: Bucket,
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) last_error: Option<(i64, String)>,
    pub(super) last_delivery_us: Option<i64>,
}

#[derive(Clone, Copy)]
pub(super) struct Item {
    pub(super) queued: Queued,
    pub(super) place: Place,
    /// It waits because the endpoint could not be reached.
    pub(super) outage: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    Ready,
    UnderWay,
}

/// Messages a minute.
#[derive(Default)]
pub(super) struct Bucket {
    tokens: f64,
    filled_us: Option<i64>,
}

impl Bucket {
    /// Takes one, or says how long until there is one.
    pub(super) fn take(&mut self, rate: u32, now_us: i64) -> Result<(), Duration> {
        let a_second = f64::from(rate) / 60.0;
        let most = (a_second * 10.0).max(1.0);
        self.tokens = match self.filled_us {
            // A clock set back fills nothing.
            Some(then) => {
                let seconds = now_us.saturating_sub(then).max(0) as f64 / 1e6;
                (self.tokens + seconds * a_second).min(most)
            }
            None => most,
        };
        self.filled_us = Some(now_us);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / a_second))
    }
}

impl State {
    pub(super) fn put(&mut self, queued: Queued, now_us: i64, scale: f64) {
        let latest = now_us.saturating_add(micros(longest(scale.max(1.0))));
        let queued = Queued {
            due_us: queued.due_us.min(latest),
            ..queued
        };
        let old = self.unplace(queued.seq);
        let under_way = old.is_some_and(|item| item.place == Place::UnderWay);
        let outage = old.is_some_and(|item| item.outage);
        let place = if under_way {
            Place::UnderWay
        } else {
            Place::Waiting
        };
        if place == Place::Waiting {
            self.waiting.insert((queued.due_us, queued.seq));
        }
        self.items.insert(
            queued.seq,
            Item {
                queued,
                place,
                outage,
            },
        );
    }

    /// Takes an item out of where it is listed; it stays in `items`.
    pub(super) fn unplace(&mut self, seq: u64) -> Option<Item> {
        let item = *self.items.get(&seq)?;
        let Queued {
            due_us, severity, ..
        } = item.queued;
        self.waiting.remove(&(due_us, seq));
        self.ready.remove(&(Reverse(severity), due_us, seq));
        Some(item)
    }

    pub(super) fn remove(&mut self, seq: u64) {
        self.unplace(seq);
        self.items.remove(&seq);
    }

    /// Lists what has become due.
    pub(super) fn promote(&mut self, now_us: i64) {
        while let Some(&(due_us, seq)) = self.waiting.first() {
            if due_us > now_us {
                break;
            }
            self.waiting.pop_first();
            if let Some(item) = self.items.get_mut(&seq) {
                item.place = Place::Ready;
                self.ready
                    .insert((Reverse(item.queued.severity), due_us, seq));
            }
        }
    }

    /// Puts an item back to wait until `due_us`.
    pub(super) fn postpone(&mut self, seq: u64, due_us: i64) {
        self.unplace(seq);
        if let Some(item) = self.items.get_mut(&seq) {
            item.place = Place::Waiting;
            item.queued.due_us = due_us;
            self.waiting.insert((due_us, seq));
        }
    }

    /// The endpoint is back: what waits because it was away need not wait longer.
    pub(super) fn bring_forward(&mut self, now_us: i64) {
        let away = self.items.values_mut().filter(|item| item.outage);
        let mut seqs = Vec::new();
        for item in away {
            item.outage = false;
            if item.place == Place::Waiting {
                seqs.push(item.queued.seq);
            }
        }
        for seq in seqs {
            self.postpone(seq, now_us);
        }
    }
}

impl State {
    pub(super) fn judge(
        &mut self,
        queued: Queued,
        result: Result<Reply, String>,
        now_us: i64,
        scale: f64,
    ) -> Verdict {
        let (error, away, after) = match result {
            Ok(reply) if (200..300).contains(&reply.status) => {
                self.delivered += 1;
                self.last_delivery_us = Some(now_us);
                if self.unreachable >= OUTAGE {
                    self.bring_forward(now_us);
                }
                self.unreachable = 0;
                return Verdict::Delivered;
            }
            Ok(reply) => {
                let away = matches!(reply.status, 429 | 502..=504);
                let after = reply
                    .retry_after
                    .as_deref()
                    .and_then(|at| retry_after(at, now_us));
                let quote = if reply.quote.is_empty() { "" } else { ": " };
                let text = format!("answered {}{quote}{}", reply.status, reply.quote);
                if reply.status == 410 {
                    self.failed += 1;
                    self.last_error = Some((now_us, text.clone()));
                    self.disabled = Some(text.clone());
                    return Verdict::Disabled { error: text };
                }
                (text, away, after)
            }
            Err(error) => (error, true, None),
        };
        self.failed += 1;
        self.last_error = Some((now_us, error.clone()));
        self.unreachable = if away {
            self.unreachable.saturating_add(1)
        } else {
            0
        };
        if let Some(item) = self.items.get_mut(&queued.seq) {
            item.outage = away;
        }
        if let Some(after) = after {
            let pause_us = now_us.saturating_add(micros(after.min(LONGEST_PAUSE)));
            self.paused_until_us = self.paused_until_us.max(pause_us);
        }
        let attempts = queued.attempts.saturating_add(1);
        match delay_after(attempts, jitter(), scale) {
            Some(delay) => {
                let delay = delay.max(after.unwrap_or(Duration::ZERO).min(LONGEST_RETRY_AFTER));
                let due_us = now_us.saturating_add(micros(delay));
                Verdict::Retry {
                    attempts,
                    due_us,
                    error,
                }
            }
            None => Verdict::Dead { attempts, error },
        }
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// In 0..1. Spreads attempts; nothing depends on nobody guessing it.
fn jitter() -> f64 {
    use std::hash::BuildHasher;
    let bits = std::collections::hash_map::RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}
