//! ClientHello, ServerHello, and JA4.

use proptest::prelude::*;

use super::traces::unhex;
use crate::wire::tls::{ClientHello, ServerHello, Version, ja4};

/// A ClientHello's body, with these extensions.
fn hello(version: u16, ciphers: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend((2 * ciphers.len() as u16).to_be_bytes());
    body.extend(ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()));
    body.extend([1, 0]);
    let mut all = Vec::new();
    for (kind, content) in extensions {
        all.extend(kind.to_be_bytes());
        all.extend((content.len() as u16).to_be_bytes());
        all.extend(content);
    }
    body.extend((all.len() as u16).to_be_bytes());
    body.extend(all);
    body
}

fn list(numbers: &[u16]) -> Vec<u8> {
    let mut out = (2 * numbers.len() as u16).to_be_bytes().to_vec();
    out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    out
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let all: Vec<u8> = names
        .iter()
        .flat_map(|name| [&[name.len() as u8], *name].concat())
        .collect();
    [&(all.len() as u16).to_be_bytes()[..], &all].concat()
}

fn sni(name: &str) -> Vec<u8> {
    let name = [
        &[0][..],
        &(name.len() as u16).to_be_bytes(),
        name.as_bytes(),
    ]
    .concat();
    [&(name.len() as u16).to_be_bytes()[..], &name].concat()
}

const SIGNATURES: [u16; 8] = [
    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
];

/// The lists of the example in FoxIO's technical description of JA4, in an order of a browser.
fn example(alpn_names: &[&[u8]], with_name: bool) -> Vec<u8> {
    let ciphers = [
        0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
        0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
    ];
    let mut extensions: Vec<(u16, Vec<u8>)> = [
        0x1a1a, 0x001b, 0x0033, 0x4469, 0x0017, 0x002d, 0x0005, 0x0023, 0x0012, 0xff01, 0x000b,
        0x000a, 0x0015,
    ]
    .into_iter()
    .map(|kind| (kind, Vec::new()))
    .collect();
    if with_name {
        extensions.insert(2, (0x0000, sni("Example.COM")));
    }
    extensions.insert(3, (0x000d, list(&SIGNATURES)));
    extensions.insert(4, (0x002b, vec![6, 0x3a, 0x3a, 3, 4, 3, 3]));
    if !alpn_names.is_empty() {
        extensions.insert(5, (0x0010, alpn(alpn_names)));
    }
    hello(0x0303, &ciphers, &extensions)
}

fn print(body: &[u8]) -> String {
    ja4(&ClientHello::parse(body).unwrap())
}

#[test]
fn ja4_of_the_published_example() {
    let body = example(&[b"h2", b"http/1.1"], true);
    assert_eq!(print(&body), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    let hello = ClientHello::parse(&body).unwrap();
    assert_eq!(hello.sni.as_deref(), Some("example.com"));
    assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

#[test]
fn ja4_where_things_are_missing() {
    assert!(print(&example(&[], false)).starts_with("t13i151400_8daaf6152771_e5627efa2ab1"));
    assert!(print(&example(&[b"http/1.1"], true)).starts_with("t13d1516h1_"));
    assert!(print(&example(&[b"h"], true)).starts_with("t13d1516hh_"));
    // The examples of the description: hex digits where the ends are no letters or digits.
    for (name, want) in [
        (&[0xab][..], "ab"),
        (&[0xab, 0xcd], "ad"),
        (&[0x30, 0xab], "3b"),
        (&[0x30, 0x31, 0xab, 0xcd], "3d"),
        (&[0x30, 0xab, 0xcd, 0x31], "01"),
    ] {
        let found = print(&example(&[name], true));
        assert_eq!(&found[8..10], want);
    }
    assert_eq!(
        print(&hello(0x0301, &[], &[])),
        "t10i000000_000000000000_000000000000"
    );
    // No signature algorithms: no underscore in what is hashed.
    let digest = sha("000a");
    let found = print(&hello(0x0303, &[0x1301], &[(10, vec![])]));
    assert_eq!(found, format!("t12i010100_{}_{digest}", sha("1301")));
}

/// First 12 hex digits of SHA-256.
fn sha(text: &str) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn what_a_server_chose() {
    // RFC 8448 §3 and §5.
    let chosen = unhex(
        "0303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e00330024001d00\
         20c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304",
    );
    let chosen = ServerHello::parse(&chosen).unwrap();
    assert_eq!((chosen.version, chosen.cipher), (Version::Tls13, 0x1301));
    assert!(!chosen.retry && !chosen.psk && chosen.alpn.is_none());
    let retry = unhex(
        "0303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c001301000084003300020017\
         002c0074007271dcd04bb88bc3189119398a00000000eefafc76c146b823b096f8aacad365dd0030953f4edf6256\
         36e5f21bb2e23fcc654b1b5b40318d10d137abcbb87574e36e8a1f025f7dfa5d6e50781b5eda4aa15b0c8be77825\
         7d16aa3030e9e7841dd9e4c0342267e8ca0caf571fb2b7cff0f934b0002b00020304",
    );
    assert!(ServerHello::parse(&retry).unwrap().retry);
}

#[test]
fn names_that_are_none() {
    for name in ["", "a b", "é.example", &"x".repeat(256)] {
        let body = hello(0x0303, &[0x1301], &[(0, sni(name))]);
        assert_eq!(ClientHello::parse(&body).unwrap().sni, None, "{name}");
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Some(hello) = ClientHello::parse(&bytes) {
            prop_assert_eq!(ja4(&hello).len(), 36);
        }
        let _ = ServerHello::parse(&bytes);
    }

    /// Damaged anywhere, cut anywhere.
    #[test]
    fn damaged(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut body = example(&[b"h2"], true);
        let at = at.index(body.len());
        body[at] = byte;
        body.truncate(cut.index(body.len() + 1));
        if let Some(hello) = ClientHello::parse(&body) {
            prop_assert_eq!(ja4(&hello).len(), 36);
            prop_assert!(hello.ciphers.len() <= 256 && hello.extensions.len() <= 256);
        }
    }
}
