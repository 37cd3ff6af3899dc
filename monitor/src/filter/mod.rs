//! The filter language: expressions over the named fields of accesses, alerts and identities, the same for
//! `tail`, `alerts`, `identities`, `top`, the page, the control protocol and the routing of webhooks. docs/filter.md
//! is its description.
//!
//! The syntax is a subset of CEL's (`&&`, `||`, `!`, `==`, `in`, `has(…)`, `x.startsWith("…")`), so that
//! people know it, with words (`and`, `or`, `not`, `x startsWith "…"`) for those who type on a shell, where `!`
//! and `&` cost quotes. It is a parser of our own and not a CEL crate: those bring the whole language (macros,
//! arithmetic, user functions, regular expressions), whose running time a text can choose, and know neither our
//! fields nor their units, so a mistyped field would be found when it is evaluated instead of when it is
//! written. Here a text of at most [`MAX_LENGTH`] bytes becomes at most [`MAX_TESTS`] tests, nested at most
//! [`MAX_DEPTH`] deep; each test costs at most pattern × text steps; nothing is evaluated that was not checked.
//!
//! Pure: no I/O, no clock, no panic on any input.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod error;
mod eval;
mod expr;
pub mod field;
mod glob;
mod lex;
mod literal;
mod parse;
mod print;
mod records;
#[cfg(test)]
mod tests;

pub use error::FilterError;
pub(crate) use expr::{Check, Expr, Test};
pub use field::Subject;
pub(crate) use glob::Glob;
pub(crate) use literal::Literal;
pub(crate) use records::severity;
#[cfg(test)]
pub(crate) use records::without_port;

/// Longest text of a filter, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// Most tests and list members of a filter that is written as a text.
pub const MAX_TESTS: usize = 256;
/// Deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 32;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text; also a time (RFC 3339).
    Text(&'a str),
    /// A number, in the unit that the field's name ends with.
    Number(f64),
    /// True or false; true also for an object that is there.
    Bool(bool),
    /// Several texts.
    List(Vec<&'a str>),
}

/// What has fields.
pub trait Fields {
    /// The value of a field by its name in JSON (see [`field`]); `None` when it has none.
    fn get(&self, name: &str) -> Option<Value<'_>>;
}

/// A filter that was checked. The default lets everything through. `Display` writes it so that it parses to the
/// same.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    expr: Expr,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            expr: Expr::All(Vec::new()),
        }
    }
}

impl Filter {
    /// Parses a filter over the fields of accesses, alerts and identities; a field that a record does not have is
    /// not there.
    ///
    /// # Errors
    /// It cannot be read, names an unknown field, or compares with what that field never is; says where.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text, None).map(|expr| Self { expr })
    }

    /// Parses a filter over the fields of one sort of records.
    ///
    /// # Errors
    /// As [`Self::parse`], and when a field is another sort's.
    pub fn parse_for(subject: Subject, text: &str) -> Result<Self, FilterError> {
        parse::parse(text, Some(subject)).map(|expr| Self { expr })
    }

    /// All of these must let a record through.
    #[must_use]
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<Expr> = filters
            .into_iter()
            .filter(|filter| !filter.is_empty())
            .map(|filter| filter.expr)
            .collect();
        let expr = match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                parts.push(last);
                Expr::All(parts)
            }
            (None, _) => Expr::All(parts),
        };
        Self { expr }
    }

    pub(crate) fn from_expr(expr: Expr) -> Self {
        Self { expr }
    }

    /// Whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.expr, Expr::All(parts) if parts.is_empty())
    }

    /// Whether it lets a record through.
    #[must_use]
    pub fn matches(&self, record: &impl Fields) -> bool {
        self.expr.holds(record)
    }
}
