//! From secrets to keys: TLS 1.3 (RFC 8446 §7.1–7.3) and TLS 1.2 (RFC 5246 §5, §6.3).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use super::Secret;
use super::cipher::{Form, Keys};
use super::suite::{Cipher, Hash, Suite};

/// Longest output of an expansion here: two keys of 32 bytes, two MAC keys of 48, two IVs of 4 or 12.
const MAX_BLOCK: usize = 2 * (32 + 48 + 16);
/// Length of a TLS 1.2 master secret.
pub(super) const MASTER: usize = 48;

/// HMAC under one key: keying it takes two of the four compressions of a short message.
enum Keyed {
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
}

impl Keyed {
    fn new(hash: Hash, key: &[u8]) -> Option<Self> {
        Some(match hash {
            Hash::Sha256 => Self::Sha256(KeyInit::new_from_slice(key).ok()?),
            Hash::Sha384 => Self::Sha384(KeyInit::new_from_slice(key).ok()?),
        })
    }

    /// HMAC of the concatenation of `parts`; as many bytes as `out` has room for. `None`: longer than a
    /// hash.
    fn mac(&self, parts: &[&[u8]], out: &mut [u8]) -> Option<()> {
        fn run<M: Mac>(mut mac: M, parts: &[&[u8]], out: &mut [u8]) -> Option<()> {
            for part in parts {
                mac.update(part);
            }
            let mut tag = mac.finalize().into_bytes();
            let len = out.len();
            out.copy_from_slice(tag.get(..len)?);
            zeroize::Zeroize::zeroize(tag.as_mut_slice());
            Some(())
        }
        match self {
            Self::Sha256(mac) => run(mac.clone(), parts, out),
            Self::Sha384(mac) => run(mac.clone(), parts, out),
        }
    }

    /// HKDF-Expand-Label with an empty context, of at most one hash's length (RFC 8446 §7.1).
    fn expand_label(&self, label: &[u8], out: &mut [u8]) -> Option<()> {
        let length = u16::try_from(out.len()).ok()?.to_be_bytes();
        let label_length = [u8::try_from(6 + label.len()).ok()?];
        self.mac(&[&length, &label_length, b"tls13 ", label, &[0], &[1]], out)
    }
}

/// [`Keyed::expand_label`] for one label.
pub(super) fn expand_label(hash: Hash, secret: &[u8], label: &[u8], out: &mut [u8]) -> Option<()> {
    Keyed::new(hash, secret)?.expand_label(label, out)
}

/// Keys of a TLS 1.3 secret, of whichever epoch. `None`: it does not fit the suite.
pub(super) fn keys(suite: Suite, secret: &Secret) -> Option<Keys> {
    let secret = secret.expose();
    if secret.len() != suite.hash.size() || !suite.cipher.is_aead() {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    let mut iv = Zeroizing::new([0; 12]);
    let key = key.get_mut(..suite.cipher.key_len())?;
    let keyed = Keyed::new(suite.hash, secret)?;
    keyed.expand_label(b"key", key)?;
    keyed.expand_label(b"iv", &mut *iv)?;
    Keys::new(suite.cipher, Form::V13, key, &*iv)
}

/// The secret behind a KeyUpdate (RFC 8446 §7.2).
pub(super) fn next(suite: Suite, secret: &Secret) -> Option<Secret> {
    let mut next = Zeroizing::new([0; 48]);
    let next = next.get_mut(..suite.hash.size())?;
    expand_label(suite.hash, secret.expose(), b"traffic upd", next)?;
    Secret::new(next)
}

/// The PRF of TLS 1.2 (RFC 5246 §5): `P_hash(secret, label + seeds)`.
pub(super) fn prf(
    hash: Hash,
    secret: &[u8],
    label: &[u8],
    seeds: [&[u8]; 2],
    out: &mut [u8],
) -> Option<()> {
    let [first, second] = seeds;
    let mut a = Zeroizing::new([0; 48]);
    let a = a.get_mut(..hash.size())?;
    let keyed = Keyed::new(hash, secret)?;
    keyed.mac(&[label, first, second], a)?;
    for chunk in out.chunks_mut(hash.size()) {
        keyed.mac(&[&*a, label, first, second], chunk)?;
        let mut following = Zeroizing::new([0; 48]);
        let following = following.get_mut(..hash.size())?;
        keyed.mac(&[&*a], following)?;
        a.copy_from_slice(following);
    }
    Some(())
}

/// Keys of a TLS 1.2 connection: the client's, the server's. `None`: no master secret.
pub(super) fn key_block(
    suite: Suite,
    encrypt_then_mac: bool,
    master: &Secret,
    client_random: &[u8; 32],
    server_random: &[u8; 32],
) -> Option<(Keys, Keys)> {
    if master.expose().len() != MASTER {
        return None;
    }
    let (key, iv) = match suite.cipher {
        Cipher::Aes128Gcm | Cipher::Aes256Gcm => (suite.cipher.key_len(), 4),
        Cipher::ChaCha20Poly1305 => (32, 12),
        Cipher::Aes128Cbc | Cipher::Aes256Cbc => (suite.cipher.key_len(), 0),
    };
    let form = match suite.cipher.is_aead() {
        true => Form::V12,
        false => Form::Cbc {
            mac: suite.mac,
            encrypt_then_mac,
        },
    };
    let mut block = Zeroizing::new([0; MAX_BLOCK]);
    let block = block.get_mut(..2 * (suite.mac + key + iv))?;
    prf(
        suite.hash,
        master.expose(),
        b"key expansion",
        [server_random, client_random],
        block,
    )?;
    let (_, block) = block.split_at_checked(2 * suite.mac)?;
    let (client_key, block) = block.split_at_checked(key)?;
    let (server_key, block) = block.split_at_checked(key)?;
    let (client_iv, server_iv) = block.split_at_checked(iv)?;
    Some((
        Keys::new(suite.cipher, form, client_key, client_iv)?,
        Keys::new(suite.cipher, form, server_key, server_iv)?,
    ))
}
