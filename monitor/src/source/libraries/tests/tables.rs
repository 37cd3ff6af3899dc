use proptest::prelude::*;

use super::super::{Mapped, Silent, libraries, mapped};

/// A cache in the new format.
fn new_format(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut out = b"glibc-ld.so.cache1.1".to_vec();
    out.extend((entries.len() as u32).to_le_bytes());
    out.resize(48, 0);
    let mut strings = Vec::new();
    let base = 48 + 24 * entries.len();
    for (name, path) in entries {
        out.extend(0x0303_u32.to_le_bytes());
        for text in [name, path] {
            out.extend(((base + strings.len()) as u32).to_le_bytes());
            strings.extend(text.as_bytes());
            strings.push(0);
        }
        out.extend([0; 12]);
    }
    out.extend(strings);
    out
}

/// The same behind `n` entries of the old format.
fn both_formats(n: u32, entries: &[(&str, &str)]) -> Vec<u8> {
    let mut out = b"ld.so-1.7.0\0".to_vec();
    out.extend(n.to_le_bytes());
    out.resize((16 + n as usize * 12).next_multiple_of(8), 0);
    out.extend(new_format(entries));
    out
}

const ENTRIES: [(&str, &str); 4] = [
    ("libz.so.1", "/lib/libz.so.1"),
    ("libcrypto.so.3", "/lib/libcrypto.so.3"),
    ("libcrypto.so.3", "/lib/libcrypto.so.3"),
    ("libcrypto.so.1.1", "/opt/libcrypto.so.1.1"),
];

fn crypto(name: &str) -> bool {
    name.starts_with("libcrypto")
}

#[test]
fn cache_in_its_formats() {
    let expected = ["/lib/libcrypto.so.3", "/opt/libcrypto.so.1.1"];
    assert_eq!(libraries(&new_format(&ENTRIES), 9, crypto), expected);
    for n in 0..4 {
        let found = libraries(&both_formats(n, &ENTRIES), 9, crypto);
        assert_eq!(found, expected, "{n}");
    }
    assert_eq!(libraries(&new_format(&ENTRIES), 1, crypto), expected[..1]);
}

#[test]
fn cache_that_is_none() {
    let empty: [&str; 0] = [];
    for bytes in [
        &b""[..],
        b"ld.so-1.7.0\0\xff\xff\xff\xff",
        b"glibc-ld.so.cache1.1\xff\xff\xff\xff",
    ] {
        assert_eq!(libraries(bytes, 9, crypto), empty);
    }
    // A relative path is not followed, from wherever.
    let relative = new_format(&[("libcrypto.so.3", "lib/libcrypto.so.3")]);
    assert_eq!(libraries(&relative, 9, crypto), empty);
    let whole = new_format(&ENTRIES);
    for len in 0..whole.len() {
        assert!(libraries(&whole[..len], 9, crypto).len() <= 2);
    }
}

#[test]
fn cache_of_this_host() {
    let Ok(cache) = std::fs::read("/etc/ld.so.cache") else {
        return super::real::ignored("no /etc/ld.so.cache");
    };
    let found = libraries(&cache, 100, |name| name.starts_with("libc.so."));
    assert!(!found.is_empty());
    for path in found {
        assert!(std::path::Path::new(&path).exists(), "{path}");
    }
}

proptest! {
    #[test]
    fn cache_of_any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), old: bool) {
        let magic: &[u8] = if old { b"ld.so-1.7.0\0" } else { b"glibc-ld.so.cache1.1" };
        bytes.splice(0..0, magic.iter().copied());
        prop_assert!(libraries(&bytes, 5, |_| true).len() <= 5);
    }

    #[test]
    fn maps_of_any_text(text in "(\\PC|\n|[0-9a-f]{1,16}-[0-9a-f]{1,20} r-xp 0 8:1 5 /){0,40}") {
        for mapped in mapped(&text) {
            prop_assert!(mapped.range.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()));
        }
        let _ = Silent::of(&text);
    }
}

const MAPS: &str = "\
5600e3b9a000-5600e3b9e000 r--p 00000000 fe:00 1572 /usr/bin/cat
5600e3b9e000-5600e3ba3000 r-xp 00004000 fe:00 1572                       /usr/bin/cat
00400000-00452000 r-xp 00000000 08:02 173521      /opt/a b/prog\\012x (deleted)
00452000-00453000 r-xp 00052000 08:02 173521      /opt/a b/prog\\012x (deleted)
7f00-7f01 rwxp 00000000 00:00 0
7f02-7f03 r-xp 00000000 00:00 0 [vdso]
7f04-7f05 rwxs 00000000 00:01 99 anon_inode:x
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
../../../x-7f06 r-xp 00000000 08:02 5 /evil
nonsense
";

#[test]
fn executable_mappings_once_a_file() {
    let found = mapped(MAPS);
    let short: Vec<_> = found
        .iter()
        .map(|m| (m.range.as_str(), m.device, m.inode, m.path.as_str()))
        .collect();
    let expected = [
        ("5600e3b9e000-5600e3ba3000", (0xfe, 0), 1572, "/usr/bin/cat"),
        ("400000-452000", (8, 2), 173_521, "/opt/a b/prog\nx"),
    ];
    assert_eq!(short, expected);
}

#[test]
fn mappings_are_bounded() {
    let many: String = (1..10_000)
        .map(|i| format!("{i:x}000-{i:x}fff r-xp 0 08:01 {i} /lib/{i}\n"))
        .collect();
    assert_eq!(mapped(&many).len(), 4096);
}

#[test]
fn file_systems_that_processes_answer_for() {
    let mounts = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:45 / /mnt/far\\040away rw,nosuid shared:5 master:1 - fuse.sshfs user@host: rw
31 22 0:46 / /mnt/fuse rw - fuse /dev/fuse rw
32 22 0:47 / /mnt/control rw - fusectl none rw
33 22 0:48 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw
broken
";
    let silent = Silent::of(mounts);
    assert!(silent.root_answers());
    let file = |minor, path: &str| Mapped {
        range: "1-2".to_owned(),
        device: (if minor == 0 { 254 } else { 0 }, minor),
        inode: 5,
        path: path.to_owned(),
    };
    for minor in [45, 46, 48] {
        assert!(silent.has(&file(minor, "/lib/x")));
    }
    for minor in [0, 47] {
        assert!(!silent.has(&file(minor, "/lib/x")));
    }
    // Its path would lead through one.
    assert!(silent.has(&file(0, "/mnt/far away/lib/x")));
    assert!(!silent.has(&file(0, "/mnt/far away2/lib/x")));
    assert!(!silent.has(&file(0, "/mnt/far")));
    let over = format!("{mounts}40 22 0:45 / / rw - fuse.overlayfs x rw\n");
    assert!(!Silent::of(&over).root_answers());
    assert!(Silent::of(&over).has(&file(0, "/lib/x")));
    assert!(!Silent::of("").root_answers());
}
