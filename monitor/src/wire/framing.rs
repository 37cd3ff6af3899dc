//! How long a message's body is (RFC 9112 §6.3).

use super::body::Body;

/// What a head says about the body behind it, gathered field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Framing {
    length: Length,
    coding: Coding,
    faulty: bool,
    /// `Expect: 100-continue` (RFC 9110 §10.1.1).
    pub(super) expects_continue: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Absent,
    Is(u64),
    /// Unparsable, or several that differ.
    Bad,
}

/// The last transfer coding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    Absent,
    Chunked,
    Other,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Nothing: the next message.
    Empty,
    /// A body.
    Body(Body),
    /// A body whose end cannot be told.
    Unknown,
}

impl Framing {
    /// Takes note of one field. Nearly all are told apart by their length and first letter.
    #[inline(always)]
    pub(super) fn observe(&mut self, name: &str, value: &[u8]) {
        const LENGTHS: u32 = 1 << 6 | 1 << 14 | 1 << 17;
        if name.len() < 32
            && LENGTHS >> name.len() & 1 == 1
            && matches!(
                name.as_bytes().first(),
                Some(b'C' | b'c' | b'E' | b'e' | b'T' | b't')
            )
        {
            self.framing_field(name, value);
        }
    }

    #[inline(never)]
    fn framing_field(&mut self, name: &str, value: &[u8]) {
        if name.eq_ignore_ascii_case("content-length") {
            self.length(value);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.coding(value);
        } else if name.eq_ignore_ascii_case("expect") {
            self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
        }
    }

    /// A repeated or list-valued Content-Length is valid if all its members agree (RFC 9110 §8.6).
    fn length(&mut self, value: &[u8]) {
        // As nearly always: alone, and digits only.
        if self.length == Length::Absent
            && let Some(length) = decimal(value)
        {
            self.length = Length::Is(length);
            return;
        }
        for member in value.split(|&byte| byte == b',') {
            let parsed = decimal(member.trim_ascii());
            self.length = match (self.length, parsed) {
                (Length::Absent, Some(length)) => Length::Is(length),
                (Length::Is(before), Some(length)) if before == length => Length::Is(length),
                _ => Length::Bad,
            };
        }
    }

    fn coding(&mut self, value: &[u8]) {
        for member in value.split(|&byte| byte == b',') {
            let mut parts = member.splitn(2, |&byte| byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            if name.is_empty() {
                continue;
            }
            // Chunked comes last, once, and has no parameters. `identity` was taken out of HTTP.
            self.faulty |= self.coding == Coding::Chunked;
            if name.eq_ignore_ascii_case(b"chunked") {
                self.faulty |= parts.next().is_some();
                self.coding = Coding::Chunked;
            } else if name.eq_ignore_ascii_case(b"identity") {
                self.faulty = true;
            } else {
                self.coding = Coding::Other;
            }
        }
    }

    /// What follows a request's head, and whether the fields contradict themselves or HTTP.
    pub(super) fn of_request(&self, minor: u8) -> (Extent, bool) {
        let faulty = self.faulty(minor);
        match (self.coding, self.length) {
            (Coding::Chunked, _) => (Extent::Body(Body::CHUNKED), faulty),
            (Coding::Other, _) => (Extent::Unknown, true),
            (Coding::Absent, Length::Bad) => (Extent::Unknown, true),
            (Coding::Absent, Length::Absent | Length::Is(0)) => (Extent::Empty, faulty),
            (Coding::Absent, Length::Is(length)) => (Extent::Body(Body::Fixed(length)), faulty),
        }
    }

    /// What follows a final response's head; `bodiless` when its request was HEAD.
    pub(super) fn of_response(&self, status: u16, minor: u8, bodiless: bool) -> (Extent, bool) {
        let faulty = self.faulty(minor);
        if bodiless || matches!(status, 100..=199 | 204 | 304) {
            return (Extent::Empty, faulty);
        }
        match (self.coding, self.length) {
            (Coding::Chunked, _) => (Extent::Body(Body::CHUNKED), faulty),
            (Coding::Other, _) => (Extent::Body(Body::UntilClose), faulty),
            (Coding::Absent, Length::Bad) => (Extent::Unknown, true),
            (Coding::Absent, Length::Absent) => (Extent::Body(Body::UntilClose), faulty),
            (Coding::Absent, Length::Is(0)) => (Extent::Empty, faulty),
            (Coding::Absent, Length::Is(length)) => (Extent::Body(Body::Fixed(length)), faulty),
        }
    }

    /// Both fields, or a transfer coding in HTTP/1.0 (RFC 9112 §6.1).
    fn faulty(&self, minor: u8) -> bool {
        let coded = self.coding != Coding::Absent;
        self.faulty
            || self.length == Length::Bad
            || (coded && (minor == 0 || self.length != Length::Absent))
    }
}

/// 1*DIGIT; none if it is anything else or does not fit.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
