//! Runs techniques and their twins on the ground, one after the other, and notes what came of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::DrillError;
use super::ground::Ground;
use super::peers::{Peer, flood, talk};
use super::policy::{Base, assemble};
use super::receiver::{Delivery, Receiver};
use super::report::{Row, Twin};
use super::technique::{Act, Draft, Holder, Run, Technique, bearer};
use super::techniques::LATE;
use super::watcher::Watcher;
use crate::serve::records::StatusRecord;

/// Longest wait for the first alert: by then the daemon sees what happens, or never.
const FIRST: Duration = Duration::from_secs(15);
/// How long a twin is given to be noisy, at least, after an alert that was asked for behind it came.
const SETTLE: Duration = Duration::from_millis(1500);
/// How long a flood goes on before the request that it is to hide.
const FLOODED: Duration = Duration::from_millis(1500);

/// A technique with its drafts.
pub(super) struct Case {
    pub(super) technique: Box<dyn Technique>,
    attacks: Vec<(String, Draft)>,
    twin: (String, Draft),
}

impl Case {
    /// Drafts `times` attacks and a twin; none when this program has no check for it.
    pub(super) fn new(technique: Box<dyn Technique>, times: u32, ground: &Ground) -> Self {
        let card = technique.card();
        let draft = |suffix: &str, twin| {
            let run = Run {
                label: format!("{}-{suffix}", card.name),
                twin,
                places: &ground.places,
            };
            (run.label.clone(), technique.draft(&run))
        };
        let times = match card.kind() {
            None => 0,
            Some(_) if technique.is_loud() => 1,
            Some(_) => times,
        };
        let attacks = (1..=times)
            .map(|number| draft(&number.to_string(), false))
            .collect();
        let twin = if times == 0 {
            Default::default()
        } else {
            draft("twin", true)
        };
        Self {
            attacks,
            twin,
            technique,
        }
    }

    fn drafts(&self) -> impl Iterator<Item = &Draft> {
        let attacks = self.attacks.iter().map(|(_, draft)| draft);
        attacks.chain([&self.twin.1])
    }
}

/// Set when the drill is to end early.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether the drill is to end early.
pub(super) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

extern "C" fn interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on Ctrl-C and the like let the drill put away what it made.
pub(super) fn heed_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler: extern "C" fn(libc::c_int) = interrupt;
        // SAFETY: the handler stores to an atomic, which a signal handler may.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Holds the drill: starts a daemon with the policy of all cases, attacks, and watches the twins.
///
/// # Errors
/// When there is no daemon, or it sees nothing at all.
pub(super) fn hold(
    ground: &Ground,
    base: &Base,
    cases: &[Case],
    progress: &dyn Fn(&str),
) -> Result<Vec<Row>, DrillError> {
    let marks = ["first", "last"].map(|name| mark(name, ground));
    let drafts: Vec<&Draft> = cases.iter().flat_map(Case::drafts).chain(&marks).collect();
    for draft in &drafts {
        for (name, token) in &draft.keys {
            super::ground::write(&ground.places.keys.join(name), token)
                .map_err(|error| DrillError::on("a scratch credential", &error))?;
        }
    }
    let receiver =
        Receiver::start().map_err(|error| DrillError::on("a webhook receiver", &error))?;
    progress("starting a daemon for the drill");
    let watcher = Watcher::start(ground, &assemble(base, &drafts), &receiver, interrupted)?;
    let stage = Stage {
        ground,
        receiver,
        watcher,
    };
    stage.prove(&marks[0])?;
    let mut rows: Vec<Row> = cases
        .iter()
        .map(|case| Row::new(case.technique.card().clone()))
        .collect();
    std::thread::scope(|scope| {
        // Habits take their time: they are lived beside the others, each with its twin.
        let lived: Vec<_> = (0..cases.len())
            .filter(|at| cases[*at].technique.card().has_habit())
            .map(|at| {
                let (stage, case) = (&stage, &cases[at]);
                let twin = scope.spawn(move || stage.twin(case));
                (at, scope.spawn(move || stage.begin(case)), twin)
            })
            .collect();
        run_others(&stage, cases, &mut rows, progress)?;
        for (at, begun, twin) in lived {
            progress(&rows[at].card.name);
            let failed = || DrillError::new("the drill", "a thread of it failed; this is a bug");
            for (draft, done) in begun.join().map_err(|_| failed())? {
                stage.judge(&cases[at], &mut rows[at], draft, done)?;
            }
            if let Some(twin) = twin.join().map_err(|_| failed())? {
                rows[at].twin = twin;
            }
        }
        Ok::<(), DrillError>(())
    })?;
    progress("waiting for twins to speak up");
    stage.prove(&marks[1])?;
    // A check that is slow for an attack may be as slow for its twin.
    let at_once = rows.iter().filter(|row| !row.card.is_late());
    let slowest = at_once.flat_map(|row| &row.ms).copied().fold(0.0, f64::max);
    let settle = SETTLE.max(Duration::from_secs_f64(slowest / 1000.0 * 2.0));
    stage.receiver.wait(settle, interrupted, |_| false);
    if interrupted() {
        return Err(DrillError::new("the drill", "interrupted"));
    }
    if let Some(why) = stage.receiver.refused().first() {
        return Err(DrillError::new("a webhook that cannot be believed", why));
    }
    let deliveries = stage.receiver.deliveries();
    for (row, case) in rows.iter_mut().zip(cases) {
        note(row, case, &deliveries);
    }
    Ok(rows)
}

/// Runs what has no habit, one after the other.
fn run_others(
    stage: &Stage<'_>,
    cases: &[Case],
    rows: &mut [Row],
    progress: &dyn Fn(&str),
) -> Result<(), DrillError> {
    // What takes its time begins first, and goes on while the others are run.
    let others = (0..cases.len()).filter(|at| !cases[*at].technique.card().has_habit());
    let (slow, fast): (Vec<usize>, Vec<usize>) =
        others.partition(|at| cases[*at].technique.card().is_slow());
    let mut late = Vec::new();
    for at in &slow {
        let (case, row) = (&cases[*at], &mut rows[*at]);
        progress(&row.card.name);
        if row.card.is_late() {
            late.push((*at, stage.begin(case)));
            stage.note_twin(case, row);
        } else {
            stage.case(case, row)?;
        }
    }
    let slow_until = Instant::now() + LATE;
    for at in fast {
        progress(&rows[at].card.name);
        stage.case(&cases[at], &mut rows[at])?;
    }
    for (at, begun) in late {
        for (draft, done) in begun {
            stage.judge(&cases[at], &mut rows[at], draft, done)?;
        }
    }
    // A twin of what is slow may speak up as late.
    if slow.iter().any(|at| rows[*at].card.kind().is_some()) {
        let rest = slow_until.saturating_duration_since(Instant::now());
        stage.receiver.wait(rest, interrupted, |_| false);
    }
    Ok(())
}

/// What else came of a case: further kinds of its attacks, and what its twin said.
fn note(row: &mut Row, case: &Case, deliveries: &[Delivery]) {
    let of = |draft: &Draft, one: &Delivery| {
        one.alert
            .identity
            .as_ref()
            .is_some_and(|identity| draft.identities.contains(identity))
    };
    for one in deliveries {
        let kind = &one.alert.kind;
        if *kind != row.card.expects
            && !row.also.contains(kind)
            && case.attacks.iter().any(|(_, draft)| of(draft, one))
        {
            row.also.push(kind.clone());
        }
        if of(&case.twin.1, one) {
            let noise = format!("{kind}: {}", one.alert.title);
            match &mut row.twin {
                Twin::Noisy(all) => all.push(noise),
                other => *other = Twin::Noisy(vec![noise]),
            }
        }
    }
    row.also.sort();
}

/// A canary whose alert says that everything before it was looked at.
fn mark(name: &str, ground: &Ground) -> Draft {
    let run = Run {
        label: "drill-mark".to_owned(),
        twin: false,
        places: &ground.places,
    };
    let mut draft = Draft::default();
    let holder = Holder {
        owner: "drill",
        ..Holder::default()
    };
    let token = draft.key(&run, name, &holder);
    draft.ask(bearer("GET", &run.host(name), "/", &token));
    draft
}

/// Everything that is needed to act.
struct Stage<'a> {
    ground: &'a Ground,
    receiver: Receiver,
    watcher: Watcher,
}

/// A flood that goes on.
struct Flood {
    peer: Peer,
    /// The identity whose token it uses.
    noise: String,
    /// What the daemon had lost before.
    before: StatusRecord,
}

/// What was done.
struct Done {
    /// When the last request was sent, or the first one after a habit, in ns of CLOCK_MONOTONIC.
    sent_ns: u64,
    flood: Option<Flood>,
    /// Processes that stay a while.
    _peers: Vec<Peer>,
}

impl Stage<'_> {
    fn prove(&self, mark: &Draft) -> Result<(), DrillError> {
        let done = self.perform("drill-mark", mark);
        done.map_err(|why| DrillError::new("the drill's own request", why))?;
        let name = mark.identities.first();
        let seen = self.receiver.wait(FIRST, interrupted, |one| {
            one.alert.identity.as_ref() == name
        });
        match seen {
            Some(_) => Ok(()),
            None if interrupted() => Err(DrillError::new("the drill", "interrupted")),
            None => Err(DrillError::new(
                "the daemon of the drill",
                "it did not see a request of the drill",
            )
            .hint("`bailiwick doctor` shows what this kernel and these privileges allow")),
        }
    }

    /// Attacks, then the twin.
    fn case(&self, case: &Case, row: &mut Row) -> Result<(), DrillError> {
        for (label, draft) in &case.attacks {
            self.judge(case, row, draft, self.perform(label, draft))?;
        }
        self.note_twin(case, row);
        Ok(())
    }

    fn note_twin(&self, case: &Case, row: &mut Row) {
        if let Some(twin) = self.twin(case) {
            row.twin = twin;
        }
    }

    /// All attacks of a case, one after the other, without waiting for what comes of them.
    fn begin<'c>(&self, case: &'c Case) -> Vec<(&'c Draft, Result<Done, String>)> {
        let attacks = case.attacks.iter();
        attacks
            .map(|(label, draft)| (draft, self.perform(label, draft)))
            .collect()
    }

    /// What came of acting as the twin; nothing when this program has no check for the case.
    fn twin(&self, case: &Case) -> Option<Twin> {
        case.technique.card().kind()?;
        let (label, draft) = &case.twin;
        let done = self.perform(label, draft);
        Some(match done.and_then(|done| self.account(done)) {
            Ok(()) => Twin::Silent,
            Err(why) => Twin::Failed(why),
        })
    }

    /// Waits for what comes of an attack: milliseconds from its request to the webhook, or why it was missed.
    fn judge(
        &self,
        case: &Case,
        row: &mut Row,
        draft: &Draft,
        done: Result<Done, String>,
    ) -> Result<(), DrillError> {
        row.runs += 1;
        match done.and_then(|done| self.outcome(draft, done, case)) {
            Ok(ms) => row.ms.push(ms),
            Err(why) => row.problem = Some(why),
        }
        if interrupted() {
            return Err(DrillError::new("the drill", "interrupted"));
        }
        Ok(())
    }

    fn outcome(&self, draft: &Draft, done: Done, case: &Case) -> Result<f64, String> {
        let expects = case.technique.card().expects;
        let patience = case.technique.patience();
        let found = self.receiver.wait(patience, interrupted, |one| {
            one.alert.kind == expects
                && one
                    .alert
                    .identity
                    .as_ref()
                    .is_some_and(|name| draft.identities.contains(name))
        });
        let sent = done.sent_ns;
        self.account(done)?;
        let found = found.ok_or_else(|| format!("no webhook within {} s", patience.as_secs()))?;
        Ok(millis(sent, found.at_ns))
    }

    fn perform(&self, label: &str, draft: &Draft) -> Result<Done, String> {
        let mut done = Done {
            sent_ns: 0,
            flood: None,
            _peers: Vec::new(),
        };
        if draft.acts.is_empty() {
            return Err("nothing could be drafted".to_owned());
        }
        for act in &draft.acts {
            match act {
                Act::Talk { actor, to, pieces } => {
                    let (told, peer) = talk(self.ground, label, actor, *to, pieces)?;
                    let first = told.sent_ns.get(draft.habit).filter(|_| draft.habit > 0);
                    done.sent_ns = first.or(told.sent_ns.last()).copied().unwrap_or(0);
                    if !actor.linger.is_zero() {
                        done._peers.push(peer);
                    }
                }
                Act::Flood { token, host } => {
                    let before = self.watcher.status()?;
                    let peer =
                        flood(self.ground, token, host).map_err(|error| error.to_string())?;
                    let named = draft.keys.iter().find(|(_, one)| one == token);
                    done.flood = Some(Flood {
                        peer,
                        noise: named.map(|(name, _)| name.clone()).unwrap_or_default(),
                        before,
                    });
                    std::thread::sleep(FLOODED);
                }
            }
        }
        Ok(done)
    }

    /// Ends a flood and finds out whether every request of it was seen, or counted as shed.
    fn account(&self, done: Done) -> Result<(), String> {
        let Some(Flood {
            peer,
            noise,
            before,
        }) = done.flood
        else {
            return Ok(());
        };
        let sent = peer
            .finish()
            .map_err(|error| format!("the flood: {error}"))?;
        let sent: u64 = sent
            .trim()
            .parse()
            .map_err(|_| "the flood did not say its size")?;
        // The snapshot of the counters is made once a second.
        std::thread::sleep(Duration::from_millis(2500));
        let after = self.watcher.status()?;
        let seen = self.watcher.accesses(&noise)?;
        let losses =
            |status: &StatusRecord| status.losses.iter().map(|loss| loss.count).sum::<u64>();
        let shed = losses(&after).saturating_sub(losses(&before));
        if seen < sent && shed == 0 {
            return Err(format!(
                "{} of {sent} requests of the flood were neither seen nor counted as lost",
                sent - seen
            ));
        }
        Ok(())
    }
}

fn millis(from_ns: u64, to_ns: u64) -> f64 {
    let microseconds = to_ns.saturating_sub(from_ns) / 1000;
    f64::from(u32::try_from(microseconds).unwrap_or(u32::MAX)) / 1000.0
}
