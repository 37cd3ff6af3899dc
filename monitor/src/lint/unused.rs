//! SOD012: nobody uses an identity, as far as the monitor has seen.

use super::{Level, Lint, LintFinding, Live, codes};

pub(super) fn find(lint: &mut Lint<'_>) {
    let (names, since) = match &lint.input.live {
        Live::Seen { names, since } => (names, since),
        Live::Unknown(why) => {
            let text = format!("identities that nobody uses were not looked for: {why}");
            lint.information(codes::UNUSED, text);
            return;
        }
    };
    // A canary is there to be unused.
    let identities = lint.policy.identities().filter(|i| !i.is_canary());
    for identity in identities.filter(|i| !names.contains(&*i.name)) {
        lint.push(LintFinding {
            code: codes::UNUSED,
            level: Level::Low,
            subject: identity.name.to_string(),
            message: format!("{} was not used on this host since {since}", identity.name),
            clause: format!("identities.{}", identity.name),
            place: Some(identity.place.clone()),
            witness: None,
            change: format!(
                "ask {} whether it is needed; if not, revoke its credentials and remove it",
                identity.owner
            ),
            accepted: None,
        });
    }
}
