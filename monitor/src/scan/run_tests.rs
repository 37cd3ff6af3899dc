//! Trees, archives, histories; windows; and that no secret is ever said.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Command;

use super::corpus::{ALNUM, jwt, random, summed, true_examples};
use super::engine::{MOST_IN_FILE, OVERLAP};
use super::gitleaks::ForeignRules;
use super::*;

fn scanner() -> Scanner {
    Scanner::new(ForeignRules::default()).unwrap()
}

fn settings() -> Settings {
    Settings {
        threads: 2,
        respect_ignores: true,
        allow: allow::AllowFile::default(),
    }
}

fn places(targets: &[Target], settings: &Settings) -> (Vec<String>, Summary) {
    let summary = run(targets, &scanner(), settings, &Progress::default()).unwrap();
    (
        summary
            .findings
            .iter()
            .map(|(finding, _)| format!("{} {}", finding.place(), finding.rule))
            .collect(),
        summary,
    )
}

/// A member of a tar archive (POSIX ustar), written here so that the reader is not held to itself.
fn member(name: &str, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", body.len()).as_bytes());
    header[148..156].copy_from_slice(b"        ");
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend_from_slice(body);
    header.resize(header.len().div_ceil(512) * 512, 0);
    header
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

#[test]
fn trees_are_walked_as_git_sees_them() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("src/.hidden")).unwrap();
    fs::create_dir_all(at(".git")).unwrap();
    fs::write(at(".gitignore"), "ignored.txt\n").unwrap();
    for (n, name) in ["ignored.txt", ".git/config", "src/.hidden/a", "src/b"]
        .iter()
        .enumerate()
    {
        fs::write(
            at(name),
            format!("\n  t = '{}'\n", summed("ghp_", 80 + n as u64)),
        )
        .unwrap();
    }
    fs::write(
        at("src/c"),
        format!("'{}' # bailiwick:allow\n", summed("ghp_", 90)),
    )
    .unwrap();
    std::os::unix::fs::symlink("/proc/self/environ", at("src/link")).unwrap();
    let targets = [Target::Path(dir.path().to_owned())];
    let (found, summary) = places(&targets, &settings());
    let line = |name: &str| format!("{}:2:8 github-token", at(name).display());
    assert_eq!(found, [line("src/.hidden/a"), line("src/b")]);
    assert_eq!((summary.allowed, summary.unread.len()), (1, 0));
    let all = Settings {
        respect_ignores: false,
        ..settings()
    };
    assert_eq!(
        places(&targets, &all).0,
        [line("ignored.txt"), line("src/.hidden/a"), line("src/b")]
    );
    let allow = allow::AllowFile::parse("github-token **/src/b", |_| true).unwrap();
    assert_eq!(
        places(
            &targets,
            &Settings {
                allow,
                ..settings()
            }
        )
        .0,
        [line("src/.hidden/a")]
    );
}

#[test]
fn archives_are_opened_one_in_the_other_and_broken_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let key = |n| summed("ghp_", n);
    let long = format!("{}/deep.env", "d".repeat(90));
    let pax = format!("{} path={long}\n", long.len() + 10);
    let layer: Vec<u8> = [
        member("etc/app.env", b'0', format!("T={}\n", key(100)).as_bytes()),
        member("x", b'x', pax.as_bytes()),
        member("short", b'0', format!("T={}\n", key(101)).as_bytes()),
        member("l", b'L', b"gnu/long\0"),
        member("short", b'0', format!("T={}\n", key(102)).as_bytes()),
        member("link", b'2', b""),
        vec![0; 1024],
    ]
    .concat();
    let image = [member("layer.tar.gz", b'0', &gzip(&layer)), vec![0; 1024]].concat();
    fs::write(at("image.tar"), &image).unwrap();
    // A layout directory of OCI: blobs by digest, without an extension.
    fs::create_dir_all(at("oci/blobs/sha256")).unwrap();
    fs::write(at("oci/oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
    fs::write(at("oci/blobs/sha256/00ff"), gzip(&layer)).unwrap();
    fs::write(at("cut.tar"), &image[..512 + 100]).unwrap();
    fs::write(at("z.zst"), b"\x28\xB5\x2F\xFDxxxx").unwrap();
    let (found, summary) = places(&[Target::Path(dir.path().to_owned())], &settings());
    let mut expected = Vec::new();
    for (file, outer) in [
        ("cut.tar", "layer.tar.gz!"),
        ("image.tar", "layer.tar.gz!"),
        ("oci/blobs/sha256/00ff", ""),
    ] {
        for inner in [long.as_str(), "etc/app.env", "gnu/long"] {
            expected.push(format!(
                "{}!{outer}{inner}:1:3 github-token",
                at(file).display()
            ));
        }
    }
    let cut: Vec<&str> = summary
        .unread
        .iter()
        .map(|unread| unread.why.as_str())
        .collect();
    // What of the broken one could be read is told, and that it is broken.
    let whole: Vec<String> = expected
        .iter()
        .filter(|place| !place.contains("cut.tar"))
        .cloned()
        .collect();
    assert!(whole.iter().all(|place| found.contains(place)), "{found:?}");
    assert!(
        found.iter().all(|place| expected.contains(place)),
        "{found:?}"
    );
    assert_eq!(cut.len(), 2, "{cut:?}");
    assert!(
        summary
            .unread
            .iter()
            .any(|unread| unread.path.contains("cut.tar"))
    );
    assert!(
        summary
            .unread
            .iter()
            .any(|unread| unread.path.ends_with("z.zst") && unread.why.contains("zstd"))
    );
}

#[test]
fn hostile_archives_end() {
    // Archives in archives, sizes beyond everything, headers with a wrong sum.
    let mut nested = member(
        "core",
        b'0',
        format!("T={}\n", summed("ghp_", 110)).as_bytes(),
    );
    for _ in 0..10 {
        nested = member("inner.tar", b'0', &nested);
    }
    let mut huge = member("huge", b'0', b"");
    huge[124..136].copy_from_slice(b"77777777777\0");
    let sum: u32 = huge[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut wrong = member("a", b'0', b"x");
    wrong[0] = b'b';
    for (bytes, why) in [
        (nested, "deeper than"),
        (huge, "ends within"),
        (wrong, "broken"),
    ] {
        let mut reasons = Vec::new();
        let result = archive::go_through(
            "",
            &mut bytes.as_slice(),
            0,
            &mut |_, reader| io::copy(reader, &mut io::sink()).map(|_| ()),
            &mut |_, why| reasons.push(why),
        );
        reasons.extend(result.err().map(|error| error.to_string()));
        assert!(
            reasons.iter().any(|reason| reason.contains(why)),
            "{why}: {reasons:?}"
        );
    }
}

fn git(at: &Path, args: &[&str]) {
    let done = Command::new("git")
        .arg("-C")
        .arg(at)
        .args([
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@y",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(args)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn histories_give_each_blob_once_also_of_what_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    git(at, &["init", "-q", "-b", "main"]);
    fs::create_dir(at.join("a b")).unwrap();
    fs::write(
        at.join("a b/key file"),
        format!("T='{}'\n", summed("ghp_", 120)),
    )
    .unwrap();
    fs::copy(at.join("a b/key file"), at.join("copy")).unwrap();
    git(at, &["add", "."]);
    git(at, &["commit", "-q", "-m", "1"]);
    git(at, &["rm", "-q", "-r", "a b", "copy"]);
    git(at, &["commit", "-q", "--allow-empty", "-m", "2"]);
    git(at, &["checkout", "-q", "-b", "side"]);
    fs::write(
        at.join("large"),
        [
            vec![b'x'; 9 << 20],
            format!("\nT='{}'\n", summed("ghp_", 121)).into_bytes(),
        ]
        .concat(),
    )
    .unwrap();
    git(at, &["add", "."]);
    git(at, &["commit", "-q", "-m", "3"]);
    git(at, &["checkout", "-q", "main"]);
    let (found, summary) = places(&[Target::History(at.to_owned())], &settings());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("a b/key file!blob ") && found[0].ends_with(":1:4 github-token"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("large!blob ") && found[1].ends_with(":2:4 github-token"),
        "{found:?}"
    );
    assert_eq!(summary.files, 2);
    let none = tempfile::tempdir().unwrap();
    let error = run(
        &[Target::History(none.path().to_owned())],
        &scanner(),
        &settings(),
        &Progress::default(),
    );
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("git says") && error.contains("hint:"),
        "{error}"
    );
}

/// Gives what it has in crumbs.
struct Crumbs<'a>(&'a [u8], usize);

impl Read for Crumbs<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = self.1.min(into.len()).min(self.0.len());
        let (now, rest) = self.0.split_at(most);
        into[..most].copy_from_slice(now);
        self.0 = rest;
        Ok(most)
    }
}

#[test]
fn windows_lose_nothing_and_count_lines_and_columns() {
    let token = summed("ghp_", 130);
    let piece = 4 << 20;
    // Around the border of the first window, and of what is carried over.
    for at in [
        0,
        piece - OVERLAP - 20,
        piece - OVERLAP,
        piece - OVERLAP - 5000,
        piece - 20,
        piece,
        piece + 100,
        2 * piece,
    ] {
        let mut bytes = Vec::new();
        while bytes.len() < at {
            // Two bytes, one character.
            bytes.extend_from_slice("é, 12345 \n".as_bytes());
        }
        bytes.truncate(at);
        let line = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let tail = bytes.rsplit(|byte| *byte == b'\n').next().unwrap();
        let column = tail.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64 + 2;
        bytes.push(b' ');
        bytes.extend_from_slice(token.as_bytes());
        bytes.extend_from_slice(&[b'\n'; 9]);
        bytes.extend(vec![b'.'; piece]);
        let mut found = Vec::new();
        let scanned = scanner()
            .scan(
                b"x",
                Crumbs(&bytes, 100_000),
                &mut Buffer::default(),
                |hit| {
                    found.push((hit.line, hit.column, hit.offset, hit.secret.to_vec()));
                },
            )
            .unwrap();
        assert_eq!(
            found,
            [(line, column, at as u64 + 1, token.clone().into_bytes())],
            "at {at}"
        );
        assert_eq!(scanned.bytes, bytes.len() as u64);
    }
}

#[test]
fn a_file_of_findings_and_one_of_keywords_have_an_end() {
    let many: String = (0..MOST_IN_FILE as u64 + 50)
        .map(|n| summed("ghp_", n) + "\n")
        .collect();
    let mut told = 0;
    let scanned = scanner()
        .scan(b"x", many.as_bytes(), &mut Buffer::default(), |_| told += 1)
        .unwrap();
    assert_eq!((told, scanned.hits, scanned.more), (1000, 1000, 50));
    let keywords = "password=".repeat(200_000);
    let begun = std::time::Instant::now();
    scanner()
        .scan(b".env", keywords.as_bytes(), &mut Buffer::default(), |_| ())
        .unwrap();
    assert!(begun.elapsed().as_secs() < 60);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_scanned(bytes: Vec<u8>, words: Vec<proptest::sample::Index>) {
        let all: Vec<String> = true_examples().into_iter().map(|example| example.text).collect();
        let mut mixed = bytes;
        for word in words {
            let text = word.get(&all);
            mixed.extend_from_slice(&text.as_bytes()[..text.len() * 2 / 3]);
        }
        for name in ["a.py", ".env", ".pgpass", ".netrc", ".npmrc"] {
            scanner().scan(name.as_bytes(), mixed.as_slice(), &mut Buffer::default(), |hit| {
                assert!(hit.line > 0 && hit.column > 0 && !hit.secret.is_empty());
            }).unwrap();
        }
    }
}

#[test]
fn no_output_holds_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let examples = true_examples();
    for (n, example) in examples.iter().enumerate() {
        let sub = dir.path().join(n.to_string());
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join(example.file), &example.text).unwrap();
    }
    let (_, summary) = places(&[Target::Path(dir.path().to_owned())], &settings());
    assert_eq!(summary.findings.len(), examples.len());
    let mut all = String::new();
    for (finding, _) in &summary.findings {
        all += &serde_json::to_string(finding).unwrap();
        all += &format!(
            "{finding:?} {} {} {:?}",
            finding.place(),
            finding.mask(),
            finding.sarif(1)
        );
    }
    for example in &examples {
        assert!(!all.contains(&example.secret), "{}", example.rule);
        // Nor what is behind its prefix.
        let tail: String = example
            .secret
            .chars()
            .rev()
            .take(12)
            .collect::<String>()
            .chars()
            .rev()
            .collect();
        assert!(!all.contains(&tail), "{}", example.rule);
    }
}

#[test]
fn found_and_live_have_one_fingerprint() {
    use crate::access::FingerprintKey;
    use crate::access::credential::{Canon, CredentialTable, Recognised, Recogniser};
    use crate::wire::{RequestHead, Version};
    use base64::Engine;
    let key = || FingerprintKey::new([9; 32]);
    let mut canon = Canon::new(&CredentialTable::builtin(), key());
    let mut recogniser = Recogniser::new(CredentialTable::builtin(), key());
    let opaque = random(ALNUM, 32, 140);
    let password = format!("hV7!{}", random(ALNUM, 8, 141));
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("deploy:{password}"));
    let github = summed("ghp_", 142);
    let github_pair =
        base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{github}"));
    let token = jwt(143);
    // File, its text, and the header that the same credential is sent in.
    for (file, text, header) in [
        (
            "a.py",
            format!("h = {{'Authorization': 'Bearer {opaque}'}}\n"),
            format!("Bearer {opaque}"),
        ),
        (
            ".env",
            format!("API_KEY={opaque}\n"),
            format!("Bearer {opaque}"),
        ),
        (
            "a.sh",
            format!("curl -H 'Authorization: Basic {pair}' u\n"),
            format!("Basic {pair}"),
        ),
        (
            "a.yml",
            format!("u: https://deploy:{password}@api.internal/\n"),
            format!("Basic {pair}"),
        ),
        (
            ".netrc",
            format!("machine api.internal login deploy password {password}\n"),
            format!("Basic {pair}"),
        ),
        (
            "config.json",
            format!("{{\"auth\":\"{pair}\"}}\n"),
            format!("Basic {pair}"),
        ),
        (
            "b.py",
            format!("T = '{github}'\n"),
            format!("Bearer {github}"),
        ),
        (
            "c.py",
            format!("T = '{github}'\n"),
            format!("Basic {github_pair}"),
        ),
        ("d.js", format!("t('{token}')\n"), format!("Bearer {token}")),
    ] {
        let mut found = Vec::new();
        scanner()
            .scan(
                file.as_bytes(),
                text.as_bytes(),
                &mut Buffer::default(),
                |hit| {
                    found.extend(
                        finding::Candidate::of(hit)
                            .and_then(|candidate| candidate.fingerprint(&mut canon)),
                    );
                },
            )
            .unwrap();
        let headers = [
            httparse::Header {
                name: "Host",
                value: b"api.internal",
            },
            httparse::Header {
                name: "Authorization",
                value: header.as_bytes(),
            },
        ];
        let head = RequestHead {
            method: "GET",
            target: b"/",
            version: Version::Http11,
            headers: &headers,
            unknown_fields: 0,
            unknown_method: false,
            unknown_target: false,
            secure: true,
            off: 0,
            time: 0,
            resynchronised: false,
            truncated: false,
        };
        let mut said = Recognised::new();
        recogniser.recognise(&head, &mut said);
        let live: Vec<_> = said
            .found
            .iter()
            .map(|found| found.credential.fingerprint)
            .collect();
        assert_eq!(found, live, "{file}");
        assert_eq!(found.len(), 1, "{file}");
    }
}
