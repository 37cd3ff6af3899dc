#![allow(clippy::unwrap_used, reason = "tests may fail by panic")]

use super::*;

/// The example of golang.org/x/mod/sumdb/note, where the format comes from.
const SECRET: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\n\
                    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn signs_as_published() {
    let key = SigningKey::parse(SECRET).unwrap();
    assert_eq!(key.public().to_string(), PUBLIC);
    assert_eq!(*key.secret_text(), SECRET);
    assert_eq!(key.sign(TEXT), NOTE);
    assert!(!format!("{key:?}").contains("AYEKFALVFGy"));
}

#[test]
fn opens_what_was_signed_and_nothing_else() {
    let key: VerifierKey = PUBLIC.parse().unwrap();
    assert_eq!(open(NOTE, &key), Ok(TEXT));
    // Signatures of others do not matter, wherever they stand.
    let other = SigningKey::new("other.example/log", Zeroizing::new([7; 32])).unwrap();
    let both = NOTE.to_owned() + other.sign(TEXT).rsplit_once("\n\n").unwrap().1;
    assert_eq!(open(&both, &key), Ok(TEXT));
    assert_eq!(open(&both, other.public()), Ok(TEXT));
    assert_eq!(
        open(NOTE, other.public()),
        Err(NoteError::NotSigned("other.example/log".to_owned()))
    );
    let changed = NOTE.replacen("answer", "question", 1);
    assert_eq!(
        open(&changed, &key),
        Err(NoteError::False("PeterNeumann".to_owned()))
    );
    for (bad, why) in [
        (NOTE.trim_end().to_owned(), "no line break at the end"),
        (NOTE.replace("\n\n", "\n"), "no empty line"),
        (NOTE.replace("— ", "- "), "no em dash"),
        (NOTE.replace("x08g", "x08!"), "no base64"),
        (NOTE.replace("If", "I\tf"), "a control character"),
        (TEXT.to_owned() + "\n", "no signature"),
        ("— PeterNeumann x08g\n".repeat(3), "no text"),
        ("x\n".repeat(MAX_NOTE), "too long"),
        (String::new(), "empty"),
    ] {
        assert!(open(&bad, &key).is_err(), "{why}");
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    for bad in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpP2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc",
        "PeterNeumann+c74f20a3+!",
        SECRET,
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
    assert!(SigningKey::parse(PUBLIC).is_err());
    assert!(SigningKey::new("a b", Zeroizing::new([1; 32])).is_err());
}

#[test]
fn checkpoints_are_of_the_specified_form() {
    // The example of C2SP tlog-checkpoint.
    let text =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let checkpoint = Checkpoint::parse(text).unwrap();
    assert_eq!(checkpoint.size, 20_852_163);
    let key = SigningKey::new("example.com/behind-the-sofa", Zeroizing::new([1; 32])).unwrap();
    let note = checkpoint.sign(&key);
    assert!(note.starts_with(text));
    assert_eq!(Checkpoint::open(&note, key.public()), Ok(checkpoint));
    let other = SigningKey::new("example.com/other", Zeroizing::new([1; 32])).unwrap();
    assert_eq!(
        Checkpoint::open(&other.sign(text), other.public()),
        Err(NoteError::Checkpoint("it is of another log than the key"))
    );
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    for bad in [
        String::new(),
        "a\n1\n".to_owned(),
        format!("\n1\n{root}\n"),
        format!("a\n01\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n-1\n{root}\n"),
        format!("a\n99999999999999999999\n{root}\n"),
        "a\n1\nCsUY\n".to_owned(),
        format!("a\n1\n{root}\n\nb\n"),
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
    assert!(Checkpoint::parse(&format!("a\n0\n{root}\nextension\n")).is_ok());
}
