//! A connection's handshake, as far as it is in clear.

use super::hello::{ClientHello, Gather, Gathered, ServerHello, kind};
use super::keyring::Keyring;
use super::record::Part;
use super::session::{Client, Session};
use super::suite::Suite;
use super::{Dir, Plain, Version, Why, ja4, outer};

impl Session {
    /// Whether a direction whose hello has not come begins as it should.
    pub(super) fn opens(&mut self, dir: Dir, part: &Part<'_>, ring: &mut Keyring) -> bool {
        let early = matches!(part.outer, outer::CHANGE_CIPHER_SPEC | outer::ALERT);
        let first = part.record == 0 && part.first;
        if part.lost == 0 && (part.outer == outer::HANDSHAKE || (early && !first)) {
            return true;
        }
        if part.lost == 0 && first {
            // An alert instead of a hello is no news.
            self.darken(if early { Why::NoHello } else { Why::JoinedLate }, ring);
            return false;
        }
        match dir {
            // In TLS 1.3 the server's hello is enough.
            Dir::ToServer => {
                self.no_client = true;
                self.up.gather = None;
                if self.version == Some(Version::Tls12) {
                    self.darken(Why::NoHello, ring);
                }
            }
            // Behind a HelloRetryRequest as well.
            Dir::ToClient => self.darken(Why::NoHello, ring),
        }
        self.opaque.is_none()
    }

    pub(super) fn gather(
        &mut self,
        dir: Dir,
        part: &Part<'_>,
        ring: &mut Keyring,
        out: &mut dyn Plain,
    ) {
        let mut data = part.data;
        while let Some(gather) = &mut self.half(dir).gather {
            match gather.push(data) {
                Gathered::Open => return,
                Gathered::TooLong => return self.darken(Why::NoHello, ring),
                Gathered::Whole(found, body, used) => {
                    self.half(dir).gather = None;
                    let good = match (dir, found) {
                        (Dir::ToServer, kind::CLIENT_HELLO) => self.client_hello(&body),
                        (Dir::ToClient, kind::SERVER_HELLO) => self.server_hello(&body, ring),
                        // HelloRequest (RFC 5246 §7.4.1.1) may come in front.
                        (Dir::ToClient, 0) => {
                            self.down.gather = Some(Gather::default());
                            true
                        }
                        _ => false,
                    };
                    if !good {
                        return self.darken(Why::NoHello, ring);
                    }
                    data = data.get(used..).unwrap_or_default();
                    if data.is_empty() {
                        break;
                    }
                }
            }
        }
        if self.opaque.is_some() {
            return;
        }
        if self.no_client && self.version == Some(Version::Tls12) {
            return self.darken(Why::NoHello, ring);
        }
        self.since = part.time;
        self.wait(ring);
        self.resolve(ring, out);
    }

    fn client_hello(&mut self, body: &[u8]) -> bool {
        let Some(hello) = ClientHello::parse(body) else {
            return false;
        };
        self.ja4 = Some(ja4(&hello).into());
        self.client = Some(Client {
            random: hello.random,
            early_data: hello.early_data && hello.pre_shared_key,
        });
        if let [only] = hello.alpn.as_slice()
            && self.alpn.is_none()
            && self.version != Some(Version::Tls12)
        {
            self.alpn = Some(only.as_slice().into());
        }
        self.sni = hello.sni.map(String::into_boxed_str);
        true
    }

    fn server_hello(&mut self, body: &[u8], ring: &mut Keyring) -> bool {
        let Some(hello) = ServerHello::parse(body) else {
            return false;
        };
        if hello.retry {
            if self.retried {
                return false;
            }
            self.retried = true;
            self.down.gather = Some(Gather::default());
            return true;
        }
        self.version = Some(hello.version);
        self.server_random = hello.random;
        (self.psk, self.encrypt_then_mac) = (hello.psk, hello.encrypt_then_mac);
        let suite = Suite::new(hello.cipher)
            .filter(|_| Suite::is_13(hello.cipher) == (hello.version == Version::Tls13));
        match (hello.version, suite) {
            (Version::Other(_), _) => self.darken(Why::Version, ring),
            (_, None) => self.darken(Why::Cipher, ring),
            (_, Some(_)) if hello.compression != 0 => self.darken(Why::Cipher, ring),
            (version, suite) => {
                self.suite = suite;
                if version == Version::Tls12 {
                    self.alpn = hello.alpn.map(Vec::into_boxed_slice);
                }
            }
        }
        true
    }

    /// In TLS 1.2 the next record is the first under encryption; in TLS 1.3 it means nothing.
    pub(super) fn change_cipher(
        &mut self,
        dir: Dir,
        part: &Part<'_>,
        ring: &mut Keyring,
        out: &mut dyn Plain,
    ) {
        let tls12 = self.version == Some(Version::Tls12);
        let half = self.half(dir);
        half.changes = half.changes.wrapping_add(1);
        let next = part.record.wrapping_add(1).wrapping_sub(half.changes);
        if !tls12 {
            // Should the server's hello still be under way, and say TLS 1.2, this is what it needs.
            half.walk.changed_at.get_or_insert(next);
            return;
        }
        if half.base.is_some() {
            return self.darken(Why::Renegotiated, ring);
        }
        half.base = Some(next);
        self.resolve(ring, out);
    }
}
