//! Envoy's RBAC filter (`envoy.extensions.filters.http.rbac.v3.RBAC`, `envoy.config.rbac.v3`).

mod read;
mod write;

pub(super) use read::{found, read};
pub(super) use write::write;

/// The filter's type.
const FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";

/// Where the JWT filter puts verified claims.
const JWT_FILTER: &str = "envoy.filters.http.jwt_authn";

/// The key there, as `payload_in_metadata` of the JWT filter names it.
const PAYLOAD: &str = "jwt_payload";
