//! What is remembered of earlier accesses is kept over a restart.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::backend::Daemon;
use crate::access::record::rfc3339;
use crate::alert::{Clock, SystemClock};
use crate::judge::{Judge, Remembered};
use crate::pipeline::thread::Command;
use crate::store::{MAX_META, Store};

/// Its key in the store.
const HISTORY: &str = "history";
/// Where one that cannot be read is set aside.
const ASIDE: &str = "history.unreadable";

/// This run of the kernel.
pub(super) fn boot() -> Arc<str> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().into()
}

/// Remembers what the last run did, and notes that this one goes on from there.
pub(super) fn restore(store: &Store, judge: &mut Judge, boot: &str) {
    let json = match store.meta_get(HISTORY) {
        Ok(Some(json)) => json,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, "what was remembered of earlier accesses cannot be read");
            return;
        }
    };
    match judge.restore(&json, boot) {
        Ok(restored) => {
            let saved = rfc3339(restored.saved_us);
            tracing::info!(
                acts = restored.acts,
                credentials = restored.credentials,
                saved,
                "earlier accesses are remembered"
            );
            if !restored.complete {
                tracing::warn!(
                    saved,
                    "the last run did not end in order: accesses after it was last saved are not remembered, so a \
                     separation or approval among them may be missed"
                );
            }
            // Until this run ends in order, too, what follows may be missing.
            let now = SystemClock.now_us();
            save(store, &judge.remembered(now), boot, false);
        }
        Err(error) => {
            let kept = store.meta_put(ASIDE, &json).is_ok() && store.meta_delete(HISTORY).is_ok();
            tracing::warn!(
                %error,
                aside = kept.then_some(ASIDE),
                "what was remembered of earlier accesses is not readable and is set aside: separations and approvals \
                 begin anew"
            );
        }
    }
}

/// Writes what is remembered; `complete` when nothing follows.
pub(super) fn save(store: &Store, remembered: &Remembered, boot: &str, complete: bool) {
    match remembered.to_json(boot, complete, MAX_META) {
        Ok((json, left_out)) => {
            if left_out > 0 {
                tracing::warn!(
                    left_out,
                    "the oldest remembered accesses do not fit into the store"
                );
            }
            if let Err(error) = store.meta_put(HISTORY, &json) {
                tracing::warn!(%error, "what is remembered of earlier accesses is not saved");
            }
        }
        Err(error) => tracing::warn!(%error, "what is remembered of earlier accesses is not saved"),
    }
}

/// What is remembered now; `None` when the hot thread does not answer.
pub(super) async fn remembered(daemon: &Daemon) -> Option<Remembered> {
    let (answer, answered) = oneshot::channel();
    daemon.commands.try_send(Command::History(answer)).ok()?;
    answered.await.ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::judge::Settings;
    use crate::policy::Policy;
    use crate::store::StoreOptions;

    #[test]
    fn what_is_damaged_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let mut judge = Judge::new(Arc::new(Policy::empty()), Settings::default());
        restore(&store, &mut judge, "boot");
        assert_eq!(
            store.meta_get(HISTORY).unwrap(),
            None,
            "nothing to go on from"
        );
        store.meta_put(HISTORY, b"{\"v\":1,").unwrap();
        restore(&store, &mut judge, "boot");
        assert_eq!(store.meta_get(HISTORY).unwrap(), None);
        assert_eq!(store.meta_get(ASIDE).unwrap().unwrap(), b"{\"v\":1,");
        save(&store, &judge.remembered(7), "boot", true);
        let saved = store.meta_get(HISTORY).unwrap().unwrap();
        assert!(judge.restore(&saved, "boot").unwrap().complete);
        // Once a run goes on from it, an end without a word is one out of order.
        restore(&store, &mut judge, "boot");
        let saved = store.meta_get(HISTORY).unwrap().unwrap();
        assert!(!judge.restore(&saved, "boot").unwrap().complete);
    }
}
