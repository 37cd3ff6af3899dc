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
    let (id, mark) = match command {
        Command::Acknowledge { id, note } => (id, MarkRequest::Acknowledge { note }),
        Command::Mute { id, until } => match until.parse::<jiff::Timestamp>() {
            Ok(until) => {
                let until_us = until.as_microsecond();
                (id, MarkRequest::Mute { until_us })
            }
            Err(cause) => {
                let message = format!("until is no time: {cause}");
                return Err(error(ErrorCode::Request, message, "see docs/json.md"));
            }
        },
        Command::Unmark { id } => (id, MarkRequest::Unmark),
        _ => return Ok(()),
    };
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

/// Who a client is, as an alert has it: by number, since the kernel knows no other name.
fn name(user: Option<u32>) -> String {
    match user {
        Some(0) => "root".to_owned(),
        Some(user) => format!("uid {user}"),
        None => "unknown".to_owned(),
    }
}
