//! The first message of each direction of a connection, until it has a name.

use super::protocol::{FIRST, Protocol, recognise};
use crate::wire::Dir;

/// A message this long is not waited for any further.
const ENOUGH: usize = 24;

/// What one connection's first bytes said.
#[derive(Debug, Default)]
pub struct First {
    found: Option<Protocol>,
    seen: bool,
    up: Part,
    down: Part,
}

/// Beginning of one direction.
#[derive(Debug, Default)]
struct Part {
    bytes: [u8; ENOUGH],
    length: u8,
    over: bool,
}

impl First {
    /// Takes the next bytes of a direction, as they come from the beginning of the connection.
    pub fn take(&mut self, way: Dir, bytes: &[u8]) {
        let (part, other) = match way {
            Dir::ToServer => (&mut self.up, &mut self.down),
            Dir::ToClient => (&mut self.down, &mut self.up),
        };
        self.seen = true;
        // Who is answered has said its first message.
        other.over |= other.length > 0;
        if part.over || self.found.is_some() || bytes.is_empty() {
            return;
        }
        let had = usize::from(part.length);
        self.found = if had == 0 {
            recognise(bytes, way)
        } else {
            let mut all = [0; FIRST];
            let mut at = 0;
            let earlier = part.bytes.iter().take(had);
            for (to, from) in all.iter_mut().zip(earlier.chain(bytes)) {
                *to = *from;
                at += 1;
            }
            recognise(all.get(..at).unwrap_or_default(), way)
        };
        let room = part.bytes.iter_mut().skip(had);
        for (to, from) in room.zip(bytes) {
            *to = *from;
            part.length += 1;
        }
        part.over = had + bytes.len() >= ENOUGH;
    }

    /// Takes note that bytes came, and nothing else.
    pub fn seen(&mut self) {
        self.seen = true;
    }

    /// The protocol, if it has a name.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        self.found
    }

    /// Whether bytes came at all.
    #[must_use]
    pub fn any(&self) -> bool {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_pieces_is_one() {
        let mut first = First::default();
        assert!(!first.any());
        for piece in [&b"*"[..], b"1\r\n", b"$4\r\nPI", b"NG\r\n"] {
            first.take(Dir::ToServer, piece);
        }
        assert_eq!(first.protocol(), Some(Protocol::Redis));
    }

    #[test]
    fn the_second_message_says_nothing() {
        let mut first = First::default();
        first.take(Dir::ToServer, b"?");
        first.take(Dir::ToClient, b"!");
        first.take(Dir::ToServer, b"SSH-2.0-x\r\n");
        assert_eq!(first.protocol(), None);
        assert!(first.any());
        let mut first = First::default();
        first.take(Dir::ToServer, &[b'x'; ENOUGH]);
        first.take(Dir::ToServer, b"SSH-2.0-x\r\n");
        assert_eq!(first.protocol(), None);
    }

    #[test]
    fn either_direction_names_it() {
        let mut first = First::default();
        first.take(Dir::ToClient, b"220 mail.example ESMTP\r\n");
        first.take(Dir::ToServer, b"QUIT\r\n");
        assert_eq!(first.protocol(), Some(Protocol::Smtp));
    }
}
