//! SOD010: an owner who is watched can write what watches.

use std::collections::BTreeMap;

use super::{Accounts, Guarded, Level, Lint, LintFinding, Node, User, codes};

const STICKY: u32 = 0o1000;

pub(super) fn find(lint: &mut Lint<'_>) {
    let accounts = &lint.input.accounts;
    let mut found = Vec::new();
    for owner in lint.holders.owners() {
        // How each local user comes to be the owner's.
        let mut users: BTreeMap<&str, (&User, String)> = BTreeMap::new();
        for user in &accounts.users {
            if let Some(how) = is_owners(accounts, owner, user) {
                users.entry(&user.name).or_insert((user, how));
            }
        }
        let root = users.values().find(|(user, _)| user.uid == 0);
        if let Some((_, how)) = root {
            found.push((
                Level::Info,
                owner.name.to_string(),
                format!(
                    "{} works as root ({how}), and root can write everything here",
                    owner.name
                ),
                None,
            ));
        }
        for guarded in &lint.input.guarded {
            let way = users
                .values()
                .filter(|(user, _)| user.uid != 0)
                .find_map(|(user, how)| Some((user, how, writable(accounts, user, guarded)?)));
            let Some((user, how, (node, why))) = way else {
                continue;
            };
            found.push((
                guarded.level,
                owner.name.to_string(),
                format!("{} is watched and can {}", owner.name, guarded.what),
                Some((
                    format!(
                        "user {} ({how}) {why} {} (mode {:04o})",
                        user.name,
                        node.path.display(),
                        node.mode & 0o7777
                    ),
                    format!(
                        "give {} to root, without write permission for others",
                        node.path.display()
                    ),
                )),
            ));
        }
    }
    for (level, subject, message, way) in found {
        let place = lint
            .holders
            .owners()
            .iter()
            .find(|owner| **owner.name == *subject)
            .and_then(|owner| owner.identities.first())
            .map(|identity| identity.place.clone());
        let (witness, change) = way.unzip();
        lint.push(LintFinding {
            code: codes::GUARDED,
            level,
            clause: format!("owner = \"{subject}\""),
            subject,
            message,
            place,
            witness,
            change: change.unwrap_or_default(),
            accepted: None,
        });
    }
    if !lint.input.unread.is_empty() {
        let text = format!(
            "who can write what was not looked at everywhere: {}",
            lint.input.unread.join("; ")
        );
        lint.information(codes::GUARDED, text);
    }
    let unread = lint
        .input
        .guarded
        .iter()
        .flat_map(|guarded| &guarded.chain)
        .find(|node| node.has_acl);
    if let Some(node) = unread {
        let text = format!(
            "{} has an access list, which is not read: who is on it may write there",
            node.path.display()
        );
        lint.information(codes::GUARDED, text);
    }
}

/// How a local user is one of the owner's, if so.
fn is_owners(accounts: &Accounts, owner: &super::Owner<'_>, user: &User) -> Option<String> {
    if *user.name == **owner.name {
        return Some("the owner's name".to_owned());
    }
    let group = accounts.groups.iter().find(|g| *g.name == **owner.name);
    if let Some(group) = group
        && accounts.is_member(user, group.gid)
    {
        return Some(format!("of group {}", group.name));
    }
    owner.identities.iter().find_map(|identity| {
        let selectors = identity.workloads.as_ref()?.iter();
        let mut selectors = selectors.filter(|s| s.means_user(&user.name));
        let selector = selectors.next()?;
        Some(format!("{selector} of {}", identity.name))
    })
}

/// The first of the file and the directories above it by which a user can change the file, and how.
fn writable<'g>(
    accounts: &Accounts,
    user: &User,
    guarded: &'g Guarded,
) -> Option<(&'g Node, &'static str)> {
    let mut below: Option<&Node> = None;
    for node in &guarded.chain {
        if let Some(how) = may_write(accounts, user, node) {
            // In a sticky directory only the owner of an entry, or of the directory, replaces it.
            let kept = below.is_some_and(|entry| {
                node.mode & STICKY != 0 && user.uid != node.uid && user.uid != entry.uid
            });
            if !kept {
                return Some((node, how));
            }
        }
        below = Some(node);
    }
    None
}

/// By mode alone: an owner can always give himself the right.
fn may_write(accounts: &Accounts, user: &User, node: &Node) -> Option<&'static str> {
    if user.uid == node.uid {
        Some("owns")
    } else if accounts.is_member(user, node.gid) {
        (node.mode & 0o020 != 0).then_some("is in the group that can write")
    } else {
        (node.mode & 0o002 != 0).then_some("can, as anyone, write")
    }
}
