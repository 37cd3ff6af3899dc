//! Where viewers meet the hot thread's accesses.
//!
//! While nobody looks, an access costs nothing here: the hot thread keeps the newest few itself and
//! hands over the others only while there is a viewer.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, oneshot};

use crate::access::record::AccessRecord;
use crate::page;
use crate::pipeline::Numbered;
use crate::pipeline::thread::{Command, Signals};

/// How far one viewer may fall behind.
const BACKLOG: usize = 16_384;
/// Converted accesses kept, so that one that is both recent and live is one object.
const KEPT: usize = 1024;

/// Accesses for viewers.
#[derive(Debug)]
pub(super) struct Hub {
    commands: SyncSender<Command>,
    signals: Arc<Signals>,
    sender: broadcast::Sender<Arc<AccessRecord>>,
    /// The same with their numbers.
    numbered: broadcast::Sender<page::Numbered>,
    kept: Mutex<BTreeMap<u64, Arc<AccessRecord>>>,
}

impl Hub {
    /// Between the hot thread's commands and signals, and the viewers.
    #[must_use]
    pub(super) fn new(commands: SyncSender<Command>, signals: Arc<Signals>) -> Self {
        let (sender, _) = broadcast::channel(BACKLOG);
        Self {
            commands,
            signals,
            sender,
            numbered: broadcast::channel(BACKLOG).0,
            kept: Mutex::new(BTreeMap::new()),
        }
    }

    /// Accesses from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<AccessRecord>> {
        // Under the lock, so that `publish` cannot switch off what is being switched on.
        let _kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.sender.subscribe();
        self.signals.viewers.store(1, Ordering::Relaxed);
        receiver
    }

    /// The same with their numbers.
    pub(super) fn subscribe_numbered(&self) -> broadcast::Receiver<page::Numbered> {
        let _kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.numbered.subscribe();
        self.signals.viewers.store(1, Ordering::Relaxed);
        receiver
    }

    /// The newest accesses, newest last: the same objects as those that subscribers get.
    pub(super) async fn recent(&self, most: usize) -> Vec<Arc<AccessRecord>> {
        let numbered = self.recent_numbered(most).await;
        numbered.into_iter().map(|(_, record)| record).collect()
    }

    /// The same with their numbers.
    pub(super) async fn recent_numbered(&self, most: usize) -> Vec<page::Numbered> {
        let (answer, answered) = oneshot::channel();
        if self
            .commands
            .try_send(Command::Recent(most, answer))
            .is_err()
        {
            return Vec::new();
        }
        let accesses = answered.await.unwrap_or_default();
        self.convert(&accesses)
    }

    /// Hands accesses to the subscribers; without any, tells the hot thread to keep them.
    pub(super) fn publish(&self, accesses: &[Numbered]) {
        for (number, record) in self.convert(accesses) {
            if self.numbered.receiver_count() > 0 {
                let _ = self.numbered.send((number, Arc::clone(&record)));
            }
            if self.sender.receiver_count() > 0 {
                let _ = self.sender.send(record);
            }
        }
        self.rest();
    }

    /// Switches off when nobody looks.
    pub(super) fn rest(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sender.receiver_count() == 0 && self.numbered.receiver_count() == 0 {
            self.signals.viewers.store(0, Ordering::Relaxed);
            kept.clear();
        }
    }

    fn convert(&self, accesses: &[Numbered]) -> Vec<page::Numbered> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let records = accesses
            .iter()
            .map(|(number, access)| {
                let record = kept
                    .entry(*number)
                    .or_insert_with(|| Arc::new(AccessRecord::from_access(access)));
                (*number, Arc::clone(record))
            })
            .collect();
        while kept.len() > KEPT {
            kept.pop_first();
        }
        records
    }
}
