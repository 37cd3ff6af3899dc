//! Whether two workload selectors can mean the same workload.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::workload::{Kind, WorkloadSelector, glob};

/// Longer patterns than this are only compared as they stand. No name that they mean is as long.
const LONGEST: usize = 1024;

impl WorkloadSelector {
    /// A workload that both mean, as a selector without `*`; `None` when there is none. Selectors of different
    /// kinds look at different properties: whether one process can have both is not known, and not
    /// said.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<String> {
        if self.kind != other.kind {
            return None;
        }
        let (a, b) = (&*self.pattern, &*other.pattern);
        let common = match self.kind {
            // Beginnings of an id.
            Kind::Container if a.starts_with(b) => a.to_owned(),
            Kind::Container if b.starts_with(a) => b.to_owned(),
            Kind::Container => return None,
            Kind::Unit | Kind::Exe | Kind::User => common(a, b)?,
        };
        let shown = Self {
            kind: self.kind,
            pattern: common.into(),
        };
        Some(shown.to_string())
    }

    /// Whether it means the user of that name; not when it is about something else.
    pub(crate) fn means_user(&self, name: &str) -> bool {
        self.kind == Kind::User && glob(&self.pattern, name)
    }
}

/// How far two patterns are read.
type Place = (usize, usize);

/// A shortest text that both patterns match, not empty. Time and room: product of the lengths.
fn common(a: &str, b: &str) -> Option<String> {
    if a.len() > LONGEST || b.len() > LONGEST {
        return (a == b).then(|| a.to_owned());
    }
    let (left, right) = (a.as_bytes(), b.as_bytes());
    // Breadth first over places in both patterns; from where each was reached, and by which byte.
    let mut from: HashMap<Place, (Place, Option<u8>)> = HashMap::new();
    let mut now = VecDeque::from([(0, 0)]);
    while let Some(at) = now.pop_front() {
        let (i, j) = at;
        let mut go = |to: (usize, usize), byte: Option<u8>| {
            if to != (0, 0) && !from.contains_key(&to) {
                from.insert(to, (at, byte));
                now.push_back(to);
            }
        };
        match (left.get(i).copied(), right.get(j).copied()) {
            (None, None) => break,
            (l, r) => {
                if l == Some(b'*') {
                    go((i + 1, j), None);
                }
                if r == Some(b'*') {
                    go((i, j + 1), None);
                }
                match (l, r) {
                    (Some(b'*'), Some(byte)) if byte != b'*' => go((i, j + 1), Some(byte)),
                    (Some(byte), Some(b'*')) if byte != b'*' => go((i + 1, j), Some(byte)),
                    (Some(l), Some(r)) if l == r && l != b'*' => go((i + 1, j + 1), Some(l)),
                    _ => {}
                }
            }
        }
    }
    let mut at = (left.len(), right.len());
    let mut bytes = Vec::new();
    while at != (0, 0) {
        let (before, byte) = from.get(&at)?;
        bytes.extend(*byte);
        at = *before;
    }
    bytes.reverse();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // Only stars: any text will do.
    Some(if text.is_empty() {
        "x".to_owned()
    } else {
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(a: &str, b: &str) -> Option<String> {
        let parse = |text| WorkloadSelector::parse(text).unwrap();
        parse(a).intersection(&parse(b))
    }

    #[test]
    fn names_a_workload_of_both() {
        for (a, b, want) in [
            ("unit:a.service", "unit:a.service", Some("unit:a.service")),
            ("unit:a.service", "unit:b.service", None),
            (
                "unit:run@*.service",
                "unit:run@7.service",
                Some("unit:run@7.service"),
            ),
            ("unit:*", "unit:*", Some("unit:x")),
            ("exe:/opt/*/bin/x", "exe:/opt/a/*", Some("exe:/opt/a/bin/x")),
            ("exe:/opt/*", "exe:/usr/*", None),
            ("user:ci-*", "user:*-bot", Some("user:ci-bot")),
            ("user:a", "unit:a.service", None),
            (
                "container:0123456789ab",
                "container:0123456789abcdef",
                Some("container:0123456789abcdef"),
            ),
            ("container:0123456789ab", "container:0123456789ac", None),
        ] {
            assert_eq!(both(a, b).as_deref(), want, "{a} {b}");
            assert_eq!(both(b, a).is_some(), want.is_some(), "{b} {a}");
        }
    }

    fn texts() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..6 {
            last = last
                .iter()
                .flat_map(|t| [format!("{t}a"), format!("{t}b")])
                .collect();
            all.extend(last.clone());
        }
        all.remove(0);
        all
    }

    proptest! {
        #[test]
        fn a_common_text_exists_iff_one_is_found(a in "[ab*]{1,5}", b in "[ab*]{1,5}") {
            let found = common(&a, &b);
            // Longer ones than the oracle's six letters are only tried for what they say.
            let oracle = texts().into_iter().any(|text| glob(&a, &text) && glob(&b, &text));
            if let Some(text) = &found {
                let usable = text.replace('x', "a");
                prop_assert!(glob(&a, &usable) && glob(&b, &usable), "{} {} {}", a, b, text);
            }
            if found.as_ref().is_none_or(|text| text.len() <= 6) {
                prop_assert_eq!(found.is_some(), oracle, "{} {}", a, b);
            }
        }
    }
}
