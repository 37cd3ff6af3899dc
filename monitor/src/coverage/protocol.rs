//! Which protocol a connection speaks, from the first message that one of its ends sends. Nothing is
//! guessed: what a name is given for, no other known protocol begins with.

use crate::wire::Dir;

/// How many bytes of a message are looked at.
pub const FIRST: usize = 96;

macro_rules! protocols {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A protocol other than HTTP.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Protocol { $($(#[$doc])* $variant,)* }

        impl Protocol {
            /// All.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Name in JSON and for people.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

protocols! {
    /// None of these.
    Other = "other",
    /// PostgreSQL (its documentation, "Message Formats").
    Postgres = "postgres",
    /// MySQL and MariaDB (MySQL internals, `Protocol::HandshakeV10`).
    Mysql = "mysql",
    /// Redis (RESP, an array of bulk strings).
    Redis = "redis",
    /// Apache Kafka (its protocol guide, request header v1).
    Kafka = "kafka",
    /// SSH (RFC 4253 §4.2).
    Ssh = "ssh",
    /// AMQP 0-9-1 (§4.2.2) and 1.0 (§2.2).
    Amqp = "amqp",
    /// MongoDB (wire protocol, `MsgHeader`).
    Mongodb = "mongodb",
    /// SMTP and LMTP (RFC 5321 §4.3.1, RFC 2033).
    Smtp = "smtp",
    /// IMAP (RFC 9051 §7.1).
    Imap = "imap",
    /// POP3 (RFC 1939 §4).
    Pop3 = "pop3",
    /// FTP (RFC 959 §5.4).
    Ftp = "ftp",
    /// LDAP (RFC 4511 §4.1.1).
    Ldap = "ldap",
    /// DNS over TCP (RFC 1035 §4.2.2).
    Dns = "dns",
    /// memcached (protocol.txt, and its binary protocol).
    Memcached = "memcached",
    /// MQTT (OASIS MQTT 3.1.1 §3.1, and 5.0).
    Mqtt = "mqtt",
    /// Cassandra (native protocol, §2).
    Cassandra = "cassandra",
    /// NATS (client protocol, INFO).
    Nats = "nats",
    /// Microsoft SQL Server (MS-TDS §2.2.6.5, PRELOGIN).
    Tds = "tds",
    /// SMB (MS-SMB2 §2.1).
    Smb = "smb",
    /// FastCGI (its specification §3.3 and §5.1).
    Fastcgi = "fastcgi",
    /// ZeroMQ (ZMTP 3, RFC 23 of ZeroMQ).
    Zeromq = "zeromq",
    /// STOMP (1.2).
    Stomp = "stomp",
    /// VNC (RFC 6143 §7.1.1).
    Vnc = "vnc",
    /// rsync's daemon.
    Rsync = "rsync",
    /// git's own protocol (gitprotocol-pack(5)).
    Git = "git",
    /// D-Bus (its specification, "Authentication Protocol").
    Dbus = "dbus",
    /// X11 (its protocol, "Connection Setup").
    X11 = "x11",
    /// Varlink.
    Varlink = "varlink",
    /// RTSP (RFC 7826).
    Rtsp = "rtsp",
    /// TLS, where something else was expected.
    Tls = "tls",
    /// HTTP/2, where something else was expected.
    Http2 = "h2",
}

/// Names the protocol that begins with `first`, sent by the client (towards the server) or the server.
/// `None`: not known, or not enough bytes. Looks at [`FIRST`] bytes.
#[must_use]
pub fn recognise(first: &[u8], way: Dir) -> Option<Protocol> {
    let first = first.get(..FIRST).unwrap_or(first);
    if first.starts_with(b"SSH-2.0-") || first.starts_with(b"SSH-1.99-") {
        return Some(Protocol::Ssh);
    }
    if zeromq(first) {
        return Some(Protocol::Zeromq);
    }
    match way {
        Dir::ToServer => from_client(first),
        Dir::ToClient => from_server(first),
    }
}

/// Whether some bytes are the beginning of one protocol.
type Check = fn(&[u8]) -> bool;

fn from_client(first: &[u8]) -> Option<Protocol> {
    let text: [(&[u8], Protocol); 14] = [
        (b"PRI * HTTP/2.0\r\n", Protocol::Http2),
        (b"EHLO ", Protocol::Smtp),
        (b"HELO ", Protocol::Smtp),
        (b"LHLO ", Protocol::Smtp),
        (b"\0AUTH ", Protocol::Dbus),
        (b"CONNECT\n", Protocol::Stomp),
        (b"STOMP\n", Protocol::Stomp),
        (b"CONNECT\r\n", Protocol::Stomp),
        (b"STOMP\r\n", Protocol::Stomp),
        (b"@RSYNCD: ", Protocol::Rsync),
        (b"{\"method\":\"io.systemd.", Protocol::Varlink),
        (b"{\"method\":\"org.varlink.", Protocol::Varlink),
        (b"B\0\0\x0b\0\0", Protocol::X11),
        (b"l\0\x0b\0\0\0", Protocol::X11),
    ];
    if let Some((_, found)) = text.iter().find(|(begin, _)| first.starts_with(begin)) {
        return Some(*found);
    }
    let checks: [(Check, Protocol); 17] = [
        (postgres, Protocol::Postgres),
        (redis, Protocol::Redis),
        (amqp, Protocol::Amqp),
        (mongodb, Protocol::Mongodb),
        (mqtt, Protocol::Mqtt),
        (cassandra, Protocol::Cassandra),
        (tds, Protocol::Tds),
        (smb, Protocol::Smb),
        (fastcgi, Protocol::Fastcgi),
        (ldap, Protocol::Ldap),
        (tls, Protocol::Tls),
        (rtsp, Protocol::Rtsp),
        (git, Protocol::Git),
        (memcached_text, Protocol::Memcached),
        (memcached_binary, Protocol::Memcached),
        (kafka, Protocol::Kafka),
        (dns, Protocol::Dns),
    ];
    checks
        .iter()
        .find(|(is, _)| is(first))
        .map(|(_, name)| *name)
}

fn from_server(first: &[u8]) -> Option<Protocol> {
    let line = first.split(|byte| *byte == b'\n').next()?;
    let says = |word: &[u8]| {
        line.windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
    };
    if first.starts_with(b"220 ") || first.starts_with(b"220-") {
        return match (says(b"SMTP") || says(b"LMTP"), says(b"FTP")) {
            (true, _) => Some(Protocol::Smtp),
            (false, true) => Some(Protocol::Ftp),
            (false, false) => None,
        };
    }
    if (first.starts_with(b"* OK ") || first.starts_with(b"* PREAUTH ")) && says(b"IMAP") {
        return Some(Protocol::Imap);
    }
    // Without more it may as well be an answer of Redis.
    if first.starts_with(b"+OK ") && (says(b"POP3") || (says(b"<") && says(b"@"))) {
        return Some(Protocol::Pop3);
    }
    let text: [(&[u8], Protocol); 3] = [
        (b"INFO {\"", Protocol::Nats),
        (b"RFB 003.", Protocol::Vnc),
        (b"@RSYNCD: ", Protocol::Rsync),
    ];
    if let Some((_, found)) = text.iter().find(|(begin, _)| first.starts_with(begin)) {
        return Some(*found);
    }
    mysql(first).then_some(Protocol::Mysql)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_be_bytes)
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_le_bytes)
}

/// StartupMessage of version 3, SSLRequest, GSSENCRequest or CancelRequest.
fn postgres(first: &[u8]) -> bool {
    let (Some(length), Some(code)) = (be32(first, 0), be32(first, 4)) else {
        return false;
    };
    match code {
        80_877_103 | 80_877_104 => length == 8,
        80_877_102 => (16..=272).contains(&length),
        0x0003_0000..=0x0003_00ff => {
            let parameter = first.get(8..).unwrap_or_default();
            (9..=10_000).contains(&length)
                && parameter.iter().take(4).all(u8::is_ascii_graphic)
                && parameter.len() >= 4
        }
        _ => false,
    }
}

/// `*2\r\n$4\r\n`.
fn redis(first: &[u8]) -> bool {
    fn number(bytes: &[u8]) -> Option<&[u8]> {
        let digits = bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if !(1..=7).contains(&digits) {
            return None;
        }
        bytes.get(digits..)?.strip_prefix(b"\r\n")
    }
    first
        .strip_prefix(b"*")
        .and_then(number)
        .and_then(|rest| rest.strip_prefix(b"$"))
        .and_then(number)
        .is_some()
}

/// `AMQP`, a protocol id up to 3, and a version.
fn amqp(first: &[u8]) -> bool {
    matches!(
        first,
        [b'A', b'M', b'Q', b'P', 0, 0, 9, 1]
            | [b'A', b'M', b'Q', b'P', 0 | 2 | 3, 1, 0, 0, ..]
            | [b'A', b'M', b'Q', b'P', 1, 1, 0..=9, 0..=10, ..]
            | [b'A', b'M', b'Q', b'P', 0, 0, 9, 1, ..]
    )
}

/// A request (it answers nothing): OP_MSG or OP_QUERY.
fn mongodb(first: &[u8]) -> bool {
    let (Some(length), Some(answers), Some(code)) =
        (le32(first, 0), le32(first, 8), le32(first, 12))
    else {
        return false;
    };
    (26..=48_000_000).contains(&length) && answers == 0 && (code == 2013 || code == 2004)
}

/// CONNECT: its type, its length in 1 to 4 bytes, the name of the protocol.
fn mqtt(first: &[u8]) -> bool {
    let Some(rest) = first.strip_prefix(b"\x10") else {
        return false;
    };
    let more = rest
        .iter()
        .take(4)
        .take_while(|byte| **byte >= 0x80)
        .count();
    let name = rest.get(more + 1..).unwrap_or_default();
    more < 4 && (name.starts_with(b"\0\x04MQTT") || name.starts_with(b"\0\x06MQIsdp"))
}

/// OPTIONS, or STARTUP with its `CQL_VERSION`.
fn cassandra(first: &[u8]) -> bool {
    let [3..=5, flags, _, _, code, ..] = first else {
        return false;
    };
    let Some(length) = be32(first, 5) else {
        return false;
    };
    let body = first.get(9..).unwrap_or_default();
    let startup = || body.windows(11).any(|part| part == b"CQL_VERSION");
    *flags <= 0x1f
        && match code {
            5 => length == 0 && body.is_empty(),
            1 => (15..=4096).contains(&length) && startup(),
            _ => false,
        }
}

/// PRELOGIN: its options begin with VERSION.
fn tds(first: &[u8]) -> bool {
    matches!(first, [0x12, 0 | 1, _, _, 0, 0, 0 | 1, 0, 0, 0, ..])
        && be16(first, 2).is_some_and(|length| (20..=4096).contains(&length))
}

fn smb(first: &[u8]) -> bool {
    matches!(first, [0, 0, _, _, 0xff | 0xfe, b'S', b'M', b'B', ..])
}

/// FCGI_BEGIN_REQUEST with a role.
fn fastcgi(first: &[u8]) -> bool {
    matches!(
        first,
        [1, 1, 0, _, 0, 8, 0, 0, 0, 1..=3, 0 | 1, 0, 0, 0, 0, 0, ..]
    )
}

/// The greeting's signature.
fn zeromq(first: &[u8]) -> bool {
    matches!(first, [0xff, 0, 0, 0, 0, 0, 0, 0, _, 0x7f, ..])
}

/// A message with a bind, search or extended request.
fn ldap(first: &[u8]) -> bool {
    fn content(bytes: &[u8], tag: u8) -> Option<(usize, &[u8])> {
        let (found, rest) = bytes.split_first()?;
        if *found != tag {
            return None;
        }
        let (length, rest) = rest.split_first()?;
        match length {
            0..=0x7f => Some((usize::from(*length), rest)),
            0x81..=0x84 => {
                let more = usize::from(length & 0x7f);
                let bytes = rest.get(..more)?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                Some((length, rest.get(more..)?))
            }
            _ => None,
        }
    }
    let request = || {
        let (_, message) = content(first, 0x30)?;
        let (length, id) = content(message, 0x02)?;
        if !(1..=4).contains(&length) {
            return None;
        }
        let operation = id.get(length..)?;
        let bind = content(operation, 0x60)
            .is_some_and(|(_, version)| matches!(version, [2, 1, 2 | 3, 0x04, ..]));
        let search = content(operation, 0x63).is_some_and(|(_, base)| base.first() == Some(&0x04));
        let extended =
            content(operation, 0x77).is_some_and(|(_, name)| name.first() == Some(&0x80));
        Some(bind || search || extended)
    };
    request() == Some(true)
}

/// A ClientHello.
fn tls(first: &[u8]) -> bool {
    matches!(first, [0x16, 3, 0..=4, _, _, 1, 0, ..])
}

fn rtsp(first: &[u8]) -> bool {
    let line = first
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    line.ends_with(b" RTSP/1.0") || line.ends_with(b" RTSP/2.0")
}

/// A pkt-line with a service.
fn git(first: &[u8]) -> bool {
    let hex = first
        .get(..4)
        .is_some_and(|length| length.iter().all(u8::is_ascii_hexdigit));
    let service = first.get(4..).unwrap_or_default();
    hex && [
        &b"git-upload-pack "[..],
        b"git-receive-pack ",
        b"git-upload-archive ",
    ]
    .iter()
    .any(|name| service.starts_with(name))
}

/// A storage command: `set KEY FLAGS EXPTIME BYTES`.
fn memcached_text(first: &[u8]) -> bool {
    let Some(end) = first.iter().position(|byte| *byte == b'\r') else {
        return false;
    };
    let line = first.get(..end).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let command = words.next().unwrap_or_default();
    let stores = [&b"set"[..], b"add", b"replace", b"append", b"prepend"].contains(&command);
    let key = words.next().is_some_and(|key| !key.is_empty());
    let number = |word: Option<&[u8]>| {
        word.is_some_and(|word| {
            let word = word.strip_prefix(b"-").unwrap_or(word);
            !word.is_empty() && word.iter().all(u8::is_ascii_digit)
        })
    };
    stores && key && number(words.next()) && number(words.next()) && number(words.next())
}

/// A request header whose lengths agree.
fn memcached_binary(first: &[u8]) -> bool {
    let [0x80, code, _, _, extras, 0, ..] = first else {
        return false;
    };
    let (Some(key), Some(body)) = (be16(first, 2), be32(first, 8)) else {
        return false;
    };
    let least = u32::from(key) + u32::from(*extras);
    *code <= 0x3d
        && *extras <= 32
        && key <= 250
        && least <= body
        && body <= 1 << 20
        && first.len() >= 24
}

/// ApiVersions or Metadata, as clients begin, with the name of the client.
fn kafka(first: &[u8]) -> bool {
    let (Some(length), Some(api), Some(version), Some(name)) = (
        be32(first, 0),
        be16(first, 4),
        be16(first, 6),
        be16(first, 12),
    ) else {
        return false;
    };
    let named = match name {
        0xffff => true,
        1..=249 => {
            let text = first.get(14..).unwrap_or_default();
            !text.is_empty()
                && text
                    .iter()
                    .take(usize::from(name))
                    .all(u8::is_ascii_graphic)
        }
        _ => false,
    };
    let most = match api {
        18 => 4,
        3 => 13,
        _ => return false,
    };
    version <= most
        && (10..=4096).contains(&length)
        && be32(first, 8).is_some_and(|id| id < 1 << 16)
        && named
}

/// One question, and a length that fits it.
fn dns(first: &[u8]) -> bool {
    let (Some(length), Some(flags)) = (be16(first, 0), be16(first, 4)) else {
        return false;
    };
    let counts = [6, 8, 10, 12].map(|at| be16(first, at));
    if !(17..=1024).contains(&length)
        || flags & 0xfe40 != 0
        || counts.get(..3) != Some(&[Some(1), Some(0), Some(0)])
        || counts.get(3).copied().flatten().is_none_or(|more| more > 2)
    {
        return false;
    }
    let mut at = 14;
    // Labels of 1 to 63 bytes, then the root, type and class (RFC 1035 §4.1.2).
    for _ in 0..FIRST {
        match first.get(at) {
            Some(0) => {
                let class = be16(first, at + 3);
                return matches!(class, Some(1 | 3 | 4 | 255));
            }
            Some(label @ 1..=63) => at += 1 + usize::from(*label),
            _ => return false,
        }
    }
    false
}

/// A greeting of version 10: its length, number 0, the server's version as text.
fn mysql(first: &[u8]) -> bool {
    let [low, high, 0, 0, 10, version @ ..] = first else {
        return false;
    };
    let length = u16::from_le_bytes([*low, *high]);
    let end = version.iter().position(|byte| *byte == 0);
    let text = end.and_then(|end| version.get(..end)).unwrap_or_default();
    length >= 30
        && text.first().is_some_and(u8::is_ascii_digit)
        && text.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
#[path = "protocol_tests.rs"]
mod tests;
