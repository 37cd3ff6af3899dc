//! The live view in a browser: a page of hand-kept files, JSON for what it shows, and a stream of what happens.
//!
//! Off unless `[page] listen` is set. Every request for data carries the token of this daemon in its
//! `Authorization`; nothing is kept in a cookie, which every other port of this host would be sent as well.
//! Viewers share one [`feed::Feed`]: what a slow one does not take is counted for it, and delays nobody.

mod api;
mod assets;
mod body;
mod feed;
mod flow;
mod guard;
mod passing;
mod patience;
mod policy;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod token;

use std::future::Future;
use std::sync::Arc;

use tokio::sync::broadcast;

pub use server::{Limits, PageError, PageServer};
pub use token::{Token, TokenError};

use crate::access::record::AccessRecord;
use crate::policy::Policy;
use crate::serve::Backend;

/// An access and its number since the daemon's start, from 1 without gaps.
pub type Numbered = (u64, Arc<AccessRecord>);

/// What the page needs of the daemon beside what clients of the control socket get.
pub trait Viewed: Backend {
    /// Tells this run of the daemon from others.
    fn run_id(&self) -> u64;
    /// The last `n` accesses with their numbers, newest last; fewer when fewer are kept.
    fn recent_numbered(&self, n: usize) -> impl Future<Output = Vec<Numbered>> + Send;
    /// Accesses from now on. Numbers that are left out were too many at a time.
    fn subscribe_numbered(&self) -> broadcast::Receiver<Numbered>;
    /// The policy in force.
    fn policy(&self) -> Arc<Policy>;
}
