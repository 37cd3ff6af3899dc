//! Paths as URI references (RFC 3986, RFC 8089).

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// `file:///…` for an absolute path, a relative reference for a relative one.
pub(super) fn of(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let mut uri = String::with_capacity(bytes.len() + 8);
    if bytes.first() == Some(&b'/') {
        uri.push_str("file://");
    } else if bytes
        .split(|b| *b == b'/')
        .next()
        .is_some_and(|first| first.is_empty() || first.contains(&b':'))
    {
        // RFC 3986 §4.2: a colon in the first segment would end a scheme.
        uri.push_str("./");
    }
    for byte in bytes {
        match byte {
            // §2.3 unreserved, and what of §3.3 is harmless in a segment.
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => uri.push(char::from(*byte)),
            b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' | b'+' | b'=' | b',' => {
                uri.push(char::from(*byte));
            }
            // Writing to a String cannot fail.
            other => _ = write!(uri, "%{other:02X}"),
        }
    }
    uri
}
