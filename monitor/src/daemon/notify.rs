//! systemd: readiness, reloads, and the watchdog that looks at the hot thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::pipeline::thread::Signals;

/// Tells the service manager, if there is one.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

/// Reports life to the watchdog as long as the hot thread makes passes. A thread that is stuck lets the
/// watchdog fire, and systemd starts the daemon again.
pub(super) async fn watchdog(signals: Arc<Signals>) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval((limit / 3).max(Duration::from_millis(100)));
    let mut last = None;
    loop {
        ticks.tick().await;
        let passes = signals.passes.load(Ordering::Relaxed);
        if last != Some(passes) {
            tell(&[NotifyState::Watchdog]);
        }
        last = Some(passes);
    }
}
