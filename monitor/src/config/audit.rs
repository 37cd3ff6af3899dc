//! `[audit]`

use std::path::Path;

use super::Audit;
use super::diagnostic::Diagnostic;
use super::reader::Section;
use super::sections::{group_name, some_path};

pub(super) fn apply(
    audit: &mut Audit,
    mut section: Section<'_>,
    base: &Path,
    out: &mut Vec<Diagnostic>,
) {
    if let Some(enabled) = section.take("enabled", out) {
        audit.enabled = enabled;
    }
    if let Some(directory) = section.take_if("directory", out, some_path) {
        audit.directory = Some(base.join(directory));
    }
    if let Some(group) = section.take_if("group", out, group_name) {
        audit.group = Some(group);
    }
    section.finish(out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use crate::config::{Audit, parse};

    #[test]
    fn is_read_strictly() {
        let read = |text: &str| {
            parse(vec![(
                "/etc/bailiwick/bailiwick.toml".into(),
                text.to_owned(),
            )])
        };
        let audit = read("[audit]\nenabled = false\ndirectory = \"log\"\ngroup = \"auditors\"\n")
            .unwrap()
            .audit;
        let expected = Audit {
            enabled: false,
            directory: Some("/etc/bailiwick/log".into()),
            group: Some("auditors".to_owned()),
        };
        assert_eq!(audit, expected);
        assert_eq!(read("").unwrap().audit, Audit::default());
        for bad in [
            "[audit]\ngroup = \"a b\"\n",
            "[audit]\ndirectory = \"\"\n",
            "[audit]\nretention = 3\n",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
