//! A filter as text, in one form whatever it was written like.

use std::fmt::{self, Display, Formatter};

use super::{Check, Expr, Filter, Literal, Test};

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) if parts.is_empty() => f.write_str("true"),
            Self::Any(parts) if parts.is_empty() => f.write_str("false"),
            Self::All(parts) => joined(f, parts, " and "),
            Self::Any(parts) => joined(f, parts, " or "),
            Self::Not(inner) => {
                f.write_str("not ")?;
                part(f, inner)
            }
            Self::Test(test) => test.fmt(f),
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Expr], between: &str) -> fmt::Result {
    for (at, one) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        part(f, one)?;
    }
    Ok(())
}

/// In parentheses, when it is of several parts.
fn part(f: &mut Formatter<'_>, expr: &Expr) -> fmt::Result {
    match expr {
        Expr::All(parts) | Expr::Any(parts) if !parts.is_empty() => write!(f, "({expr})"),
        _ => expr.fmt(f),
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.field.name;
        match &self.check {
            Check::Present => write!(f, "has({name})"),
            Check::Equal(value) => write!(f, "{name} == {value}"),
            Check::Unequal(value) => write!(f, "{name} != {value}"),
            Check::Less(value) => write!(f, "{name} < {value}"),
            Check::AtMost(value) => write!(f, "{name} <= {value}"),
            Check::More(value) => write!(f, "{name} > {value}"),
            Check::AtLeast(value) => write!(f, "{name} >= {value}"),
            Check::In(values) => match values.as_slice() {
                [one] if self.field.kind.is_list() => write!(f, "{one} in {name}"),
                [one @ Literal::Net(..)] => write!(f, "{name} in {one}"),
                _ => {
                    write!(f, "{name} in [")?;
                    for (at, value) in values.iter().enumerate() {
                        write!(f, "{}{value}", if at > 0 { ", " } else { "" })?;
                    }
                    f.write_str("]")
                }
            },
            Check::Matches(glob) => write!(f, "{name} matches {}", Quoted(glob.as_str())),
            Check::Contains(text) => write!(f, "{name} contains {}", Quoted(text)),
            Check::StartsWith(text) => write!(f, "{name} startsWith {}", Quoted(text)),
            Check::EndsWith(text) => write!(f, "{name} endsWith {}", Quoted(text)),
        }
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Time(text, _) | Self::Net(text, _) => Quoted(text).fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Duration(text, _) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
        }
    }
}

/// A text in quotes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_ascii_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}
