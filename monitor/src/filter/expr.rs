//! A filter that was checked, as a tree.

use super::field::FieldInfo;
use super::glob::Glob;
use super::literal::Literal;

/// A condition. Lists of one kind hold any number of members, so only nesting makes it deep.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// Each holds; without any: true.
    All(Vec<Self>),
    /// At least one holds; without any: false.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// One field.
    Test(Test),
}

/// A condition on one field. Of a list it holds when it holds for one of its members; of a field that is not
/// there it never holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    pub(crate) field: &'static FieldInfo,
    pub(crate) check: Check,
}

/// What of the field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Check {
    /// It is there.
    Present,
    Equal(Literal),
    /// Not equal, or not there.
    Unequal(Literal),
    Less(Literal),
    AtMost(Literal),
    More(Literal),
    AtLeast(Literal),
    /// One of these.
    In(Vec<Literal>),
    Matches(Glob),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
}
