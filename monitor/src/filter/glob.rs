//! Patterns of literal characters, `*` and `?`.

/// A pattern in which `*` stands for any run of characters and `?` for one. Matching takes at most pattern × text
/// steps and no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    text: Box<str>,
    plain: bool,
}

impl Glob {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            plain: !text.contains(['*', '?']),
        }
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        if self.plain {
            return *self.text == *text;
        }
        let (mut pattern, mut rest) = (self.text.chars(), text.chars());
        // Where to go on when what follows the last `*` does not match: it takes one more character.
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let (before, text_before) = (pattern.clone(), rest.clone());
            match pattern.next() {
                Some('*') => {
                    retry = Some((pattern.clone(), text_before));
                    continue;
                }
                Some(wanted) => match rest.next() {
                    Some(c) if wanted == '?' || wanted == c => continue,
                    Some(_) => {}
                    None => return before.clone().all(|c| c == '*'),
                },
                None if text_before.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after, from)) = retry.as_mut() else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            (pattern, rest) = (after.clone(), from.clone());
        }
    }
}
