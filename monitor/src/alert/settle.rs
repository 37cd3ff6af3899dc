//! Writes outcomes of attempts down, many in one transaction, and tells the lanes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::store::Outcome;

use super::shared::Shared;

/// Outcomes in one transaction.
const BATCH: usize = 256;
/// Longest wait between attempts at a store that fails.
const LONGEST: Duration = Duration::from_secs(30);

/// Runs until all senders are gone. The channel needs no bound of its own: a lane has at most
/// [`super::outbox::UNSETTLED`] outcomes under way.
pub(super) async fn run(shared: Arc<Shared>, mut outcomes: UnboundedReceiver<Outcome>) {
    let mut batch = Vec::new();
    while outcomes.recv_many(&mut batch, BATCH).await > 0 {
        let settled = Arc::new(std::mem::take(&mut batch));
        let mut wait = Duration::from_millis(200);
        loop {
            // The store has told what is wrong. The same outcomes can be given again.
            if shared.settle(&settled).await.is_ok() {
                break;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
    }
}
