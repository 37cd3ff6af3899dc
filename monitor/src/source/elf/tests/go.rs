use super::super::testing::{GoText, Image};
use super::super::{ElfError, GoError, GoFunction, Symbol, go_function};
use super::{PLENTY, nth, with};

const NAME: &str = "crypto/tls.(*Config).writeKeyLog";
const PACKAGE: &str = "crypto/tls.(*Conn).";
const FUNCTIONS: [&str; 5] = [
    "internal/cpu.Initialize",
    "crypto/tls.(*Conn).Read",
    "_rt0_amd64_linux",
    NAME,
    "main.main",
];

fn program(text: GoText) -> Image {
    Image {
        go: Some((FUNCTIONS.to_vec(), text)),
        ..Image::default()
    }
}

fn look(image: &Image) -> Result<Option<GoFunction>, GoError> {
    let found = with(&image.build(), PLENTY, |elf, reader| {
        go_function(elf, reader, NAME, PACKAGE)
    });
    found.unwrap()
}

fn here() -> GoFunction {
    GoFunction::At(Symbol {
        offset: nth(3).offset,
        size: 64,
    })
}

#[test]
fn start_of_code_is_found_wherever_it_is_told() {
    for text in [
        GoText::Header,
        GoText::Relocated,
        GoText::Module,
        GoText::Entry,
    ] {
        assert_eq!(look(&program(text)), Ok(Some(here())), "{text:?}");
    }
    assert_eq!(look(&program(GoText::Nowhere)), Err(GoError::NoText));
}

#[test]
fn both_magics_without_sections() {
    for magic in [0xffff_fff0, 0xffff_fff1] {
        let image = Image {
            magic: Some(magic),
            bare: true,
            ..program(GoText::Header)
        };
        assert_eq!(look(&image), Ok(Some(here())), "{magic:x}");
    }
}

#[test]
fn why_not_is_told() {
    let magic = |magic| Image {
        magic: Some(magic),
        ..program(GoText::Header)
    };
    assert_eq!(look(&magic(0xffff_fffa)), Err(GoError::TooOld));
    assert_eq!(look(&magic(0xffff_ffe0)), Err(GoError::Unknown));
    let with_functions = |functions: &[&'static str]| Image {
        go: Some((functions.to_vec(), GoText::Header)),
        ..Image::default()
    };
    let absent = with_functions(&["main.main", "crypto/tls.(*Conn).Read"]);
    assert_eq!(look(&absent), Ok(Some(GoFunction::Absent)));
    let without = with_functions(&["main.main", "crypto/tls/internal/x.F"]);
    assert_eq!(look(&without), Ok(Some(GoFunction::NoPackage)));
    assert_eq!(look(&Image::default()), Ok(None));
}

#[test]
fn too_many_functions_are_refused() {
    let mut data = program(GoText::Header).build();
    let table = data
        .windows(8)
        .position(|w| w == [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8])
        .unwrap();
    for count in [2_000_001_u64, u64::MAX] {
        data[table + 8..table + 16].copy_from_slice(&count.to_le_bytes());
        let found = with(&data, PLENTY, |elf, r| go_function(elf, r, NAME, PACKAGE));
        assert_eq!(found.unwrap(), Err(GoError::TooMany(count)));
    }
    data[table + 8..table + 16].copy_from_slice(&2_000_000_u64.to_le_bytes());
    let found = with(&data, PLENTY, |elf, r| {
        go_function(elf, r, "main.main", "main.")
    });
    assert!(matches!(found, Ok(Ok(Some(GoFunction::At(_))))));
    // A name that is there but belongs to no function: the walk ends where the table does.
    let place = data
        .windows(NAME.len())
        .position(|w| w == NAME.as_bytes())
        .unwrap();
    data[place - 1] = b'x';
    let found = with(&data, PLENTY, |elf, r| go_function(elf, r, NAME, PACKAGE));
    assert_eq!(found.unwrap(), Ok(Some(GoFunction::Absent)));
    let cut = ElfError::Malformed("cut short");
    assert_ne!(GoError::from(cut), GoError::NoText);
}
