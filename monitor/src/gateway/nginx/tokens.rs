//! The syntax of nginx: words, quotes, comments, blocks.

use std::rc::Rc;

/// Deepest nesting of blocks.
const DEEPEST: usize = 32;

/// Most directives of all files together.
pub(super) const MOST_DIRECTIVES: usize = 200_000;

/// One directive with its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// File it stands in.
    pub file: Rc<str>,
    /// Line from 1.
    pub line: usize,
    /// Name.
    pub name: String,
    /// Words after it.
    pub words: Vec<String>,
    /// What stands between its braces.
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    pub(super) fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    pub(super) fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct SyntaxError {
    /// File.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: &'static str,
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
}

struct Lexer<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
}

impl Lexer<'_> {
    fn next_char(&mut self) -> Option<char> {
        let c = self.rest.next();
        if c == Some('\n') {
            self.line += 1;
        }
        c
    }

    fn token(&mut self) -> Result<Option<Token>, &'static str> {
        loop {
            match self.rest.peek() {
                None => return Ok(None),
                Some(c) if c.is_ascii_whitespace() => _ = self.next_char(),
                Some('#') => while self.next_char().is_some_and(|c| c != '\n') {},
                Some(_) => break,
            }
        }
        match self.rest.peek().copied() {
            Some(';') => {
                self.next_char();
                Ok(Some(Token::End))
            }
            Some('{') => {
                self.next_char();
                Ok(Some(Token::Open))
            }
            Some('}') => {
                self.next_char();
                Ok(Some(Token::Close))
            }
            Some(quote @ ('"' | '\'')) => {
                self.next_char();
                let word = self.quoted(quote)?;
                match self.rest.peek() {
                    None | Some(';' | '{' | ')') => {}
                    Some(c) if c.is_ascii_whitespace() => {}
                    Some(_) => return Err("text right after a quoted word"),
                }
                Ok(Some(Token::Word(word)))
            }
            _ => Ok(Some(Token::Word(self.plain()?))),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let mut word = String::new();
        while let Some(c) = self.next_char() {
            match c {
                '\\' => self.escaped(&mut word)?,
                c if c == quote => return Ok(word),
                c => word.push(c),
            }
        }
        Err("a quote that does not end")
    }

    /// What follows a backslash: a quote, a backslash or a control character; else both stay.
    fn escaped(&mut self, word: &mut String) -> Result<(), &'static str> {
        match self.next_char() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => {
                word.push('\\');
                word.push(c);
            }
            None => return Err("the file ends after a backslash"),
        }
        Ok(())
    }

    /// A word ends at white space, `;` or `{` (but `${name}` goes on).
    fn plain(&mut self) -> Result<String, &'static str> {
        let mut word = String::new();
        while let Some(c) = self.rest.peek().copied() {
            match c {
                c if c.is_ascii_whitespace() => break,
                ';' => break,
                '{' if !word.ends_with('$') => break,
                '\\' => {
                    self.next_char();
                    self.escaped(&mut word)?;
                }
                c => {
                    word.push(c);
                    self.next_char();
                }
            }
        }
        Ok(word)
    }
}

struct Open {
    line: usize,
    name: String,
    words: Vec<String>,
    inside: Vec<Directive>,
}

/// Reads one file's directives. `include` is one of them.
///
/// # Errors
/// The first place that is no syntax of nginx, or beyond the bounds.
pub fn parse(file: &str, text: &str) -> Result<Vec<Directive>, SyntaxError> {
    let file: Rc<str> = file.into();
    let mut lexer = Lexer {
        rest: text.chars().peekable(),
        line: 1,
    };
    let mut open: Vec<Open> = Vec::new();
    let mut top: Vec<Directive> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut line = 1;
    let mut count = 0_usize;
    loop {
        let fail = |line, problem| SyntaxError {
            file: file.to_string(),
            line,
            problem,
        };
        let token = match lexer.token() {
            Ok(Some(token)) => token,
            Ok(None) => break,
            Err(problem) => return Err(fail(lexer.line, problem)),
        };
        if words.is_empty() {
            line = lexer.line;
        }
        match token {
            Token::Word(word) => {
                words.push(word);
                continue;
            }
            Token::End | Token::Open if words.is_empty() => {
                return Err(fail(lexer.line, "a directive without a name"));
            }
            Token::Close if !words.is_empty() => {
                return Err(fail(lexer.line, "`}` where `;` is missing"));
            }
            _ => {}
        }
        count += 1;
        if count > MOST_DIRECTIVES {
            return Err(fail(lexer.line, "too many directives"));
        }
        let done = match token {
            Token::Open => {
                if open.len() >= DEEPEST {
                    return Err(fail(lexer.line, "nested too deeply"));
                }
                let name = if words.is_empty() {
                    String::new()
                } else {
                    words.remove(0)
                };
                open.push(Open {
                    line,
                    name,
                    words: std::mem::take(&mut words),
                    inside: Vec::new(),
                });
                continue;
            }
            Token::Close => {
                let Some(block) = open.pop() else {
                    return Err(fail(lexer.line, "`}` without `{`"));
                };
                Directive {
                    file: file.clone(),
                    line: block.line,
                    name: block.name,
                    words: block.words,
                    block: Some(block.inside),
                }
            }
            Token::End | Token::Word(_) => {
                let name = words.remove(0);
                Directive {
                    file: file.clone(),
                    line,
                    name,
                    words: std::mem::take(&mut words),
                    block: None,
                }
            }
        };
        match open.last_mut() {
            Some(block) => block.inside.push(done),
            None => top.push(done),
        }
    }
    if let Some(block) = open.last() {
        return Err(SyntaxError {
            file: file.to_string(),
            line: block.line,
            problem: "a block that does not end",
        });
    }
    if !words.is_empty() {
        return Err(SyntaxError {
            file: file.to_string(),
            line,
            problem: "a directive without `;`",
        });
    }
    Ok(top)
}
