//! Signed notes (C2SP signed-note 1.0) with Ed25519 keys, and the checkpoints that are such notes (C2SP
//! tlog-checkpoint 1.0).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::tree::Hash;

/// Longest note read, in bytes: a checkpoint, and witnesses' signatures.
pub const MAX_NOTE: usize = 64 * 1024;
/// Most signatures looked at.
const MAX_SIGNATURES: usize = 100;
/// Longest name of a key, in bytes.
const MAX_NAME: usize = 255;
/// Signature type of Ed25519.
const ED25519_TYPE: u8 = 1;
/// What an encoded signing key begins with.
const PRIVATE: &str = "PRIVATE+KEY+";

/// What is wrong with a note, a key or a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not of a note's form.
    #[error("it is no signed note: {0}")]
    Form(&'static str),
    /// Not of a key's form.
    #[error("it is no key of a signed note: {0}")]
    Key(&'static str),
    /// No signature by the key.
    #[error("it is not signed by the key {0}")]
    NotSigned(String),
    /// A signature that names the key and is not by it.
    #[error("its signature by the key {0} is false")]
    False(String),
    /// Not of a checkpoint's form.
    #[error("it is no checkpoint: {0}")]
    Checkpoint(&'static str),
}

fn name_fits(name: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(bad)
}

fn key_id(name: &str, public: &[u8]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', ED25519_TYPE]);
    hasher.update(public);
    let [a, b, c, d, ..] = <[u8; 32]>::from(hasher.finalize());
    u32::from_be_bytes([a, b, c, d])
}

/// `NAME+ID+BASE64` taken apart, with the base64's bytes behind the type.
fn parts(text: &str) -> Result<(&str, u32, Zeroizing<[u8; 32]>), NoteError> {
    let mut fields = text.trim().splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(NoteError::Key("NAME+ID+KEY is expected"));
    };
    if !name_fits(name) {
        return Err(NoteError::Key(
            "its name is empty, too long or holds a space",
        ));
    }
    let id = (id.len() == 8)
        .then(|| u32::from_str_radix(id, 16).ok())
        .flatten()
        .ok_or(NoteError::Key("its id is not 8 hexadecimal digits"))?;
    let bytes = Zeroizing::new(
        STANDARD
            .decode(key)
            .map_err(|_| NoteError::Key("it is not base64"))?,
    );
    let Some((&ED25519_TYPE, key)) = bytes.split_first() else {
        return Err(NoteError::Key("it is not of the type Ed25519"));
    };
    let mut raw = Zeroizing::new([0; 32]);
    if key.len() != raw.len() {
        return Err(NoteError::Key("it is not 32 bytes long"));
    }
    raw.copy_from_slice(key);
    Ok((name, id, raw))
}

/// A public key with its name: `NAME+ID+BASE64`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    public: [u8; 32],
}

impl VerifierKey {
    fn new(name: &str, public: [u8; 32]) -> Self {
        Self {
            name: name.to_owned(),
            id: key_id(name, &public),
            public,
        }
    }

    /// Its name: the origin of the log that it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        if text.trim_start().starts_with(PRIVATE) {
            return Err(NoteError::Key("it is a private key: give nobody that"));
        }
        let (name, id, public) = parts(text)?;
        let key = Self::new(name, *public);
        if key.id == id {
            Ok(key)
        } else {
            Err(NoteError::Key("its id is not that of its name and key"))
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519_TYPE];
        bytes.extend_from_slice(&self.public);
        write!(
            f,
            "{}+{:08x}+{}",
            self.name,
            self.id,
            STANDARD.encode(bytes)
        )
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A private key with its name. Its text is a secret.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
    public: VerifierKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

impl SigningKey {
    /// From 32 random bytes.
    ///
    /// # Errors
    /// The name cannot be one of a key.
    pub fn new(name: &str, seed: Zeroizing<[u8; 32]>) -> Result<Self, NoteError> {
        if !name_fits(name) {
            return Err(NoteError::Key(
                "its name is empty, too long or holds a space",
            ));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed)
            .map_err(|_| NoteError::Key("it is no seed of Ed25519"))?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref())
            .map_err(|_| NoteError::Key("it is not 32 bytes long"))?;
        Ok(Self {
            public: VerifierKey::new(name, public),
            pair,
            seed,
        })
    }

    /// From its text.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let text = text
            .trim()
            .strip_prefix(PRIVATE)
            .ok_or(NoteError::Key("it does not begin with PRIVATE+KEY+"))?;
        let (name, id, seed) = parts(text)?;
        let key = Self::new(name, seed)?;
        if key.public.id == id {
            Ok(key)
        } else {
            Err(NoteError::Key("its id is not that of its name and key"))
        }
    }

    /// Its text: `PRIVATE+KEY+NAME+ID+BASE64`.
    #[must_use]
    pub fn secret_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(vec![ED25519_TYPE]);
        bytes.extend_from_slice(&*self.seed);
        let encoded = Zeroizing::new(STANDARD.encode(&*bytes));
        let VerifierKey { name, id, .. } = &self.public;
        Zeroizing::new(format!("{PRIVATE}{name}+{id:08x}+{}", &*encoded))
    }

    /// What its signatures are checked with.
    #[must_use]
    pub fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// A note of this text, which must end in a line break.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.public.id.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!(
            "{text}\n— {} {}\n",
            self.public.name,
            STANDARD.encode(bytes)
        )
    }
}

/// The text of a note that this key signed. Signatures by others are not looked at.
///
/// # Errors
/// It is no note, is not signed by the key, or is so falsely.
pub fn open<'a>(note: &'a str, key: &VerifierKey) -> Result<&'a str, NoteError> {
    if note.len() > MAX_NOTE {
        return Err(NoteError::Form("it is too long"));
    }
    if note.chars().any(|c| c < ' ' && c != '\n') {
        return Err(NoteError::Form("it holds a control character"));
    }
    let split = note.rfind("\n\n").ok_or(NoteError::Form(
        "it has no empty line before its signatures",
    ))?;
    let (text, signatures) = note.split_at(split + 1);
    let signatures = signatures
        .strip_prefix('\n')
        .filter(|signatures| signatures.ends_with('\n'))
        .ok_or(NoteError::Form("it does not end in a line break"))?;
    let mut signed = false;
    for (count, line) in signatures.lines().enumerate() {
        let (name, encoded) = line
            .strip_prefix("— ")
            .and_then(|line| line.split_once(' '))
            .filter(|(name, _)| name_fits(name))
            .ok_or(NoteError::Form("a line of its signatures is none"))?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| NoteError::Form("a signature is not base64"))?;
        let Some((id, signature)) = bytes.split_at_checked(4).filter(|(_, s)| !s.is_empty()) else {
            return Err(NoteError::Form("a signature is too short"));
        };
        if count >= MAX_SIGNATURES {
            return Err(NoteError::Form("it has too many signatures"));
        }
        if name == key.name && id == key.id.to_be_bytes() {
            UnparsedPublicKey::new(&ED25519, key.public)
                .verify(text.as_bytes(), signature)
                .map_err(|_| NoteError::False(key.name.clone()))?;
            signed = true;
        }
    }
    if signed {
        Ok(text)
    } else {
        Err(NoteError::NotSigned(key.name.clone()))
    }
}

/// What a checkpoint says: the log's name, how many entries it has, and their tree's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
}

impl Checkpoint {
    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        key.sign(&format!("{}\n{}\n{}\n", self.origin, self.size, self.root))
    }

    /// Reads one that this key signed, for the log of the key's name.
    ///
    /// # Errors
    /// As [`open`]; or what was signed is no checkpoint, or one of another log.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let checkpoint = Self::parse(open(note, key)?)?;
        if checkpoint.origin == key.name {
            Ok(checkpoint)
        } else {
            Err(NoteError::Checkpoint("it is of another log than the key"))
        }
    }

    fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split_terminator('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Checkpoint("it has fewer than three lines"));
        };
        if origin.is_empty() {
            return Err(NoteError::Checkpoint("it names no log"));
        }
        let digits = size.bytes().all(|b| b.is_ascii_digit());
        let leading = size.len() > 1 && size.starts_with('0');
        let size = size
            .parse()
            .ok()
            .filter(|_| digits && !leading)
            .ok_or(NoteError::Checkpoint("its size is no number"))?;
        let root = Hash::parse(root).ok_or(NoteError::Checkpoint("its root is no hash"))?;
        // Lines of extension say nothing that is used here, but none may be empty.
        if lines.any(str::is_empty) {
            return Err(NoteError::Checkpoint("a line of it is empty"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
