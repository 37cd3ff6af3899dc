use std::io;

use proptest::prelude::*;

use super::super::testing::{GoText, Image};
use super::super::{Elf, ElfError, Name, ReadAt, Reader, go_function, symbols};

const NAMES: [Name; 3] = [
    Name::Exact("EVP_KDF_derive"),
    Name::Exact("nowhere"),
    Name::Affix {
        prefix: "aws_lc_",
        suffix: "_HKDF_expand",
    },
];
const LIMIT: u64 = 1024 * 1024;

/// Everything that is done with a file; returns the bytes read.
fn everything(file: &dyn ReadAt, limit: u64) -> (Result<(), ElfError>, u64) {
    let mut reader = Reader::new(file, limit);
    let result = (|| {
        let elf = Elf::read(&mut reader)?;
        let _ = elf.soname(&mut reader)?;
        let _ = go_function(&elf, &mut reader, "main.main", "main.");
        for symbol in symbols(&elf, &mut reader, &NAMES)?.into_iter().flatten() {
            let _ = reader.code(symbol)?;
        }
        Ok(())
    })();
    (result, reader.spent())
}

fn full(text: GoText) -> Vec<u8> {
    Image {
        exported: vec!["EVP_KDF_derive", "SSL_read"],
        imported: vec!["malloc"],
        local: vec!["aws_lc_1_HKDF_expand", "other"],
        go: Some((vec!["_rt0_amd64_linux", "main.main"], text)),
        soname: Some("libcrypto.so.3"),
        ..Image::default()
    }
    .build()
}

#[test]
fn files_cut_anywhere() {
    let data = full(GoText::Module);
    assert_eq!(everything(&data, LIMIT).0, Ok(()));
    for len in (0..data.len()).step_by(7) {
        let (_, spent) = everything(&data[..len].to_vec(), LIMIT);
        assert!(spent <= LIMIT);
    }
}

/// A file of any size whose beginning is given and whose rest repeats a pattern: nothing is stored.
struct Endless {
    head: Vec<u8>,
    pattern: &'static [u8],
    size: u64,
}

impl ReadAt for Endless {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        for (byte, at) in into.iter_mut().zip(offset..) {
            let given = usize::try_from(at).ok().and_then(|at| self.head.get(at));
            let repeated = self.pattern[(at % self.pattern.len() as u64) as usize];
            *byte = *given.unwrap_or(&repeated);
        }
        Ok(into.len())
    }
}

/// Every section of the file becomes as large as the file.
fn inflated(pattern: &'static [u8], size: u64) -> Endless {
    let mut head = full(GoText::Module);
    let table = u64::from_le_bytes(head[40..48].try_into().unwrap()) as usize;
    let count = usize::from(head[60]);
    for i in 0..count {
        let at = table + i * 64 + 32;
        head[at..at + 8].copy_from_slice(&size.to_le_bytes());
    }
    Endless {
        head,
        pattern,
        size,
    }
}

#[test]
fn two_gigabytes_cost_no_more_than_the_limit() {
    for pattern in [&b"\0"[..], b"nowhere\0", b"aws_lc__HKDF_expand\0", b"\xff"] {
        let (result, spent) = everything(&inflated(pattern, 2 << 30), LIMIT);
        assert!(spent <= LIMIT, "{spent}");
        assert_eq!(result, Err(ElfError::TooMuch(LIMIT)), "{pattern:?}");
    }
    let (_, spent) = everything(&inflated(b"\0", u64::MAX), LIMIT);
    assert!(spent <= LIMIT);
}

#[test]
fn huge_numbers_everywhere() {
    for text in [GoText::Relocated, GoText::Module] {
        let whole = full(text);
        let end = whole.len() - 8;
        for at in (0..0x800).chain(0x2000..end).step_by(4) {
            for number in [u64::MAX, u64::MAX - 23, u64::MAX - 0x50_0000, 1 << 63] {
                let mut data = whole.clone();
                data[at..at + 8].copy_from_slice(&number.to_le_bytes());
                let (_, spent) = everything(&data, LIMIT);
                assert!(spent <= LIMIT);
            }
        }
    }
}

/// A file that fails, or ends, while it is read.
struct Failing(Vec<u8>, Option<io::ErrorKind>);

impl ReadAt for Failing {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        match self.1 {
            _ if offset < 4096 => self.0.read_at(offset, into),
            Some(kind) => Err(kind.into()),
            None => Ok(0),
        }
    }
}

#[test]
fn files_that_fail_or_shrink_meanwhile() {
    let data = full(GoText::Header);
    let failing = Failing(data.clone(), Some(io::ErrorKind::TimedOut));
    let (result, _) = everything(&failing, LIMIT);
    assert_eq!(result, Err(ElfError::Io(io::ErrorKind::TimedOut)));
    let (result, _) = everything(&Failing(data, None), LIMIT);
    assert!(matches!(result, Err(ElfError::Malformed(_))), "{result:?}");
}

proptest! {
    #[test]
    fn any_bytes(data in proptest::collection::vec(any::<u8>(), 0..512)) {
        let (_, spent) = everything(&data, LIMIT);
        prop_assert!(spent <= LIMIT);
    }

    #[test]
    fn any_damage(
        damage in proptest::collection::vec((0_usize..0x2400, any::<u8>()), 1..8),
        which in 0..4,
    ) {
        let text = [GoText::Header, GoText::Relocated, GoText::Module, GoText::Entry];
        let mut data = full(text[which as usize]);
        for (at, byte) in damage {
            let at = at % data.len();
            data[at] = byte;
        }
        let (_, spent) = everything(&data, LIMIT);
        prop_assert!(spent <= LIMIT);
    }

    #[test]
    fn any_number_anywhere(at in 0_usize..0x2400, number in any::<u64>()) {
        let mut data = full(GoText::Module);
        let at = at % (data.len() - 8);
        data[at..at + 8].copy_from_slice(&number.to_le_bytes());
        let (_, spent) = everything(&data, LIMIT);
        prop_assert!(spent <= LIMIT);
    }
}
