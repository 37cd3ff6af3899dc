//! `[containment]` and `[[contain]]`.

use std::ops::Range;

use super::diagnostic::{Diagnostic, Place, position};
use super::load::within;
use super::reader::{Section, Source};
use super::{ContainRule, Containment};
use crate::contain::config::{MOST_PER_HOUR, MOST_RULES, never};

pub(super) fn apply(
    containment: &mut Containment,
    mut section: Section<'_>,
    out: &mut Vec<Diagnostic>,
) {
    if let Some(mode) = section.take("mode", out) {
        containment.mode = mode;
    }
    if let Some(most) = section.take_if("max_per_hour", out, within(1, MOST_PER_HOUR, "acts")) {
        containment.max_per_hour = most;
    }
    if let Some(list) = section.take_if("never", out, never) {
        containment.never = list;
    }
    section.finish(out);
}

pub(super) fn add(
    containment: &mut Containment,
    mut rule: ContainRule,
    source: Source<'_>,
    span: Range<usize>,
    out: &mut Vec<Diagnostic>,
) {
    let (line, column) = position(source.text, span.start);
    rule.place = Place {
        file: source.path.to_owned(),
        line,
        column,
    };
    if let Err((why, hint)) = rule.check() {
        out.push(source.error(why, span).hint(hint));
    } else if containment.rules.len() >= MOST_RULES {
        out.push(
            source
                .error(format!("more than {MOST_RULES} [[contain]]"), span)
                .hint("one rule can name several kinds, identities and environments"),
        );
    } else {
        containment.rules.push(rule);
    }
}

#[cfg(test)]
#[path = "contain_tests.rs"]
mod tests;
