//! The control socket: clients ask, the daemon answers. Clients never slow the daemon down: each has a
//! bounded queue and is told what it missed.

mod contain;
pub mod filter;
mod listen;
pub(crate) mod mark;
pub mod matching;
pub mod protocol;
pub mod records;
mod session;
#[cfg(test)]
pub(crate) mod testing;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinSet;

pub(crate) use listen::group_id;
pub use listen::{ControlSocket, ListenError, probe};

use crate::access::record::AccessRecord;
use crate::alert::{Alert, MarkRequest, NotMarked};
use crate::census::IdentityRecord;
use crate::contain::{ContainmentRecord, NotUndone};
use crate::coverage::CoverageRecord;
use crate::explain::{NoStory, Story};
use crate::report::Report;
use crate::scan::LiveUse;
use crate::scan::finding::Candidate;
use crate::store::StoreError;
use matching::TooMany;
use records::{AlertQuery, DeadLetter, DeliveryResult, ProbedRecord, StatusRecord};

/// Most clients at once.
pub const MAX_CLIENTS: usize = 64;

/// What the daemon gives its clients.
///
/// Methods that are not `async` may block (they may read the store): they are called on a thread for that.
pub trait Backend: Send + Sync + 'static {
    /// The last `n` accesses, newest last; fewer when fewer are kept. They must be the very objects that
    /// [`Self::subscribe`] hands out, so that none is shown twice.
    fn recent(&self, n: usize) -> impl Future<Output = Vec<Arc<AccessRecord>>> + Send;
    /// Accesses from now on. The channel's capacity is what one client may fall behind.
    fn subscribe(&self) -> broadcast::Receiver<Arc<AccessRecord>>;
    /// Alerts, newest last.
    fn alerts(&self, query: AlertQuery) -> Vec<Alert>;
    /// New and changed alerts from now on.
    fn subscribe_alerts(&self) -> broadcast::Receiver<Arc<Alert>>;
    /// Identities seen.
    fn identities(&self) -> impl Future<Output = Vec<IdentityRecord>> + Send;
    /// How each workload's traffic was understood, darkest first.
    fn coverage(&self) -> impl Future<Output = Vec<CoverageRecord>> + Send;
    /// Program files and libraries that are probed, or should be.
    fn probed(&self) -> Vec<ProbedRecord>;
    /// The daemon's state.
    fn status(&self) -> StatusRecord;
    /// Sends a test to one webhook or to each, and waits for the answers. Empty: no such webhook.
    fn send_test(
        &self,
        webhook: Option<String>,
    ) -> impl Future<Output = Vec<DeliveryResult>> + Send;
    /// Deliveries that were given up, oldest first.
    fn dead_letters(&self) -> Vec<DeadLetter>;
    /// Queues one dead letter, or all, again. Empty: there was none.
    fn replay(&self, id: Option<String>) -> impl Future<Output = Vec<DeliveryResult>> + Send;
    /// What containment did, oldest first; `None` when it does not answer.
    fn containments(&self) -> impl Future<Output = Option<Vec<ContainmentRecord>>> + Send {
        std::future::ready(Some(Vec::new()))
    }
    /// Undoes an act of containment; `None` when it does not answer.
    fn undo_containment(
        &self,
        id: String,
    ) -> impl Future<Output = Option<Result<ContainmentRecord, NotUndone>>> + Send {
        drop(id);
        std::future::ready(Some(Err(NotUndone::Unknown)))
    }
    /// A report of the time since then (microseconds since 1970), or of 30 days.
    ///
    /// # Errors
    /// The store cannot be read.
    fn report(
        &self,
        since_us: Option<i64>,
    ) -> impl Future<Output = Result<Report, StoreError>> + Send;
    /// The story of the alert whose id this is, or begins so.
    ///
    /// # Errors
    /// There is no such alert, or several.
    fn explain(&self, id: String) -> impl Future<Output = Result<Story, NoStory>> + Send;
    /// Writes on an alert what somebody says about it; `by` is who.
    ///
    /// # Errors
    /// There is no such alert, the mark cannot be, or the store is not available.
    fn mark(
        &self,
        id: String,
        mark: MarkRequest,
        by: String,
    ) -> impl Future<Output = Result<Arc<Alert>, NotMarked>> + Send;
    /// Which of some secrets are live, each with its place among them.
    fn matches(
        &self,
        candidates: Vec<Candidate>,
    ) -> impl Future<Output = Result<Vec<(u32, LiveUse)>, TooMany>> + Send;
}

/// Patience of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Clients at once.
    pub clients: usize,
    /// How long a client may take for its request.
    pub request: Duration,
    /// How long a client may take nothing while something waits for it.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: MAX_CLIENTS,
            request: Duration::from_secs(5),
            stalled: Duration::from_secs(30),
        }
    }
}

/// Serves clients until `stop` becomes true (or its sender is gone), then tells those that follow and
/// returns.
pub async fn serve<B: Backend>(
    socket: ControlSocket,
    backend: Arc<B>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.clients));
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.listener.accept() => accepted,
            Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
            () = session::stopped(&mut stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: what is open will close.
                tracing::warn!(%error, "control socket: cannot accept a client");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let mut user = None;
        match stream.peer_cred() {
            Ok(peer) => {
                user = Some(peer.uid());
                tracing::debug!(
                    pid = peer.pid(),
                    uid = peer.uid(),
                    gid = peer.gid(),
                    "control socket: client"
                );
            }
            Err(error) => tracing::debug!(%error, "control socket: client without credentials"),
        }
        match places.clone().try_acquire_owned() {
            Ok(place) => {
                let session = session::run(stream, backend.clone(), limits, stop.clone(), user);
                sessions.spawn(async move {
                    session.await;
                    drop(place);
                });
            }
            Err(_) => {
                tracing::warn!(
                    clients = limits.clients,
                    "control socket: a client too many was sent away"
                );
                session::refuse(stream);
            }
        }
    }
    drop(socket);
    let farewell = async { while sessions.join_next().await.is_some() {} };
    // The rest is aborted when the set is dropped.
    drop(tokio::time::timeout(Duration::from_secs(1), farewell).await);
}
