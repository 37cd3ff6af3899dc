//! ClientHello and ServerHello (RFC 8446 §4.1, RFC 5246 §7.4.1), parsed within bounds.

use super::Version;

/// Longest hello that is gathered, in bytes with its header of 4.
pub const MAX_HELLO: usize = 16 * 1024;
/// Most extensions and cipher suites taken note of.
const MAX_ITEMS: usize = 256;
/// Longest server name (RFC 1035 §2.3.4) and ALPN name (RFC 7301 §3.1).
const MAX_NAME: usize = 255;

/// Handshake types.
pub(super) mod kind {
    pub(in super::super) const CLIENT_HELLO: u8 = 1;
    pub(in super::super) const SERVER_HELLO: u8 = 2;
    pub(in super::super) const NEW_SESSION_TICKET: u8 = 4;
    pub(in super::super) const END_OF_EARLY_DATA: u8 = 5;
    pub(in super::super) const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub(in super::super) const FINISHED: u8 = 20;
    pub(in super::super) const KEY_UPDATE: u8 = 24;
}

/// Extension types.
mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(super) const ALPN: u16 = 16;
    pub(super) const ENCRYPT_THEN_MAC: u16 = 22;
    pub(super) const PRE_SHARED_KEY: u16 = 41;
    pub(super) const EARLY_DATA: u16 = 42;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
}

/// The random of a HelloRetryRequest: SHA-256 of its name (RFC 8446 §4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a client offers. Lists are in the order of the wire, GREASE included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// `legacy_version`.
    pub version: u16,
    /// Random.
    pub random: [u8; 32],
    /// Session id.
    pub session_id: Vec<u8>,
    /// Cipher suites; at most 256.
    pub ciphers: Vec<u16>,
    /// Extension types; at most 256.
    pub extensions: Vec<u16>,
    /// Server name, in lower case as it was sent, if it is printable ASCII.
    pub sni: Option<String>,
    /// Protocols offered (ALPN).
    pub alpn: Vec<Vec<u8>>,
    /// `supported_versions`.
    pub versions: Vec<u16>,
    /// `signature_algorithms`.
    pub signatures: Vec<u16>,
    /// Early data is announced.
    pub early_data: bool,
    /// A pre-shared key is offered.
    pub pre_shared_key: bool,
}

/// What a server chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// Version.
    pub version: Version,
    /// Random.
    pub random: [u8; 32],
    /// Session id.
    pub session_id: Vec<u8>,
    /// Cipher suite.
    pub cipher: u16,
    /// Compression (TLS 1.2); 0 is none.
    pub compression: u8,
    /// It is a HelloRetryRequest.
    pub retry: bool,
    /// Protocol (TLS 1.2; in TLS 1.3 it is encrypted).
    pub alpn: Option<Vec<u8>>,
    /// A pre-shared key was chosen (TLS 1.3).
    pub psk: bool,
    /// `encrypt_then_mac` (RFC 7366).
    pub encrypt_then_mac: bool,
}

/// Reads from the front of a slice.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn vec8(&mut self) -> Option<&'a [u8]> {
        let count = self.u8()?;
        self.bytes(count.into())
    }

    pub(super) fn vec16(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.bytes(count.into())
    }
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    let mut reader = Reader(bytes);
    std::iter::from_fn(|| reader.u16())
        .take(MAX_ITEMS)
        .collect()
}

/// Types and contents of extensions; ends where they are malformed.
fn extensions(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut reader = Reader(bytes);
    std::iter::from_fn(move || Some((reader.u16()?, reader.vec16()?))).take(MAX_ITEMS)
}

impl ClientHello {
    /// Parses the body of the message (without its header of 4 bytes). `None`: it is none. What is
    /// malformed inside an extension leaves that out.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let mut hello = Self {
            version: reader.u16()?,
            random: reader.array()?,
            session_id: reader.vec8()?.to_vec(),
            ciphers: numbers(reader.vec16()?),
            ..Self::default()
        };
        if hello.version >> 8 != 3 || hello.session_id.len() > 32 {
            return None;
        }
        reader.vec8()?;
        for (kind, content) in extensions(reader.vec16().unwrap_or_default()) {
            hello.extensions.push(kind);
            let mut content = Reader(content);
            match kind {
                extension::SERVER_NAME => hello.sni = server_name(&mut content),
                extension::ALPN => {
                    let mut names = Reader(content.vec16().unwrap_or_default());
                    hello.alpn = std::iter::from_fn(|| names.vec8())
                        .take(MAX_ITEMS)
                        .map(<[u8]>::to_vec)
                        .collect();
                }
                extension::SUPPORTED_VERSIONS => {
                    hello.versions = numbers(content.vec8().unwrap_or_default());
                }
                extension::SIGNATURE_ALGORITHMS => {
                    hello.signatures = numbers(content.vec16().unwrap_or_default());
                }
                extension::EARLY_DATA => hello.early_data = true,
                extension::PRE_SHARED_KEY => hello.pre_shared_key = true,
                _ => {}
            }
        }
        Some(hello)
    }
}

/// The first host name (RFC 6066 §3).
fn server_name(content: &mut Reader<'_>) -> Option<String> {
    let mut names = Reader(content.vec16()?);
    for _ in 0..8 {
        let (kind, name) = (names.u8()?, names.vec16()?);
        let good = (1..=MAX_NAME).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
        if kind == 0 && good {
            return Some(String::from_utf8_lossy(name).to_ascii_lowercase());
        }
    }
    None
}

impl ServerHello {
    /// Parses the body of the message (without its header of 4 bytes). `None`: it is none.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let legacy = reader.u16()?;
        let random = reader.array()?;
        let mut hello = Self {
            version: version(legacy),
            random,
            session_id: reader.vec8()?.to_vec(),
            cipher: reader.u16()?,
            compression: reader.u8()?,
            retry: random == RETRY,
            alpn: None,
            psk: false,
            encrypt_then_mac: false,
        };
        if legacy >> 8 != 3 || hello.session_id.len() > 32 {
            return None;
        }
        for (kind, content) in extensions(reader.vec16().unwrap_or_default()) {
            match kind {
                extension::SUPPORTED_VERSIONS => {
                    hello.version = version(Reader(content).u16()?);
                }
                extension::ALPN => hello.alpn = chosen(content),
                extension::PRE_SHARED_KEY => hello.psk = true,
                extension::ENCRYPT_THEN_MAC => hello.encrypt_then_mac = true,
                _ => {}
            }
        }
        Some(hello)
    }
}

/// What a server's EncryptedExtensions say (RFC 8446 §4.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Encrypted {
    pub(super) alpn: Option<Vec<u8>>,
    /// Early data is accepted.
    pub(super) early_data: bool,
}

impl Encrypted {
    /// Parses the body of the message.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut encrypted = Self::default();
        for (kind, content) in extensions(Reader(body).vec16()?) {
            match kind {
                extension::ALPN => encrypted.alpn = chosen(content),
                extension::EARLY_DATA => encrypted.early_data = true,
                _ => {}
            }
        }
        Some(encrypted)
    }
}

/// The one protocol of a server's ALPN extension.
fn chosen(content: &[u8]) -> Option<Vec<u8>> {
    let name = Reader(Reader(content).vec16()?).vec8()?;
    (!name.is_empty()).then(|| name.to_vec())
}

fn version(number: u16) -> Version {
    match number {
        0x0303 => Version::Tls12,
        0x0304 => Version::Tls13,
        other => Version::Other(other),
    }
}

/// Gathers one handshake message of a direction from the records it is split over.
#[derive(Default)]
pub(super) struct Gather {
    bytes: Vec<u8>,
}

/// Where a message stands.
pub(super) enum Gathered {
    /// More is needed.
    Open,
    /// Type and body; so many bytes of the input were used.
    Whole(u8, Vec<u8>, usize),
    /// Too long.
    TooLong,
}

impl Gather {
    /// Takes bytes of records.
    pub(super) fn push(&mut self, data: &[u8]) -> Gathered {
        let before = self.bytes.len();
        let room = MAX_HELLO.saturating_sub(before);
        self.bytes
            .extend_from_slice(data.get(..room).unwrap_or(data));
        let Some([kind, a, b, c]) = self.bytes.first_chunk::<4>().copied() else {
            return Gathered::Open;
        };
        let end = 4 + u32::from_be_bytes([0, a, b, c]) as usize;
        if end > MAX_HELLO {
            return Gathered::TooLong;
        }
        match self.bytes.get(4..end) {
            None => Gathered::Open,
            Some(body) => {
                let body = body.to_vec();
                self.bytes = Vec::new();
                Gathered::Whole(kind, body, end.saturating_sub(before))
            }
        }
    }

    /// Bytes of heap.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}
