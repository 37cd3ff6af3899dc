//! Readers of what logs take, as strict as their rules: RFC 5424's grammar, RFC 6587's octet counting, and the
//! journal's native protocol. Anything that those forbid is a panic.

use std::collections::BTreeMap;

/// One message of RFC 5424 §6.
#[derive(Debug)]
pub(crate) struct Syslog {
    pub(crate) pri: u32,
    pub(crate) host: String,
    pub(crate) app: String,
    pub(crate) msgid: String,
    /// SD-ID to its parameters, in order.
    pub(crate) data: BTreeMap<String, Vec<(String, String)>>,
    pub(crate) message: String,
}

impl Syslog {
    /// The first value of a parameter of our element.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let ours = self.data.get("bailiwick@32473").expect("our element");
        let (_, value) = ours.iter().find(|(have, _)| have == name)?;
        Some(value)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let (&first, rest) = self.0.split_first().expect("more to read");
        self.0 = rest;
        first
    }

    fn peek(&self) -> u8 {
        *self.0.first().expect("more to read")
    }

    fn expect(&mut self, what: &[u8]) {
        for &byte in what {
            assert_eq!(self.byte() as char, byte as char);
        }
    }

    /// PRINTUSASCII up to a byte of `stop`, 1 to `max` of them.
    fn word(&mut self, stop: &[u8], max: usize) -> String {
        let mut out = String::new();
        while !stop.contains(&self.peek()) {
            let byte = self.byte();
            assert!((33..=126).contains(&byte), "{byte:#x} in {out}");
            out.push(byte as char);
        }
        assert!((1..=max).contains(&out.len()), "{out:?}");
        out
    }
}

/// HEADER SP STRUCTURED-DATA [SP MSG].
pub(crate) fn rfc5424(bytes: &[u8]) -> Syslog {
    let mut reader = Reader(bytes);
    reader.expect(b"<");
    let pri = reader.word(b">", 3);
    reader.expect(b">");
    assert!(pri == "0" || !pri.starts_with('0'), "{pri}");
    let pri: u32 = pri.parse().expect("a number");
    assert!(pri <= 191, "{pri}");
    let version = reader.word(b" ", 3);
    assert_eq!(version, "1");
    reader.expect(b" ");
    timestamp(&reader.word(b" ", 64));
    reader.expect(b" ");
    let host = reader.word(b" ", 255);
    reader.expect(b" ");
    let app = reader.word(b" ", 48);
    reader.expect(b" ");
    reader.word(b" ", 128);
    reader.expect(b" ");
    let msgid = reader.word(b" ", 32);
    reader.expect(b" ");
    let data = structured(&mut reader);
    let mut message = String::new();
    if !reader.0.is_empty() {
        reader.expect(b" ");
        let text = reader.0;
        message = match text.strip_prefix(b"\xef\xbb\xbf") {
            Some(utf8) => String::from_utf8(utf8.to_vec()).expect("UTF-8 after its mark"),
            None => {
                assert!(text.is_ascii(), "without a mark it is ASCII");
                String::from_utf8(text.to_vec()).expect("ASCII")
            }
        };
    }
    assert!(!message.chars().any(char::is_control), "{message:?}");
    Syslog {
        pri,
        host,
        app,
        msgid,
        data,
        message,
    }
}

/// FULL-DATE "T" FULL-TIME with at most six digits of a second (§6.2.3).
fn timestamp(text: &str) {
    assert!(text.parse::<jiff::Timestamp>().is_ok(), "{text}");
    assert_eq!(text.as_bytes().get(10), Some(&b'T'), "{text}");
    assert!(text.ends_with('Z'), "{text}");
    let fraction = text
        .trim_end_matches('Z')
        .split_once('.')
        .map_or("0", |(_, digits)| digits);
    assert!((1..=6).contains(&fraction.len()), "{text}");
}

/// SD-ELEMENTs: names of 1 to 32 characters without `=`, space, `]`, `"`; an id once; `"`, `\` and `]` in
/// values only behind a `\` (§6.3).
fn structured(reader: &mut Reader<'_>) -> BTreeMap<String, Vec<(String, String)>> {
    let mut data = BTreeMap::new();
    assert_eq!(reader.peek(), b'[', "there is data");
    while reader.0.first() == Some(&b'[') {
        reader.byte();
        let id = reader.word(b" ]=\"", 32);
        let registered = ["timeQuality", "origin", "meta"].contains(&id.as_str());
        let private = id.split_once('@').is_some_and(|(name, number)| {
            !name.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
        });
        assert!(registered || private, "{id}");
        let mut params = Vec::new();
        while reader.peek() == b' ' {
            reader.byte();
            let name = reader.word(b" ]=\"", 32);
            reader.expect(b"=\"");
            let mut value = Vec::new();
            loop {
                match reader.byte() {
                    b'"' => break,
                    b']' => panic!("a bare ] in {name}"),
                    b'\\' => {
                        let escaped = reader.byte();
                        assert!(
                            b"\"\\]".contains(&escaped),
                            "\\{} in {name}",
                            escaped as char
                        );
                        value.push(escaped);
                    }
                    byte => value.push(byte),
                }
            }
            let value = String::from_utf8(value).expect("UTF-8");
            assert!(!value.chars().any(char::is_control), "{name}: {value:?}");
            params.push((name, value));
        }
        reader.expect(b"]");
        assert!(data.insert(id.clone(), params).is_none(), "{id} twice");
    }
    data
}

/// RFC 6587 §3.4.1: `MSG-LEN SP SYSLOG-MSG`, until nothing is left.
pub(crate) fn octet_counted(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader(bytes);
    let mut out = Vec::new();
    while !reader.0.is_empty() {
        let length = reader.word(b" ", 6);
        assert!(!length.starts_with('0'), "{length}");
        reader.expect(b" ");
        let (message, rest) = reader.0.split_at(length.parse().expect("a number"));
        out.push(message.to_vec());
        reader.0 = rest;
    }
    out
}

/// The fields of one entry of the journal, in order.
pub(crate) fn journal(bytes: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader(bytes);
    let mut out = Vec::new();
    while !reader.0.is_empty() {
        let mut name = String::new();
        while !b"=\n".contains(&reader.peek()) {
            name.push(reader.byte() as char);
        }
        // Others are ignored by journald, or reserved for it (a leading underscore).
        let good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(
            (1..=64).contains(&name.len()) && name.chars().all(good),
            "{name:?}"
        );
        assert!(name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
        let value = if reader.byte() == b'=' {
            let end = reader.0.iter().position(|&b| b == b'\n').expect("an end");
            let (value, rest) = reader.0.split_at(end);
            reader.0 = rest;
            value
        } else {
            let (length, rest) = reader.0.split_at(8);
            let length = u64::from_le_bytes(length.try_into().expect("eight"));
            let (value, rest) = rest.split_at(usize::try_from(length).expect("fits"));
            reader.0 = rest;
            value
        };
        let value = String::from_utf8(value.to_vec()).expect("UTF-8");
        reader.expect(b"\n");
        out.push((name, value));
    }
    out
}
