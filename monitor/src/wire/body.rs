//! Walking over a message's body without keeping any of it (RFC 9112 §6 and §7).

/// Longest chunk header line, and longest trailer section, in bytes. Nothing is stored; a longer
/// one means that the walk has lost its way.
const MAX_LINE: u16 = 16 * 1024;

/// A body whose end has not been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many more bytes. Never 0.
    Fixed(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunked),
    /// Whatever comes until the direction ends.
    UntilClose,
}

/// Where in the chunked coding the walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    at: At,
    budget: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the digits of a chunk's size.
    Size { value: u64, digits: u8 },
    /// Behind them, in front of the line feed.
    Extension { value: u64 },
    /// In front of so many bytes of a chunk and its CRLF.
    Data(u64),
    /// Behind the chunk's CR.
    DataLf,
    /// At the beginning of a trailer line.
    Trailer,
    /// Behind a CR at the beginning of a trailer line.
    TrailerLf,
    /// Within a trailer line.
    TrailerLine,
}

/// What [`Body::advance`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The body goes on behind the bytes given.
    More,
    /// It ends after so many of them.
    Done(usize),
    /// The chunked coding is broken.
    Broken,
}

impl Body {
    /// A chunked body, at its beginning.
    pub(super) const CHUNKED: Self = Self::Chunked(Chunked {
        at: At::Size {
            value: 0,
            digits: 0,
        },
        budget: MAX_LINE,
    });

    /// Walks over `data`.
    pub(super) fn advance(&mut self, data: &[u8]) -> Step {
        match self {
            Self::Fixed(left) => {
                let here = u64::try_from(data.len()).unwrap_or(u64::MAX);
                if here < *left {
                    *left -= here;
                    Step::More
                } else {
                    let used = usize::try_from(*left).unwrap_or(data.len());
                    *left = 0;
                    Step::Done(used)
                }
            }
            Self::Chunked(chunked) => chunked.advance(data),
            Self::UntilClose => Step::More,
        }
    }

    /// Skips up to `gap` bytes whose values are not needed to know where the body continues.
    /// Returns how many, and whether the body ended with them.
    pub(super) fn skip(&mut self, gap: u32) -> (u32, bool) {
        match self {
            Self::Fixed(left) => {
                let skipped = u32::try_from(*left).unwrap_or(u32::MAX).min(gap);
                *left = left.saturating_sub(u64::from(skipped));
                (skipped, *left == 0)
            }
            Self::Chunked(chunked) => (chunked.skip(gap), false),
            Self::UntilClose => (gap, false),
        }
    }
}

impl Chunked {
    fn advance(&mut self, data: &[u8]) -> Step {
        let mut rest = data;
        loop {
            self.at = match self.at {
                At::Data(left) if left > 0 => {
                    let here = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                    if here < left {
                        self.at = At::Data(left - here);
                        return Step::More;
                    }
                    let used = usize::try_from(left).unwrap_or(rest.len());
                    rest = rest.get(used..).unwrap_or_default();
                    At::Data(0)
                }
                At::Extension { value } => {
                    let Some(next) = self.behind_line(&mut rest) else {
                        return Step::Broken;
                    };
                    if !next {
                        return Step::More;
                    }
                    self.budget = MAX_LINE;
                    if value == 0 {
                        At::Trailer
                    } else {
                        At::Data(value)
                    }
                }
                At::TrailerLine => {
                    let Some(next) = self.behind_line(&mut rest) else {
                        return Step::Broken;
                    };
                    if !next {
                        return Step::More;
                    }
                    At::Trailer
                }
                at => {
                    let Some((&byte, behind)) = rest.split_first() else {
                        return Step::More;
                    };
                    rest = behind;
                    match (at, byte) {
                        (At::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                            if digits >= 16 {
                                return Step::Broken;
                            }
                            let digit = match byte {
                                b'0'..=b'9' => byte - b'0',
                                b'a'..=b'f' => byte - b'a' + 10,
                                _ => byte - b'A' + 10,
                            };
                            At::Size {
                                value: value << 4 | u64::from(digit),
                                digits: digits + 1,
                            }
                        }
                        (At::Size { digits: 0, .. }, _) => return Step::Broken,
                        (At::Size { value: 0, .. }, b'\n') => At::Trailer,
                        (At::Size { value, .. }, b'\n') => At::Data(value),
                        (At::Size { value, .. }, b'\r' | b';' | b' ' | b'\t') => {
                            At::Extension { value }
                        }
                        (At::Data(_), b'\r') => At::DataLf,
                        (At::Data(_) | At::DataLf, b'\n') => At::Size {
                            value: 0,
                            digits: 0,
                        },
                        (At::Trailer, b'\r') => At::TrailerLf,
                        (At::Trailer | At::TrailerLf, b'\n') => {
                            return Step::Done(data.len() - rest.len());
                        }
                        (At::Trailer, _) => {
                            self.budget = self.budget.saturating_sub(1);
                            At::TrailerLine
                        }
                        _ => return Step::Broken,
                    }
                }
            };
        }
    }

    /// Moves `rest` behind the next line feed. `Some(false)`: there is none yet. `None`: too long.
    fn behind_line(&mut self, rest: &mut &[u8]) -> Option<bool> {
        let found = memchr::memchr(b'\n', rest);
        let used = found.map_or(rest.len(), |at| at + 1);
        self.budget = self.budget.checked_sub(u16::try_from(used).ok()?)?;
        *rest = rest.get(used..).unwrap_or_default();
        Some(found.is_some())
    }

    /// A chunk's bytes and the CRLF behind them are known to be there; a chunk header is not.
    fn skip(&mut self, gap: u32) -> u32 {
        match self.at {
            At::Data(left) if u64::from(gap) <= left => {
                self.at = At::Data(left - u64::from(gap));
                gap
            }
            At::Data(left) => {
                let left = u32::try_from(left).unwrap_or(u32::MAX);
                if gap == left.saturating_add(1) {
                    self.at = At::DataLf;
                    gap
                } else {
                    self.at = At::Size {
                        value: 0,
                        digits: 0,
                    };
                    left.saturating_add(2)
                }
            }
            At::DataLf if gap > 0 => {
                self.at = At::Size {
                    value: 0,
                    digits: 0,
                };
                1
            }
            _ => 0,
        }
    }
}
