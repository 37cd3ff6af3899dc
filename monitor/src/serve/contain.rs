//! What clients may ask of containment: root alone, since undoing an act is as much as acting.

use super::Backend;
use super::protocol::{Command, ErrorCode};
use super::session::{Over, Writer, error};
use crate::contain::NotUndone;

pub(super) async fn answer<B: Backend>(
    to: &mut Writer,
    backend: &B,
    command: Command,
    user: Option<u32>,
) -> Result<(), Over> {
    if !may_ask(user) {
        return Err(error(
            ErrorCode::Denied,
            "containment is shown to and undone by root only",
            "run it as root",
        ));
    }
    let busy = || {
        error(
            ErrorCode::Busy,
            "containment does not answer",
            "try again; `bailiwick status` and the log tell more",
        )
    };
    match command {
        Command::UndoContainment { id } => {
            match backend
                .undo_containment(id.clone())
                .await
                .ok_or_else(busy)?
            {
                Ok(record) => to.line(&record).await,
                Err(NotUndone::Unknown) => Err(error(
                    ErrorCode::NotFound,
                    format!("containment has done nothing with the id \"{id}\""),
                    "`bailiwick contain list` has those since the daemon started",
                )),
                Err(NotUndone::Nothing(why)) => Err(error(
                    ErrorCode::NotFound,
                    format!("there is nothing to undo of \"{id}\": {why}"),
                    "`bailiwick contain list` shows what is in force",
                )),
            }
        }
        _ => {
            for record in backend.containments().await.ok_or_else(busy)? {
                to.line(&record).await?;
            }
            Ok(())
        }
    }
}

/// Whether a client's user may; one that is not known may not.
fn may_ask(user: Option<u32>) -> bool {
    user == Some(0)
}

#[cfg(test)]
mod tests {
    use super::may_ask;

    #[test]
    fn root_alone_may_ask() {
        assert!(may_ask(Some(0)));
        for user in [None, Some(1), Some(1000), Some(u32::MAX)] {
            assert!(!may_ask(user), "{user:?}");
        }
    }
}
