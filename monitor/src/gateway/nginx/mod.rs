//! nginx: a map from role, method, host and path to whether that is a duty, and a reader of configurations.

mod access;
pub(super) mod map;
mod read;
mod server;
mod tokens;
mod write;

pub(super) use read::read;
pub use read::{Files, NoFiles};
pub use tokens::{Directive, SyntaxError, parse};
pub(super) use write::write;

/// The variable that says whether a request is a duty of its role.
pub(super) const ALLOWED: &str = "bailiwick_allowed";

/// The variable with the port that a request names, 80 when it names none.
pub(super) const PORT: &str = "bailiwick_port";
