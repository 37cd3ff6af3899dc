//! From tokens to a checked tree, by recursive descent of bounded depth.

use super::field::{self, FieldInfo, Kind, Subject};
use super::glob::Glob;
use super::lex::{Tok, Token, tokens};
use super::literal::Literal;
use super::{Check, Expr, FilterError, MAX_DEPTH, MAX_LENGTH, MAX_TESTS, Test};
use crate::suggest::nearest;

/// What may stand behind a field.
const WORDS: [&str; 7] = [
    "in",
    "matches",
    "contains",
    "startsWith",
    "endsWith",
    "and",
    "or",
];

/// Reads a filter.
pub(super) fn parse(text: &str, subject: Option<Subject>) -> Result<Expr, FilterError> {
    if text.len() > MAX_LENGTH {
        return Err(FilterError::new(
            text,
            0..0,
            format!(
                "a filter has at most {MAX_LENGTH} bytes, this one {}",
                text.len()
            ),
        ));
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        at: 0,
        tests: 0,
        subject,
    };
    if *parser.peek() == Tok::End {
        return Err(parser
            .error("the filter is empty")
            .hint("as in severity >= \"high\"; true lets everything through"));
    }
    let expr = parser.any(0)?;
    match parser.peek() {
        Tok::End => Ok(expr),
        Tok::Sign(")") => Err(parser.error("this parenthesis was never opened")),
        _ => Err(parser
            .error("the filter could have ended here")
            .hint("join conditions with and (&&) or or (||)")),
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
    tests: usize,
    subject: Option<Subject>,
}

type Parsed<T> = Result<T, FilterError>;

impl Parser<'_> {
    fn peek(&self) -> &Tok {
        self.tokens
            .get(self.at)
            .map_or(&Tok::End, |token| &token.what)
    }

    fn span(&self) -> std::ops::Range<usize> {
        let end = self.text.len();
        self.tokens
            .get(self.at)
            .map_or(end..end, |token| token.span.clone())
    }

    fn take(&mut self) -> Tok {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// Takes a sign or a word, if it is next.
    fn accept(&mut self, wanted: &str) -> bool {
        let there = match self.peek() {
            Tok::Sign(sign) => *sign == wanted,
            Tok::Word(word) => word == wanted,
            _ => false,
        };
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, sign: &str, what: &str) -> Parsed<()> {
        if self.accept(sign) {
            return Ok(());
        }
        Err(self.error(format!("here {what} is missing")))
    }

    fn error(&self, message: impl Into<String>) -> FilterError {
        FilterError::new(self.text, self.span(), message)
    }

    /// Counts a test or a member of a list.
    fn count(&mut self) -> Parsed<()> {
        self.tests += 1;
        if self.tests > MAX_TESTS {
            return Err(self.error(format!("more than {MAX_TESTS} conditions and values")));
        }
        Ok(())
    }

    fn any(&mut self, depth: usize) -> Parsed<Expr> {
        self.joined(depth, ["or", "||"], Expr::Any, Self::all)
    }

    fn all(&mut self, depth: usize) -> Parsed<Expr> {
        self.joined(depth, ["and", "&&"], Expr::All, Self::not)
    }

    /// One, or several between a word.
    fn joined(
        &mut self,
        depth: usize,
        [word, sign]: [&str; 2],
        join: fn(Vec<Expr>) -> Expr,
        part: fn(&mut Self, usize) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let first = part(self, depth)?;
        let mut rest = Vec::new();
        while self.accept(word) || self.accept(sign) {
            rest.push(part(self, depth)?);
        }
        if rest.is_empty() {
            return Ok(first);
        }
        rest.insert(0, first);
        Ok(join(rest))
    }

    fn not(&mut self, depth: usize) -> Parsed<Expr> {
        if depth >= MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} levels of nesting")));
        }
        if self.accept("not") || self.accept("!") {
            return Ok(Expr::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.accept("(") {
            let inner = self.any(depth + 1)?;
            self.expect(")", "a closing parenthesis")?;
            return Ok(inner);
        }
        self.count()?;
        self.condition()
    }

    fn condition(&mut self) -> Parsed<Expr> {
        let start = self.at;
        match self.take() {
            Tok::Word(word) if word == "true" => Ok(Expr::All(Vec::new())),
            Tok::Word(word) if word == "false" => Ok(Expr::Any(Vec::new())),
            Tok::Word(word) if word == "has" && *self.peek() == Tok::Sign("(") => {
                self.at += 1;
                let field = self.field()?;
                self.expect(")", "a closing parenthesis")?;
                Ok(test(field, Check::Present))
            }
            Tok::Word(_) => {
                self.at = start;
                self.comparison()
            }
            Tok::Text(_) if self.accept("in") => {
                let field = self.field()?;
                if !field.kind.is_list() {
                    self.at -= 1;
                    return Err(self
                        .error(format!("`{}` is no list", field.name))
                        .hint(format!("write {} contains \"…\"", field.name)));
                }
                let end = self.at;
                self.at = start;
                let literal = self.literal(field, false)?;
                self.at = end;
                Ok(test(field, Check::In(vec![literal])))
            }
            other => {
                self.at = start;
                Err(match other {
                    Tok::End => self.error("here a condition is missing"),
                    Tok::Text(_) | Tok::Number(..) => self
                        .error("a condition begins with a field")
                        .hint("as in severity >= \"high\", or \"duty\" in findings"),
                    _ => self.error("here a field is expected"),
                })
            }
        }
    }

    /// A name of a field, without what is called on it.
    fn field(&mut self) -> Parsed<&'static FieldInfo> {
        let Tok::Word(name) = self.peek().clone() else {
            return Err(self.error("here the name of a field is missing"));
        };
        let found = self.lookup(&name)?;
        self.at += 1;
        Ok(found)
    }

    fn lookup(&self, name: &str) -> Parsed<&'static FieldInfo> {
        let Some(found) = field::find(name) else {
            let among = || field::names(self.subject);
            let error = self.error(format!("unknown field `{name}`"));
            return Err(match nearest(name, among()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("docs/filter.md lists the fields"),
            });
        };
        match self.subject {
            Some(subject) if !found.is_of(subject) => Err(self.error(format!(
                "`{name}` is a field of {}, not of {}",
                found.subjects(),
                subject.plural()
            ))),
            _ => Ok(found),
        }
    }

    fn comparison(&mut self) -> Parsed<Expr> {
        if let Some(called) = self.method()? {
            return Ok(called);
        }
        let field = self.field()?;
        let operator = match self.peek() {
            Tok::Sign(sign @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) => (*sign).to_owned(),
            Tok::Word(word) if !["and", "or"].contains(&word.as_str()) => word.clone(),
            _ if field.kind == Kind::Bool => {
                return Ok(test(field, Check::Equal(Literal::Bool(true))));
            }
            _ => {
                return Err(self
                    .error(format!("here a comparison of `{}` is missing", field.name))
                    .hint(format!("has({}) asks whether it is there", field.name)));
            }
        };
        self.compare(field, &operator)
    }

    /// `x.startsWith("…")`, as CEL writes it.
    fn method(&mut self) -> Parsed<Option<Expr>> {
        let Tok::Word(word) = self.peek().clone() else {
            return Ok(None);
        };
        let called = self.tokens.get(self.at + 1).map(|token| &token.what);
        let Some((name, method)) = word
            .rsplit_once('.')
            .filter(|_| called == Some(&Tok::Sign("(")))
        else {
            return Ok(None);
        };
        let field = self.lookup(name)?;
        if !["matches", "contains", "startsWith", "endsWith"].contains(&method) {
            return Err(self
                .error(format!("nothing is called `{method}`"))
                .hint("matches, contains, startsWith and endsWith are"));
        }
        self.at += 2;
        let check = self.text_check(field, method)?;
        self.expect(")", "a closing parenthesis")?;
        Ok(Some(test(field, check)))
    }

    fn compare(&mut self, field: &'static FieldInfo, operator: &str) -> Parsed<Expr> {
        let place = self.at;
        self.at += 1;
        if matches!(operator, "==" | "!=") && self.accept("null") {
            let present = test(field, Check::Present);
            return Ok(match operator {
                "==" => Expr::Not(Box::new(present)),
                _ => present,
            });
        }
        let check = match operator {
            "==" | "!=" if field.kind.is_list() => {
                self.at = place;
                return Err(self
                    .error(format!("`{}` is a list", field.name))
                    .hint(format!("write \"…\" in {}", field.name)));
            }
            "==" => Check::Equal(self.literal(field, false)?),
            "!=" => Check::Unequal(self.literal(field, false)?),
            "<" | "<=" | ">" | ">=" => {
                if !field.kind.is_ordered() {
                    self.at = place;
                    return Err(self
                        .error(format!("`{}` has no order", field.name))
                        .hint("numbers, durations, times and severity have"));
                }
                let value = self.literal(field, false)?;
                match operator {
                    "<" => Check::Less(value),
                    "<=" => Check::AtMost(value),
                    ">" => Check::More(value),
                    _ => Check::AtLeast(value),
                }
            }
            "in" => Check::In(self.members(field)?),
            "matches" | "contains" | "startsWith" | "endsWith" => {
                self.text_check(field, operator)?
            }
            other => {
                self.at = place;
                let error = self.error(format!("`{other}` compares nothing"));
                return Err(match nearest(other, WORDS) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => {
                        error.hint("== != < <= > >= in matches contains startsWith endsWith do")
                    }
                });
            }
        };
        Ok(test(field, check))
    }

    /// What follows `in`.
    fn members(&mut self, field: &'static FieldInfo) -> Parsed<Vec<Literal>> {
        if matches!(self.peek(), Tok::Text(_)) {
            if field.kind != Kind::Address {
                return Err(self
                    .error(format!("`{}` is in no network", field.name))
                    .hint("write a list: [\"…\", \"…\"]"));
            }
            return Ok(vec![self.literal(field, true)?]);
        }
        self.expect("[", "a list in brackets")?;
        let mut members = Vec::new();
        while !self.accept("]") {
            if !members.is_empty() {
                self.expect(",", "a comma or the closing bracket")?;
            }
            self.count()?;
            members.push(self.literal(field, true)?);
        }
        Ok(members)
    }

    /// What follows `matches`, `contains` …
    fn text_check(&mut self, field: &'static FieldInfo, operator: &str) -> Parsed<Check> {
        if !field.kind.is_text() {
            self.at -= 1;
            return Err(self.error(format!("`{}` is no text", field.name)));
        }
        if operator == "contains" && field.kind.is_list() {
            return Ok(Check::In(vec![self.literal(field, false)?]));
        }
        let Tok::Text(text) = self.peek().clone() else {
            return Err(self
                .error("here a text is missing")
                .hint("texts stand in quotes"));
        };
        self.at += 1;
        Ok(match operator {
            "matches" => Check::Matches(Glob::new(&field.folded(&text))),
            "contains" => Check::Contains(field.folded(&text)),
            "startsWith" => Check::StartsWith(field.folded(&text)),
            _ => Check::EndsWith(field.folded(&text)),
        })
    }

    fn literal(&mut self, field: &'static FieldInfo, in_network: bool) -> Parsed<Literal> {
        let literal = Literal::read(self.peek(), field, in_network);
        match literal {
            _ if matches!(self.peek(), Tok::End) => Err(self.error("here a value is missing")),
            Ok(Literal::Text(text)) => {
                self.at += 1;
                Ok(Literal::Text(field.folded(&text)))
            }
            Ok(literal) => {
                self.at += 1;
                Ok(literal)
            }
            Err((message, hint)) => {
                let error = self.error(message);
                Err(match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                })
            }
        }
    }
}

fn test(field: &'static FieldInfo, check: Check) -> Expr {
    Expr::Test(Test { field, check })
}
