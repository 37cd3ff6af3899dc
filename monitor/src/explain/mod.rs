//! One alert as a story: what happened, who it was, what would have been normal, and what to do now.
//!
//! Pure: a story is built from the alert, the policy and what the daemon still holds.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test may panic: that is how it fails"
    )
)]

mod build;
mod clause;
mod meaning;
pub mod model;
mod steps;
pub mod text;

pub use build::{Inputs, Webhook, build};
pub use model::Story;

use crate::store::StoreError;

/// Why there is no story.
#[derive(Debug, thiserror::Error)]
pub enum NoStory {
    /// No alert has this id, nor one that begins so.
    #[error("there is no alert \"{id}\"")]
    Unknown {
        /// What was asked for.
        id: String,
        /// Ids that are near.
        near: Vec<String>,
    },
    /// More than one begins so.
    #[error("more than one alert begins with \"{id}\"")]
    Several {
        /// What was asked for.
        id: String,
        /// Some of them.
        some: Vec<String>,
    },
    /// The store cannot be read.
    #[error("the store cannot be read: {0}")]
    Store(#[from] StoreError),
}

impl NoStory {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { near, .. } if near.is_empty() => {
                "there are no alerts: `bailiwick alerts` would list them".to_owned()
            }
            Self::Unknown { near, .. } => {
                format!("near it: {}; `bailiwick alerts` lists all", near.join(", "))
            }
            Self::Several { some, .. } => format!("give more of it: {}", some.join(", ")),
            Self::Store(_) => "`bailiwick status` tells how the store is".to_owned(),
        }
    }
}
