//! A system that only remembers what it was asked, and what is asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::acts::{GroupNow, ProcessNow, Range};
use super::super::config::{Act, ContainRule, Containment, Mode};
use super::super::*;
use crate::access::{Endpoint, Peer, Role, Workload};
use crate::alert::AlertUpdate;
use crate::alert::testing::access;
use crate::config::Place;
use crate::judge::{FindingKind, Severity};
use crate::policy::workload::WorkloadSelector;

pub(super) const POLICY: &str = r#"
version = 1
[environments]
prod = ["api.pay.example", "10.20.0.0/16", "10.99.0.1:443"]
dev = ["10.20.9.0/24", "10.30.0.1"]
[duties]
read = ["GET api.pay.example/**"]
[identities.ci-bot]
owner = "team-ci"
credentials = ["basic:user=ci"]
duties = ["read"]
"#;
pub(super) const START: i64 = 1_700_000_000_000_000;
pub(super) const SELF: u32 = 4242;

/// What was asked, and how the system is.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: i64,
    pub(super) done: Vec<String>,
    pub(super) processes: BTreeMap<u32, ProcessNow>,
    pub(super) group: Option<GroupNow>,
    /// What a reset ends with.
    pub(super) reset: Option<fn() -> ActError>,
}

#[derive(Clone)]
pub(super) struct Fake(pub(super) Arc<Mutex<World>>);

impl Fake {
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    pub(super) fn done(&self) -> Vec<String> {
        self.with(|world| std::mem::take(&mut world.done))
    }
}

impl Acts for Fake {
    fn now_us(&self) -> i64 {
        self.with(|world| world.now)
    }
    fn process(&mut self, pid: u32) -> Option<ProcessNow> {
        self.with(|world| world.processes.get(&pid).cloned())
    }
    fn group(&mut self, _: u32) -> Result<GroupNow, ActError> {
        self.with(|world| world.group.clone().ok_or(ActError::Gone))
    }
    fn reset(&mut self, socket: &Socket) -> Result<(), ActError> {
        self.with(|world| {
            world.done.push(format!("reset {}", socket.cookie));
            world.reset.map_or(Ok(()), |error| Err(error()))
        })
    }
    fn refuse(
        &mut self,
        id: &str,
        group: &GroupNow,
        ranges: &[Range],
        time: Duration,
    ) -> Result<(), ActError> {
        let ranges: Vec<String> = ranges
            .iter()
            .map(|range| {
                let sign = if range.refused { "" } else { "not " };
                let port = range
                    .port
                    .map(|port| format!(":{port}"))
                    .unwrap_or_default();
                format!("{sign}{}{port}", range.network)
            })
            .collect();
        let line = format!("refuse {id} {} {} {time:?}", group.path, ranges.join(" "));
        self.with(|world| world.done.push(line));
        Ok(())
    }
    fn release(&mut self, id: &str) {
        self.with(|world| world.done.push(format!("release {id}")));
    }
    fn stop(&mut self, id: &str, process: &ProcessNow) -> Result<(), ActError> {
        self.with(|world| world.done.push(format!("stop {id} {}", process.pid)));
        Ok(())
    }
    fn resume(&mut self, id: &str) -> Result<(), ActError> {
        self.with(|world| world.done.push(format!("resume {id}")));
        Ok(())
    }
    fn lives(&mut self, _: &str) -> bool {
        self.with(|world| world.processes.contains_key(&100))
    }
}

pub(super) fn workload(exe: &str, unit: Option<&str>) -> Workload {
    Workload {
        exe: exe.into(),
        unit: unit.map(Arc::from),
        user: "ci".into(),
        ..Workload::default()
    }
}

pub(super) fn process(pid: u32, exe: &str) -> ProcessNow {
    ProcessNow {
        pid,
        start_ticks: 7,
        born_us: START - 5_000_000,
        workload: workload(exe, None),
    }
}

pub(super) fn socket(cookie: u64, client: bool) -> Socket {
    let mut mapped = [0; 16];
    mapped[10..].copy_from_slice(&[255, 255, 10, 20, 1, 2]);
    Socket {
        cookie,
        local: mapped,
        remote: mapped,
        local_port: 40_000,
        remote_port: 443,
        family: 2,
        protocol: 6,
        netns: 1,
        pid: if client { 100 } else { 200 },
        client,
    }
}

/// `/usr/bin/curl` (process 100) with ci-bot at prod.
pub(super) fn violation() -> Violation {
    let mut access = access(Some("ci-bot"), START);
    access.client = Some(Endpoint {
        pid: 100,
        workload: Arc::new(workload("/usr/bin/curl", None)),
    });
    access.server = None;
    access.role = Role::Client;
    access.peer = Peer::Inet("10.20.1.2:443".parse().unwrap());
    access.environment = Some("prod".into());
    access.duration_us = Some(1_000);
    Violation {
        finding: Finding {
            kind: FindingKind::Environment,
            severity: Severity::High,
        },
        access,
        sockets: [Some(socket(1, true)), None],
    }
}

pub(super) fn rule(act: Act) -> ContainRule {
    ContainRule {
        kinds: vec![FindingKind::Environment],
        identities: Vec::new(),
        environments: Vec::new(),
        min_severity: Severity::Low,
        act,
        duration: None,
        max_per_hour: None,
        place: Place {
            file: "/etc/b.toml".into(),
            line: 9,
            column: 1,
        },
    }
}

pub(super) struct Scene {
    pub(super) fake: Fake,
    pub(super) keeper: Keeper<Fake>,
    pub(super) told: Arc<Mutex<Vec<AlertUpdate>>>,
    over: Arc<Mutex<Vec<(String, Over)>>>,
}

pub(super) fn rules(mode: Mode, rules: Vec<ContainRule>, never: &[&str], most: u32) -> Rules {
    Rules {
        containment: Arc::new(Containment {
            mode,
            max_per_hour: most,
            never: never
                .iter()
                .map(|text| WorkloadSelector::parse(text).unwrap())
                .collect(),
            rules,
        }),
        policy: crate::judge::testing::policy(POLICY),
        severity: Severity::High,
    }
}

impl Scene {
    pub(super) fn new(rules: Rules) -> Self {
        let world = World {
            now: START + 10_000,
            processes: [(100, process(100, "/usr/bin/curl"))].into(),
            group: Some(GroupNow {
                id: 77,
                path: "/ci".to_owned(),
                members: vec![process(100, "/usr/bin/curl")],
                own: "/system/bailiwick".to_owned(),
            }),
            ..World::default()
        };
        let fake = Fake(Arc::new(Mutex::new(world)));
        let told = Arc::new(Mutex::new(Vec::new()));
        let inner = Arc::clone(&told);
        let over = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::clone(&over);
        let tell = move |told| {
            match told {
                Told::Acted(update) => inner.lock().unwrap().push(*update),
                Told::Over(record, why) => ended.lock().unwrap().push((record.id, why)),
            }
            true
        };
        Self {
            keeper: Keeper::new(fake.clone(), rules, SELF, tell),
            fake,
            told,
            over,
        }
    }

    pub(super) fn act(act: Act) -> Self {
        Self::new(rules(Mode::Enforce, vec![rule(act)], &[], 10))
    }

    /// What is over, and why.
    pub(super) fn over(&self) -> Vec<(String, Over)> {
        std::mem::take(&mut self.over.lock().unwrap())
    }

    pub(super) fn told(&self) -> Vec<AlertUpdate> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    pub(super) fn declined(&self, cause: &str) -> u64 {
        let status = self.keeper.status();
        status
            .declined
            .iter()
            .find(|loss| loss.cause == cause)
            .map_or(0, |loss| loss.count)
    }
}
