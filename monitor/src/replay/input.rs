//! Files in pieces: lines, or the objects of a JSON document. No piece is longer than [`LONGEST_PIECE`]; longer ones
//! are passed over and told of.

use std::io::{self, BufRead, Read};

/// Longest piece, in bytes.
pub const LONGEST_PIECE: usize = 1 << 20;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it is, without its line break.
    Whole(&'a [u8]),
    /// One that is too long.
    TooLong,
}

/// Lines of a reader.
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Of this.
    pub fn new(from: R) -> Self {
        Self {
            from,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line, and its number from 1.
    ///
    /// # Errors
    /// As reading.
    pub fn next_piece(&mut self) -> io::Result<Option<(Piece<'_>, u64)>> {
        self.line.clear();
        let most = LONGEST_PIECE as u64 + 1;
        if (&mut self.from)
            .take(most)
            .read_until(b'\n', &mut self.line)?
            == 0
        {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            self.line.pop_if(|last| *last == b'\r');
        } else if self.line.len() as u64 >= most {
            self.line.clear();
            self.from.skip_until(b'\n')?;
            return Ok(Some((Piece::TooLong, self.number)));
        }
        Ok(Some((Piece::Whole(&self.line), self.number)))
    }
}

/// How a list of records begins: `{"Records":[`, white space left out.
const RECORDS: &[u8] = br#"{"Records":["#;

/// The objects of a JSON document or of several, one after the other: those at the top, or those of a top object's
/// first member, if that is a list called `Records`.
#[derive(Debug)]
pub struct Objects<R> {
    from: R,
    object: Vec<u8>,
    depth: u32,
    in_text: bool,
    escaped: bool,
    too_long: bool,
    /// How much of [`RECORDS`] the top object has begun with; `None` once it began otherwise.
    begun: Option<usize>,
    in_list: bool,
    line: u64,
    began: u64,
}

impl<R: BufRead> Objects<R> {
    /// Of this.
    pub fn new(from: R) -> Self {
        Self {
            from,
            object: Vec::new(),
            depth: 0,
            in_text: false,
            escaped: false,
            too_long: false,
            begun: None,
            in_list: false,
            line: 1,
            began: 0,
        }
    }

    /// The next object, and the line that it begins in, from 1.
    ///
    /// # Errors
    /// As reading.
    pub fn next_piece(&mut self) -> io::Result<Option<(Piece<'_>, u64)>> {
        self.object.clear();
        self.too_long = false;
        loop {
            let bytes = self.from.fill_buf()?;
            if bytes.is_empty() {
                // What has no end is told of once.
                if std::mem::take(&mut self.depth) > 0 {
                    self.in_text = false;
                    return Ok(Some((Piece::Whole(&self.object), self.began)));
                }
                return Ok(None);
            }
            let mut used = 0;
            let mut whole = false;
            for byte in bytes {
                used += 1;
                if step(
                    *byte,
                    &mut self.object,
                    &mut State {
                        depth: &mut self.depth,
                        in_text: &mut self.in_text,
                        escaped: &mut self.escaped,
                        too_long: &mut self.too_long,
                        begun: &mut self.begun,
                        in_list: &mut self.in_list,
                        line: &mut self.line,
                        began: &mut self.began,
                    },
                ) {
                    whole = true;
                    break;
                }
            }
            self.from.consume(used);
            if whole {
                let piece = if self.too_long {
                    Piece::TooLong
                } else {
                    Piece::Whole(&self.object)
                };
                return Ok(Some((piece, self.began)));
            }
        }
    }
}

struct State<'a> {
    depth: &'a mut u32,
    in_text: &'a mut bool,
    escaped: &'a mut bool,
    too_long: &'a mut bool,
    begun: &'a mut Option<usize>,
    in_list: &'a mut bool,
    line: &'a mut u64,
    began: &'a mut u64,
}

/// Takes one byte in; says whether an object is whole.
fn step(byte: u8, object: &mut Vec<u8>, state: &mut State<'_>) -> bool {
    *state.line += u64::from(byte == b'\n');
    if *state.depth == 0 {
        match byte {
            b'{' => {
                *state.depth = 1;
                *state.began = *state.line;
                *state.begun = (!*state.in_list).then_some(0);
            }
            // The list is over; what is left of its object means nothing.
            b']' => {
                *state.in_list = false;
                return false;
            }
            _ => return false,
        }
    } else if *state.in_text {
        match byte {
            _ if *state.escaped => *state.escaped = false,
            b'\\' => *state.escaped = true,
            b'"' => *state.in_text = false,
            _ => {}
        }
    } else {
        match byte {
            b'"' => *state.in_text = true,
            b'{' | b'[' => *state.depth = state.depth.saturating_add(1),
            b'}' | b']' => *state.depth -= 1,
            _ => {}
        }
    }
    if object.len() < LONGEST_PIECE {
        object.push(byte);
    } else {
        *state.too_long = true;
    }
    if let Some(at) = *state.begun
        && !byte.is_ascii_whitespace()
    {
        *state.begun = (RECORDS.get(at) == Some(&byte)).then_some(at + 1);
        if *state.begun == Some(RECORDS.len()) {
            (*state.begun, *state.in_list, *state.depth) = (None, true, 0);
            object.clear();
            return false;
        }
    }
    *state.depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(text: &str) -> Vec<(u64, String)> {
        // A small buffer: objects lie across its ends.
        let mut objects = Objects::new(io::BufReader::with_capacity(3, text.as_bytes()));
        let mut all = Vec::new();
        while let Some((piece, line)) = objects.next_piece().unwrap() {
            let text = match piece {
                Piece::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                Piece::TooLong => "too long".to_owned(),
            };
            all.push((line, text));
        }
        all
    }

    fn own(list: &[(u64, &str)]) -> Vec<(u64, String)> {
        list.iter().map(|(n, t)| (*n, (*t).to_owned())).collect()
    }

    #[test]
    fn objects_of_a_list_and_of_lines() {
        let list =
            "{ \"Records\" :\n [ {\"a\":\"}]\\\"\"},\n{\"b\":[{}]} ] }\n{\"Records\":[]}{\"c\":1}";
        let found = own(&[
            (2, "{\"a\":\"}]\\\"\"}"),
            (3, "{\"b\":[{}]}"),
            (4, "{\"c\":1}"),
        ]);
        assert_eq!(objects(list), found);
        assert_eq!(objects("x {\"a\":"), own(&[(1, "{\"a\":")]));
        assert_eq!(objects("]]}}"), []);
        // Deeper, it is a member like any other.
        let deep = "{\"x\":{\"Records\":[{}]}}";
        assert_eq!(objects(deep), own(&[(1, deep)]));
    }

    #[test]
    fn what_is_too_long_is_passed_over() {
        let long = "x".repeat(3 * LONGEST_PIECE);
        let text = format!("{{\"a\":\"{long}\"}}{{\"b\":1}}");
        assert_eq!(objects(&text), own(&[(1, "too long"), (1, "{\"b\":1}")]));
        let text = format!("a\r\n{long}\nb");
        let mut lines = Lines::new(text.as_bytes());
        assert_eq!(lines.next_piece().unwrap(), Some((Piece::Whole(b"a"), 1)));
        assert_eq!(lines.next_piece().unwrap(), Some((Piece::TooLong, 2)));
        assert_eq!(lines.next_piece().unwrap(), Some((Piece::Whole(b"b"), 3)));
        assert_eq!(lines.next_piece().unwrap(), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(proptest::sample::select(b"{}[]\"\\ \nRecords:a".to_vec()), 0..200)) {
            let mut objects = Objects::new(&bytes[..]);
            let mut count = 0;
            while objects.next_piece().unwrap().is_some() {
                count += 1;
                assert!(count <= bytes.len());
            }
        }
    }
}
