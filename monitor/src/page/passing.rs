//! `where` of a request: what of a view is asked for, in the filter language (docs/filter.md).
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use serde::Serialize;

use super::api::parameter;
use crate::filter::{Filter, FilterError, Subject};

/// What is wrong with a filter, and where: the page shows all four.
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    /// One line.
    message: String,
    /// The filter around the place, and carets under it.
    place: [String; 2],
    /// What to do.
    hint: Option<String>,
}

/// The filter that a query has; everything passes where it has none.
///
/// # Errors
/// `where` is no filter for that sort of records.
pub(super) fn asked(query: &str, subject: Subject) -> Result<Filter, FilterError> {
    let given = query.split('&').any(|pair| pair.starts_with("where="));
    match parameter(query, "where") {
        Some(text) if text.trim().is_empty() => Ok(Filter::default()),
        Some(text) => Filter::parse_for(subject, &text),
        // Not UTF-8: no filter is made of it, and what was asked for is not shown unfiltered.
        None if given => Filter::parse_for(subject, "\u{fffd}"),
        None => Ok(Filter::default()),
    }
}

/// As the page is told of it. The text is as it was written; what does not show itself is a dot.
pub(super) fn refused(error: &FilterError) -> Refused {
    Refused {
        message: error.message().to_owned(),
        place: error.caret(),
        hint: error.help().map(str::to_owned),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_asked_for_or_none() {
        let empty = |query: &str| asked(query, Subject::Access).unwrap().is_empty();
        assert!(empty(""));
        assert!(empty("where="));
        assert!(empty("where=%20"));
        assert!(!empty("x=1&where=identity+%3D%3D+%22a%22"));
        assert!(asked("where=%ff", Subject::Access).is_err(), "no UTF-8");
        let error = asked("where=clinet.unit+%3D%3D+%22x%22", Subject::Access).unwrap_err();
        let refused = refused(&error);
        assert!(refused.message.contains("clinet.unit"), "{refused:?}");
        assert_eq!(refused.place, ["clinet.unit == \"x\"", "^^^^^^^^^^^"]);
        assert!(refused.hint.unwrap().contains("client.unit"));
        assert!(asked("where=severity+%3D%3D+%22high%22", Subject::Access).is_err());
        assert!(asked("where=severity+%3D%3D+%22high%22", Subject::Alert).is_ok());
    }
}
