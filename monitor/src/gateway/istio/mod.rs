//! Istio's AuthorizationPolicy (`security.istio.io/v1`).

mod read;
mod write;

pub(super) use read::{found, read};
pub(super) use write::write;
