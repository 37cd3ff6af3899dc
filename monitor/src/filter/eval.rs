//! Whether a record passes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::{IpAddr, SocketAddr};

use super::field::{FieldInfo, Kind};
use super::literal::rank;
use super::{Check, Expr, Fields, Literal, Test, Value};

impl Expr {
    /// Whether it holds. As deep as the filter is nested.
    pub(super) fn holds(&self, record: &impl Fields) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(record)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(record)),
            Self::Not(inner) => !inner.holds(record),
            Self::Test(test) => test.holds(record.get(test.field.name)),
        }
    }
}

impl Test {
    fn holds(&self, value: Option<Value<'_>>) -> bool {
        if let Check::Unequal(literal) = &self.check {
            return !value.is_some_and(|value| equal(self.field, &value, literal));
        }
        let Some(value) = value else { return false };
        match value {
            Value::List(items) if self.check == Check::Present => !items.is_empty(),
            Value::List(items) => items.into_iter().any(|item| self.one(&Value::Text(item))),
            one => self.one(&one),
        }
    }

    /// Of one value that is there.
    fn one(&self, value: &Value<'_>) -> bool {
        let text = || match value {
            Value::Text(text) if self.field.kind.is_folded() => Cow::Owned(text.to_lowercase()),
            Value::Text(text) => Cow::Borrowed(*text),
            _ => Cow::Borrowed(""),
        };
        let order = |literal| compare(self.field, value, literal);
        match &self.check {
            Check::Present => true,
            Check::Equal(literal) => equal(self.field, value, literal),
            Check::Unequal(literal) => !equal(self.field, value, literal),
            Check::Less(literal) => order(literal) == Some(Ordering::Less),
            Check::AtMost(literal) => order(literal).is_some_and(Ordering::is_le),
            Check::More(literal) => order(literal) == Some(Ordering::Greater),
            Check::AtLeast(literal) => order(literal).is_some_and(Ordering::is_ge),
            Check::In(literals) => literals
                .iter()
                .any(|literal| equal(self.field, value, literal)),
            Check::Matches(glob) => glob.matches(&text()),
            Check::Contains(part) => text().contains(&**part),
            Check::StartsWith(start) => text().starts_with(&**start),
            Check::EndsWith(end) => text().ends_with(&**end),
        }
    }
}

fn equal(field: &FieldInfo, value: &Value<'_>, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::Text(value), Literal::Net(_, network)) => {
            address(value).is_some_and(|address| network.contains(&address))
        }
        (Value::Text(value), Literal::Text(text)) if field.kind.is_folded() => {
            value.to_lowercase() == *text
        }
        (Value::Text(value), Literal::Text(text) | Literal::Time(_, text)) => *value == *text,
        (Value::Bool(value), Literal::Bool(wanted)) => value == wanted,
        (Value::Number(_), _) => compare(field, value, literal) == Some(Ordering::Equal),
        _ => false,
    }
}

fn compare(field: &FieldInfo, value: &Value<'_>, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (Value::Number(value), Literal::Number(number) | Literal::Duration(_, number)) => {
            value.partial_cmp(number)
        }
        (Value::Text(value), Literal::Text(text)) if field.kind == Kind::Severity => {
            Some(rank(value)?.cmp(&rank(text)?))
        }
        // Times of one form compare as text.
        (Value::Text(value), Literal::Time(_, text)) => Some((**value).cmp(&**text)),
        _ => None,
    }
}

/// The address of `203.0.113.7:443`, `[2001:db8::1]:443` or of either without a port.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<SocketAddr>()
        .map(|address| address.ip())
        .or_else(|_| text.parse::<IpAddr>())
        .ok()
        .map(|address| address.to_canonical())
}
