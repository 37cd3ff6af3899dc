//! The techniques of the drill, by theme. Each file is a table.

mod duties;
mod environments;
mod evasion;
mod exposure;
mod theft;
mod tokens;
mod unusual;

use std::borrow::Cow;
use std::time::Duration;

use super::technique::{BuiltIn, Card, Draft, Run, Technique};

/// A row of a table.
type Row = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    fn(&Run<'_>) -> Draft,
);

/// Time that a check may take which looks at files after it saw a credential used.
const SCAN: Duration = Duration::from_secs(15);
/// Time that a check may take which waits for accesses that come late (a minute) before it concludes that
/// one is missing.
pub(crate) const LATE: Duration = Duration::from_secs(75);
/// Time for a check that compares with what is usual.
const STATISTICS: Duration = Duration::from_secs(30);

/// Hours that go on now, or do not (`now` in seconds since 1970).
pub(crate) fn hours_now(now: i64, open: bool) -> &'static str {
    duties::hours(now.div_euclid(3600).rem_euclid(24), open)
}

/// All of them, in the order in which they run.
pub(crate) fn all() -> Vec<Box<dyn Technique>> {
    let mut all: Vec<Box<dyn Technique>> = Vec::new();
    for (rows, patience, loud) in [
        (tokens::ROWS, Duration::from_secs(5), false),
        (theft::ROWS, Duration::from_secs(5), false),
        (environments::ROWS, Duration::from_secs(5), false),
        (exposure::ROWS, Duration::from_secs(5), false),
        (exposure::AT_REST, SCAN, false),
        (duties::ROWS, Duration::from_secs(5), false),
        (evasion::ROWS, Duration::from_secs(5), false),
        (unusual::ROWS, STATISTICS, true),
        (evasion::LOUD, Duration::from_secs(10), true),
    ] {
        all.extend(rows.iter().map(|row| -> Box<dyn Technique> {
            let (name, what, attack, owasp, expects, draft) = *row;
            let card = Card {
                name: Cow::Borrowed(name),
                what: Cow::Borrowed(what),
                attack,
                owasp,
                expects,
            };
            Box::new(BuiltIn {
                patience: if card.is_late() { LATE } else { patience },
                card,
                loud,
                draft,
            })
        }));
    }
    all
}
