use super::super::testing::Image;
use super::super::{Elf, ElfError, Machine, Name, Reader, symbols};
use super::{PLENTY, nth, with};

fn look(image: &Image, names: &[Name]) -> Vec<Vec<u64>> {
    let found = with(&image.build(), PLENTY, |elf, reader| {
        symbols(elf, reader, names).unwrap()
    });
    let found = found.unwrap().into_iter();
    found
        .map(|list| list.into_iter().map(|symbol| symbol.offset).collect())
        .collect()
}

const MANY: [&str; 7] = [
    "EVP_KDF_derive",
    "SSL_read",
    "SSL_write",
    "SSL_read_ex",
    "a",
    "b",
    "HKDF_expand",
];

#[test]
fn headers() {
    let data = Image {
        soname: Some("libcrypto.so.3"),
        ..Image::default()
    }
    .build();
    with(&data, PLENTY, |elf, reader| {
        assert_eq!(elf.machine, Machine::X86_64);
        assert!(elf.relocatable);
        let name = elf.soname(reader).unwrap();
        assert_eq!(name.as_deref(), Some("libcrypto.so.3"));
    })
    .unwrap();
}

#[test]
fn other_files_are_named() {
    let error = |data: &[u8]| Elf::read(&mut Reader::new(&data.to_vec(), PLENTY)).unwrap_err();
    assert_eq!(error(b""), ElfError::NotElf);
    assert_eq!(error(b"#!/bin/sh\n"), ElfError::NotElf);
    assert_eq!(error(&[b'x'; 100]), ElfError::NotElf);
    let mut data = Image::default().build();
    data[4] = 1;
    assert_eq!(error(&data), ElfError::Unsupported("a 32-bit program"));
    data[4] = 2;
    data[18] = 40;
    let other = ElfError::Unsupported("a program for another processor");
    assert_eq!(error(&data), other);
    data[18] = 183;
    let read = Elf::read(&mut Reader::new(&data, PLENTY)).unwrap();
    assert_eq!(read.machine, Machine::Aarch64);
}

#[test]
fn exported_functions_are_found_by_hash() {
    for n in 1..=MANY.len() {
        let image = Image {
            exported: MANY[..n].to_vec(),
            imported: vec!["malloc", "free"],
            ..Image::default()
        };
        let names = MANY.map(Name::Exact);
        let found = look(&image, &names);
        for (i, list) in found.iter().enumerate() {
            let expected = (i < n).then(|| nth(i as u64).offset);
            assert_eq!(*list, Vec::from_iter(expected), "{} of {n}", MANY[i]);
        }
    }
}

#[test]
fn hash_is_enough() {
    // The section headers are not needed, and few bytes are read.
    let image = Image {
        exported: MANY.to_vec(),
        bare: true,
        ..Image::default()
    };
    let data = image.build();
    let mut reader = Reader::new(&data, PLENTY);
    let elf = Elf::read(&mut reader).unwrap();
    let found = symbols(&elf, &mut reader, &[Name::Exact("SSL_write")]).unwrap();
    assert_eq!(found, [[nth(2)]]);
    assert!(reader.spent() <= 2 * 4096, "{}", reader.spent());
}

#[test]
fn what_is_only_used_is_not_found() {
    let image = Image {
        exported: vec!["own"],
        imported: vec!["EVP_KDF_derive"],
        ..Image::default()
    };
    let names = [Name::Exact("EVP_KDF_derive"), Name::Exact("own")];
    assert_eq!(look(&image, &names), [vec![], vec![nth(0).offset]]);
    // Without a hash table the whole table of the loader's symbols is gone through.
    let image = Image {
        exported: Vec::new(),
        ..image
    };
    assert_eq!(look(&image, &names), [const { Vec::<u64>::new() }; 2]);
}

#[test]
fn full_table_answers_beginnings_and_ends() {
    let image = Image {
        exported: vec!["SSL_read"],
        local: vec![
            "aws_lc_0_32_3_HKDF_expand",
            "my_HKDF_expand",
            "aws_lc_fips_0_13_HKDF_expand",
            "_ZN4bssl14ssl_log_secretEPK6ssl_stPKcNS_4SpanIKhEE",
            "aws_lc_0_32_3_HKDF_expander",
        ],
        ..Image::default()
    };
    let names = [
        Name::Affix {
            prefix: "aws_lc_",
            suffix: "_HKDF_expand",
        },
        Name::Affix {
            prefix: "_ZN4bssl14ssl_log_secretE",
            suffix: "",
        },
        Name::Exact("SSL_read"),
        Name::Exact("SSL_write"),
    ];
    let at = |i: u64| nth(i).offset;
    let expected = [vec![at(1), at(3)], vec![at(4)], vec![at(0)], vec![]];
    assert_eq!(look(&image, &names), expected);
}

#[test]
fn a_name_may_share_the_end_of_a_longer_one() {
    let image = Image {
        local: vec!["aws_lc_HKDF_expand", "x"],
        ..Image::default()
    };
    let mut data = image.build();
    // The second symbol's name becomes the tail of the first's.
    let (tail, second) = ("aws_lc_".len() as u32 + 1, image.local[0].len() as u32 + 2);
    let hits: Vec<usize> = data
        .windows(8)
        .enumerate()
        .filter(|(_, w)| w[..4] == second.to_le_bytes() && w[4..] == [0x12, 0, 1, 0])
        .map(|(i, _)| i)
        .collect();
    let [place] = hits[..] else {
        panic!("{hits:?}")
    };
    data[place..place + 4].copy_from_slice(&tail.to_le_bytes());
    let found = with(&data, PLENTY, |elf, reader| {
        symbols(elf, reader, &[Name::Exact("HKDF_expand")]).unwrap()
    });
    assert_eq!(found.unwrap(), [[nth(1)]]);
}
