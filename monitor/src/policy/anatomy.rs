//! What an operation is made of, for those who write it in another form.

use super::{Operation, Part, Target};
use crate::policy::host::HostPattern;

/// One segment of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'o> {
    /// Percent-decoded; empty only at the end (a path that ends in a slash).
    Literal(&'o [u8]),
    /// A capture; whether it may hold an encoded delimiter (`{+name}`).
    Capture { delimiters: bool },
}

impl Operation {
    /// Names of methods in the order of their names; `None` for any. `MCP` is not among them.
    pub(crate) fn method_names(&self) -> Option<Vec<&str>> {
        if self.methods.any {
            return None;
        }
        let known = super::KNOWN.iter().enumerate();
        let mut names: Vec<&str> = known
            .filter(|(at, _)| self.methods.known & (1 << at) != 0)
            .map(|(_, name)| *name)
            .chain(self.methods.other.iter().map(|name| &**name))
            .collect();
        names.sort_unstable();
        Some(names)
    }

    /// Whether operations of the Model Context Protocol are meant.
    pub(crate) fn means_mcp(&self) -> bool {
        self.methods.mcp
    }

    /// The host that is meant; `None` for a unix socket.
    pub(crate) fn host_pattern(&self) -> Option<&HostPattern> {
        match &self.target {
            Target::Host(host) => Some(host),
            Target::Unix(_) => None,
        }
    }

    /// Segments in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.parts.iter().map(|part| match part {
            Part::Literal(bytes) => Piece::Literal(bytes),
            Part::Capture { delimiters, .. } => Piece::Capture {
                delimiters: *delimiters,
            },
        })
    }

    /// Whether the route ends in `**`.
    pub(crate) fn has_rest(&self) -> bool {
        self.rest
    }
}
