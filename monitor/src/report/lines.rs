//! Text for a terminal of a given width. Whatever came from elsewhere is quoted before it gets here.

/// Narrowest and widest that is written for.
const WIDTHS: (usize, usize) = (40, 120);

/// Lines.
#[derive(Debug)]
pub(crate) struct Lines {
    width: usize,
    lines: Vec<String>,
}

impl Lines {
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width: width.clamp(WIDTHS.0, WIDTHS.1),
            lines: Vec::new(),
        }
    }

    pub(crate) fn finish(self) -> Vec<String> {
        self.lines
    }

    /// A heading, an empty line before it.
    pub(crate) fn heading(&mut self, text: &str) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.hang("", text);
    }

    /// Text behind `lead`, its further lines as far in as the lead is wide.
    pub(crate) fn hang(&mut self, lead: &str, text: &str) {
        let indent = " ".repeat(width_of(lead));
        let mut line = lead.to_owned();
        let mut empty = true;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            for piece in pieces(word, self.width.saturating_sub(indent.len()).max(8)) {
                let gap = usize::from(!empty);
                if !empty && width_of(&line) + gap + width_of(&piece) > self.width {
                    self.push(std::mem::replace(&mut line, indent.clone()));
                    empty = true;
                }
                if !empty {
                    line.push(' ');
                }
                line.push_str(&piece);
                empty = false;
            }
        }
        self.push(line);
    }

    /// A name in a column, and text behind it.
    pub(crate) fn row(&mut self, indent: usize, name: &str, column: usize, text: &str) {
        let lead = format!("{}{name}", " ".repeat(indent));
        let wide = indent + column;
        if width_of(&lead) > wide {
            self.hang(&" ".repeat(indent), name);
            self.hang(&" ".repeat(wide + 2), text);
        } else {
            let gap = " ".repeat(wide - width_of(&lead) + 2);
            self.hang(&format!("{lead}{gap}"), text);
        }
    }

    /// A line that must stay one, however long.
    pub(crate) fn whole(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    fn push(&mut self, mut line: String) {
        line.truncate(line.trim_end().len());
        self.lines.push(line);
    }
}

fn width_of(text: &str) -> usize {
    text.chars().count()
}

/// A word in pieces that fit a line.
fn pieces(word: &str, most: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars
        .chunks(most)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wraps_and_hangs() {
        let mut lines = Lines::new(40);
        lines.heading("Heading");
        lines.row(
            2,
            "name",
            6,
            "words that go on and on until they need another line",
        );
        lines.row(2, "much-too-long", 6, "words");
        insta::assert_snapshot!(lines.finish().join("\n"), @"
        Heading
          name    words that go on and on until
                  they need another line
          much-too-long
                  words
        ");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_wide(
            text in "[a-zé ]{0,300}|[a-z]{0,200}", name in "[a-z]{0,60}", width in 0_usize..200
        ) {
            let mut lines = Lines::new(width);
            lines.row(2, &name, 14, &text);
            let lines = lines.finish();
            let most = width.clamp(40, 120);
            for line in &lines {
                prop_assert!(line.chars().count() <= most, "{line}");
            }
            let said: String = lines.concat().split(' ').collect();
            let expected: String = format!("{name}{text}").split(' ').collect();
            prop_assert_eq!(said, expected);
        }
    }
}
