//! One client.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::SendFlags;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::filter::{BadFilter, Filter};
use super::matching::{self, MatchRecord};
use super::protocol::{Command, ErrorCode, MAX_REQUEST, Note, VERSION, parse_request};
use super::records::AlertQuery;
use super::{Backend, Limits};
use super::{contain, mark};
use crate::access::record::AccessRecord;
use crate::alert::Alert;
use crate::cli::quote;
use crate::explain::NoStory;
use crate::filter::FilterError;

/// Bytes gathered before they are written.
const CHUNK: usize = 32 * 1024;
/// Most accesses asked of the backend when a filter will leave most of them out.
const MAX_LOOK_BACK: usize = 100_000;

/// Why a session is over before its end.
pub(super) enum Over {
    /// The client is gone, or took nothing for too long.
    Gone,
    /// It must be told why.
    Told(Note),
}

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

pub(super) fn error(code: ErrorCode, message: impl Into<String>, hint: &str) -> Over {
    Over::Told(Note::Error {
        v: VERSION,
        code,
        message: message.into(),
        hint: Some(hint.to_owned()),
    })
}

/// What is wrong with a filter, with its place, for who wrote it.
fn not_a_filter(cause: &FilterError) -> Over {
    let [shown, caret] = cause.caret();
    error(
        ErrorCode::Request,
        format!("where: {}\n{shown}\n{caret}", cause.message()),
        cause.help().unwrap_or("docs/filter.md"),
    )
}

/// Waits until the daemon stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and the daemon with it.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Tells a client that there is no place for it, without waiting for it.
pub(super) fn refuse(stream: UnixStream) {
    let note = Note::Error {
        v: VERSION,
        code: ErrorCode::Busy,
        message: "too many clients".to_owned(),
        hint: Some("close a `bailiwick tail` that is no longer needed".to_owned()),
    };
    let mut out = Vec::new();
    push(&mut out, &note);
    // A fresh socket has room for a line; if not, the client sees the connection end.
    drop(stream.try_write(&out));
}

/// Serves one client to the end. `user` is who it is, by the kernel.
pub(super) async fn run<B: Backend>(
    stream: UnixStream,
    backend: Arc<B>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    user: Option<u32>,
) {
    let (mut from, to) = stream.into_split();
    let mut to = Writer {
        to,
        buffer: Vec::new(),
        limits,
    };
    let command = tokio::select! {
        command = timeout(limits.request, request(&mut from)) => command,
        () = stopped(&mut stop) => return,
    };
    let result = match command {
        Err(_) => Err(error(
            ErrorCode::Busy,
            "no request came in time",
            "send it right after connecting",
        )),
        Ok(Err(over)) => Err(over),
        Ok(Ok(Command::Match { count })) => tokio::select! {
            result = matching(&mut from, &mut to, &backend, count) => result,
            () = stopped(&mut stop) => return,
        },
        Ok(Ok(command)) => {
            let mut stop_here = stop.clone();
            tokio::select! {
                result = answer(&mut to, &backend, command, user) => result,
                () = hang_up(&mut from) => return,
                () = stopped(&mut stop_here) => {
                    Err(error(ErrorCode::Stopping, "the daemon is stopping", "connect again once it is back"))
                }
            }
        }
    };
    let last = match result {
        Ok(()) => Note::End { v: VERSION },
        Err(Over::Told(note)) => note,
        Err(Over::Gone) => return,
    };
    // A client that is gone misses nothing.
    if to.line(&last).await.is_ok() {
        drop(to.flush().await);
    }
}

/// Reads the request line.
async fn request(from: &mut OwnedReadHalf) -> Result<Command, Over> {
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Err(Over::Gone);
        }
        let already = line.len();
        line.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let fresh = line.get(already..).unwrap_or_default();
        if let Some(at) = memchr::memchr(b'\n', fresh) {
            break already + at;
        }
        if line.len() >= MAX_REQUEST {
            return Err(error(
                ErrorCode::Request,
                "the request is longer than 64 KiB",
                "ask for less at once",
            ));
        }
    };
    if end >= MAX_REQUEST {
        return Err(error(
            ErrorCode::Request,
            "the request is longer than 64 KiB",
            "ask for less at once",
        ));
    }
    let line = line
        .get(..end)
        .and_then(|line| std::str::from_utf8(line).ok());
    let line = line.ok_or_else(|| {
        error(
            ErrorCode::Request,
            "the request is not UTF-8",
            "see docs/json.md",
        )
    })?;
    parse_request(line).map_err(Over::Told)
}

/// Returns when the client is gone. It has nothing more to say; what it says is not kept. One that only
/// closed its sending side (`echo … | nc -U`) still listens.
async fn hang_up(from: &mut OwnedReadHalf) {
    let mut chunk = [0; 512];
    loop {
        match from.read(&mut chunk).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => return,
        }
    }
    loop {
        // To send nothing fails once the other end is closed, and does nothing before.
        let stream: &UnixStream = from.as_ref();
        if rustix::net::send(stream, &[], SendFlags::NOSIGNAL | SendFlags::DONTWAIT).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn answer<B: Backend>(
    to: &mut Writer,
    backend: &Arc<B>,
    command: Command,
    user: Option<u32>,
) -> Result<(), Over> {
    match command {
        Command::Containments | Command::UndoContainment { .. } => {
            contain::answer(to, &**backend, command, user).await
        }
        Command::Tail {
            last,
            follow,
            filter,
            r#where,
        } => {
            let filter =
                Filter::with(&filter, r#where.as_deref()).map_err(|cause| match cause {
                    BadFilter::Where(cause) => not_a_filter(&cause),
                    other => error(ErrorCode::Request, other.to_string(), "see docs/json.md"),
                })?;
            tail(to, &**backend, last, follow, &filter).await
        }
        Command::Alerts { query, follow } => alerts(to, backend.clone(), query, follow).await,
        Command::Identities => {
            for record in backend.identities().await {
                to.line(&record).await?;
            }
            Ok(())
        }
        Command::Coverage => {
            for record in backend.coverage().await {
                to.line(&record).await?;
            }
            for record in blocking(backend.clone(), |backend| backend.probed()).await? {
                to.line(&record).await?;
            }
            Ok(())
        }
        Command::Status => {
            let status = blocking(backend.clone(), |backend| backend.status()).await?;
            to.line(&status).await
        }
        Command::SendTest { webhook } => {
            let results = backend.send_test(webhook.clone()).await;
            if results.is_empty() {
                return Err(match webhook {
                    Some(name) => error(
                        ErrorCode::NotFound,
                        format!("there is no webhook called \"{name}\""),
                        "`bailiwick status` lists them",
                    ),
                    None => error(
                        ErrorCode::NotFound,
                        "no webhook is configured",
                        "add a [[webhook]] to the configuration and restart the daemon",
                    ),
                });
            }
            for result in results {
                to.line(&result).await?;
            }
            Ok(())
        }
        Command::DeadLetters => {
            for letter in blocking(backend.clone(), |backend| backend.dead_letters()).await? {
                to.line(&letter).await?;
            }
            Ok(())
        }
        Command::Replay { id } => {
            let results = backend.replay(id.clone()).await;
            if let (true, Some(id)) = (results.is_empty(), id) {
                let message = format!("there is no dead letter \"{id}\"");
                return Err(error(
                    ErrorCode::NotFound,
                    message,
                    "`bailiwick dead-letters` lists them",
                ));
            }
            for result in results {
                to.line(&result).await?;
            }
            Ok(())
        }
        Command::Acknowledge { .. } | Command::Mute { .. } | Command::Unmark { .. } => {
            mark::answer(to, &**backend, command, user).await
        }
        // Served before, since it has more to read.
        Command::Match { .. } => Ok(()),
        Command::Report { since } => report(to, &**backend, since).await,
        Command::Explain { id } => match backend.explain(id).await {
            Ok(story) => to.line(&story).await,
            Err(none) => {
                let code = match &none {
                    NoStory::Store(_) => ErrorCode::Internal,
                    NoStory::Unknown { .. } | NoStory::Several { .. } => ErrorCode::NotFound,
                };
                Err(error(code, none.to_string(), &none.hint()))
            }
        },
    }
}

async fn report<B: Backend>(
    to: &mut Writer,
    backend: &B,
    since: Option<String>,
) -> Result<(), Over> {
    let since = since
        .map(|text| text.parse::<jiff::Timestamp>())
        .transpose();
    let since = since.map_err(|cause| {
        error(
            ErrorCode::Request,
            format!("since is no time: {cause}"),
            "see docs/json.md",
        )
    })?;
    let since_us = since.map(jiff::Timestamp::as_microsecond);
    match backend.report(since_us).await {
        Ok(report) => to.line(&report).await,
        Err(cause) => Err(error(
            ErrorCode::Internal,
            format!("the store cannot be read: {cause}"),
            "`bailiwick status` tells how the store is",
        )),
    }
}

/// Takes the secrets that were announced, and tells which are live.
async fn matching<B: Backend>(
    from: &mut OwnedReadHalf,
    to: &mut Writer,
    backend: &Arc<B>,
    count: u32,
) -> Result<(), Over> {
    if count > matching::MOST {
        return Err(error(
            ErrorCode::Request,
            format!("{count} secrets are more than {} at once", matching::MOST),
            "ask in parts",
        ));
    }
    to.line(&Note::Ready { v: VERSION }).await?;
    to.flush().await?;
    let all = async {
        let mut candidates = Vec::with_capacity(count as usize);
        for _ in 0..count {
            candidates.push(matching::receive(from).await?);
        }
        Ok::<_, io::Error>(candidates)
    };
    let candidates = match timeout(to.limits.request, all).await {
        Ok(Ok(candidates)) => candidates,
        Ok(Err(cause)) if cause.kind() == io::ErrorKind::InvalidData => {
            return Err(error(
                ErrorCode::Request,
                "that is no secret to compare",
                "see docs/json.md",
            ));
        }
        Ok(Err(_)) => return Err(Over::Gone),
        Err(_) => {
            return Err(error(
                ErrorCode::Busy,
                "the secrets did not come in time",
                "send them at once",
            ));
        }
    };
    let live = backend.matches(candidates).await.map_err(|_| {
        error(
            ErrorCode::Busy,
            format!(
                "more than {} secrets were compared within the hour",
                matching::MOST_PER_HOUR
            ),
            "try again in an hour, or as a user who may read the fingerprint key",
        )
    })?;
    for (index, live) in live {
        to.line(&MatchRecord::new(index, live)).await?;
    }
    Ok(())
}

async fn blocking<B: Backend, T: Send + 'static>(
    backend: Arc<B>,
    call: impl FnOnce(&B) -> T + Send + 'static,
) -> Result<T, Over> {
    spawn_blocking(move || call(&backend)).await.map_err(|_| {
        error(
            ErrorCode::Internal,
            "the daemon failed to answer",
            "its log says why; please report it",
        )
    })
}

async fn tail<B: Backend>(
    to: &mut Writer,
    backend: &B,
    last: usize,
    follow: bool,
    filter: &Filter,
) -> Result<(), Over> {
    // Subscribed first: what comes while the past is looked up is not missed …
    let mut receiver = backend.subscribe();
    let ask = if filter.is_empty() {
        last
    } else {
        MAX_LOOK_BACK
    };
    let past = if last == 0 {
        Vec::new()
    } else {
        backend.recent(ask).await
    };
    let mut shown: Vec<&Arc<AccessRecord>> = past
        .iter()
        .rev()
        .filter(|access| filter.matches(access))
        .take(last)
        .collect();
    shown.reverse();
    for access in shown {
        to.line(&**access).await?;
    }
    if !follow {
        return Ok(());
    }
    to.line(&Note::Live { v: VERSION }).await?;
    // … and what is in both is shown once. The channel is in order: what stands in it before one of the
    // past ones is older than they are, what stands behind the last of them is new.
    let known: HashSet<usize> = past.iter().map(address).collect();
    let mut queued = Vec::new();
    for _ in 0..receiver.len() {
        match receiver.try_recv() {
            Ok(access) => queued.push(access),
            Err(TryRecvError::Lagged(count)) => to.line(&Note::Lost { v: VERSION, count }).await?,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    let old = queued
        .iter()
        .rposition(|access| known.contains(&address(access)))
        .map_or(0, |at| at + 1);
    let mut overlap = (queued.len() == old).then_some((known, past));
    for access in queued.drain(old..) {
        if filter.matches(&access) {
            to.line(&*access).await?;
        }
    }
    loop {
        let access = next(to, &mut receiver).await?;
        if let Some((known, _)) = &overlap {
            if known.contains(&address(&access)) {
                continue;
            }
            overlap = None;
        }
        if filter.matches(&access) {
            to.line(&*access).await?;
        }
    }
}

/// Tells one access from another, as long as both live.
fn address(access: &Arc<AccessRecord>) -> usize {
    Arc::as_ptr(access).addr()
}

async fn alerts<B: Backend>(
    to: &mut Writer,
    backend: Arc<B>,
    query: AlertQuery,
    follow: bool,
) -> Result<(), Over> {
    let filter = query.filter().map_err(|cause| not_a_filter(&cause))?;
    let mut receiver: broadcast::Receiver<Arc<Alert>> = backend.subscribe_alerts();
    let asked = query.clone();
    let mut found = blocking(backend, move |backend| backend.alerts(asked)).await?;
    found.retain(|alert| filter.matches(alert));
    if let (true, Some(id), false) = (found.is_empty(), &query.id, follow) {
        let message = format!("there is no alert \"{id}\"");
        return Err(error(
            ErrorCode::NotFound,
            message,
            "`bailiwick alerts` lists them",
        ));
    }
    if let Some(last) = query.last {
        found.drain(..found.len().saturating_sub(last));
    }
    for alert in &found {
        to.line(alert).await?;
    }
    if !follow {
        return Ok(());
    }
    drop(found);
    to.line(&Note::Live { v: VERSION }).await?;
    loop {
        // An alert that changed while the list was read comes again: its count says what is newer.
        let alert = next(to, &mut receiver).await?;
        if filter.matches(&*alert) {
            to.line(&*alert).await?;
        }
    }
}

/// The next record; what was gathered is written before waiting, and losses are told.
async fn next<T: Clone>(to: &mut Writer, receiver: &mut broadcast::Receiver<T>) -> Result<T, Over> {
    loop {
        let received = match receiver.try_recv() {
            Err(TryRecvError::Empty) => {
                to.flush().await?;
                receiver.recv().await
            }
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Err(TryRecvError::Lagged(count)) => Err(RecvError::Lagged(count)),
            Ok(record) => Ok(record),
        };
        match received {
            Ok(record) => return Ok(record),
            Err(RecvError::Lagged(count)) => {
                to.line(&Note::Lost { v: VERSION, count }).await?;
            }
            Err(RecvError::Closed) => {
                return Err(error(
                    ErrorCode::Stopping,
                    "the daemon is stopping",
                    "connect again once it is back",
                ));
            }
        }
    }
}

pub(super) struct Writer {
    to: OwnedWriteHalf,
    buffer: Vec<u8>,
    limits: Limits,
}

impl Writer {
    pub(super) async fn line(&mut self, record: &impl Serialize) -> Result<(), Over> {
        push(&mut self.buffer, record);
        if self.buffer.len() >= CHUNK {
            self.flush().await
        } else {
            Ok(())
        }
    }

    async fn flush(&mut self) -> Result<(), Over> {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            let wrote = timeout(self.limits.stalled, self.to.write(rest))
                .await
                .map_err(|_| {
                    tracing::info!("control socket: a client that takes nothing was cut off");
                    Over::Gone
                })??;
            rest = rest.get(wrote..).unwrap_or_default();
        }
        self.buffer.clear();
        Ok(())
    }
}

/// Appends a record as a line in which nothing can disturb a terminal.
fn push(out: &mut Vec<u8>, record: &impl Serialize) {
    match serde_json::to_string(record) {
        Ok(text) => {
            out.extend_from_slice(quote::json(&text).as_bytes());
            out.push(b'\n');
        }
        // Records are plain structures of strings and numbers: this cannot happen.
        Err(error) => tracing::error!(%error, "control socket: a record cannot be written as JSON"),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
