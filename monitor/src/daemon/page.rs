//! What viewers of the page are told beside what clients of the control socket are.

use std::sync::{Arc, PoisonError};

use tokio::sync::broadcast;

use super::DaemonError;
use super::backend::Daemon;
use crate::config::Config;
use crate::page::{Numbered, PageServer, Viewed};
use crate::policy::Policy;

impl Viewed for Daemon {
    fn run_id(&self) -> u64 {
        self.run_id
    }

    async fn recent_numbered(&self, n: usize) -> Vec<Numbered> {
        self.hub.recent_numbered(n).await
    }

    fn subscribe_numbered(&self) -> broadcast::Receiver<Numbered> {
        self.hub.subscribe_numbered()
    }

    fn policy(&self) -> Arc<Policy> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.policy)
    }
}

/// Listens for viewers, where that is configured.
pub(super) async fn listen(config: &Config) -> Result<Option<PageServer>, DaemonError> {
    let Some(listen) = &config.page.listen else {
        return Ok(None);
    };
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let server = PageServer::bind(listen, &config.runtime_dir, &host, &config.socket_group).await?;
    tracing::info!(%listen, "the page is served; `bailiwick page` prints its address");
    Ok(Some(server))
}
