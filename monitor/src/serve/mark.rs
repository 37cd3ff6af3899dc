//! What clients say about alerts. Who may use the socket may say it; who it was stands in the alert.

use super::Backend;
use super::protocol::{Command, ErrorCode};
use super::session::{Over, Writer, error};
use crate::alert::{MarkRequest, NotMarked};

pub(super) async fn answer<B: Backend>(
    to: &mut Writer,
    backend: &B,
    command: Command,
    user: Option<u32>,
) -> Result<(), Over> {
    let Some(asked) = request(command) else {
        return Ok(());
    };
    let (id, mark) = asked.map_err(|words| error(ErrorCode::Request, words, "see docs/json.md"))?;
    match backend.mark(id, mark, name(user)).await {
        Ok(alert) => to.line(&*alert).await,
        Err(cause) => {
            let code = match &cause {
                NotMarked::Unknown(_) | NotMarked::Several(_) => ErrorCode::NotFound,
                NotMarked::Refused(..) => ErrorCode::Request,
                NotMarked::Store(_) => ErrorCode::Internal,
            };
            Err(error(code, cause.to_string(), cause.hint()))
        }
    }
}

/// The alert and the mark that a command names; `None`: it is about something else.
///
/// # Errors
/// What it names as a time is none.
pub(crate) fn request(command: Command) -> Option<Result<(String, MarkRequest), String>> {
    Some(Ok(match command {
        Command::Acknowledge { id, note } => (id, MarkRequest::Acknowledge { note }),
        Command::Mute { id, until } => match until.parse::<jiff::Timestamp>() {
            Ok(until) => {
                let until_us = until.as_microsecond();
                (id, MarkRequest::Mute { until_us })
            }
            Err(cause) => return Some(Err(format!("until is no time: {cause}"))),
        },
        Command::Unmark { id } => (id, MarkRequest::Unmark),
        _ => return None,
    }))
}

/// Who a client is, as an alert has it: by number, since the kernel knows no other name.
fn name(user: Option<u32>) -> String {
    match user {
        Some(0) => "root".to_owned(),
        Some(user) => format!("uid {user}"),
        None => "unknown".to_owned(),
    }
}
