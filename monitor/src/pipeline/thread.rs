//! The hot thread: runs the pipeline, hands its results to the async side, takes commands from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{ANOMALIES, Numbered, Pipeline, PipelineLosses};
use crate::access::Access;
use crate::access::credential::Recogniser;
use crate::alert::AlertUpdate;
use crate::baseline::gate::Gate;
use crate::baseline::{BaselineStatus, Digest, Settings};
use crate::census::{CensusStats, IdentityRecord};
use crate::coverage::{CoverageRecord, CoverageStats};
use crate::judge::{FindingCounts, HistoryMemory, Judge, Remembered};
use crate::metrics::Latency;
use crate::source::{Source, SourceCounters};

/// Longest pause while the host is quiet; a ring holds more than can come in that time.
const PAUSE_IDLE: Duration = Duration::from_millis(10);
/// Least time between two hand-overs of findings, in ns: each costs the store an fsync.
const REPORT_EVERY: u64 = 20_000_000;
/// How much the thread's turn comes before others' (setpriority(2)).
const HOT_NICE: i32 = -5;
/// Most processes with losses in a snapshot.
const MOST_LISTED: usize = 32;
/// Time between two snapshots of the counters, in ns.
const SNAPSHOT_EVERY: u64 = 1_000_000_000;

/// What the async side asks for.
#[derive(Debug)]
pub enum Command {
    /// Recognise and judge by these from now on.
    Rules(Box<(Recogniser, Judge)>),
    /// The newest accesses, at most so many, newest last.
    Recent(usize, oneshot::Sender<Vec<Numbered>>),
    /// All identities seen.
    Identities(oneshot::Sender<Vec<IdentityRecord>>),
    /// What is remembered of earlier accesses.
    History(oneshot::Sender<Remembered>),
    /// Learn by these settings from now on.
    Learn(Settings),
    /// What these accesses were is usual from now on, or is not for that reason any more.
    Grant(Vec<Access>, bool),
    /// The baseline's gate, and one part of its profiles if it changed.
    Baseline(u8, oneshot::Sender<(Gate, Option<Vec<u8>>)>),
    /// How each workload's traffic was understood.
    Coverage(oneshot::Sender<Vec<CoverageRecord>>),
}

/// What the hot thread has to say.
#[derive(Debug)]
pub enum Output {
    /// Accesses of one pass; only while someone looks.
    Live(Vec<Numbered>),
    /// Findings, folded.
    Alerts(Vec<AlertUpdate>),
    /// Counters, once a second.
    Snapshot(Box<Snapshot>),
    /// What is remembered of earlier accesses, at the end.
    History(Box<Remembered>),
}

/// Counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Accesses since the start.
    pub accesses: u64,
    /// Of these, with a credential.
    pub with_credential: u64,
    /// Findings since the start.
    pub findings: u64,
    /// What the source lost.
    pub source: SourceCounters,
    /// What the pipeline gave up.
    pub losses: PipelineLosses,
    /// What the decoder met, by name.
    pub anomalies: Vec<(&'static str, u64)>,
    /// Requests without a response.
    pub unanswered: u64,
    /// Accesses that viewers missed.
    pub unseen: u64,
    /// Connections followed, heap their decoders hold.
    pub connections: (usize, usize),
    /// Processes known.
    pub processes: usize,
    /// Identities known.
    pub census: CensusStats,
    /// What is remembered of earlier accesses.
    pub history: HistoryMemory,
    /// What the baseline says of itself.
    pub baseline: BaselineStatus,
    /// Yesterday's digest, once.
    pub digest: Option<Box<Digest>>,
    /// How connections were understood.
    pub coverage: CoverageStats,
    /// DPoP proofs whose signature was not verified for want of time, and that were forgotten before their
    /// time.
    pub proofs: [u64; 2],
    /// Findings since the start, by kind and severity.
    pub by_kind: FindingCounts,
    /// From a response's first byte to its verdict, in fixed buckets.
    pub latency: Latency,
    /// From a response's first byte to its verdict: median, 99th percentile, longest, in µs.
    pub delay_us: [u64; 3],
}

/// Shared flags, read once a pass.
#[derive(Debug, Default)]
pub struct Signals {
    /// Viewers connected.
    pub viewers: AtomicUsize,
    /// Ends the thread.
    pub stop: AtomicBool,
    /// Passes done: the watchdog looks whether it moves.
    pub passes: AtomicU64,
}

/// The running thread.
#[derive(Debug)]
pub struct Hot {
    /// Commands; bounded, so that a flood of requests cannot grow.
    pub commands: std::sync::mpsc::SyncSender<Command>,
    /// Flags.
    pub signals: Arc<Signals>,
    /// Ends when the pipeline ends; an error is a bug.
    pub join: JoinHandle<()>,
}

/// Starts the thread, which makes a pass each `interval`, and fewer while the host is quiet. `build` runs
/// in it and reports whether the source could be opened.
///
/// # Errors
/// Whatever `build` says, or that no thread could be started.
pub fn start<S, E, F>(
    interval: Duration,
    build: F,
) -> Result<(Hot, mpsc::Receiver<Output>, Vec<String>), StartError<E>>
where
    S: Source,
    E: Send + 'static,
    F: FnOnce() -> Result<Pipeline<S>, E> + Send + 'static,
{
    let (command_sender, commands) = std::sync::mpsc::sync_channel(64);
    let (outputs, output_receiver) = mpsc::channel(256);
    let (ready, is_ready) = std::sync::mpsc::channel();
    let signals = Arc::new(Signals::default());
    let inner = Arc::clone(&signals);
    let join = std::thread::Builder::new()
        .name("bailiwick-hot".to_owned())
        .spawn(move || {
            // It must have its turn on a busy host, or rings overflow. Where that is not allowed
            // (CAP_SYS_NICE; the unit has `Nice=`), it runs like any other.
            let _ = rustix::process::setpriority_process(None, HOT_NICE);
            match build() {
                Ok(pipeline) => {
                    let _ = ready.send(Ok(pipeline.source.hooks()));
                    run(pipeline, interval, &commands, &outputs, &inner);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        })
        .map_err(StartError::Thread)?;
    match is_ready.recv() {
        Ok(Ok(hooks)) => Ok((
            Hot {
                commands: command_sender,
                signals,
                join,
            },
            output_receiver,
            hooks,
        )),
        Ok(Err(error)) => Err(StartError::Source(error)),
        Err(_) => Err(StartError::Died),
    }
}

/// Why the thread does not run.
#[derive(Debug)]
pub enum StartError<E> {
    /// The source said so.
    Source(E),
    /// No thread.
    Thread(std::io::Error),
    /// It ended before it was ready.
    Died,
}

fn run<S: Source>(
    mut pipeline: Pipeline<S>,
    interval: Duration,
    commands: &std::sync::mpsc::Receiver<Command>,
    outputs: &mpsc::Sender<Output>,
    signals: &Signals,
) {
    let mut last_snapshot = 0;
    let mut pause = interval;
    while !signals.stop.load(Ordering::Relaxed) {
        while let Ok(command) = commands.try_recv() {
            obey(&mut pipeline, command);
        }
        pipeline.state.analyst.watched = signals.viewers.load(Ordering::Relaxed) > 0;
        let (now, offset) = clocks();
        let events = pipeline.pass(now, offset);
        report(&mut pipeline, outputs);
        if now.saturating_sub(last_snapshot) >= SNAPSHOT_EVERY
            && let Ok(slot) = outputs.try_reserve()
        {
            last_snapshot = now;
            slot.send(Output::Snapshot(Box::new(pipeline.snapshot())));
        }
        signals.passes.fetch_add(1, Ordering::Relaxed);
        if outputs.is_closed() {
            return;
        }
        pause = if events > 0 {
            interval
        } else {
            (pause * 2).min(PAUSE_IDLE.max(interval))
        };
        if events < pipeline.state.limits.events_per_pass / 2 {
            std::thread::sleep(pause);
        }
    }
    // What was seen until now still leaves.
    let (now, offset) = clocks();
    pipeline.pass(now, offset);
    pipeline.state.analyst.reported = 0;
    report(&mut pipeline, outputs);
    let analyst = &pipeline.state.analyst;
    let remembered = analyst.judging.judge.remembered(analyst.wall_us(now));
    let _ = outputs.blocking_send(Output::History(Box::new(remembered)));
}

/// Hands over findings and accesses, as far as there is room; findings stay folded until there is.
fn report<S: Source>(pipeline: &mut Pipeline<S>, outputs: &mpsc::Sender<Output>) {
    let analyst = &mut pipeline.state.analyst;
    let due = analyst.now.saturating_sub(analyst.reported) >= REPORT_EVERY;
    if analyst.judging.folder.pending() > 0
        && (due || analyst.judging.folder.pressed())
        && let Ok(slot) = outputs.try_reserve()
    {
        let mut updates = Vec::new();
        analyst.judging.folder.drain(|update| updates.push(update));
        analyst.reported = analyst.now;
        slot.send(Output::Alerts(updates));
    }
    if !analyst.live.is_empty() {
        let live = std::mem::take(&mut analyst.live);
        let count = live.len() as u64;
        if outputs.try_send(Output::Live(live)).is_err() {
            analyst.counters.unseen += count;
        }
    }
}

fn obey<S: Source>(pipeline: &mut Pipeline<S>, command: Command) {
    let analyst = &mut pipeline.state.analyst;
    match command {
        Command::Rules(rules) => {
            let (mut recogniser, mut judge) = *rules;
            recogniser.inherit(&analyst.recogniser);
            judge.inherit(&mut analyst.judging.judge);
            (analyst.recogniser, analyst.judging.judge) = (recogniser, judge);
            analyst.judging.folder.replace_rules();
        }
        Command::Recent(most, answer) => {
            let skip = analyst.recent.len().saturating_sub(most);
            let _ = answer.send(analyst.recent.iter().skip(skip).cloned().collect());
        }
        Command::Identities(answer) => {
            let mut records = analyst.judging.census.snapshot();
            if let Some(baseline) = &analyst.judging.baseline {
                for record in &mut records {
                    record.baseline = baseline.standing(&record.identity);
                }
            }
            let _ = answer.send(records);
        }
        Command::Learn(settings) => {
            if let Some(baseline) = &mut analyst.judging.baseline {
                baseline.configure(settings);
            }
        }
        Command::Grant(accesses, granted) => {
            if let Some(baseline) = &mut analyst.judging.baseline {
                for access in &accesses {
                    baseline.grant(access, granted);
                }
            }
        }
        Command::Baseline(part, answer) => {
            if let Some(baseline) = &mut analyst.judging.baseline {
                let saved = baseline.save_part(part);
                let _ = answer.send((baseline.gate(), saved));
            }
        }
        Command::History(answer) => {
            let now = analyst.wall_us(analyst.now);
            let _ = answer.send(analyst.judging.judge.remembered(now));
        }
        Command::Coverage(answer) => {
            let state = &mut pipeline.state;
            state.cover_open();
            let _ = answer.send(state.coverage.snapshot());
        }
    }
}

impl<S: Source> Pipeline<S> {
    fn snapshot(&mut self) -> Snapshot {
        let mut source = self.source.counters();
        self.state.cover_processes(&source);
        source.uncovered.truncate(MOST_LISTED);
        source.shed.truncate(MOST_LISTED);
        let baseline = self.state.analyst.judging.baseline.as_mut();
        let (baseline, digest) = baseline.map_or_else(Default::default, |baseline| {
            (baseline.status(), baseline.closed_digest())
        });
        let state = &self.state;
        let counters = &state.analyst.counters;
        let tally = &state.analyst.judging.tally;
        let delay = state.analyst.delay.as_ref().map_or([0; 3], |delay| {
            [
                delay.value_at_quantile(0.5),
                delay.value_at_quantile(0.99),
                delay.max(),
            ]
        });
        Snapshot {
            accesses: tally.accesses,
            with_credential: tally.with_credential,
            findings: tally.findings,
            source,
            losses: state.losses,
            anomalies: ANOMALIES
                .iter()
                .zip(counters.anomalies)
                .map(|((_, name), count)| (*name, count))
                .collect(),
            unanswered: counters.unanswered.iter().sum(),
            unseen: counters.unseen,
            connections: (state.links.len(), state.memory),
            processes: state.host.sizes().0,
            census: state.analyst.judging.census.stats(),
            history: state.analyst.judging.judge.history_memory(),
            baseline,
            digest,
            coverage: state.coverage.stats(),
            proofs: [
                state.analyst.recogniser.stats().proofs.unverified,
                state.analyst.judging.judge.proof_memory().proofs_forgotten,
            ],
            by_kind: tally.by_kind,
            latency: state
                .analyst
                .delay
                .as_ref()
                .map(Latency::of)
                .unwrap_or_default(),
            delay_us: delay,
        }
    }
}

/// CLOCK_MONOTONIC in ns, and what to add to it for ns since 1970.
fn clocks() -> (u64, i64) {
    use rustix::time::{ClockId, clock_gettime};
    let ns = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec)
    };
    let (monotonic, wall) = (ns(ClockId::Monotonic), ns(ClockId::Realtime));
    (
        u64::try_from(monotonic).unwrap_or(0),
        wall.saturating_sub(monotonic),
    )
}
