//! Which distribution this is.

use std::fs;

/// What /etc/os-release says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Distro {
    /// `debian`, `ubuntu` …
    pub(crate) id: String,
    /// What it derives from.
    pub(crate) like: String,
    /// For people.
    pub(crate) name: String,
}

impl Distro {
    /// This machine's.
    pub(crate) fn here() -> Self {
        let text = fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
            .unwrap_or_default();
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
                .unwrap_or_default()
        };
        let (id, name) = (value("ID"), value("PRETTY_NAME"));
        let name = match (name.is_empty(), id.is_empty()) {
            (false, _) => name,
            (true, false) => id.clone(),
            (true, true) => "an unnamed distribution".to_owned(),
        };
        Self {
            id,
            like: value("ID_LIKE"),
            name,
        }
    }

    /// Whether its packages are installed with apt-get and named as Debian names them.
    pub(crate) fn is_debian(&self) -> bool {
        std::iter::once(&*self.id)
            .chain(self.like.split_whitespace())
            .any(|id| id == "debian")
            || self.id == "ubuntu"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_what_derives_from_it() {
        let debian = Distro::parse(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n",
        );
        assert_eq!((&*debian.id, debian.is_debian()), ("debian", true));
        assert_eq!(debian.name, "Debian GNU/Linux 12 (bookworm)");
        assert!(Distro::parse("ID=ubuntu\nID_LIKE=debian\n").is_debian());
        assert!(Distro::parse("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n").is_debian());
        let fedora = Distro::parse("ID=fedora\nVERSION_ID=44\n");
        assert_eq!((fedora.is_debian(), &*fedora.name), (false, "fedora"));
        assert_eq!(Distro::parse("").name, "an unnamed distribution");
    }
}
