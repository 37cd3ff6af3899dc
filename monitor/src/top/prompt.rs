//! One line that is typed.

/// Longest line, in bytes; as long as the longest filter.
const LONGEST: usize = crate::filter::MAX_LENGTH;

/// What is typed, and for what.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// What for.
    pub ask: Ask,
    /// What was typed.
    pub text: String,
    /// Characters in front of the cursor.
    pub cursor: usize,
    /// What is wrong with it: lines that are quoted already.
    pub wrong: Vec<String>,
}

/// What a line is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A filter of the list in view.
    Filter,
    /// A note on the alert of this id, which is acknowledged with it.
    Note(String),
    /// Until when the alert of this id is muted.
    Until(String),
}

impl Prompt {
    /// Begins with a text.
    #[must_use]
    pub fn new(ask: Ask, text: &str) -> Self {
        Self {
            ask,
            text: text.to_owned(),
            cursor: text.chars().count(),
            wrong: Vec::new(),
        }
    }

    fn byte(&self, characters: usize) -> usize {
        self.text
            .char_indices()
            .nth(characters)
            .map_or(self.text.len(), |(at, _)| at)
    }

    /// Inserts a character. Controls are left out.
    pub fn insert(&mut self, c: char) {
        if c.is_control() || self.text.len() + c.len_utf8() > LONGEST {
            return;
        }
        self.wrong.clear();
        self.text.insert(self.byte(self.cursor), c);
        self.cursor += 1;
    }

    /// Removes the character in front of the cursor.
    pub fn backspace(&mut self) {
        if self.cursor > 0 {
            self.cursor -= 1;
            self.delete();
        }
    }

    /// Removes the character behind the cursor.
    pub fn delete(&mut self) {
        self.wrong.clear();
        if self.cursor < self.text.chars().count() {
            self.text.remove(self.byte(self.cursor));
        }
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.wrong.clear();
        self.text.clear();
        self.cursor = 0;
    }

    /// Moves the cursor.
    pub fn go(&mut self, by: isize) {
        let count = self.text.chars().count();
        self.cursor = self.cursor.saturating_add_signed(by).min(count);
    }
}
