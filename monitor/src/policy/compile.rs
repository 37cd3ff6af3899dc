//! Resolves what the files say: names become ids, patterns and selectors are compiled.

use std::io;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use zeroize::Zeroizing;

use super::environment::{Destination, EnvironmentId, Environments};
use super::error::{Diagnostics, Fault, Place, WarningKind};
use super::hours::Hours;
use super::identity::{ClausePlaces, DutyId, Identity, IdentityId, MOST_DUTIES};
use super::load::Files;
use super::model::{Document, DutyForm, Entry, IdentityForm, Texts};
use super::pattern::Operation;
use super::reader::{Written, dotted};
use super::selector::Selector;
use super::workload::WorkloadSelector;
use super::{Duty, Policy};
use crate::access::FingerprintKey;
use crate::suggest::did_you_mean;

/// Largest credential file, in bytes.
const LARGEST_CREDENTIAL: usize = 64 << 10;

/// Longest name, in bytes.
const LONGEST_NAME: usize = 128;

/// State of one compilation.
pub(super) struct Compiler<'a> {
    base: &'a Path,
    files: &'a dyn Files,
    key: &'a FingerprintKey,
    pub(super) out: &'a mut Diagnostics,
    pub(super) duties: HashMap<Arc<str>, DutyId>,
    pub(super) environments: HashMap<Arc<str>, EnvironmentId>,
    pub(super) policy: Policy,
}

/// Compiles a merged document. What is wrong is reported and left out of the result.
pub(super) fn compile(
    document: &Document,
    base: &Path,
    files: &dyn Files,
    key: &FingerprintKey,
    out: &mut Diagnostics,
) -> Policy {
    let mut compiler = Compiler {
        base,
        files,
        key,
        out,
        duties: HashMap::new(),
        environments: HashMap::new(),
        policy: Policy::empty(),
    };
    compiler.environments(&document.environments);
    compiler.high_value(&document.high_value);
    compiler.workload_environments(&document.workload_environments);
    compiler.duties(&document.duties);
    compiler.identities(&document.identities);
    for form in &document.separate {
        compiler.separation(&form.value, &form.place);
    }
    for form in &document.approve {
        compiler.approval(&form.value, &form.place);
    }
    for form in &document.accept {
        compiler.accept(&form.value, &form.place);
    }
    compiler.policy
}

impl Compiler<'_> {
    fn environments(&mut self, entries: &[Entry<Texts>]) {
        let mut all = Environments::default();
        for entry in entries {
            let key = format!("environments.{}", dotted(&entry.name));
            self.name(&entry.name, &entry.place, &key);
            let id = all.add(Arc::clone(&entry.name));
            self.environments.insert(Arc::clone(&entry.name), id);
            for text in &entry.value {
                let destination = match Destination::parse(&text.value) {
                    Ok(destination) => destination,
                    Err(fault) => {
                        self.out.fault(&text.place, &key, fault);
                        continue;
                    }
                };
                if let Err(other) = all.insert(destination, id) {
                    let other = all.name(other).map_or("?", |name| name);
                    let problem = format!("`{}` belongs to {other} already", text.value.trim());
                    let hint = "a destination has one environment; one with a port, or a longer suffix or \
                                prefix, outranks another";
                    self.out
                        .error(&text.place, &key, problem, Some(hint.to_owned()));
                }
            }
        }
        self.policy.environments = all;
    }

    fn duties(&mut self, entries: &[Entry<DutyForm>]) {
        for entry in entries {
            let key = format!("duties.{}", dotted(&entry.name));
            self.name(&entry.name, &entry.place, &key);
            let id = DutyId(u32::try_from(self.policy.duties.len()).unwrap_or(u32::MAX));
            self.duties.insert(Arc::clone(&entry.name), id);
            let form = &entry.value;
            if form.operations.is_empty() {
                let hint =
                    "list operations, or remove it: a duty without operations grants nothing";
                self.out
                    .error(&entry.place, &key, "an empty duty", Some(hint.to_owned()));
            }
            let mut operations = Vec::with_capacity(form.operations.len());
            for text in &form.operations {
                match Operation::parse(&text.value) {
                    Ok(operation) => {
                        for (odd, meant) in operation.odd_methods() {
                            let problem = format!("`{odd}` is an uncommon method");
                            let hint = format!("did you mean `{meant}`?");
                            self.out.warn(
                                WarningKind::Suspicious,
                                &text.place,
                                &key,
                                problem,
                                hint,
                            );
                        }
                        operations.push(operation);
                    }
                    Err(fault) => self.out.fault(&text.place, &key, fault),
                }
            }
            let alone: Arc<[Arc<str>]> = Arc::from([Arc::clone(&entry.name)]);
            self.policy.duties.push(Duty {
                name: Arc::clone(&entry.name),
                operations: operations.into(),
                privileged: form.privileged,
                second_factor: form.second_factor.as_ref().is_some_and(|w| w.value),
                place: entry.place.clone(),
                second_factor_place: form.second_factor.as_ref().map(|w| w.place.clone()),
                alone,
            });
        }
    }

    fn identities(&mut self, entries: &[Entry<IdentityForm>]) {
        for entry in entries {
            let form = &entry.value;
            self.name(&entry.name, &entry.place, &form.key);
            if entry.name.starts_with("bw1:") || entry.name.starts_with("jwt:") {
                let hint = "credentials that no policy names are called so: choose another name";
                self.out.error(
                    &entry.place,
                    &form.key,
                    "an identity's name may not look like a credential",
                    Some(hint.to_owned()),
                );
            }
            let id = IdentityId(u32::try_from(self.policy.identities.len()).unwrap_or(u32::MAX));
            let duties = self.identity_duties(form);
            let environments = form.environments.as_ref().map(|list| {
                let key = format!("{}.environments", form.key);
                self.not_empty(list, &key);
                self.resolve(list, &key, Table::Environments)
                    .into_boxed_slice()
            });
            let workloads = form.workloads.as_ref().map(|list| {
                let key = format!("{}.workloads", form.key);
                self.not_empty(list, &key);
                self.parse_all(list, &key, WorkloadSelector::parse)
                    .into_boxed_slice()
            });
            let hours = self.hours(form);
            let credentials = self.credentials(form, entry, id);
            if let Some(owner) = &form.owner {
                self.name(&owner.value, &owner.place, &format!("{}.owner", form.key));
            }
            if duties.is_empty()
                && (environments.is_some() || workloads.is_some() || hours.is_some())
            {
                let problem = "no duties: it is a canary, every use of it is an alert";
                let hint = "add duties = […] (`* */**` is any operation), or remove environments, \
                            workloads and hours if that is meant";
                self.out.warn(
                    WarningKind::Suspicious,
                    &entry.place,
                    &form.key,
                    problem,
                    hint,
                );
            }
            let place =
                |list: &Option<Written<Texts>>| list.as_ref().map(|list| list.place.clone());
            self.policy.identities.push(Arc::new(Identity {
                name: Arc::clone(&entry.name),
                owner: form
                    .owner
                    .as_ref()
                    .map_or("", |owner| owner.value.as_str())
                    .into(),
                only_reads: self.only_reads(&duties),
                duties,
                environments,
                workloads,
                hours,
                credentials: credentials.into(),
                place: entry.place.clone(),
                places: ClausePlaces {
                    duties: place(&form.duties),
                    environments: place(&form.environments),
                    workloads: place(&form.workloads),
                    hours: place(&form.hours),
                },
            }));
        }
    }

    fn only_reads(&self, duties: &[DutyId]) -> bool {
        let all = || duties.iter().filter_map(|id| self.policy.duty(*id));
        let mut operations = all().flat_map(|duty| duty.operations.iter()).peekable();
        operations.peek().is_some() && operations.all(Operation::is_safe)
    }

    fn hours(&mut self, form: &IdentityForm) -> Option<Hours> {
        let list = form.hours.as_ref()?;
        let key = format!("{}.hours", form.key);
        if list.value.is_empty() {
            let hint = "remove the key to allow every hour".to_owned();
            self.out
                .error(&list.place, &key, "an empty list", Some(hint));
        }
        let parsed = self.parse_all(list, &key, super::hours::Entry::parse);
        Some(Hours::new(parsed))
    }

    fn identity_duties(&mut self, form: &IdentityForm) -> Box<[DutyId]> {
        let Some(list) = &form.duties else {
            return Box::default();
        };
        let key = format!("{}.duties", form.key);
        let duties = self.resolve(list, &key, Table::Duties);
        if duties.len() > MOST_DUTIES {
            let problem = format!("{} duties are more than {MOST_DUTIES}", duties.len());
            let hint = "put the operations of several into one duty".to_owned();
            self.out.error(&list.place, key, problem, Some(hint));
        }
        duties.into()
    }

    fn credentials(
        &mut self,
        form: &IdentityForm,
        entry: &Entry<IdentityForm>,
        id: IdentityId,
    ) -> Vec<Selector> {
        let key = format!("{}.credentials", form.key);
        let list = match &form.credentials {
            Some(list) if !list.value.is_empty() => list,
            given => {
                let place = given.as_ref().map_or(&entry.place, |list| &list.place);
                let hint = "add credentials = [\"bw1:…\"]: nothing would ever be this identity";
                self.out.error(
                    place,
                    &form.key,
                    "it has no credentials",
                    Some(hint.to_owned()),
                );
                return Vec::new();
            }
        };
        let mut all = Vec::with_capacity(list.value.len());
        for (index, text) in list.value.iter().enumerate() {
            let key = format!("{key}[{index}]");
            let selector = match Selector::parse(&text.value) {
                Ok(selector) => selector,
                Err(fault) => {
                    self.out.fault(&text.place, key, fault);
                    continue;
                }
            };
            let mut claimed = self.policy.index.insert(&selector, id);
            if let Selector::File(path) = &selector {
                match self.fingerprint_file(path) {
                    Ok((print, remark)) => {
                        if let Some((problem, hint)) = remark {
                            let kind = WarningKind::Suspicious;
                            self.out.warn(kind, &text.place, &key, problem, hint);
                        }
                        claimed = self.policy.index.fingerprint(print, id);
                    }
                    Err(Fault { problem, hint }) => self.out.warn(
                        WarningKind::CredentialFile,
                        &text.place,
                        &key,
                        problem,
                        hint.unwrap_or_default(),
                    ),
                }
            }
            if let Err(taken) = claimed {
                let other = self.policy.identity(taken.0);
                let problem = match other {
                    Some(other) => {
                        format!("the same credential as of {} ({})", other.name, other.place)
                    }
                    None => "the same credential as of another identity".to_owned(),
                };
                let hint = "a credential has one identity: remove it from one of the two";
                self.out
                    .error(&text.place, key, problem, Some(hint.to_owned()));
            }
            all.push(selector);
        }
        all
    }

    /// Fingerprint of what a credential file holds, white space at its ends left out, and a remark.
    #[allow(clippy::type_complexity, reason = "one call, read right there")]
    fn fingerprint_file(
        &self,
        path: &Path,
    ) -> Result<(crate::access::Fingerprint, Option<(String, &'static str)>), Fault> {
        let full = self.base.join(path);
        let shown = full.display();
        let bytes = self.files.read(&full).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => {
                    "its identity is not recognised by this credential until the \
                                            file exists and the policy is reloaded"
                }
                io::ErrorKind::PermissionDenied => {
                    "let the user that bailiwick runs as read it, or write \
                                                    the fingerprint (bw1:…) instead"
                }
                _ => "file: names a file that holds the credential and nothing else",
            };
            Fault::new(format!("{shown} cannot be read: {error}"), hint)
        })?;
        let bytes = Zeroizing::new(bytes);
        let secret = bytes.trim_ascii();
        if secret.is_empty() {
            let hint = "file: names a file that holds the credential and nothing else";
            return Err(Fault::new(format!("{shown} is empty"), hint));
        }
        if secret.len() > LARGEST_CREDENTIAL {
            let hint = "file: names a file that holds the credential and nothing else";
            let problem = format!("{shown} holds more than {LARGEST_CREDENTIAL} bytes");
            return Err(Fault::new(problem, hint));
        }
        let print = self.key.fingerprint(secret);
        let remark = if secret.contains(&b'\n') {
            let problem = format!("{shown} holds several lines, taken as one credential");
            Some((problem, "keep the credential alone in a file"))
        } else if secret.starts_with(b"eyJ") && secret.iter().filter(|b| **b == b'.').count() == 2 {
            let problem = format!("{shown} holds a JWT, which changes");
            Some((problem, "select by its claims instead: jwt:iss=…,sub=…"))
        } else {
            None
        };
        Ok((print, remark))
    }

    /// Names must be fit to be printed anywhere.
    pub(super) fn name(&mut self, name: &str, place: &Place, key: &str) {
        let Some(problem) = unfit_name(name) else {
            return;
        };
        let hint = "names appear in alerts: use letters, digits, `-`, `_`, `.` or `@`".to_owned();
        self.out.error(place, key, problem, Some(hint));
    }

    fn not_empty(&mut self, list: &Written<Texts>, key: &str) {
        if list.value.is_empty() {
            let hint = "remove the key to allow all of them; an identity that nobody may use is a canary: it \
                        has no duties";
            self.out
                .error(&list.place, key, "an empty list", Some(hint.to_owned()));
        }
    }

    fn parse_all<T>(
        &mut self,
        list: &Written<Texts>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Vec<T> {
        let mut all = Vec::with_capacity(list.value.len());
        for text in &list.value {
            match parse(&text.value) {
                Ok(value) => all.push(value),
                Err(fault) => self.out.fault(&text.place, key, fault),
            }
        }
        all
    }

    /// Names to ids; unknown ones are reported, repeated ones noted once.
    pub(super) fn resolve<I: Id>(
        &mut self,
        list: &Written<Texts>,
        key: &str,
        table: Table,
    ) -> Vec<I> {
        let mut all: Vec<I> = Vec::with_capacity(list.value.len());
        for name in &list.value {
            match I::find(self, &name.value) {
                Some(id) if all.contains(&id) => {
                    let problem = format!("`{}` is listed twice", name.value);
                    self.out.warn(
                        WarningKind::Suspicious,
                        &name.place,
                        key,
                        problem,
                        "remove one",
                    );
                }
                Some(id) => all.push(id),
                None => self.unknown(name, key, table),
            }
        }
        all
    }

    pub(super) fn unknown(&mut self, name: &Written<String>, key: &str, table: Table) {
        let (what, place) = match table {
            Table::Duties => ("duty", "[duties]"),
            Table::Environments => ("environment", "[environments]"),
        };
        let hint = match table {
            Table::Duties => did_you_mean(&name.value, self.duties.keys().map(|n| &**n)),
            Table::Environments => {
                did_you_mean(&name.value, self.environments.keys().map(|n| &**n))
            }
        };
        let hint = hint.unwrap_or_else(|| format!("define it in {place}"));
        self.out.error(
            &name.place,
            key,
            format!("there is no {what} `{}`", name.value),
            Some(hint),
        );
    }
}

/// Why a name is refused: it must be fit to be printed anywhere.
pub(crate) fn unfit_name(name: &str) -> Option<&'static str> {
    let odd = |c: char| c.is_control() || crate::judge::words::is_deceptive(c);
    if name.is_empty() || name.trim() != name {
        Some("a name is empty or has white space at its ends")
    } else if name.len() > LONGEST_NAME {
        Some("a name is longer than 128 bytes")
    } else if name.chars().any(odd) {
        Some("a name holds control or invisible characters")
    } else {
        None
    }
}

/// Where a name is looked up.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Duties,
    Environments,
}

/// What a name resolves to.
pub(super) trait Id: Copy + PartialEq {
    fn find(compiler: &Compiler<'_>, name: &str) -> Option<Self>;
}

impl Id for DutyId {
    fn find(compiler: &Compiler<'_>, name: &str) -> Option<Self> {
        compiler.duties.get(name).copied()
    }
}

impl Id for EnvironmentId {
    fn find(compiler: &Compiler<'_>, name: &str) -> Option<Self> {
        compiler.environments.get(name).copied()
    }
}
