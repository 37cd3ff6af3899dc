//! The loader's cache: which libraries a root directory has.
//!
//! Format: glibc's `sysdeps/generic/dl-cache.h`: an optional old table (`ld.so-1.7.0`), then the new one
//! (`glibc-ld.so.cache1.1`), whose strings count from its own beginning.

/// Largest cache that is read, in bytes.
pub(crate) const LARGEST_CACHE: usize = 8 * 1024 * 1024;
/// Entries that are gone through.
const MOST_ENTRIES: usize = 65_536;
/// Longest path.
const LONGEST_PATH: usize = 4096;

const OLD: &[u8] = b"ld.so-1.7.0\0";
const NEW: &[u8] = b"glibc-ld.so.cache1.1";

/// Paths of the libraries whose file name `wanted` says yes to, at most `most`, in the cache's order.
#[must_use]
pub fn libraries(cache: &[u8], most: usize, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let Some(table) = new_table(cache) else {
        return found;
    };
    let count = number(table, 20).unwrap_or(0).min(MOST_ENTRIES);
    for i in 0..count {
        if found.len() >= most {
            break;
        }
        let entry = 48 + i * 24;
        let (Some(name), Some(path)) = (text(table, entry + 4), text(table, entry + 8)) else {
            continue;
        };
        if wanted(name) && path.starts_with('/') && !found.iter().any(|known| known == path) {
            found.push(path.to_owned());
        }
    }
    found
}

fn new_table(cache: &[u8]) -> Option<&[u8]> {
    let cache = cache.get(..LARGEST_CACHE.min(cache.len()))?;
    if cache.starts_with(NEW) {
        return Some(cache);
    }
    if !cache.starts_with(OLD) {
        return None;
    }
    // Entries of 12 bytes; what follows begins at a multiple of 8.
    let count = number(cache, 12)?;
    let end = count.checked_mul(12)?.checked_add(16)?;
    let table = cache.get(end.checked_next_multiple_of(8)?..)?;
    table.starts_with(NEW).then_some(table)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

/// The string that the number at `at` refers to.
fn text(table: &[u8], at: usize) -> Option<&str> {
    let rest = table.get(number(table, at)?..)?;
    let rest = rest.get(..LONGEST_PATH.min(rest.len()))?;
    let end = memchr::memchr(0, rest)?;
    std::str::from_utf8(rest.get(..end)?).ok()
}
