//! What the end-to-end tests stand on: the daemon with a configuration of its own, its output as
//! values, real servers on loopback, a receiver of webhooks, two hosts out of network namespaces.
//!
//! Every process is ended by its id when its guard is dropped.

pub mod browser;
pub mod daemon;
pub mod http;
pub mod netns;
pub mod process;
pub mod receiver;
pub mod remote;
pub mod server;
pub mod tls;
pub mod trial;
pub mod watch;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub use daemon::{Daemon, Setup};
pub use process::Process;
pub use receiver::Receiver;
pub use remote::Remote;
pub use server::Server;
pub use watch::Watch;

/// Longest wait for anything that should happen at once; generous, since machines are shared.
#[must_use]
pub fn patience() -> Duration {
    scaled(Duration::from_secs(20))
}

/// A longest wait, as many times longer as `E2E_PATIENCE` says: emulated processors are slow. What tests let
/// pass by on purpose is not scaled.
#[must_use]
pub fn scaled(wait: Duration) -> Duration {
    static FACTOR: LazyLock<u32> = LazyLock::new(|| {
        std::env::var("E2E_PATIENCE").map_or(1, |text| {
            text.parse()
                .expect("E2E_PATIENCE is a whole number, at least 1")
        })
    });
    wait * (*FACTOR).max(1)
}

/// A word that nothing else on this host uses.
#[must_use]
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{what}-{}x{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Asks again and again until there is an answer.
///
/// # Errors
/// When there is none within [`patience`]; the message names what was waited for.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if begin.elapsed() > patience() {
            bail!("waited {:?} for {what}", patience());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
