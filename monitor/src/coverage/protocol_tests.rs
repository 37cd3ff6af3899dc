use super::*;

use Dir::{ToClient, ToServer};

/// First messages as the protocols' specifications have them, or as their clients and servers send them.
const MESSAGES: &[(Dir, &[u8], Protocol)] = &[
    // StartupMessage, SSLRequest, GSSENCRequest.
    (ToServer, b"\0\0\0\x17\0\x03\0\0user\0bob\0\0", Protocol::Postgres),
    (ToServer, b"\0\0\0\x08\x04\xd2\x16\x2f", Protocol::Postgres),
    (ToServer, b"\0\0\0\x08\x04\xd2\x16\x30", Protocol::Postgres),
    (
        ToClient,
        b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15",
        Protocol::Mysql,
    ),
    (
        ToClient,
        b"\x6e\0\0\0\x0a5.5.5-10.11.6-MariaDB\0\x05\0\0\0",
        Protocol::Mysql,
    ),
    (ToServer, b"*1\r\n$4\r\nPING\r\n", Protocol::Redis),
    (ToServer, b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", Protocol::Redis),
    // ApiVersions v3 and Metadata v1.
    (
        ToServer,
        b"\0\0\0\x24\0\x12\0\x03\0\0\0\x01\0\x07rdkafka\0\x0blibrdkafka\x062.3.0\0",
        Protocol::Kafka,
    ),
    (ToServer, b"\0\0\0\x18\0\x03\0\x01\0\0\0\0\0\x0aproducer-1\0\0\0\0", Protocol::Kafka),
    (ToServer, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Protocol::Ssh),
    (ToClient, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Protocol::Ssh),
    (ToServer, b"AMQP\0\0\x09\x01", Protocol::Amqp),
    (ToServer, b"AMQP\0\x01\0\0", Protocol::Amqp),
    (ToServer, b"AMQP\x03\x01\0\0", Protocol::Amqp),
    // OP_MSG, and the OP_QUERY with which drivers still begin.
    (
        ToServer,
        b"\x3b\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x26\0\0\0\x10hello\0",
        Protocol::Mongodb,
    ),
    (
        ToServer,
        b"\x3a\x01\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0\0\0\0\0admin.$cmd\0",
        Protocol::Mongodb,
    ),
    (ToClient, b"220 mx.example ESMTP Postfix\r\n", Protocol::Smtp),
    (ToClient, b"220-mx.example ESMTP Exim 4.96\r\n220 ready\r\n", Protocol::Smtp),
    (ToServer, b"EHLO client.example\r\n", Protocol::Smtp),
    (ToServer, b"LHLO client.example\r\n", Protocol::Smtp),
    (ToClient, b"220 (vsFTPd 3.0.3)\r\n", Protocol::Ftp),
    (
        ToClient,
        b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS] Dovecot ready.\r\n",
        Protocol::Imap,
    ),
    (ToClient, b"* PREAUTH IMAP4rev1 server logged in as Smith\r\n", Protocol::Imap),
    (
        ToClient,
        b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n",
        Protocol::Pop3,
    ),
    // A simple bind, a search of the root, StartTLS.
    (
        ToServer,
        b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0",
        Protocol::Ldap,
    ),
    (
        ToServer,
        b"\x30\x84\0\0\0\x25\x02\x01\x01\x63\x20\x04\0\x0a\x01\0\x0a\x01\0",
        Protocol::Ldap,
    ),
    (
        ToServer,
        b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037",
        Protocol::Ldap,
    ),
    // example.com, A, without and with EDNS.
    (
        ToServer,
        b"\0\x1d\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01",
        Protocol::Dns,
    ),
    (
        ToServer,
        b"\0\x28\xab\xcd\x01\x20\0\x01\0\0\0\0\0\x01\x07example\x03com\0\0\x1c\0\x01\0\0\x29\x10\0\0\0\0\0\0\0",
        Protocol::Dns,
    ),
    (ToServer, b"set key 0 900 5\r\nhello\r\n", Protocol::Memcached),
    (
        ToServer,
        b"\x80\0\0\x05\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0Hello",
        Protocol::Memcached,
    ),
    (ToServer, b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a", Protocol::Mqtt),
    (ToServer, b"\x10\x8d\x01\0\x06MQIsdp\x03\x02\0\x3c", Protocol::Mqtt),
    (ToServer, b"\x04\0\0\0\x05\0\0\0\0", Protocol::Cassandra),
    (
        ToServer,
        b"\x04\0\0\0\x01\0\0\0\x16\0\x01\0\x0bCQL_VERSION\0\x053.0.0",
        Protocol::Cassandra,
    ),
    (ToClient, b"INFO {\"server_id\":\"NDI\",\"version\":\"2.10\"} \r\n", Protocol::Nats),
    (
        ToServer,
        b"\x12\x01\0\x2f\0\0\x01\0\0\0\x1a\0\x06\x01\0\x20\0\x01\x02\0\x21\0\x01\x03",
        Protocol::Tds,
    ),
    (ToServer, b"\0\0\0\x66\xfeSMB\x40\0", Protocol::Smb),
    (
        ToServer,
        b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0\x01\x04\0\x01",
        Protocol::Fastcgi,
    ),
    (ToServer, b"\xff\0\0\0\0\0\0\0\x01\x7f\x03", Protocol::Zeromq),
    (ToServer, b"CONNECT\naccept-version:1.2\n", Protocol::Stomp),
    (ToClient, b"RFB 003.008\n", Protocol::Vnc),
    (ToClient, b"@RSYNCD: 31.0\n", Protocol::Rsync),
    (
        ToServer,
        b"0033git-upload-pack /project.git\0host=myserver.com\0",
        Protocol::Git,
    ),
    (ToServer, b"\0AUTH EXTERNAL 31303030\r\n", Protocol::Dbus),
    (ToServer, b"l\0\x0b\0\0\0\x12\0\x10\0\0\0", Protocol::X11),
    (
        ToServer,
        b"{\"method\":\"io.systemd.UserDatabase.GetUserRecord\"}\0",
        Protocol::Varlink,
    ),
    (
        ToServer,
        b"OPTIONS rtsp://example.com/media RTSP/1.0\r\nCSeq: 1\r\n",
        Protocol::Rtsp,
    ),
    (
        ToServer,
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        Protocol::Tls,
    ),
    (ToServer, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Protocol::Http2),
];

#[test]
fn every_protocol_is_known_by_its_first_message() {
    for (way, message, expected) in MESSAGES {
        assert_eq!(recognise(message, *way), Some(*expected), "{message:?}");
    }
    for protocol in Protocol::ALL {
        assert!(
            *protocol == Protocol::Other || MESSAGES.iter().any(|(_, _, name)| name == protocol),
            "{protocol:?} has no message"
        );
    }
}

/// The other direction of the same bytes is no such message, but for SSH, ZeroMQ and rsync.
#[test]
fn the_direction_counts() {
    let either = [Protocol::Ssh, Protocol::Zeromq, Protocol::Rsync];
    for (way, message, name) in MESSAGES {
        if !either.contains(name) {
            assert_eq!(recognise(message, way.opposite()), None, "{message:?}");
        }
    }
}

#[test]
fn nothing_is_guessed() {
    for (way, message) in [
        (ToServer, &b""[..]),
        (ToServer, b"GET / HTTP/1.1\r\n"),
        (ToServer, b"get key\r\n"),
        (ToServer, b"PING\r\n"),
        (ToServer, b"*x\r\n$4\r\n"),
        (ToServer, b"\0\0\0\x17\0\x02\0\0user\0"),
        (
            ToServer,
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        (
            ToServer,
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
        (ToServer, b"{\"id\":1}\n"),
        (ToClient, b"220 hello\r\n"),
        (ToClient, b"+OK\r\n"),
        (ToClient, b"+OK Welcome\r\n"),
        (ToClient, b"* OK\r\n"),
        (ToClient, b"HTTP/1.1 200 OK\r\n"),
    ] {
        assert_eq!(recognise(message, way), None, "{message:?}");
    }
}

/// No two rules claim one message, whatever is cut off its end; and a beginning is never another protocol's.
#[test]
fn a_cut_message_has_its_own_name_or_none() {
    for (way, message, expected) in MESSAGES {
        for end in 0..message.len() {
            let found = recognise(&message[..end], *way);
            assert!(
                found.is_none() || found == Some(*expected),
                "{:?} as {found:?}",
                &message[..end]
            );
        }
    }
}

proptest::proptest! {
    /// Random bytes have a name about never, and no bytes make it panic.
    #[test]
    fn noise_has_no_name(noise in proptest::collection::vec(4_u8..=255, 32..120), server: bool) {
        let way = if server { ToClient } else { ToServer };
        proptest::prop_assert_eq!(recognise(&noise, way), None);
    }

    #[test]
    fn any_change_of_a_message_is_harmless(at in 0..MESSAGES.len(), place in 0_usize..96, byte: u8) {
        let (way, message, _) = MESSAGES[at];
        let mut message = message.to_vec();
        if let Some(slot) = message.get_mut(place) { *slot = byte; }
        let _ = recognise(&message, way);
        let _ = recognise(&message, way.opposite());
    }
}
