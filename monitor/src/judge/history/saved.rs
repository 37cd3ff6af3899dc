//! What is remembered, in a form that outlives the daemon.
//!
//! Taken on the hot thread without copying an access, written elsewhere. Version 1 is JSON; what is written by
//! another version, or is damaged, is refused whole.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use super::acts::{Act, Deed};
use super::shared::{Entry, Holder, Relay, WINDOW_US};
use super::tally::Tally;
use super::waiting::Waiting;
use super::{Past, place::Place};
use crate::access::record::AccessRecord;
use crate::access::{Access, Credential, Fingerprint, Workload};

/// Version of the form.
const VERSION: u32 = 1;
/// Credentials that are written at most.
const CREDENTIALS: usize = 4096;
/// What an act may have beside its access: bounds what a damaged file can make of it.
const MOST_DEEDS: usize = 128;

/// A snapshot.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    acts: Vec<(Arc<Act>, bool)>,
    credentials: Vec<Entry>,
    gaps: Vec<(i64, i64)>,
    tally: Tally,
    saved_us: i64,
}

/// What a snapshot brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Acts.
    pub acts: usize,
    /// Credentials.
    pub credentials: usize,
    /// When it was taken, in µs since 1970.
    pub saved_us: i64,
    /// Whether the daemon ended in order after it; if not, what followed is not in it.
    pub complete: bool,
}

/// Why a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// No JSON of this form.
    #[error("{0}")]
    Form(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error("it has version {0}, not {VERSION}")]
    Version(u32),
}

#[derive(Serialize, Deserialize)]
struct Version {
    v: u32,
}

#[derive(Serialize, Deserialize)]
struct Form {
    v: u32,
    saved_us: i64,
    complete: bool,
    /// Names of login sessions come again after a boot.
    boot: String,
    gaps: Vec<(i64, i64)>,
    acts: Vec<ActForm>,
    credentials: Vec<CredentialForm>,
    /// Day, duty, by which duty, acts, approved ones.
    #[serde(default)]
    approvals: Vec<(i64, String, String, u64, u64)>,
}

#[derive(Serialize, Deserialize)]
struct ActForm {
    access: AccessRecord,
    deeds: Vec<(String, Vec<(String, String)>)>,
    waits: bool,
}

#[derive(Serialize, Deserialize)]
struct CredentialForm {
    print: String,
    holders: Vec<UseForm>,
    relays: Vec<UseForm>,
}

#[derive(Serialize, Deserialize)]
struct UseForm {
    exe: String,
    unit: Option<String>,
    container: Option<String>,
    user: String,
    lineage: Vec<String>,
    first_us: i64,
    last_us: i64,
}

impl UseForm {
    fn new(workload: &Workload, first_us: i64, last_us: i64) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            exe: (*workload.exe).to_owned(),
            unit: text(&workload.unit),
            container: text(&workload.container),
            user: (*workload.user).to_owned(),
            lineage: workload
                .lineage
                .iter()
                .map(|exe| (**exe).to_owned())
                .collect(),
            first_us,
            last_us,
        }
    }

    fn workload(&self) -> Workload {
        Workload {
            exe: self.exe.as_str().into(),
            unit: self.unit.as_deref().map(Into::into),
            container: self.container.as_deref().map(Into::into),
            user: self.user.as_str().into(),
            lineage: self.lineage.iter().map(|exe| exe.as_str().into()).collect(),
        }
    }
}

impl Remembered {
    /// As JSON of at most `max` bytes: the oldest acts are left out for it, and counted. `boot` names this run
    /// of the kernel; `complete` says that nothing follows.
    ///
    /// # Errors
    /// It cannot be serialised.
    pub fn to_json(
        &self,
        boot: &str,
        complete: bool,
        max: usize,
    ) -> Result<(Vec<u8>, usize), serde_json::Error> {
        let mut form = self.form(boot, complete);
        let mut left_out = 0;
        loop {
            let json = serde_json::to_vec(&form)?;
            if json.len() <= max || form.acts.is_empty() {
                return Ok((json, left_out));
            }
            let half = form.acts.len().div_ceil(2);
            left_out += half;
            form.acts.drain(..half);
        }
    }

    fn form(&self, boot: &str, complete: bool) -> Form {
        let acts = self.acts.iter().map(|(act, waits)| ActForm {
            access: AccessRecord::from_access(&act.access),
            deeds: act
                .deeds
                .iter()
                .map(|deed| {
                    let captures = deed.captures.iter();
                    let captures =
                        captures.map(|(name, value)| ((**name).to_owned(), (**value).to_owned()));
                    ((*deed.duty).to_owned(), captures.collect())
                })
                .collect(),
            waits: *waits,
        });
        let credentials = self.credentials.iter().map(|entry| CredentialForm {
            print: entry.print.to_string(),
            holders: entry
                .holder
                .iter()
                .chain(&entry.more)
                .map(|own| UseForm::new(&own.workload, own.first_us, own.last_us))
                .collect(),
            relays: entry
                .relays
                .iter()
                .map(|own| UseForm::new(&own.workload, own.last_us, own.last_us))
                .collect(),
        });
        Form {
            v: VERSION,
            saved_us: self.saved_us,
            complete,
            boot: boot.to_owned(),
            gaps: self.gaps.clone(),
            acts: acts.collect(),
            credentials: credentials.collect(),
            approvals: self
                .tally
                .iter()
                .map(|((day, duty, by), (acts, approved))| {
                    ((*day), duty.to_string(), by.to_string(), *acts, *approved)
                })
                .collect(),
        }
    }

    /// Acts that needed an approval under a rule, named by its two duties, since then, and those of them that
    /// somebody else had approved in time. By days (UTC); `None` when there was none.
    #[must_use]
    pub fn approvals(&self, duty: &str, by: &str, since_us: i64) -> Option<(u64, u64)> {
        self.tally.since(duty, by, since_us)
    }
}

impl Past {
    /// What is remembered now.
    pub(in crate::judge) fn remembered(&self, now_us: i64) -> Remembered {
        let waiting: HashSet<*const Act> = self
            .waiting
            .all()
            .map(|waiting| Arc::as_ptr(&waiting.act))
            .collect();
        let waits = |act: &Arc<Act>| waiting.contains(&Arc::as_ptr(act));
        let mut acts: Vec<(Arc<Act>, bool)> = self
            .acts
            .all()
            .map(|act| (Arc::clone(act), waits(act)))
            .collect();
        let kept: HashSet<*const Act> = acts.iter().map(|(act, _)| Arc::as_ptr(act)).collect();
        let more = self.waiting.all().map(|waiting| &waiting.act);
        let more = more.filter(|act| !kept.contains(&Arc::as_ptr(act)));
        acts.extend(more.map(|act| (Arc::clone(act), true)));
        acts.sort_by_key(|(act, _)| act.time_us());
        let since = now_us.saturating_sub(WINDOW_US);
        let mut credentials: Vec<&Entry> = self.credentials.live(since).collect();
        credentials.sort_by_key(|entry| std::cmp::Reverse(entry.last_us));
        credentials.truncate(CREDENTIALS);
        let mut gaps = self.gaps.clone();
        if let Some(since) = self.unwatched_since {
            gaps.note(since, now_us);
        }
        Remembered {
            acts,
            credentials: credentials.into_iter().cloned().collect(),
            gaps: gaps.all().to_vec(),
            tally: self.tally.clone(),
            saved_us: now_us.max(self.now_us),
        }
    }

    /// Remembers what a snapshot says, in addition to what it remembers already. Between the two nobody watched.
    pub(in crate::judge) fn restore(
        &mut self,
        json: &[u8],
        boot: &str,
    ) -> Result<Restored, Unreadable> {
        let Version { v } = serde_json::from_slice(json)?;
        if v != VERSION {
            return Err(Unreadable::Version(v));
        }
        let form: Form = serde_json::from_slice(json)?;
        let same_boot = !boot.is_empty() && form.boot == boot;
        let mut names = Names::default();
        let mut restored = Restored {
            acts: 0,
            credentials: 0,
            saved_us: form.saved_us,
            complete: form.complete,
        };
        for (from, to) in form.gaps {
            self.gaps.note(from, to);
        }
        self.unwatched_since = Some(form.saved_us);
        for act in form.acts {
            let waits = act.waits;
            if let Some(act) = self.act(act, same_boot, &mut names) {
                restored.acts += 1;
                self.take_back(Arc::new(act), waits);
            }
        }
        for (day, duty, by, acts, approved) in form.approvals {
            let key = (day, names.get(&duty), names.get(&by));
            self.tally.add(key, (acts, approved));
        }
        for credential in form.credentials {
            restored.credentials += usize::from(self.credential(&credential).is_some());
        }
        self.told_before();
        Ok(restored)
    }

    fn act(&mut self, form: ActForm, same_boot: bool, names: &mut Names) -> Option<Act> {
        let mut access = form.access.to_access(&mut |text| names.get(text))?;
        names.share(&mut access);
        let deeds = form.deeds.into_iter().take(MOST_DEEDS);
        let deeds = deeds.map(|(duty, captures)| Deed {
            duty: names.get(&duty),
            captures: captures
                .into_iter()
                .map(|(name, value)| (names.get(&name), value.into_boxed_str()))
                .collect(),
        });
        let deeds = deeds.collect();
        let lineage = access.client.as_ref().and_then(|client| {
            let lasts = Place::of(&client.workload).is_some_and(|place| place.lasts());
            let known = self.places.get(&client.workload);
            known.lineage.filter(|_| lasts || same_boot)
        });
        Some(Act {
            access,
            deeds,
            lineage,
        })
    }

    fn take_back(&mut self, act: Arc<Act>, waits: bool) {
        let acts = &self.acts;
        let marks = self.rules.marks(&act.deeds, |object| acts.hash(object));
        self.now_us = self.now_us.max(act.time_us());
        self.remember(&act, &marks);
        if waits && !marks.is_empty() {
            let limit = self.limits.bytes / super::WAITING_SHARE;
            let told = Vec::new();
            self.waiting.add(Waiting { act, marks, told }, limit);
        }
    }

    fn credential(&mut self, form: &CredentialForm) -> Option<()> {
        let print: Fingerprint = form.print.parse().ok()?;
        let holders = form.holders.iter().take(4).map(|own| {
            let workload = Arc::new(own.workload());
            let place = Place::of_use(&workload).map(Arc::new);
            let mut holder = Holder::new(&workload, place.as_ref(), own.first_us);
            holder.last_us = own.last_us;
            holder
        });
        let mut holders: Vec<Holder> = holders.collect();
        let relays: Vec<Relay> = form
            .relays
            .iter()
            .take(4)
            .map(|own| {
                let workload = Arc::new(own.workload());
                let place = Place::of_use(&workload).map(Arc::new);
                Relay {
                    workload,
                    place,
                    last_us: own.last_us,
                }
            })
            .collect();
        let last_us = holders
            .iter()
            .map(|own| own.last_us)
            .chain(relays.iter().map(|own| own.last_us))
            .max()?;
        let holder = (!holders.is_empty()).then(|| holders.remove(0));
        self.credentials.restore(Entry {
            print,
            last_us,
            holder,
            more: holders,
            relays,
        });
        Some(())
    }
}

/// Names that occur again and again are one allocation each.
#[derive(Default)]
struct Names {
    texts: HashSet<Arc<str>>,
    workloads: HashSet<Arc<Workload>>,
    credentials: HashMap<Fingerprint, Arc<Credential>>,
}

impl Names {
    fn get(&mut self, text: &str) -> Arc<str> {
        let known = self.texts.get_or_insert_with(text, |text| text.into());
        Arc::clone(known)
    }

    /// Makes what accesses share one allocation.
    fn share(&mut self, access: &mut Access) {
        for end in [&mut access.client, &mut access.server]
            .into_iter()
            .flatten()
        {
            let known = self.workloads.get_or_insert(Arc::clone(&end.workload));
            end.workload = Arc::clone(known);
        }
        if let Some(credential) = &mut access.credential {
            let known = self.credentials.entry(credential.fingerprint);
            let known = known.or_insert_with(|| Arc::clone(credential));
            if known.kind == credential.kind {
                *credential = Arc::clone(known);
            }
        }
    }
}
