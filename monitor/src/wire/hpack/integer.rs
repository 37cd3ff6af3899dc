//! Integers (RFC 7541 §5.1).

use super::Error;

/// Largest value that is read. What it counts — a length, an index, a table's size — is far below.
const MAX: u64 = (1 << 28) - 1;
/// Most bytes behind the prefix: five hold 35 bits, so that some leading zeroes are let pass.
const MOST: u32 = 5;

/// Reads an integer whose first `prefix` (1 to 8) bits stand in the low bits of the first byte of
/// `rest`, and moves `rest` behind it.
pub(super) fn read(rest: &mut &[u8], prefix: u32) -> Result<usize, Error> {
    let (&first, mut behind) = rest.split_first().ok_or(Error::Truncated)?;
    let mask = u8::MAX >> 8_u32.saturating_sub(prefix);
    let mut value = u64::from(first & mask);
    if first & mask == mask {
        for at in 0.. {
            if at == MOST {
                return Err(Error::Integer);
            }
            let (&byte, next) = behind.split_first().ok_or(Error::Truncated)?;
            behind = next;
            value += u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    if value > MAX {
        return Err(Error::Integer);
    }
    *rest = behind;
    usize::try_from(value).map_err(|_| Error::Integer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn whole(bytes: &[u8], prefix: u32) -> Result<usize, Error> {
        let mut rest = bytes;
        let value = read(&mut rest, prefix)?;
        assert!(rest.is_empty());
        Ok(value)
    }

    /// RFC 7541 appendix C.1.
    #[test]
    fn examples() {
        assert_eq!(whole(&[0b0000_1010], 5), Ok(10));
        assert_eq!(whole(&[0b1110_1010], 5), Ok(10));
        assert_eq!(whole(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5), Ok(1337));
        assert_eq!(whole(&[0b0010_1010], 8), Ok(42));
    }

    #[test]
    fn limits() {
        assert_eq!(whole(&[], 7), Err(Error::Truncated));
        assert_eq!(whole(&[0x7f], 7), Err(Error::Truncated));
        assert_eq!(whole(&[0x7f, 0x80], 7), Err(Error::Truncated));
        assert_eq!(whole(&[0x7f, 0], 7), Ok(127));
        assert_eq!(whole(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0], 7), Ok(127));
        assert_eq!(
            whole(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0], 7),
            Err(Error::Integer)
        );
        assert_eq!(
            whole(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f], 7),
            Err(Error::Integer)
        );
        assert_eq!(whole(&[0x7f, 0x80, 0xff, 0xff, 0x7f], 7), Ok((1 << 28) - 1));
        assert_eq!(
            whole(&[0x7f, 0x81, 0xff, 0xff, 0x7f], 7),
            Err(Error::Integer)
        );
    }
}
