//! Decryption of records and of their beginnings.
//!
//! The raw key lies in locked memory; it is expanded for one record at a time (about 50 ns) and what
//! it was expanded into is zeroed. So a connection holds 64 bytes a direction.

use std::fmt;

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use aes::{Aes128Dec, Aes128Enc, Aes256Dec, Aes256Enc, Block};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use poly1305::Poly1305;
use zeroize::{Zeroize, Zeroizing};

use super::suite::Cipher;
use super::{HEADER, MAX_RECORD, Secret, outer};

/// Bytes of an AEAD's tag.
const TAG: usize = 16;
/// Bytes of an AES block, of a CBC record's IV.
const BLOCK: usize = 16;
/// Least memory that plaintext gets, in bytes: most records need no more.
const LEAST_ROOM: usize = 1024;
/// Counter blocks encrypted at a time.
const BATCH: usize = 8;

/// A place for plaintext, zeroed in the end. It takes memory when there is some: see [`append`].
pub(super) fn plaintext() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::new())
}

/// Appends plaintext to be, and leaves no copy behind where the vector has to move.
fn append(out: &mut Vec<u8>, text: &[u8]) {
    let need = out.len() + text.len();
    if need > out.capacity() {
        let mut room = Vec::with_capacity(need.max(LEAST_ROOM));
        room.extend_from_slice(out);
        out.zeroize();
        *out = room;
    }
    out.extend_from_slice(text);
}

/// How records are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// TLS 1.3.
    V13,
    /// TLS 1.2, AEAD.
    V12,
    /// TLS 1.2, CBC.
    Cbc {
        /// Bytes of the MAC.
        mac: usize,
        /// RFC 7366.
        encrypt_then_mac: bool,
    },
}

/// Keys of one direction in one epoch.
pub(super) struct Keys {
    cipher: Cipher,
    form: Form,
    /// Key, then IV.
    material: Secret,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("cipher", &self.cipher)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Keys from raw key and IV. `None`: the arena for secrets is full.
    pub(super) fn new(cipher: Cipher, form: Form, key: &[u8], iv: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 64]);
        let (head, tail) = bytes.split_at_mut_checked(key.len())?;
        head.copy_from_slice(key);
        tail.get_mut(..iv.len())?.copy_from_slice(iv);
        let material = Secret::new(bytes.get(..key.len() + iv.len())?)?;
        Some(Self {
            cipher,
            form,
            material,
        })
    }

    fn key(&self) -> &[u8] {
        let bytes = self.material.expose();
        bytes.get(..self.cipher.key_len()).unwrap_or_default()
    }

    fn iv(&self) -> &[u8] {
        let bytes = self.material.expose();
        bytes.get(self.cipher.key_len()..).unwrap_or_default()
    }

    /// Bytes of a body in front of its ciphertext.
    fn prefix(&self) -> usize {
        match (self.form, self.cipher) {
            (Form::V12, Cipher::Aes128Gcm | Cipher::Aes256Gcm) => 8,
            (Form::Cbc { .. }, _) => BLOCK,
            _ => 0,
        }
    }

    /// Bytes of plaintext content of a body of `length` bytes: in TLS 1.3 if it is not padded; for CBC
    /// at most, and at least 15 fewer if its padding is the shortest. `None`: too short to be a record.
    pub(super) fn content(&self, length: u16) -> Option<usize> {
        let around = match self.form {
            Form::V13 => TAG + 1,
            Form::V12 => self.prefix() + TAG,
            Form::Cbc { mac, .. } => BLOCK + mac + 1,
        };
        usize::from(length).checked_sub(around)
    }

    /// Bytes of plaintext content of so many records that take `bytes` in the stream; `None` when their
    /// padding is not known, or they cannot be so many.
    pub(super) fn contents(&self, records: u32, bytes: u32) -> Option<u32> {
        let around = match self.form {
            Form::V13 => TAG + 1,
            Form::V12 => self.prefix() + TAG,
            Form::Cbc { .. } => return None,
        };
        let around = u32::try_from(around).ok()?.checked_add(HEADER)?;
        // More than the stream's positions can tell.
        let most = u64::from(records) * u64::from(u32::from(MAX_RECORD) + HEADER);
        if most > u64::from(u32::MAX) {
            return None;
        }
        bytes.checked_sub(records.checked_mul(around)?)
    }

    fn nonce(&self, seq: u64, body: &[u8]) -> Option<[u8; 12]> {
        let mut nonce = [0; 12];
        let prefix = self.prefix();
        if prefix > 0 {
            let (fixed, explicit) = nonce.split_at_mut_checked(4)?;
            fixed.copy_from_slice(self.iv().get(..4)?);
            explicit.copy_from_slice(body.get(..prefix)?);
            return Some(nonce);
        }
        nonce.copy_from_slice(self.iv().get(..12)?);
        for (byte, number) in nonce.iter_mut().skip(4).zip(seq.to_be_bytes()) {
            *byte ^= number;
        }
        Some(nonce)
    }

    /// Appends the content from byte `from` on, as far as `body`, the beginning of a record's body of
    /// `length` bytes, has it. Nothing is checked.
    pub(super) fn peek(&self, seq: u64, body: &[u8], length: u16, from: usize, out: &mut Vec<u8>) {
        let begin = out.len();
        if self.try_peek(seq, body, length, from, out).is_none() {
            out.truncate(begin);
        }
    }

    fn try_peek(
        &self,
        seq: u64,
        body: &[u8],
        length: u16,
        from: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let begin = out.len();
        let content = self.content(length)?;
        let text = body.get(self.prefix()..)?;
        let text = text.get(..content).unwrap_or(text);
        if let Form::Cbc { .. } = self.form {
            self.cbc(body, from, text.len(), out)?;
            return Some(());
        }
        append(out, text.get(from..)?);
        let nonce = self.nonce(seq, body)?;
        self.stream(&nonce, from, out.get_mut(begin..)?)
    }

    /// Checks a record that is whole and appends its plaintext: in TLS 1.3 with its content type and
    /// padding, else the content alone. `false`: its tag (for CBC its padding) is wrong, and nothing
    /// is appended.
    pub(super) fn open(&self, seq: u64, kind: u8, body: &[u8], out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        let opened = match self.form {
            Form::Cbc {
                mac,
                encrypt_then_mac,
            } => self.open_cbc(body, mac, encrypt_then_mac, out),
            _ => self.open_aead(seq, kind, body, out),
        };
        if opened.is_none()
            && let Some(rest) = out.get_mut(begin..)
        {
            rest.zeroize();
            out.truncate(begin);
        }
        opened.is_some()
    }

    fn open_aead(&self, seq: u64, kind: u8, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let begin = out.len();
        let nonce = self.nonce(seq, body)?;
        let (_, rest) = body.split_at_checked(self.prefix())?;
        let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
        let mut aad = [0; 13];
        let aad = match self.form {
            Form::V13 => {
                let [a, b] = u16::try_from(body.len()).ok()?.to_be_bytes();
                let header = aad.get_mut(..5)?;
                header.copy_from_slice(&[outer::DATA, 3, 3, a, b]);
                &*header
            }
            _ => {
                let (number, header) = aad.split_at_mut_checked(8)?;
                number.copy_from_slice(&seq.to_be_bytes());
                let [a, b] = u16::try_from(text.len()).ok()?.to_be_bytes();
                header.copy_from_slice(&[kind, 3, 3, a, b]);
                &aad
            }
        };
        if self.tag(&nonce, aad, text)?.as_slice() != tag {
            return None;
        }
        append(out, text);
        self.stream(&nonce, 0, out.get_mut(begin..)?)
    }

    /// Applies the key stream from byte `from` of the content on.
    fn stream(&self, nonce: &[u8; 12], from: usize, data: &mut [u8]) -> Option<()> {
        if self.cipher == Cipher::ChaCha20Poly1305 {
            let mut chacha = ChaCha20::new_from_slices(self.key(), nonce).ok()?;
            chacha.try_seek(64 + from as u64).ok()?;
            return chacha.try_apply_keystream(data).ok();
        }
        match self.cipher {
            Cipher::Aes128Gcm => counter::<Aes128Enc>(self.key(), nonce, from, data),
            _ => counter::<Aes256Enc>(self.key(), nonce, from, data),
        }
    }

    /// The tag that a record should have.
    fn tag(&self, nonce: &[u8; 12], aad: &[u8], text: &[u8]) -> Option<[u8; TAG]> {
        if self.cipher == Cipher::ChaCha20Poly1305 {
            let mut key = Zeroizing::new([0; 32]);
            let mut chacha = ChaCha20::new_from_slices(self.key(), nonce).ok()?;
            chacha.try_apply_keystream(&mut *key).ok()?;
            let mut poly = Poly1305::new_from_slice(&*key).ok()?;
            poly.update_padded(aad);
            poly.update_padded(text);
            let lengths = [aad.len() as u64, text.len() as u64].map(u64::to_le_bytes);
            poly.update_padded(lengths.as_flattened());
            return poly.finalize().as_slice().try_into().ok();
        }
        match self.cipher {
            Cipher::Aes128Gcm => gcm_tag::<Aes128Enc>(self.key(), nonce, aad, text),
            _ => gcm_tag::<Aes256Enc>(self.key(), nonce, aad, text),
        }
    }

    /// Appends CBC plaintext.
    fn cbc(&self, body: &[u8], from: usize, to: usize, out: &mut Vec<u8>) -> Option<()> {
        match self.cipher {
            Cipher::Aes128Cbc => cbc::<Aes128Dec>(self.key(), body, (from, to), out),
            _ => cbc::<Aes256Dec>(self.key(), body, (from, to), out),
        }
    }

    fn open_cbc(
        &self,
        body: &[u8],
        mac: usize,
        encrypt_then_mac: bool,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let begin = out.len();
        let behind = if encrypt_then_mac { mac } else { 0 };
        let body = body.get(..body.len().checked_sub(behind)?)?;
        let text = body.len().checked_sub(BLOCK)?;
        if text == 0 || text % BLOCK != 0 {
            return None;
        }
        self.cbc(body, 0, text, out)?;
        let plain = out.get(begin..)?;
        let padding = *plain.last()?;
        let inside = if encrypt_then_mac { 0 } else { mac };
        let content = plain.len().checked_sub(usize::from(padding) + 1)?;
        if !plain.get(content..)?.iter().all(|byte| *byte == padding) {
            return None;
        }
        let content = content.checked_sub(inside)?;
        out.get_mut(begin + content..)?.zeroize();
        out.truncate(begin + content);
        Some(())
    }
}

/// Applies AES-CTR as GCM uses it, from byte `from` of the content on.
fn counter<A: BlockCipherEncrypt + KeyInit + BlockSizeUser<BlockSize = U16>>(
    key: &[u8],
    nonce: &[u8; 12],
    from: usize,
    mut data: &mut [u8],
) -> Option<()> {
    let aes = A::new_from_slice(key).ok()?;
    // The first counter is for the tag (NIST SP 800-38D §7.1).
    let mut count = u32::try_from(from / BLOCK).ok()?.checked_add(2)?;
    let mut skip = from % BLOCK;
    while !data.is_empty() {
        let mut blocks = [Block::default(); BATCH];
        let need = (skip + data.len()).div_ceil(BLOCK).min(BATCH);
        let blocks = blocks.get_mut(..need)?;
        for block in blocks.iter_mut() {
            *block = counter_block(nonce, count);
            count = count.wrapping_add(1);
        }
        aes.encrypt_blocks(blocks);
        let run = (need * BLOCK - skip).min(data.len());
        let (now, rest) = data.split_at_mut_checked(run)?;
        for (byte, key) in now.iter_mut().zip(blocks.iter().flatten().skip(skip)) {
            *byte ^= key;
        }
        for block in blocks {
            block.as_mut_slice().zeroize();
        }
        (data, skip) = (rest, 0);
    }
    Some(())
}

/// The tag of GCM (NIST SP 800-38D §7.1).
fn gcm_tag<A: BlockCipherEncrypt + KeyInit + BlockSizeUser<BlockSize = U16>>(
    key: &[u8],
    nonce: &[u8; 12],
    aad: &[u8],
    text: &[u8],
) -> Option<[u8; TAG]> {
    let aes = A::new_from_slice(key).ok()?;
    let mut blocks = [Block::default(), counter_block(nonce, 1)];
    aes.encrypt_blocks(&mut blocks);
    let [mut hash_key, mask] = blocks;
    let mut ghash = GHash::new_from_slice(&hash_key).ok()?;
    hash_key.as_mut_slice().zeroize();
    ghash.update_padded(aad);
    ghash.update_padded(text);
    let lengths = [8 * aad.len() as u64, 8 * text.len() as u64].map(u64::to_be_bytes);
    ghash.update_padded(lengths.as_flattened());
    let mut tag: [u8; TAG] = ghash.finalize().as_slice().try_into().ok()?;
    for (byte, key) in tag.iter_mut().zip(&mask) {
        *byte ^= key;
    }
    Some(tag)
}

/// Appends CBC plaintext `from..to` of a body that begins with its IV, less what is in a block that is
/// not whole.
fn cbc<A: BlockCipherDecrypt + KeyInit + BlockSizeUser<BlockSize = U16>>(
    key: &[u8],
    body: &[u8],
    (from, to): (usize, usize),
    out: &mut Vec<u8>,
) -> Option<()> {
    let aes = A::new_from_slice(key).ok()?;
    let first = from / BLOCK;
    let whole = body.len().checked_sub(BLOCK)? / BLOCK;
    let last = to.div_ceil(BLOCK).min(whole);
    let mut previous = body.get(first * BLOCK..)?.first_chunk::<BLOCK>()?;
    let text = body.get((first + 1) * BLOCK..(last + 1) * BLOCK);
    for (n, text) in text.unwrap_or_default().chunks_exact(BLOCK).enumerate() {
        let text: &[u8; BLOCK] = text.try_into().ok()?;
        let mut block = Block::from(*text);
        aes.decrypt_block(&mut block);
        for (byte, mask) in block.iter_mut().zip(previous) {
            *byte ^= mask;
        }
        // Without what lies before `from` and behind `to`.
        let at = (first + n) * BLOCK;
        let end = to.saturating_sub(at).min(BLOCK);
        append(
            out,
            block.get(from.saturating_sub(at)..end).unwrap_or_default(),
        );
        block.as_mut_slice().zeroize();
        previous = text;
    }
    Some(())
}

fn counter_block(nonce: &[u8; 12], counter: u32) -> Block {
    let mut block = Block::default();
    let (front, back) = block.split_at_mut(12);
    front.copy_from_slice(nonce);
    back.copy_from_slice(&counter.to_be_bytes());
    block
}
