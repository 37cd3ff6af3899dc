//! Ring records as typed events.

use monitor_ebpf::{Cgroup, Close, Data, Exec, Exit, Fork, OPEN_BYTES, Open, TlsData, kind};

use crate::source::Event;

/// A record that consists of integers only: every bit pattern is a value.
///
/// # Safety
/// `#[repr(C)]`, integers and arrays of integers only, no padding.
unsafe trait Plain: Copy {}
// SAFETY: monitor-ebpf asserts the sizes; the fields are integers and byte arrays.
unsafe impl Plain for Data {}
// SAFETY: as above.
unsafe impl Plain for TlsData {}
// SAFETY: as above.
unsafe impl Plain for Open {}
// SAFETY: as above.
unsafe impl Plain for Close {}
// SAFETY: as above.
unsafe impl Plain for Exec {}
// SAFETY: as above.
unsafe impl Plain for Fork {}
// SAFETY: as above.
unsafe impl Plain for Exit {}
// SAFETY: as above.
unsafe impl Plain for Cgroup {}

fn read<T: Plain>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let rest = bytes.get(size_of::<T>()..)?;
    // SAFETY: at least size_of::<T>() bytes are there, and any of them make a T.
    Some((unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }, rest))
}

/// Hands a record to `sink`; false if it is not one (a programming error, counted by the caller).
pub(super) fn dispatch(bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) -> bool {
    fn whole<T: Plain>(bytes: &[u8], then: impl FnOnce(&T)) -> bool {
        let Some((record, _)) = read::<T>(bytes) else {
            return false;
        };
        then(&record);
        true
    }
    match bytes.first().copied() {
        Some(kind::DATA) => {
            let Some((record, rest)) = read::<Data>(bytes) else {
                return false;
            };
            let Some(payload) = rest.get(..record.header.len as usize) else {
                return false;
            };
            sink(Event::Data(&record, payload));
            true
        }
        Some(kind::PLAIN) => {
            let Some((record, rest)) = read::<Data>(bytes) else {
                return false;
            };
            let Some(payload) = rest.get(..record.header.len as usize) else {
                return false;
            };
            sink(Event::Plain(&record, payload));
            true
        }
        Some(kind::TLS) => {
            let Some((record, rest)) = read::<TlsData>(bytes) else {
                return false;
            };
            let Some(payload) = rest.get(..record.data.header.len as usize) else {
                return false;
            };
            sink(Event::Tls(&record, payload));
            true
        }
        Some(kind::OPEN) => {
            // Without a path the record is shorter: what is missing is zero.
            let mut padded = [0; size_of::<Open>()];
            let given = bytes.len().min(padded.len());
            let (Some(room), Some(given)) = (padded.get_mut(..given), bytes.get(..given)) else {
                return false;
            };
            if given.len() < OPEN_BYTES {
                return false;
            }
            room.copy_from_slice(given);
            whole::<Open>(&padded, |r| sink(Event::Open(r)))
        }
        Some(kind::CLOSE) => whole::<Close>(bytes, |r| sink(Event::Close(r))),
        Some(kind::EXEC) => whole::<Exec>(bytes, |r| sink(Event::Exec(r))),
        Some(kind::FORK) => whole::<Fork>(bytes, |r| sink(Event::Fork(r))),
        Some(kind::EXIT) => whole::<Exit>(bytes, |r| sink(Event::Exit(r))),
        Some(kind::CGROUP) => whole::<Cgroup>(bytes, |r| sink(Event::Cgroup(r))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            dispatch(&bytes, &mut |_| {});
        }
    }

    #[test]
    fn a_payload_longer_than_its_record_is_refused() {
        let mut bytes = vec![0; size_of::<Data>() + 8];
        bytes[0] = kind::DATA;
        bytes[4] = 9;
        assert!(!dispatch(&bytes, &mut |_| {}));
        bytes[4] = 8;
        assert!(dispatch(&bytes, &mut |_| {}));
    }
}
