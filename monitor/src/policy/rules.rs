//! Rules over several accesses: validated and kept with the policy. Judging them needs memory of what
//! happened before.

use std::sync::Arc;
use std::time::Duration;

use super::compile::{Compiler, Table};
use super::error::Place;
use super::identity::{DutyId, MOST_DUTIES};
use super::model::{ApproveForm, SeparateForm};
use super::pattern::Operation;
use super::reader::Written;
use crate::suggest::did_you_mean;

/// `[[separate]]`: duties that one subject must not combine.
#[derive(Clone, Debug)]
pub struct Separation {
    /// Two or more.
    pub duties: Box<[DutyId]>,
    /// The capture that tells objects apart; every operation of the duties has it. Without it the duties
    /// must not be held together at all.
    pub on: Option<Arc<str>>,
    /// How long what was done counts; always given when `on` is. Without, 30 days.
    pub within: Option<Duration>,
    /// Where it is defined.
    pub place: Place,
}

/// `[[approve]]`: a duty that needs another subject's act before it.
#[derive(Clone, Debug)]
pub struct Approval {
    /// What needs an approval.
    pub duty: DutyId,
    /// The duty whose use is the approval.
    pub by: DutyId,
    /// Who counts as another.
    pub distinct: Distinct,
    /// How long an approval counts.
    pub within: Duration,
    /// Where it is defined.
    pub place: Place,
}

/// What must differ between the one who acts and the one who approves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinct {
    /// The owners: two keys of one human are one subject.
    Owner,
    /// The identities.
    Identity,
}

impl Compiler<'_> {
    pub(super) fn separation(&mut self, form: &SeparateForm, place: &Place) {
        let Some(list) = &form.duties else { return };
        let key = format!("{}.duties", form.key);
        let duties: Vec<DutyId> = self.resolve(list, &key, Table::Duties);
        if duties.len() < 2 && duties.len() == list.value.len() {
            let hint = "name the duties that one subject must not combine, two or more";
            self.out.error(
                &list.place,
                &key,
                "less than two duties",
                Some(hint.to_owned()),
            );
        }
        let within = self.duration(form.within.as_ref(), &format!("{}.within", form.key));
        if let (Some(on), None) = (&form.on, &form.within) {
            let hint = "add within = \"30d\": how long what was done to an object is remembered";
            self.out.error(
                &on.place,
                &form.key,
                "on without within",
                Some(hint.to_owned()),
            );
        }
        if duties.len() > MOST_DUTIES {
            let problem = format!("{} duties are too many", duties.len());
            let hint = format!("at most {MOST_DUTIES}: make several rules of it");
            self.out.error(place, &key, problem, Some(hint));
        }
        if let Some(on) = &form.on {
            self.captured(on, &duties, &format!("{}.on", form.key));
        }
        self.policy.separations.push(Separation {
            duties: duties.into(),
            on: form.on.as_ref().map(|on| on.value.as_str().into()),
            within,
            place: place.clone(),
        });
    }

    /// Every operation of the duties must name the object.
    fn captured(&mut self, on: &Written<String>, duties: &[DutyId], key: &str) {
        for id in duties {
            let Some(duty) = self.policy.duty(*id) else {
                continue;
            };
            let lacks = |operation: &&Operation| !operation.captures().any(|c| **c == *on.value);
            if let Some(operation) = duty.operations.iter().find(lacks) {
                let problem = format!(
                    "`{}` of duty {} has no {{{}}}",
                    operation.text(),
                    duty.name,
                    on.value
                );
                let captures: Vec<String> = operation.captures().map(ToString::to_string).collect();
                let hint = did_you_mean(&on.value, captures.iter().map(String::as_str))
                    .unwrap_or_else(|| {
                        "every operation of these duties must capture it".to_owned()
                    });
                self.out.error(&on.place, key, problem, Some(hint));
            }
        }
    }

    pub(super) fn approval(&mut self, form: &ApproveForm, place: &Place) {
        let duty = self.one_duty(form.duty.as_ref(), &format!("{}.duty", form.key));
        let by = self.one_duty(form.by.as_ref(), &format!("{}.by", form.key));
        let within = self.duration(form.within.as_ref(), &format!("{}.within", form.key));
        let distinct = match form.distinct.as_ref().map(|d| (d.value.as_str(), d)) {
            None | Some(("owner", _)) => Distinct::Owner,
            Some(("identity", _)) => Distinct::Identity,
            Some((other, written)) => {
                let hint = did_you_mean(other, ["owner", "identity"])
                    .unwrap_or_else(|| "it is \"owner\" or \"identity\"".to_owned());
                let key = format!("{}.distinct", form.key);
                self.out.error(
                    &written.place,
                    key,
                    format!("unknown value `{other}`"),
                    Some(hint),
                );
                Distinct::Owner
            }
        };
        let (Some(duty), Some(by)) = (duty, by) else {
            return;
        };
        if duty == by {
            let hint = "an approval is another duty than the one that needs it";
            self.out.error(
                place,
                &form.key,
                "a duty cannot approve itself",
                Some(hint.to_owned()),
            );
        }
        if let Some(within) = within {
            self.policy.approvals.push(Approval {
                duty,
                by,
                distinct,
                within,
                place: place.clone(),
            });
        }
    }

    fn one_duty(&mut self, name: Option<&Written<String>>, key: &str) -> Option<DutyId> {
        let name = name?;
        let found = self.duties.get(name.value.as_str()).copied();
        if found.is_none() {
            self.unknown(name, key, Table::Duties);
        }
        found
    }

    fn duration(&mut self, text: Option<&Written<String>>, key: &str) -> Option<Duration> {
        let text = text?;
        let found = parse_duration(&text.value);
        if found.is_none() {
            let hint = "a duration is a number and s, m, h, d or w: \"90s\", \"1h\", \"30d\"";
            let problem = format!("`{}` is no duration", text.value);
            self.out
                .error(&text.place, key, problem, Some(hint.to_owned()));
        }
        found
    }
}

/// `90s`, `15m`, `1h`, `30d`, `2w`; more than nothing.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let number = digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse::<u64>().ok())??;
    number
        .checked_mul(unit)
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("15m", Some(900)),
            ("1h", Some(3600)),
            ("30d", Some(2_592_000)),
            ("2w", Some(1_209_600)),
            ("0s", None),
            ("1", None),
            ("h", None),
            ("", None),
            ("1.5h", None),
            ("+1h", None),
            ("1 h", None),
            ("1y", None),
            ("99999999999999999999w", None),
            ("18446744073709551615w", None),
        ] {
            assert_eq!(
                parse_duration(text),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
    }
}
