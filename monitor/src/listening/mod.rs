//! Where local HTTP clients are served, scrapers and browsers alike: the address as configured, the socket, and whom
//! a request's `Host` may name.

mod config;
mod host;
mod socket;

pub use config::{Listen, Listening};
pub(crate) use host::names_this;
pub use socket::BindError;
pub(crate) use socket::{ACCEPT_PAUSE, Socket, Stream};
