//! What the rules are told of the host, read elsewhere.

use std::path::PathBuf;

use hashbrown::HashSet;

use super::codes::Level;

/// Most accounts of one file that are looked at.
pub const MOST_ACCOUNTS: usize = 65_536;

/// Everything a lint knows beside the policy.
#[derive(Clone, Debug)]
pub struct LintInput {
    /// The day (UTC) that acceptances are compared with.
    pub today: jiff::civil::Date,
    /// Files whose writers could change what is watched, or what is remembered of it.
    pub guarded: Vec<Guarded>,
    /// What of the host could not be read, and why.
    pub unread: Vec<String>,
    /// Local accounts.
    pub accounts: Accounts,
    /// Identities that were seen.
    pub live: Live,
}

/// A file that the watched should not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// What its writers can do, e.g. `change the policy`.
    pub what: &'static str,
    /// How bad that is.
    pub level: Level,
    /// The file or directory first, then every directory above it up to `/`, symbolic links resolved.
    pub chain: Vec<Node>,
}

/// A file or directory as `stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Path.
    pub path: PathBuf,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode with the sticky bit.
    pub mode: u32,
    /// Whether it has an access list beside its mode (which is not read).
    pub has_acl: bool,
}

/// Local users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Of /etc/passwd.
    pub users: Vec<User>,
    /// Of /etc/group.
    pub groups: Vec<Group>,
}

/// A line of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Number.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
}

/// A line of group(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Number.
    pub gid: u32,
    /// Names of users that are also in it.
    pub members: Vec<String>,
}

impl Accounts {
    /// Reads passwd(5) and group(5); lines that are none are left out, bytes that are no UTF-8 replaced.
    #[must_use]
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let users = lines(passwd, |fields| {
            Some(User {
                name: (*fields.first()?).to_owned(),
                uid: fields.get(2)?.parse().ok()?,
                gid: fields.get(3)?.parse().ok()?,
            })
        });
        let groups = lines(group, |fields| {
            let members = fields.get(3)?.split(',').filter(|name| !name.is_empty());
            Some(Group {
                name: (*fields.first()?).to_owned(),
                gid: fields.get(2)?.parse().ok()?,
                members: members.map(str::to_owned).collect(),
            })
        });
        Self { users, groups }
    }

    /// Whether a user is in a group.
    #[must_use]
    pub fn is_member(&self, user: &User, gid: u32) -> bool {
        user.gid == gid
            || self
                .groups
                .iter()
                .any(|group| group.gid == gid && group.members.contains(&user.name))
    }
}

fn lines<T>(text: &[u8], read: impl Fn(&[&str]) -> Option<T>) -> Vec<T> {
    text.split(|b| *b == b'\n')
        .filter_map(|line| {
            let line = String::from_utf8_lossy(line);
            let fields: Vec<&str> = line.split(':').collect();
            read(&fields)
        })
        .take(MOST_ACCOUNTS)
        .collect()
}

/// Identities that were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    /// Not known, and why.
    Unknown(String),
    /// These.
    Seen {
        /// Names.
        names: HashSet<String>,
        /// When the first access of all was seen (RFC 3339).
        since: String,
    },
}
