//! `match`: which of a client's secrets are live. For clients that may not read the host's key.
//!
//! The safer of two ways. To hand out the key, or fingerprints of whatever a client asks for, would let a client test
//! guesses for ever, away from here. So secrets come in, and nothing goes out but who uses those that are live:
//!
//! - the client first makes sure that the other end is the daemon (its user by SO_PEERCRED), then asks, and sends the
//!   secrets only once it was told `ready`: they are never part of a request line, which could be quoted in an error;
//! - each is read into a buffer of its final size that is wiped when dropped; none is parsed, logged or formatted;
//! - nothing is said of a secret that is not live, not even its fingerprint;
//! - [`MOST`] at once and [`MOST_PER_HOUR`] an hour from all clients together: an oracle for guesses it is not.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::scan::finding::Candidate;
use crate::scan::{Form, LiveUse};

/// Secrets in one request.
pub const MOST: u32 = 1000;
/// Secrets an hour.
pub const MOST_PER_HOUR: u32 = 5000;
/// Longest secret with its user, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// `{"type":"match","v":1,"index":0,"identity":…}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatchRecord {
    /// Always `match`.
    pub r#type: String,
    /// 1.
    pub v: u32,
    /// Which of the secrets, from 0.
    pub index: u32,
    /// Who uses it.
    #[serde(flatten)]
    pub live: LiveUse,
}

impl MatchRecord {
    /// A record.
    #[must_use]
    pub fn new(index: u32, live: LiveUse) -> Self {
        Self {
            r#type: "match".to_owned(),
            v: 1,
            index,
            live,
        }
    }
}

/// More secrets were compared within the hour than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

fn code(form: Form) -> u8 {
    match form {
        Form::Token => 0,
        Form::Pair => 1,
        Form::Basic => 2,
        Form::Userinfo => 3,
        Form::Never => 4,
    }
}

fn form(code: u8) -> Option<Form> {
    match code {
        0 => Some(Form::Token),
        1 => Some(Form::Pair),
        2 => Some(Form::Basic),
        3 => Some(Form::Userinfo),
        _ => None,
    }
}

/// Writes one secret: its form, length of the user, length of all, bytes; numbers big-endian. False when it is too
/// long and was left out.
///
/// # Errors
/// Of the connection.
pub async fn send(
    to: &mut (impl AsyncWriteExt + Unpin),
    candidate: &Candidate,
) -> std::io::Result<()> {
    let (form, user, bytes) = candidate.parts();
    let number = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes();
    let mut head = vec![code(form)];
    head.extend_from_slice(&number(user));
    head.extend_from_slice(&number(bytes.len()));
    to.write_all(&head).await?;
    to.write_all(bytes).await
}

/// Reads one secret.
///
/// # Errors
/// Of the connection, or when it is none: `InvalidData`.
pub async fn receive(from: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Candidate> {
    let bad = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let form = form(from.read_u8().await?).ok_or_else(bad)?;
    let user = usize::from(from.read_u16().await?);
    let len = usize::from(from.read_u16().await?);
    if len > LONGEST {
        return Err(bad());
    }
    let mut bytes = Zeroizing::new(vec![0; len]);
    from.read_exact(&mut bytes).await?;
    Candidate::from_parts(form, user, bytes).ok_or_else(bad)
}

/// How many more secrets may be compared.
#[derive(Debug)]
pub struct Allowance {
    left: u32,
    /// Seconds of the caller's clock at which it is full again.
    until_s: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: MOST_PER_HOUR,
            until_s: 0,
        }
    }
}

impl Allowance {
    /// Takes `count` at `now_s`, or none.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn take(&mut self, count: u32, now_s: u64) -> Result<(), TooMany> {
        if now_s >= self.until_s {
            *self = Self {
                left: MOST_PER_HOUR,
                until_s: now_s.saturating_add(3600),
            };
        }
        self.left = self.left.checked_sub(count).ok_or(TooMany)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_received() {
        for (form, user, text) in [
            (Form::Token, 0, "abc"),
            (Form::Pair, 2, "mepw"),
            (Form::Basic, 0, ""),
            (Form::Userinfo, 0, "a:b"),
        ] {
            let bytes = Zeroizing::new(text.as_bytes().to_vec());
            let candidate = Candidate::from_parts(form, user, bytes).unwrap();
            let mut wire = Vec::new();
            send(&mut wire, &candidate).await.unwrap();
            let back = receive(&mut wire.as_slice()).await.unwrap();
            assert_eq!(back.parts(), (form, user, text.as_bytes()));
        }
        for bad in [
            &[4, 0, 0, 0, 0][..],
            &[0, 0, 9, 0, 1, 65],
            &[0, 0, 0, 255, 255],
            &[0, 0],
        ] {
            assert!(receive(&mut &*bad).await.is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_hour_has_an_end() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.take(MOST_PER_HOUR, 10), Ok(()));
        assert_eq!(allowance.take(1, 20), Err(TooMany));
        assert_eq!(allowance.take(1, 3609), Err(TooMany));
        assert_eq!(allowance.take(1, 3610), Ok(()));
    }
}
