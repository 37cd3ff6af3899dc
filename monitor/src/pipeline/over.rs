//! What is over: records that are waited for no longer, connections that closed, and those that are given
//! up for room.

use monitor_ebpf::close_flag;

use super::State;
use super::links::Link;
use super::taps::{Side, Tap};
use crate::wire::Dir;

/// How long the end of a connection that has no keys waits for a key log to be read, in ns.
const LOG_PATIENCE: u64 = 200_000_000;

impl State {
    /// Gives up what came before `limit` (ns) and still waits.
    pub(super) fn settle(&mut self, limit: u64) {
        if !self.waiting.is_empty() {
            let socks = std::mem::take(&mut self.waiting);
            for sock in socks {
                self.release(sock, limit);
                if self.taps.get(&sock).is_some_and(Tap::waiting) {
                    self.waiting.push(sock);
                }
            }
        }
        let early = std::mem::take(&mut self.early);
        for index in early {
            let Some(link) = self.links.get_mut(index) else {
                continue;
            };
            // What still waits then has waited in vain: its other half was lost.
            link.pump(&mut self.analyst, limit);
            link.list_unnamed(index, &mut self.unnamed);
            if !link.turns.is_empty() {
                self.early.push(index);
            }
        }
        // The other end's copy was written about when this one was: it is in this pass or the next.
        let links = std::mem::take(&mut self.unsettled);
        for index in links {
            let Some(link) = self.links.get_mut(index) else {
                continue;
            };
            if link.waits() {
                if link.waits_since >= limit {
                    self.unsettled.push(index);
                    continue;
                }
                link.settle(&mut self.analyst, &mut self.secrets.ring);
                link.list_unnamed(index, &mut self.unnamed);
            }
            link.waits_since = 0;
        }
        let unnamed = std::mem::take(&mut self.unnamed);
        for index in unnamed {
            if let Some(link) = self.links.get_mut(index) {
                link.name(&mut self.analyst, limit);
                link.listed = false;
                link.list_unnamed(index, &mut self.unnamed);
            }
        }
    }

    /// Ends what closed, once its last record is there or was given up.
    pub(super) fn finish_closed(&mut self, limit: u64) {
        if self.closes.is_empty() {
            return;
        }
        let mut closes = std::mem::take(&mut self.closes);
        let read_by = self.analyst.now.saturating_sub(LOG_PATIENCE);
        let logs = self.logged.is_some();
        closes.retain(|(close, since)| {
            let Some(tap) = self.taps.get_mut(&close.sock) else {
                return false;
            };
            if !tap.reached(close.seq) && *since >= limit {
                return true;
            }
            let index = tap.connection;
            let side = tap.side;
            let pid = tap.endpoint.as_ref().map(|end| end.pid);
            let unfinished = |link: &mut Link| !link.turns.is_empty() || link.waits();
            if *since >= limit && self.links.get_mut(index).is_some_and(unfinished) {
                return true;
            }
            // A log is written before the connection goes on, but read a little later.
            let keyless = |link: &mut Link| logs && link.tls_wants_keys();
            if *since >= read_by && self.links.get_mut(index).is_some_and(keyless) {
                return true;
            }
            let gone = close.header.flags & close_flag::GONE != 0;
            self.cover(close);
            if gone {
                self.taps.remove(&close.sock);
                self.keyless.gone(close.sock, self.analyst.now);
            }
            let Some(link) = self.links.get_mut(index) else {
                return false;
            };
            if gone && let Some(pid) = pid.filter(|_| link.tls_is_unread()) {
                self.keyless.suspect(pid);
            }
            if gone {
                if link.sequenced && link.tls.is_none() && link.probed.is_none() {
                    link.reached(side, close, &mut self.analyst);
                }
                let left = link.ends.taps.saturating_sub(1);
                link.ends.taps = left;
                if left == 0 {
                    link.close_tls(&mut self.analyst, &mut self.secrets);
                    link.close(&mut self.analyst);
                    self.memory -= link.memory;
                    self.links.remove(index);
                }
            } else if link.sequenced || link.lead == close.sock {
                let ended = match side {
                    Some(Side::Server) => Dir::ToServer,
                    Some(Side::Client) | None => Dir::ToClient,
                };
                link.settle_tls(&mut self.analyst, &mut self.secrets.ring);
                let (wire, _, mut receiver) = link.parts(&mut self.analyst);
                wire.end(ended, &mut receiver);
                link.list_unnamed(index, &mut self.unnamed);
            }
            false
        });
        self.closes.extend(closes);
    }

    /// Gives up the connections that were idle longest.
    pub(super) fn keep_within_bounds(&mut self) {
        if self.memory <= self.limits.connection_memory
            && self.links.len() <= self.limits.connections
        {
            return;
        }
        let mut by_age: Vec<(u64, u32)> = self
            .links
            .iter()
            .map(|(index, link)| (link.last, index))
            .collect();
        by_age.sort_unstable();
        let enough = by_age.len() / 8 + 1;
        let mut doomed: Vec<u32> = by_age
            .into_iter()
            .take(enough)
            .map(|(_, index)| index)
            .collect();
        doomed.sort_unstable();
        self.cover_given_up(&doomed);
        for index in doomed.iter().copied() {
            let Some(link) = self.links.get_mut(index) else {
                continue;
            };
            link.close_tls(&mut self.analyst, &mut self.secrets);
            link.close(&mut self.analyst);
            self.memory -= link.memory;
            self.links.remove(index);
            self.losses.evicted += 1;
        }
        let (keyless, now) = (&mut self.keyless, self.analyst.now);
        self.taps.retain(|sock, tap| {
            let keep = doomed.binary_search(&tap.connection).is_err();
            if !keep {
                keyless.gone(*sock, now);
            }
            keep
        });
    }
}
