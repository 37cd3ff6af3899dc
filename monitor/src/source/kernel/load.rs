//! Loads and attaches the programs, and reads their rings.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use aya::maps::{Array, ArrayOfMaps, HashMap as BpfHashMap, Map, MapData, PerCpuArray};
use aya::programs::{BtfTracePoint, FExit, ProgramError, ProgramFd};
use aya::{Btf, Ebpf, EbpfLoader, Pod};
use monitor_ebpf::{ABI, Offsets, ProcessCounters, Settings, Syscalls, loss, uncovered};

use super::fallback::Fallback;
use super::hooks::{self, Hook, Kind, Way};
use super::probes::{Code, ProbeError, Probes};
use super::refusing::Refusing;
use super::requests::{self, Requests};
use super::ring::Ring;
use super::slots::Slots;
use super::{Figure, offsets, record};
use crate::source::{self, Event, Shed, Source, SourceCounters, Uncovered};

/// The programs, built by `cargo xtask build`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bailiwick.o"));

/// Where the kernel describes its types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// `BPF_MAP_TYPE_RINGBUF` (include/uapi/linux/bpf.h).
const RINGBUF: u32 = 27;
/// Size of the control ring, as declared with the programs.
const CONTROL_RING: u32 = 1 << 20;
/// How far one ring may run ahead of another, in ns, to spare a comparison for each record.
const MERGE_SLACK: u64 = 20_000;
/// Smallest ring per CPU.
const MIN_RING: u32 = 256 << 10;
/// Largest ring per CPU.
const MAX_RING: u32 = 64 << 20;

/// Why the programs do not run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No BTF, or unreadable.
    #[error("cannot read the kernel's type information at {KERNEL_BTF}: {0}")]
    NoBtf(#[source] io::Error),
    /// BTF without what the programs need.
    #[error("{0}")]
    Btf(#[from] source::btf::BtfError),
    /// A hook that this kernel does not have, in neither way.
    #[error("this kernel has no {0} to attach to")]
    NoHook(&'static str),
    /// The kernel refused for want of privilege.
    #[error("the kernel refused {what}: {cause}")]
    Privilege {
        /// What was tried.
        what: String,
        /// Its words.
        cause: String,
    },
    /// Anything else the kernel refused.
    #[error("{what} failed: {cause}")]
    Kernel {
        /// What was tried.
        what: String,
        /// Its words.
        cause: String,
    },
}

impl LoadError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoBtf(_) => {
                "boot a kernel built with CONFIG_DEBUG_INFO_BTF (all current distributions do), and \
                 let the daemon read /sys"
            }
            Self::Btf(_) => {
                "this kernel's types differ from those known; please report its release"
            }
            Self::NoHook(_) => {
                "Linux 6.3 or newer has tracepoints for sockets, and older ones functions that can be looked \
                 at instead; this one has neither as it is known. Please report its release"
            }
            Self::Privilege { .. } => {
                "run as root, or with CAP_BPF and CAP_PERFMON; kernel lockdown must not be in \
                 confidentiality mode"
            }
            Self::Kernel { .. } => "`bailiwick doctor` tells what this kernel allows",
        }
    }

    /// sysexits code: 77 for want of privilege, else 69.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Privilege { .. } => 77,
            Self::NoBtf(error) if error.kind() == io::ErrorKind::PermissionDenied => 77,
            _ => 69,
        }
    }
}

/// Sizes and shares.
#[derive(Clone, Copy, Debug)]
pub struct KernelSettings {
    /// Bytes of all data rings together.
    pub ring_bytes: u64,
    /// Fair share of a process while a ring is contended, bytes per second; 0: no bound.
    pub process_bytes_per_second: u64,
    /// The same for all processes of a control group.
    pub cgroup_bytes_per_second: u64,
    /// The monitor's own process: its sockets are left out.
    pub monitor_pid: u32,
    /// Hides kernel addresses in ids.
    pub secret: u64,
}

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Constants<T: Copy>(T);
// SAFETY: monitor-ebpf's records are integers without padding.
unsafe impl<T: Copy + 'static> Pod for Constants<T> {}

/// The attached programs and their rings. Dropping it detaches everything.
pub struct Kernel {
    control: Ring,
    data: Vec<Ring>,
    keys: Slots,
    probes: Option<Result<Probes, ProbeError>>,
    refusing: Option<Result<Refusing, String>>,
    /// Keep the maps alive: the rings above are mappings of them.
    _maps: Vec<MapData>,
    losses: PerCpuArray<MapData, u64>,
    processes: BpfHashMap<MapData, u32, Constants<ProcessCounters>>,
    advice: BpfHashMap<MapData, u64, u32>,
    hooks: Vec<String>,
    way: Way,
    figures: Vec<Figure>,
    malformed: u64,
    requests: Result<Requests, String>,
    _programs: Ebpf,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel")
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}

fn kernel_error(what: &str, error: &(dyn std::error::Error + 'static)) -> LoadError {
    let mut cause = error.to_string();
    let mut inner = error.source();
    let mut denied = false;
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = at {
        if let Some(io) = this.downcast_ref::<io::Error>()
            && matches!(io.raw_os_error(), Some(libc::EPERM | libc::EACCES))
        {
            denied = true;
        }
        at = this.source();
    }
    while let Some(next) = inner {
        let text = next.to_string();
        if !cause.contains(&text) {
            cause.push_str(": ");
            cause.push_str(&text);
        }
        inner = next.source();
    }
    // The verifier's log can be long; its end says why.
    if cause.len() > 2000 {
        let cut = cause
            .char_indices()
            .map(|(i, _)| i)
            .find(|i| cause.len() - i <= 2000);
        cause = format!("…{}", &cause[cut.unwrap_or(0)..]);
    }
    // A verifier refusal is EACCES too, but comes with a log.
    let verifier = error
        .downcast_ref::<ProgramError>()
        .is_some_and(|e| matches!(e, ProgramError::LoadError { verifier_log, .. } if !verifier_log.to_string().trim().is_empty()));
    if denied && !verifier {
        LoadError::Privilege {
            what: what.to_owned(),
            cause,
        }
    } else {
        LoadError::Kernel {
            what: what.to_owned(),
            cause,
        }
    }
}

/// A rate per second as one per tick of 2²⁰ ns, the unit of the programs; 0 means no bound.
fn per_tick(bytes_per_second: u64) -> u32 {
    if bytes_per_second == 0 {
        return u32::MAX;
    }
    let per_tick = (u128::from(bytes_per_second) << 20) / 1_000_000_000;
    u32::try_from(per_tick).unwrap_or(u32::MAX).max(1)
}

/// Bytes per CPU: the total divided, as a power of two of pages.
fn ring_size(total: u64, cpus: u32) -> u32 {
    let each = (total / u64::from(cpus.max(1))).clamp(u64::from(MIN_RING), u64::from(MAX_RING));
    let each = u32::try_from(each).unwrap_or(MAX_RING);
    // Round down to a power of two.
    1 << (31 - each.leading_zeros())
}

impl Kernel {
    /// Loads, sizes, fills and attaches everything.
    ///
    /// # Errors
    /// Says what is missing: privilege, BTF, a tracepoint, or what the kernel said.
    pub fn load(settings: &KernelSettings) -> Result<Self, LoadError> {
        let blob = std::fs::read(KERNEL_BTF).map_err(LoadError::NoBtf)?;
        let types = source::btf::Btf::parse(&blob)?;
        let (way, wanted) = hooks::choose(&types).map_err(LoadError::NoHook)?;
        let offsets = offsets::resolve(&types)?;
        let cpus = aya::util::nr_cpus()
            .map_err(|(what, error)| kernel_error(what, &error))
            .and_then(|n| u32::try_from(n).map_err(|e| kernel_error("counting processors", &e)))?;
        let ring = ring_size(settings.ring_bytes, cpus);
        let constants = Settings {
            abi: ABI,
            monitor_tgid: settings.monitor_pid,
            secret: settings.secret,
            ring_half: ring / 2,
            ring_high: ring / 8 * 7,
            process_rate: per_tick(settings.process_bytes_per_second),
            cgroup_rate: per_tick(settings.cgroup_bytes_per_second),
            process_burst: ring / 16,
            cgroup_burst: ring / 4,
        };
        let calls: Syscalls = offsets::syscalls();
        let mut loader = EbpfLoader::new();
        let offsets_global = Constants::<Offsets>(offsets);
        let calls_global = Constants(calls);
        let settings_global = Constants(constants);
        loader
            .override_global("OFFSETS", &offsets_global, true)
            .override_global("SYSCALLS", &calls_global, true)
            .override_global("SETTINGS", &settings_global, true)
            .map_max_entries("DATA", cpus);
        let mut programs = loader
            .load(OBJECT)
            .map_err(|e| kernel_error("creating the maps", &e))?;

        // Without them everything but TLS is still seen.
        let code = Code::read(OBJECT, &|name| {
            let map = map_data(programs.map(name)?)?;
            Some(map.fd().as_fd().as_raw_fd())
        });
        let refusing = code.as_ref().map_err(ToString::to_string).and_then(|code| {
            let table = programs
                .take_map("REFUSED")
                .ok_or("no map REFUSED; build again")?;
            Refusing::read(code, table)
        });
        // Attached first: a request that is under way when the others come is not half seen.
        let looked_at = requests::functions(&types);
        let requests = match &code {
            Ok(code) if !looked_at.is_empty() => Requests::start(code, &looked_at)
                .inspect_err(|error| tracing::info!(error, "io_uring is counted only")),
            Ok(_) => Err("this kernel has no functions of its own for them (Linux 6.0)".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let mut probes = code.and_then(|code| Probes::load(&code));
        let mut outer: ArrayOfMaps<MapData> =
            ArrayOfMaps::try_from(take(&mut programs, "DATA")?)
                .map_err(|e| kernel_error("opening the ring table", &e))?;
        let mut data = Vec::new();
        let mut maps = Vec::new();
        for cpu in 0..cpus {
            let shape = aya_obj::Map::new_from_params(RINGBUF, 0, 0, ring, 0);
            let map = MapData::create(shape, "bailiwick_data", None)
                .map_err(|e| kernel_error("creating a data ring", &e))?;
            outer
                .set(cpu, &map, 0)
                .map_err(|e| kernel_error("filling the ring table", &e))?;
            data.push(
                Ring::new(map.fd(), ring).map_err(|e| kernel_error("mapping a data ring", &e))?,
            );
            maps.push(map);
        }
        let Map::RingBuf(map) = take(&mut programs, "CONTROL")? else {
            return Err(LoadError::Kernel {
                what: "opening the control ring".to_owned(),
                cause: "it is not a ring; build again".to_owned(),
            });
        };
        let control = Ring::new(map.fd(), CONTROL_RING)
            .map_err(|e| kernel_error("mapping the control ring", &e))?;
        maps.push(map);
        let keys = match (
            take(&mut programs, "KEYS")?,
            take(&mut programs, "KEYS_PUT")?,
        ) {
            (Map::Array(slots), Map::Array(put)) => {
                let keys = Slots::new(slots.fd(), put.fd())
                    .map_err(|e| kernel_error("mapping the slots of secrets", &e))?;
                maps.extend([slots, put]);
                keys
            }
            _ => {
                return Err(LoadError::Kernel {
                    what: "opening the slots of secrets".to_owned(),
                    cause: "they are no array; build again".to_owned(),
                });
            }
        };
        let losses = PerCpuArray::try_from(take(&mut programs, "LOSSES")?)
            .map_err(|e| kernel_error("opening the loss counters", &e))?;
        let processes = BpfHashMap::try_from(take(&mut programs, "PROCESSES")?)
            .map_err(|e| kernel_error("opening the process counters", &e))?;

        let advice = BpfHashMap::try_from(take(&mut programs, "ADVICE")?)
            .map_err(|e| kernel_error("opening the table of advice", &e))?;

        if let Ok(probes) = &mut probes {
            match probes.take_fallback() {
                // The maps stay where they are otherwise: programs cannot be loaded that name a closed one.
                Ok(fallback) => {
                    let active = Array::try_from(take(&mut programs, "FALLBACK")?)
                        .map_err(|e| kernel_error("opening the fallback's switch", &e))?;
                    let pids = BpfHashMap::try_from(take(&mut programs, "FALLBACK_PIDS")?)
                        .map_err(|e| kernel_error("opening the fallback's processes", &e))?;
                    probes.ready = Some(Fallback::new(fallback, active, pids));
                }
                Err(error) => {
                    tracing::warn!(error, "TLS without keys stays closed: no fallback probes");
                }
            }
        }

        let btf = Btf::from_sys_fs().map_err(|e| kernel_error("reading the kernel's BTF", &e))?;
        let mut figures = load_all(&mut programs, &wanted, &btf)?;
        // Attached only when all have loaded.
        for hook in &wanted {
            attach(&mut programs, hook)?;
        }
        let mut hooks: Vec<String> = wanted.iter().map(Hook::to_string).collect();
        if let Ok(requests) = &requests {
            let functions = requests.functions.iter();
            hooks.extend(functions.map(|function| format!("fentry/{function}")));
            figures.extend(requests.figures.iter().cloned());
        }
        Ok(Self {
            control,
            data,
            keys,
            probes: Some(probes),
            refusing: Some(refusing),
            _maps: maps,
            losses,
            processes,
            advice,
            hooks,
            way,
            figures,
            malformed: 0,
            requests,
            _programs: programs,
        })
    }
}

impl Kernel {
    /// The probes of TLS libraries, or why there are none; `None` when they were taken before. What they
    /// find comes as [`Event::Key`] out of this source for as long as both live.
    pub fn take_probes(&mut self) -> Option<Result<Probes, ProbeError>> {
        self.probes.take()
    }

    /// The kernel side of refusals, or why there is none; `None` when it was taken before.
    pub fn take_refusing(&mut self) -> Option<Result<Refusing, String>> {
        self.refusing.take()
    }

    /// How many functions of io_uring are looked at, or why none is.
    ///
    /// # Errors
    /// Why its bytes are counted only.
    pub fn requests(&self) -> Result<usize, &str> {
        let requests = self.requests.as_ref();
        requests
            .map(|requests| requests.functions.len())
            .map_err(String::as_str)
    }

    /// How sends and receives are seen.
    #[must_use]
    pub fn way(&self) -> Way {
        self.way
    }

    /// What the verifier made of the programs, in the order of their loading; those of
    /// [`Self::take_probes`] have their own.
    #[must_use]
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// One loss counter, over all processors.
    fn loss(&self, which: u32) -> u64 {
        self.losses
            .get(&which, 0)
            .map(|values| values.iter().copied().fold(0_u64, u64::wrapping_add))
            .unwrap_or_default()
    }
}

/// A program by its hook's kind.
enum Program<'a> {
    Tracepoint(&'a mut BtfTracePoint),
    Return(&'a mut FExit),
}

fn program<'a>(
    found: Option<&'a mut aya::programs::Program>,
    hook: &Hook,
) -> Result<Program<'a>, LoadError> {
    let found = found.and_then(|program| match hook.kind {
        Kind::Tracepoint => program.try_into().ok().map(Program::Tracepoint),
        Kind::Return => program.try_into().ok().map(Program::Return),
    });
    found.ok_or_else(|| LoadError::Kernel {
        what: format!("finding program {}", hook.program),
        cause: "it is not in the object; build again".to_owned(),
    })
}

/// Side by side: the verifier takes most of a start, and as many processors as it gets.
fn load_all(programs: &mut Ebpf, wanted: &[Hook], btf: &Btf) -> Result<Vec<Figure>, LoadError> {
    let mut found: BTreeMap<String, &mut aya::programs::Program> = programs
        .programs_mut()
        .map(|(name, program)| (name.to_owned(), program))
        .collect();
    std::thread::scope(|scope| {
        let loads: Vec<_> = wanted
            .iter()
            .map(|hook| {
                let program = program(found.remove(hook.program), hook);
                scope.spawn(move || load(program?, hook, btf))
            })
            .collect();
        let load = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| {
                Err(LoadError::Kernel {
                    what: "loading the programs".to_owned(),
                    cause: "a thread ended early".to_owned(),
                })
            })
        };
        loads.into_iter().map(load).collect()
    })
}

fn load(program: Program<'_>, hook: &Hook, btf: &Btf) -> Result<Figure, LoadError> {
    let begun = Instant::now();
    let figure = |fd: &ProgramFd| Figure::of(hook.program, fd.as_fd(), begun.elapsed());
    let result = match program {
        Program::Tracepoint(program) => program
            .load(hook.target, btf)
            .and_then(|()| program.fd().map(figure)),
        Program::Return(program) => program
            .load(hook.target, btf)
            .and_then(|()| program.fd().map(figure)),
    };
    result.map_err(|e| kernel_error(&format!("loading program {}", hook.program), &e))
}

fn attach(programs: &mut Ebpf, hook: &Hook) -> Result<(), LoadError> {
    let result = match program(programs.program_mut(hook.program), hook)? {
        Program::Tracepoint(program) => program.attach().map(drop),
        Program::Return(program) => program.attach().map(drop),
    };
    result.map_err(|e| kernel_error(&format!("attaching to {}", hook.target), &e))
}

/// What the map is made of, for the kinds that the programs have.
fn map_data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data)
        | Map::SkStorage(data) => Some(data),
        _ => None,
    }
}

fn take(programs: &mut Ebpf, name: &str) -> Result<Map, LoadError> {
    programs.take_map(name).ok_or_else(|| LoadError::Kernel {
        what: format!("finding map {name}"),
        cause: "it is not in the object; build again".to_owned(),
    })
}

impl Source for Kernel {
    fn drain(&mut self, budget: usize, sink: &mut dyn FnMut(Event<'_>)) -> usize {
        // Where the bytes end is noted first: whatever they refer to (an open, an image) was made
        // before them, and so is in the control ring by now.
        let ends: Vec<u64> = self.data.iter().map(Ring::end).collect();
        let mut malformed = 0;
        let end = self.control.end();
        let mut seen = self.control.drain(end, u64::MAX, usize::MAX, &mut |bytes| {
            if !record::dispatch(bytes, sink) {
                malformed += 1;
            }
        });
        // After the sockets that they may name.
        seen += self.keys.drain(&mut |key| sink(Event::Key(key)));
        let mut dispatch = |bytes: &[u8]| {
            if !record::dispatch(bytes, sink) {
                malformed += 1;
            }
        };
        // The rings are merged by time: what one processor wrote in answer to another's bytes comes
        // after them, as nearly as clocks and preemption allow.
        let mut left = budget;
        while left > 0 {
            let mut first: Option<(usize, u64)> = None;
            let mut second = u64::MAX;
            for (index, (ring, end)) in self.data.iter_mut().zip(&ends).enumerate() {
                let Some(time) = ring.next_time(*end) else {
                    continue;
                };
                match first {
                    Some((_, best)) if time >= best => second = second.min(time),
                    _ => {
                        second = first.map_or(second, |(_, best)| best.min(second));
                        first = Some((index, time));
                    }
                }
            }
            let Some((index, _)) = first else { break };
            let (Some(ring), Some(end)) = (self.data.get_mut(index), ends.get(index)) else {
                break;
            };
            let taken = ring.drain(
                *end,
                second.saturating_add(MERGE_SLACK),
                left,
                &mut dispatch,
            );
            seen += taken;
            left -= taken;
        }
        self.malformed += malformed;
        seen
    }

    fn lost(&mut self) -> u64 {
        [loss::DATA_RING, loss::SHED_COUNT, loss::FAULT]
            .map(|which| self.loss(which))
            .iter()
            .sum()
    }

    fn advise(&mut self, sock: u64, advice: u32) {
        // Its failure costs bytes that nobody wants, nothing else.
        let _ = self.advice.insert(sock, advice, 0);
    }

    fn counters(&mut self) -> SourceCounters {
        let mut out = SourceCounters::default();
        for (index, name) in (0_u32..).zip(loss::NAMES) {
            out.counters.push((name, self.loss(index)));
        }
        out.counters.push(("malformed", self.malformed));
        for entry in self.processes.iter().flatten() {
            let (pid, Constants(process)) = entry;
            for (cause, bytes) in uncovered::NAMES.into_iter().zip(process.uncovered) {
                if bytes > 0 {
                    out.uncovered.push(Uncovered { pid, cause, bytes });
                }
            }
            if process.shed_short + process.shed_count > 0 {
                let (short, counted) = (process.shed_short, process.shed_count);
                out.shed.push(Shed {
                    pid,
                    short,
                    counted,
                });
            }
        }
        out.uncovered
            .sort_by_key(|entry| std::cmp::Reverse(entry.bytes));
        out.shed
            .sort_by_key(|entry| std::cmp::Reverse(entry.short + entry.counted));
        out
    }

    fn hooks(&self) -> Vec<String> {
        self.hooks.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_tick() {
        assert_eq!(per_tick(0), u32::MAX);
        assert_eq!(per_tick(1), 1);
        assert_eq!(per_tick(4 << 20), 4398);
        assert_eq!(per_tick(u64::MAX), u32::MAX);
    }

    #[test]
    fn rings_are_powers_of_two_within_bounds() {
        assert_eq!(ring_size(16 << 20, 2), 8 << 20);
        assert_eq!(ring_size(16 << 20, 3), 4 << 20);
        assert_eq!(ring_size(1, 64), MIN_RING);
        assert_eq!(ring_size(u64::MAX, 1), MAX_RING);
    }
}
