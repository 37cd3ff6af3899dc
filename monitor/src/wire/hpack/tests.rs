//! Tests of header compression.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::VecDeque;

use proptest::prelude::*;

use super::huffman::tests::encode as huffman;
use super::*;

type Field = (Vec<u8>, Vec<u8>);

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn owned(fields: &Fields) -> Vec<Field> {
    fields
        .iter()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<(Vec<Field>, u16), Error> {
    let mut fields = Fields::default();
    decoder.decode(block, &mut fields)?;
    Ok((owned(&fields), fields.unknown_fields()))
}

/// Blocks in hexadecimal, the table's size behind each, and the fields in it.
type Example = (
    usize,
    &'static [(&'static str, usize, &'static [(&'static str, &'static str)])],
);

/// RFC 7541 appendix C.2 to C.6. The first number is the table's largest size.
#[rustfmt::skip]
const EXAMPLES: &[Example] = &[
    // C.2.1
    (4096, &[
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", 55, &[
            ("custom-key", "custom-header"),
        ]),
    ]),
    // C.2.2
    (4096, &[
        ("040c2f73616d706c652f70617468", 0, &[
            (":path", "/sample/path"),
        ]),
    ]),
    // C.2.3
    (4096, &[
        ("100870617373776f726406736563726574", 0, &[
            ("password", "secret"),
        ]),
    ]),
    // C.2.4
    (4096, &[
        ("82", 0, &[
            (":method", "GET"),
        ]),
    ]),
    // C.3
    (4096, &[
        ("828684410f7777772e6578616d706c652e636f6d", 57, &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
        ]),
        ("828684be58086e6f2d6361636865", 110, &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
            ("cache-control", "no-cache"),
        ]),
        ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", 164, &[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ]),
    ]),
    // C.4
    (4096, &[
        ("828684418cf1e3c2e5f23a6ba0ab90f4ff", 57, &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
        ]),
        ("828684be5886a8eb10649cbf", 110, &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
            ("cache-control", "no-cache"),
        ]),
        ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", 164, &[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ]),
    ]),
    // C.5
    (256, &[
        ("4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d", 222, &[
            (":status", "302"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ]),
        ("4803333037c1c0bf", 222, &[
            (":status", "307"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ]),
        ("88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31", 215, &[
            (":status", "200"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            ("location", "https://www.example.com"),
            ("content-encoding", "gzip"),
            ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
        ]),
    ]),
    // C.6
    (256, &[
        ("488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3", 222, &[
            (":status", "302"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ]),
        ("4883640effc1c0bf", 222, &[
            (":status", "307"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ]),
        ("88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007", 215, &[
            (":status", "200"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            ("location", "https://www.example.com"),
            ("content-encoding", "gzip"),
            ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
        ]),
    ]),
];

#[test]
fn examples_of_the_rfc() {
    for (max, blocks) in EXAMPLES {
        let mut decoder = Decoder::new(64 * 1024);
        decoder.table.resize(*max);
        for (block, size, fields) in *blocks {
            let (decoded, unknown) = decode(&mut decoder, &unhex(block)).unwrap();
            let want = fields
                .iter()
                .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()));
            assert_eq!(decoded, want.collect::<Vec<_>>(), "{block}");
            assert_eq!((decoder.table.size(), unknown), (*size, 0), "{block}");
        }
    }
}

/// The last two blocks of C.4 without the first, and the last of C.5 without the others.
#[test]
fn joined_midway() {
    let names = |fields: &[Field]| {
        fields
            .iter()
            .map(|(name, _)| String::from_utf8(name.clone()).unwrap())
            .collect::<Vec<_>>()
    };
    let mut decoder = Decoder::midway(4096);
    let (fields, unknown) = decode(&mut decoder, &unhex("828684be5886a8eb10649cbf")).unwrap();
    assert_eq!(
        names(&fields),
        [":method", ":scheme", ":path", "cache-control"]
    );
    assert_eq!(unknown, 1);
    // `be` is now what was inserted, `bf` still what is not known.
    let (fields, unknown) = decode(&mut decoder, &unhex("82be84bf")).unwrap();
    assert_eq!(names(&fields), [":method", "cache-control", ":path"]);
    assert_eq!(unknown, 1);
    // A value whose name is not known takes its place in the table.
    let (fields, unknown) = decode(&mut decoder, &unhex("7f000161be82bf")).unwrap();
    assert_eq!(
        (names(&fields), unknown),
        (vec![":method".into(), "cache-control".into()], 2)
    );
    decoder.lose();
    let (fields, unknown) = decode(&mut decoder, &unhex("82bf")).unwrap();
    assert_eq!((names(&fields), unknown), (vec![":method".into()], 1));
    // A table of size 0 is known again.
    assert_eq!(decode(&mut decoder, &unhex("2082be")), Err(Error::Index));
    let mut joined = Decoder::new(4096);
    assert_eq!(decode(&mut joined, &unhex("82be")), Err(Error::Index));
}

#[test]
fn refusals() {
    for (block, error) in [
        // Index 0, and one beyond both tables.
        ("80", Error::Index),
        ("be", Error::Index),
        ("7e00", Error::Index),
        // Strings that go on behind the block.
        ("40", Error::Truncated),
        ("4003616263", Error::Truncated),
        ("00036162", Error::Truncated),
        ("41ff8001", Error::Truncated),
        ("0000", Error::Truncated),
        ("ff", Error::Truncated),
        ("ff8080808080", Error::Integer),
        // A value in the Huffman code: padded with a whole byte, and with a zero.
        ("04821fff", Error::Huffman),
        ("04811e", Error::Huffman),
        // The size changes behind a field.
        ("823f00", Error::Resize),
    ] {
        let mut decoder = Decoder::new(4096);
        assert_eq!(decode(&mut decoder, &unhex(block)), Err(error), "{block}");
        // Whatever is in the table then is not known.
        assert_eq!(
            decode(&mut decoder, &unhex("be")),
            Ok((vec![], 1)),
            "{block}"
        );
    }
    // What stood in front of an error counts.
    let mut fields = Fields::default();
    let mut decoder = Decoder::new(4096);
    assert_eq!(
        decoder.decode(&unhex("828400036162"), &mut fields),
        Err(Error::Truncated)
    );
    let want = [(&b":method"[..], &b"GET"[..]), (b":path", b"/")];
    assert!(fields.iter().eq(want));
    // Two changes of size in front of the first field are the usual thing (RFC 7541 §4.2).
    assert!(decode(&mut decoder, &unhex("203fe11f82")).is_ok());
}

#[test]
fn one_byte_for_much() {
    // 4,000 bytes are inserted, then referred to 16,000 times.
    let mut block = vec![0x40, 1, b'x', 0x7f];
    let mut length = 4000 - 127;
    while length >= 128 {
        block.push(0x80 | (length % 128) as u8);
        length /= 128;
    }
    block.push(length as u8);
    block.extend(std::iter::repeat_n(b'v', 4000));
    let one = block.clone();
    let mut decoder = Decoder::new(64 * 1024);
    block.extend(std::iter::repeat_n(0xbe, 100));
    let mut fields = Fields::default();
    assert_eq!(decoder.decode(&block, &mut fields), Ok(()));
    assert!(fields.overfull());
    assert_eq!(fields.iter().count(), 64 * 1024 / 4001);
    assert!(fields.memory() < 2 * MAX_OUTPUT);
    block.extend(std::iter::repeat_n(0xbe, 16_000));
    assert_eq!(decoder.decode(&block, &mut fields), Err(Error::Bomb));
    fields.clear();
    assert!(fields.memory() <= 4096, "{}", fields.memory());
    // As many small ones: the first 256 are kept.
    let many = vec![0x82; 10_000];
    assert_eq!(decoder.decode(&many, &mut fields), Ok(()));
    assert!(fields.overfull() && fields.iter().count() == MAX_FIELDS);
    // With a cap below it, the entry is not there, and the table's end is not known.
    let mut small = Decoder::new(1024);
    assert_eq!(small.decode(&one, &mut fields), Ok(()));
    assert_eq!(fields.iter().count(), 1);
    assert_eq!(decode(&mut small, &[0xbe]), Ok((vec![], 1)));
    assert!(small.memory() <= 1024);
}

#[test]
fn what_was_taken_back_is_wiped_too() {
    let mut fields = Fields::default();
    let mut decoder = Decoder::midway(4096);
    // A field, one whose name is not known, and one that is not complete.
    let block = [
        &unhex("0401")[..],
        b"p",
        &unhex("7f0006"),
        b"secret",
        &unhex("0f0807"),
        b"secret",
    ];
    assert_eq!(
        decoder.decode(&block.concat(), &mut fields),
        Err(Error::Truncated)
    );
    assert_eq!((fields.iter().count(), fields.unknown_fields()), (1, 1));
    // What was taken back counts: `:path`, `p`, and behind it first `secret`, then `authorization`.
    assert_eq!(fields.used(), 6 + 13);
    fields.clear();
    assert_eq!(fields.used(), 0);
}

/// An encoder, as simple as can be: for tests only.
#[derive(Default)]
pub(in crate::wire) struct Encoder {
    table: VecDeque<Field>,
    max: Option<usize>,
}

impl Encoder {
    fn size(&self) -> usize {
        self.table
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum()
    }

    fn evict(&mut self) {
        while self.size() > self.max.unwrap_or(4096) {
            self.table.pop_back();
        }
    }

    pub(in crate::wire) fn resize(&mut self, max: usize, out: &mut Vec<u8>) {
        self.max = Some(max);
        self.evict();
        integer(out, 0x20, 5, max);
    }

    /// Writes a field; `choice` decides how. Bit 0: by index, if it is there. Bit 1: the name by index.
    /// Bit 2: insert. Bit 3: Huffman. Bit 4: never to be indexed.
    pub(in crate::wire) fn field(
        &mut self,
        name: &[u8],
        value: &[u8],
        choice: u8,
        out: &mut Vec<u8>,
    ) {
        let fixed = (1..=61).filter_map(|at| match Table::new(0, true).get(at) {
            Ok(Lookup::Field(name, value)) => Some((name.to_vec(), value.to_vec())),
            _ => None,
        });
        let all: Vec<Field> = fixed.chain(self.table.iter().cloned()).collect();
        let whole = all.iter().position(|(n, v)| n == name && v == value);
        if let Some(at) = whole.filter(|_| choice & 1 != 0) {
            return integer(out, 0x80, 7, at + 1);
        }
        let named = all
            .iter()
            .position(|(n, _)| n == name)
            .filter(|_| choice & 2 != 0);
        let index = named.map_or(0, |at| at + 1);
        match choice {
            _ if choice & 4 != 0 => integer(out, 0x40, 6, index),
            _ if choice & 16 != 0 => integer(out, 0x10, 4, index),
            _ => integer(out, 0, 4, index),
        }
        if named.is_none() {
            string(out, name, choice & 8 != 0);
        }
        string(out, value, choice & 8 != 0);
        if choice & 4 != 0 {
            self.table.push_front((name.to_vec(), value.to_vec()));
            self.evict();
        }
    }
}

fn integer(out: &mut Vec<u8>, pattern: u8, prefix: u32, value: usize) {
    let mask = (1_usize << prefix) - 1;
    if value < mask {
        return out.push(pattern | value as u8);
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 128 {
        out.push(0x80 | (rest % 128) as u8);
        rest /= 128;
    }
    out.push(rest as u8);
}

fn string(out: &mut Vec<u8>, text: &[u8], coded: bool) {
    let mut bytes = Vec::new();
    if coded {
        huffman(text, &mut bytes);
    } else {
        bytes.extend_from_slice(text);
    }
    integer(out, if coded { 0x80 } else { 0 }, 7, bytes.len());
    out.extend(bytes);
}

#[derive(Clone, Debug)]
struct Block {
    resize: Option<usize>,
    fields: Vec<(usize, usize, u8)>,
}

const NAMES: [&str; 8] = [
    ":path",
    ":status",
    "authorization",
    "x-a",
    "x-b",
    "cookie",
    "set-cookie",
    "x-\u{e9}",
];

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let field = (0..NAMES.len(), 0..12_usize, any::<u8>());
    let fields = prop::collection::vec(field, 1..12);
    let resize = prop::option::weighted(0.2, prop::sample::select(vec![0, 40, 100, 300, 4096]));
    let block = (resize, fields).prop_map(|(resize, fields)| Block { resize, fields });
    prop::collection::vec(block, 1..20)
}

/// Values differ in length, so that evictions differ too.
fn value(of: usize) -> Vec<u8> {
    format!("{of}{}", "v".repeat(of * 7)).into_bytes()
}

fn encoded(blocks: &[Block]) -> Vec<(Vec<u8>, Vec<Field>)> {
    let mut encoder = Encoder::default();
    let write = |block: &Block| {
        let mut out = Vec::new();
        if let Some(max) = block.resize {
            encoder.resize(max, &mut out);
        }
        let truth = block.fields.iter().map(|(name, of, choice)| {
            let (name, value) = (NAMES[*name].as_bytes().to_vec(), value(*of));
            encoder.field(&name, &value, *choice, &mut out);
            (name, value)
        });
        let truth = truth.collect();
        (out, truth)
    };
    blocks.iter().map(write).collect()
}

/// Whether `part` comes out of `whole` by leaving `missing` out.
fn is_part(part: &[Field], whole: &[Field], missing: usize) -> bool {
    let mut rest = whole.iter();
    part.len() + missing == whole.len() && part.iter().all(|field| rest.any(|other| other == field))
}

proptest! {
    #[test]
    fn what_was_written_is_read(blocks in blocks()) {
        let mut decoder = Decoder::new(64 * 1024);
        for (block, truth) in encoded(&blocks) {
            prop_assert_eq!(decode(&mut decoder, &block), Ok((truth, 0)));
        }
    }

    /// Whatever was missed, and however little is kept: what is not unknown is true.
    #[test]
    fn nothing_is_guessed(
        blocks in blocks(),
        missed in prop::collection::vec(any::<bool>(), 20),
        cap in prop::sample::select(vec![0, 64, 200, 65_536]),
        midway in any::<bool>(),
    ) {
        let mut decoder = if midway { Decoder::midway(cap) } else { Decoder::new(cap) };
        let mut known = midway || cap < 4096;
        for ((block, truth), missed) in encoded(&blocks).into_iter().zip(missed) {
            if missed {
                decoder.lose();
                known = true;
                continue;
            }
            let (fields, unknown) = decode(&mut decoder, &block).unwrap();
            prop_assert!(unknown == 0 || known);
            prop_assert!(is_part(&fields, &truth, usize::from(unknown)));
            prop_assert!(decoder.memory() <= cap * 9 / 8 + 128);
        }
    }

    #[test]
    fn any_bytes(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8)) {
        let mut decoder = Decoder::new(256);
        let mut fields = Fields::default();
        for block in blocks {
            let _ = decoder.decode(&block, &mut fields);
            prop_assert!(decoder.memory() <= 512);
        }
    }
}
