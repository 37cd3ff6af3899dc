//! Talks to the daemon.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::exit::{Exit, Failure};
use super::quote;
use crate::scan::finding::Candidate;
use crate::serve::matching::{self, MatchRecord};
use crate::serve::protocol::{Command, Note, Request};

/// Longest answer line, in bytes.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// What the daemon answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A record.
    Record(Record),
    /// What follows is new.
    Live,
    /// So many were lost.
    Lost(u64),
    /// What was announced may be sent.
    Ready,
    /// All was said.
    End,
    /// The connection ended, or the daemon said that it stops.
    Gone,
}

/// A record as the daemon wrote it; also one of a kind that this program does not know.
#[derive(Debug)]
pub(crate) struct Record {
    /// Its `type`.
    pub(crate) kind: String,
    line: String,
}

impl Record {
    /// The line, harmless to a terminal, its keys in the daemon's order.
    pub(super) fn json(&self) -> Cow<'_, str> {
        quote::json(&self.line)
    }

    /// The record as a type.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.line).map_err(|error| {
            strange(&format!(
                "a record of type \"{}\" that does not parse: {error}",
                self.kind
            ))
        })
    }
}

/// A connection with a request on its way.
pub(crate) struct Connection {
    from: BufReader<OwnedReadHalf>,
    line: Vec<u8>,
    /// Kept open: closing it would look like leaving.
    to: OwnedWriteHalf,
}

/// Whether it is worth waiting for the daemon to come back.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
    )
}

/// Why there is no connection, in words.
pub(crate) fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let at = socket.display();
    match error.kind() {
        _ if is_absence(error) => Failure::new(
            Exit::Unavailable,
            format!("no daemon listens at {at}: {error}"),
        )
        .hint("start it with `systemctl start bailiwick` or `bailiwick run`, or name its --socket"),
        io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::NoPermission, format!("{at}: {error}")).hint(
                "run as root, or become a member of the group that socket_group names (bailiwick)",
            )
        }
        _ => Failure::new(Exit::Unavailable, format!("{at}: {error}"))
            .hint("is this the path of a control socket?"),
    }
}

impl Connection {
    pub(crate) async fn open(socket: &Path, command: &Command) -> io::Result<Self> {
        let (from, mut to) = UnixStream::connect(socket).await?.into_split();
        let mut request = serde_json::to_string(&Request::new(command.clone()))?;
        request.push('\n');
        match to.write_all(request.as_bytes()).await {
            // The daemon may have said why it hangs up: that is read below.
            Err(error) if !is_absence(&error) => return Err(error),
            _ => {}
        }
        Ok(Self {
            from: BufReader::with_capacity(64 * 1024, from),
            line: Vec::new(),
            to,
        })
    }

    /// Whether something was received that was not looked at yet.
    pub(super) fn has_more(&self) -> bool {
        !self.from.buffer().is_empty()
    }

    /// The next answer. Safe to drop half-way: what was read of a line is kept.
    pub(crate) async fn next(&mut self) -> Result<Answer, Failure> {
        let mut limited = (&mut self.from).take(MAX_LINE);
        match limited.read_until(b'\n', &mut self.line).await {
            Ok(_) if self.line.ends_with(b"\n") => {}
            Ok(_) if self.line.len() as u64 >= MAX_LINE => {
                return Err(strange("a line without end"));
            }
            Ok(_) | Err(_) => return Ok(Answer::Gone),
        }
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8(line).map_err(|_| strange("something that is not UTF-8"))?;
        // In JSON a control character can only stand between tokens.
        let line = line.trim().replace(|c: char| c.is_ascii_control(), " ");
        #[derive(Deserialize)]
        struct Typed {
            r#type: String,
        }
        let Typed { r#type: kind } =
            serde_json::from_str(&line).map_err(|_| strange("something that is not a record"))?;
        match serde_json::from_str::<Note>(&line) {
            Ok(Note::Live { .. }) => Ok(Answer::Live),
            Ok(Note::Lost { count, .. }) => Ok(Answer::Lost(count)),
            Ok(Note::Ready { .. }) => Ok(Answer::Ready),
            Ok(Note::End { .. }) => Ok(Answer::End),
            Ok(Note::Error {
                code: crate::serve::protocol::ErrorCode::Stopping,
                ..
            }) => Ok(Answer::Gone),
            Ok(Note::Error {
                code,
                message,
                hint,
                ..
            }) => Err(Failure {
                exit: code.into(),
                message,
                hint,
            }),
            Err(_) => Ok(Answer::Record(Record { kind, line })),
        }
    }
}

fn strange(what: &str) -> Failure {
    Failure::new(Exit::Unavailable, format!("the daemon answered {what}"))
        .hint("is this the socket of bailiwick, and of the same version?")
}

/// The connection ended too early.
pub(super) fn hung_up() -> Failure {
    Failure::new(
        Exit::Unavailable,
        "the daemon hung up before it had answered",
    )
    .hint("it was probably stopped; its log says why")
}

/// Which of some secrets are live, each with its place among them. Only sent to a daemon that runs as root, as this
/// very user, or as the service's own.
pub(super) async fn matches(
    socket: &Path,
    candidates: &[&Candidate],
) -> Result<Vec<MatchRecord>, Failure> {
    let command = Command::Match {
        count: u32::try_from(candidates.len()).unwrap_or(u32::MAX),
    };
    let mut connection = Connection::open(socket, &command)
        .await
        .map_err(|error| unreachable(socket, &error))?;
    let peer = connection
        .to
        .as_ref()
        .peer_cred()
        .map_err(|error| unreachable(socket, &error))?;
    let own = rustix::process::geteuid().as_raw();
    if peer.uid() != 0 && peer.uid() != own && Some(peer.uid()) != service_user() {
        return Err(Failure::new(
            Exit::NoPermission,
            format!(
                "{}: what listens there runs as user {}, so no secret is sent to it",
                socket.display(),
                peer.uid()
            ),
        )
        .hint("the daemon runs as root or as bailiwick; is this its socket?"));
    }
    let mut records = Vec::new();
    loop {
        match connection.next().await? {
            Answer::Ready => {
                for candidate in candidates {
                    matching::send(&mut connection.to, candidate)
                        .await
                        .map_err(|_| hung_up())?;
                }
            }
            Answer::Record(record) => records.push(record.parse()?),
            Answer::End => return Ok(records),
            Answer::Gone => return Err(hung_up()),
            Answer::Live | Answer::Lost(_) => {}
        }
    }
}

/// The service's user, by /etc/passwd.
fn service_user() -> Option<u32> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("bailiwick:"))?;
    line.split(':').nth(2)?.parse().ok()
}

/// All records of a request that ends.
pub(crate) async fn ask(socket: &Path, command: &Command) -> Result<Vec<Record>, Failure> {
    let connection = Connection::open(socket, command)
        .await
        .map_err(|error| unreachable(socket, &error))?;
    to_the_end(connection).await
}

/// As [`ask`]; the error that says so when no daemon listens.
pub(super) async fn ask_if_there(
    socket: &Path,
    command: &Command,
) -> Result<Result<Vec<Record>, io::Error>, Failure> {
    match Connection::open(socket, command).await {
        Ok(connection) => to_the_end(connection).await.map(Ok),
        Err(error) if is_absence(&error) => Ok(Err(error)),
        Err(error) => Err(unreachable(socket, &error)),
    }
}

async fn to_the_end(mut connection: Connection) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    loop {
        match connection.next().await? {
            Answer::Record(record) => records.push(record),
            Answer::End => return Ok(records),
            Answer::Gone => return Err(hung_up()),
            Answer::Live | Answer::Lost(_) | Answer::Ready => {}
        }
    }
}
