//! Follows violations: decides, acts, tells, and ends what has had its time.

use std::net::SocketAddr;

use hashbrown::HashMap;

use super::acts::{ActError, Acts, GroupNow, ProcessNow, Range};
use super::config::{Act, ContainRule, Mode};
use super::decide::{Budget, Declined, target};
use super::kept::{Book, Kept, Key, State};
use super::protect::protects;
use super::record::{ContainmentRecord, ContainmentStatus};
use super::refusal::{allowed, one, ranges, server_address};
use super::thread::Rules;
use super::{AF_UNIX, Socket, Violation, words};
use crate::access::record::rfc3339;
use crate::access::{Peer, Role};
use crate::alert::AlertUpdate;
use crate::serve::records::Loss;

/// Most ranges of one refusal.
const MOST_RANGES: usize = 2048;
/// The same thing is logged once in so many microseconds.
const LOG_EVERY_US: i64 = 60_000_000;
/// Reasons remembered so as not to log them again and again.
const MOST_LOGGED: usize = 1024;
/// How far two readings of the clock may differ, in microseconds.
const SLACK_US: i64 = 2_000;

/// Why an act is not undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUndone {
    /// No act has that id.
    Unknown,
    /// There is nothing to undo: why.
    Nothing(String),
}

/// Everything containment knows, on its thread.
pub struct Keeper<A> {
    acts: A,
    rules: Rules,
    /// The daemon's own process.
    own: u32,
    budget: Budget,
    book: Book,
    next: u64,
    tell: Box<dyn FnMut(AlertUpdate) -> bool + Send>,
    status: ContainmentStatus,
    declined: HashMap<&'static str, u64>,
    logged: HashMap<(usize, u32, &'static str), i64>,
}

impl<A> std::fmt::Debug for Keeper<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("book", &self.book)
            .finish_non_exhaustive()
    }
}

/// What there is to do, once it is allowed.
enum Plan {
    Reset(Vec<Socket>),
    Refuse(GroupNow, Vec<Range>),
    Stop(ProcessNow),
}

/// A plan that is none.
enum Not {
    /// It is not to be done.
    Declined(Declined),
    /// It was done already.
    Already,
    /// It cannot be done: this is told.
    Cannot(ActError),
}

impl From<Declined> for Not {
    fn from(why: Declined) -> Self {
        Self::Declined(why)
    }
}

impl<A: Acts> Keeper<A> {
    /// `tell` takes alerts, and says whether it could; `own` is the daemon's process.
    pub fn new(
        acts: A,
        rules: Rules,
        own: u32,
        tell: impl FnMut(AlertUpdate) -> bool + Send + 'static,
    ) -> Self {
        Self {
            acts,
            rules,
            own,
            budget: Budget::default(),
            book: Book::default(),
            next: 1,
            tell: Box::new(tell),
            status: ContainmentStatus::default(),
            declined: HashMap::new(),
            logged: HashMap::new(),
        }
    }

    /// Other rules hold from now on. Refusals end when nothing is to be enforced any more; what was stopped
    /// stays so.
    pub fn replace(&mut self, rules: Rules) {
        self.rules = rules;
        self.budget.renumber();
        self.book.renumber();
        if self.rules.containment.mode != Mode::Enforce {
            self.release_all("containment is not enforced any more");
        }
    }

    /// Follows a violation, by each rule that wants it.
    pub fn violation(&mut self, violation: &Violation) {
        let rules = self.rules.clone();
        if rules.containment.mode == Mode::Off {
            return;
        }
        for (index, rule) in rules.containment.rules.iter().enumerate() {
            if rule.follows(violation) {
                self.follow(index, rule, violation);
            }
        }
    }

    fn follow(&mut self, index: usize, rule: &ContainRule, violation: &Violation) {
        let Some((pid, workload)) = target(rule.act, violation) else {
            return self.decline(index, 0, "?", &Declined::Elsewhere);
        };
        let label = workload.label().to_string();
        let plan = match self.plan(index, rule, violation, pid) {
            Ok(plan) => Ok(plan),
            Err(Not::Already) => return,
            Err(Not::Declined(why)) => return self.decline(index, pid, &label, &why),
            Err(Not::Cannot(error)) => Err(error),
        };
        let now = self.acts.now_us();
        if let Err(why) = self.budget.take(&self.rules.containment, index, now) {
            return self.decline(index, pid, &label, &why);
        }
        let until_us = (rule.act == Act::Refuse)
            .then(|| now.saturating_add(i64::try_from(rule.lasts().as_micros()).unwrap_or(0)));
        // Unique over restarts: alerts fold by it.
        let id = format!("c{:x}-{}", now / 1_000_000, self.next);
        self.next += 1;
        let (key, about) = match &plan {
            Ok(plan) => (plan.key(), plan.about()),
            Err(_) => (Key::Sockets(cookies(violation)), connection(violation)),
        };
        let state = match (&plan, self.rules.containment.mode) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(_), Mode::DryRun | Mode::Off) => Ok(State::Would),
            (Ok(plan), Mode::Enforce) => match self.carry_out(&id, plan, rule) {
                Ok(state) => Ok(state),
                Err(ActError::Gone) => {
                    *self.declined.entry("gone").or_default() += 1;
                    tracing::info!(workload = %label, pid, act = %rule.act, "containment: it ended by itself");
                    return;
                }
                Err(error) => Err(error.to_string()),
            },
        };
        let (state, error) = match state {
            Ok(state) => (state, None),
            Err(error) => (State::Failed, Some(error)),
        };
        let access = &violation.access;
        let done = self.acts.now_us();
        let seen = access
            .time_us
            .saturating_add(i64::try_from(access.duration_us.unwrap_or(0)).unwrap_or(0));
        let record = ContainmentRecord {
            r#type: "containment".to_owned(),
            v: 1,
            id: id.clone(),
            act: rule.act.name().to_owned(),
            state: state.name().to_owned(),
            time: rfc3339(done),
            until: until_us.filter(|_| state != State::Failed).map(rfc3339),
            rule: format!("{}:{}", rule.place.file.display(), rule.place.line),
            kind: violation.finding.kind,
            severity: violation.finding.severity,
            identity: access.identity.as_deref().map(str::to_owned),
            workload: label,
            pid,
            target: about,
            error,
            undo: (state == State::InForce).then(|| format!("bailiwick contain undo {id}")),
            delay_us: u64::try_from(done.saturating_sub(seen)).unwrap_or(0),
        };
        self.tell(rule.act, &record, violation, done);
        self.book.push(Kept {
            id,
            rule: index,
            key,
            pid,
            state,
            until_us,
            record,
        });
    }

    /// Finds out whether and how the act can be done.
    fn plan(
        &mut self,
        index: usize,
        rule: &ContainRule,
        violation: &Violation,
        pid: u32,
    ) -> Result<Plan, Not> {
        let now = self.acts.now_us();
        let containment = self.rules.containment.clone();
        let protected = |pid, workload| {
            protects(pid, workload, self.own, &containment.never)
                .map_or(Ok(()), |why| Err(Declined::Protected(why)))
        };
        if let Some((pid, workload)) = target(rule.act, violation) {
            protected(pid, workload)?;
        }
        // Cheap: a violator that goes on costs no look at /proc.
        let own = cookies(violation);
        let seen = server_address(violation);
        if self.book.holds(index, now, |kept| match &kept.key {
            Key::Sockets(cookies) => !own.is_empty() && *cookies == own,
            Key::Process { .. } => kept.pid == pid,
            Key::Group { ranges, .. } => {
                kept.pid == pid && seen.is_some_and(|seen| ranges.contains(&one(seen)))
            }
        }) {
            return Err(Not::Already);
        }
        self.budget.room(&containment, index, now)?;
        match rule.act {
            Act::Reset => {
                let mut sockets: Vec<Socket> =
                    violation.sockets.iter().flatten().copied().collect();
                if sockets.iter().any(|socket| socket.family == AF_UNIX)
                    || matches!(violation.access.peer, Peer::Unix(_))
                {
                    return Err(Not::Cannot(ActError::Unsupported(
                        "a unix socket cannot be destroyed from outside; nothing was done",
                    )));
                }
                if sockets.is_empty() {
                    return Err(Not::Cannot(ActError::Unsupported(
                        "the connection's sockets are not known: it was older than the monitor, or this was found out later",
                    )));
                }
                let client = violation.access.client.as_ref().map(|end| end.pid);
                for socket in &mut sockets {
                    socket.client |=
                        violation.access.role == Role::Client || client == Some(socket.pid);
                }
                // The violator's end first. A server that is not to be touched loses its end all the same, as
                // it would to any client that goes.
                sockets.sort_by_key(|socket| !socket.client);
                if violation.access.role == Role::Both
                    && let Some(server) = &violation.access.server
                    && protected(server.pid, &server.workload).is_err()
                {
                    sockets.retain(|socket| socket.client);
                }
                Ok(Plan::Reset(sockets))
            }
            Act::Stop => {
                let process = self.same(pid, violation)?;
                protects(pid, &process.workload, self.own, &containment.never)
                    .map_or(Ok(()), |why| Err(Declined::Protected(why)))?;
                Ok(Plan::Stop(process))
            }
            Act::Refuse => {
                self.same(pid, violation)?;
                let group = self.acts.group(pid).map_err(Not::Cannot)?;
                allowed(&group, self.own, &containment.never)?;
                let environment = violation.access.environment.as_deref();
                let ranges = ranges(&self.rules.policy, environment, seen);
                if !ranges.iter().any(|range| range.refused) {
                    return Err(Not::Cannot(ActError::Unsupported(
                        "no address is known that could be refused",
                    )));
                }
                if ranges.len() > MOST_RANGES {
                    return Err(Not::Cannot(ActError::Unsupported(
                        "the environment has more than 2048 addresses and ranges",
                    )));
                }
                let covered = |kept: &Kept| match &kept.key {
                    Key::Group {
                        group: at,
                        ranges: had,
                    } => *at == group.id && ranges.iter().all(|range| had.contains(range)),
                    _ => false,
                };
                if self.book.holds(index, now, covered) {
                    return Err(Not::Already);
                }
                Ok(Plan::Refuse(group, ranges))
            }
        }
    }

    /// The process that made the request, if it still is that one.
    fn same(&mut self, pid: u32, violation: &Violation) -> Result<ProcessNow, Declined> {
        let now = self
            .acts
            .process(pid)
            .ok_or(Declined::Changed("the process has ended"))?;
        let access = &violation.access;
        if now.born_us > access.time_us.saturating_add(SLACK_US) {
            return Err(Declined::Changed(
                "its process id belongs to another process by now",
            ));
        }
        let exe = access.client.as_ref().map(|end| &end.workload.exe);
        if exe.is_some_and(|exe| **exe != *now.workload.exe) {
            return Err(Declined::Changed("it runs another program by now"));
        }
        Ok(now)
    }

    fn carry_out(&mut self, id: &str, plan: &Plan, rule: &ContainRule) -> Result<State, ActError> {
        match plan {
            Plan::Reset(sockets) => {
                let mut first = Ok(());
                let mut done = false;
                for socket in sockets {
                    match self.acts.reset(socket) {
                        Ok(()) => done = true,
                        // The other end's reset has ended it.
                        Err(ActError::Gone) => {}
                        Err(error) => first = first.and(Err(error)),
                    }
                }
                match (done, first) {
                    (true, _) => {
                        self.status.reset += 1;
                        Ok(State::Done)
                    }
                    (false, Err(error)) => Err(error),
                    (false, Ok(())) => Err(ActError::Gone),
                }
            }
            Plan::Refuse(group, ranges) => {
                self.acts.refuse(id, group, ranges, rule.lasts())?;
                self.status.refused += 1;
                Ok(State::InForce)
            }
            Plan::Stop(process) => {
                self.acts.stop(id, process)?;
                self.status.stopped += 1;
                Ok(State::InForce)
            }
        }
    }

    fn tell(&mut self, act: Act, record: &ContainmentRecord, violation: &Violation, now_us: i64) {
        match &*record.state {
            "would" => self.status.would += 1,
            "failed" => self.status.failed += 1,
            _ => {}
        }
        tracing::warn!(
            id = record.id,
            act = record.act,
            state = record.state,
            workload = record.workload,
            pid = record.pid,
            finding = record.kind.name(),
            target = record.target,
            error = record.error,
            "containment"
        );
        let alert = words::alert(act, record, violation, self.rules.severity, now_us);
        if !(self.tell)(alert) {
            *self.declined.entry("untold").or_default() += 1;
            tracing::error!(id = record.id, "containment: no alert, too many wait");
        }
    }

    fn decline(&mut self, rule: usize, pid: u32, label: &str, why: &Declined) {
        *self.declined.entry(why.cause()).or_default() += 1;
        let now = self.acts.now_us();
        if self.logged.len() >= MOST_LOGGED {
            self.logged.clear();
        }
        let last = self
            .logged
            .entry((rule, pid, why.cause()))
            .or_insert(i64::MIN);
        if now.saturating_sub(*last) >= LOG_EVERY_US {
            *last = now;
            tracing::warn!(workload = %label, pid, %why, "containment: nothing is done");
        }
    }

    /// Ends what has had its time, and notes what ended by itself. Call it once a second.
    pub fn expire(&mut self) {
        let now = self.acts.now_us();
        for kept in self.book.iter_mut() {
            if kept.state != State::InForce {
                continue;
            }
            if kept.until_us.is_some_and(|until| until <= now) {
                self.acts.release(&kept.id);
                kept.turn(State::Expired);
                tracing::info!(
                    id = kept.id,
                    target = kept.record.target,
                    "containment: refusal expired"
                );
            } else if matches!(kept.key, Key::Process { .. }) && !self.acts.lives(&kept.id) {
                kept.turn(State::Ended);
                tracing::info!(
                    id = kept.id,
                    pid = kept.pid,
                    "containment: the stopped process has ended"
                );
            }
        }
    }

    /// Undoes one act.
    ///
    /// # Errors
    /// When there is none of that id, or nothing of it to undo.
    pub fn undo(&mut self, id: &str) -> Result<ContainmentRecord, NotUndone> {
        self.expire();
        let kept = self.book.find(id).ok_or(NotUndone::Unknown)?;
        if kept.state != State::InForce {
            let why = match kept.state {
                State::Done => "a connection that was reset stays so; the client may connect again",
                State::Would => "nothing was done: it was a dry run",
                State::Failed => "nothing was done: it failed",
                State::Undone => "it was undone before",
                State::Expired => "it has expired",
                State::InForce | State::Ended => "the process has ended",
            };
            return Err(NotUndone::Nothing(why.to_owned()));
        }
        if matches!(kept.key, Key::Process { .. }) {
            self.acts
                .resume(id)
                .map_err(|error| NotUndone::Nothing(error.to_string()))?;
        } else {
            self.acts.release(id);
        }
        kept.turn(State::Undone);
        tracing::warn!(id, target = kept.record.target, "containment: undone");
        Ok(kept.record.clone())
    }

    /// All acts remembered, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<ContainmentRecord> {
        self.book.iter().map(|kept| kept.record.clone()).collect()
    }

    /// Counters.
    #[must_use]
    pub fn status(&self) -> ContainmentStatus {
        let mut declined: Vec<Loss> = self
            .declined
            .iter()
            .map(|(cause, count)| Loss {
                cause: (*cause).to_owned(),
                count: *count,
                unit: "acts".to_owned(),
            })
            .collect();
        declined.sort_by(|a, b| a.cause.cmp(&b.cause));
        ContainmentStatus {
            mode: self.rules.containment.mode.name().to_owned(),
            in_force: self.book.in_force(),
            declined,
            ..self.status.clone()
        }
    }

    /// The daemon ends: refusals end with it, and what stays stopped is named.
    pub fn finish(&mut self) {
        self.release_all("the daemon ends");
        for kept in self.book.iter() {
            if kept.state == State::InForce {
                tracing::warn!(
                    id = kept.id,
                    pid = kept.pid,
                    workload = kept.record.workload,
                    "containment: stays stopped; `kill -CONT {}` lets it go on",
                    kept.pid
                );
            }
        }
    }

    fn release_all(&mut self, why: &str) {
        for kept in self.book.iter_mut() {
            if kept.state == State::InForce && matches!(kept.key, Key::Group { .. }) {
                self.acts.release(&kept.id);
                kept.turn(State::Undone);
                tracing::info!(
                    id = kept.id,
                    target = kept.record.target,
                    why,
                    "containment: refusal removed"
                );
            }
        }
    }
}

impl Plan {
    fn key(&self) -> Key {
        match self {
            Self::Reset(sockets) => {
                let mut cookies: Vec<u64> = sockets.iter().map(|socket| socket.cookie).collect();
                cookies.sort_unstable();
                Key::Sockets(cookies)
            }
            Self::Refuse(group, ranges) => Key::Group {
                group: group.id,
                ranges: ranges.clone(),
            },
            Self::Stop(process) => Key::Process {
                pid: process.pid,
                start_ticks: process.start_ticks,
            },
        }
    }

    fn about(&self) -> String {
        match self {
            Self::Reset(sockets) => match sockets.first().and_then(Socket::remote_address) {
                Some(address) if sockets.first().is_some_and(|s| s.client) => {
                    format!("to {address}")
                }
                Some(address) => format!("from {address}"),
                None => "unknown".to_owned(),
            },
            Self::Refuse(group, ranges) => {
                let refused = || ranges.iter().filter(|range| range.refused);
                let mut names: Vec<String> = refused()
                    .take(4)
                    .map(|range| match range.port {
                        Some(port) => SocketAddr::new(range.network.addr(), port).to_string(),
                        None => range.network.to_string(),
                    })
                    .collect();
                if refused().count() > names.len() {
                    names.push(format!("{} more", refused().count() - names.len()));
                }
                format!("control group {} to {}", group.path, names.join(", "))
            }
            Self::Stop(process) => format!("process {} ({})", process.pid, process.workload.exe),
        }
    }
}

fn cookies(violation: &Violation) -> Vec<u64> {
    let mut cookies: Vec<u64> = violation
        .sockets
        .iter()
        .flatten()
        .map(|s| s.cookie)
        .collect();
    cookies.sort_unstable();
    cookies
}

fn connection(violation: &Violation) -> String {
    match &violation.access.peer {
        Peer::Inet(address) => format!("to {address}"),
        Peer::Unix(path) => format!("to unix:{path}"),
        Peer::Unknown => "to an unknown address".to_owned(),
    }
}
