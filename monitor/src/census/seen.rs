//! Bounded lists of what was seen, with an estimate of what did not fit.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;

use crate::access::{Access, Fingerprint, Peer};

/// What a list can hold. Values are cheap to copy: shared strings and plain numbers.
pub(super) trait Item: Clone + Hash {
    /// The same allocation: a quick test that may miss.
    fn is(&self, other: &Self) -> bool;
    /// The same value.
    fn equals(&self, other: &Self) -> bool;
    /// Bytes on the heap that it keeps alive.
    fn heap(&self) -> usize;
}

/// Two counters in front of the bytes.
const ARC_HEADER: usize = 16;

impl Item for Arc<str> {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }
    fn equals(&self, other: &Self) -> bool {
        self == other
    }
    fn heap(&self) -> usize {
        self.len() + ARC_HEADER
    }
}

impl Item for Fingerprint {
    fn is(&self, other: &Self) -> bool {
        self == other
    }
    fn equals(&self, _: &Self) -> bool {
        false
    }
    fn heap(&self) -> usize {
        0
    }
}

/// Who used a credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum User {
    Unit(Arc<str>),
    Container(Arc<str>),
    Exe(Arc<str>),
    /// A client on another host.
    Remote(IpAddr),
}

impl User {
    /// Container, else unit, else executable of the client; its address when it is not on this host.
    /// Clones a pointer, nothing else.
    pub(super) fn of(access: &Access) -> Option<Self> {
        let Some(client) = &access.client else {
            return match (&access.role, &access.peer) {
                (crate::access::Role::Server, Peer::Inet(address)) => {
                    Some(Self::Remote(address.ip()))
                }
                _ => None,
            };
        };
        let workload = &client.workload;
        if let Some(container) = &workload.container {
            return Some(Self::Container(container.clone()));
        }
        if let Some(unit) = &workload.unit {
            return Some(Self::Unit(unit.clone()));
        }
        (!workload.exe.is_empty()).then(|| Self::Exe(workload.exe.clone()))
    }

    /// Whether this is surely the access' user, by address; no pointer is cloned.
    pub(super) fn is_of(&self, access: &Access) -> bool {
        let Some(client) = &access.client else {
            return false;
        };
        let workload = &client.workload;
        match (self, &workload.container, &workload.unit) {
            (Self::Container(known), Some(container), _) => Arc::ptr_eq(known, container),
            (Self::Unit(known), None, Some(unit)) => Arc::ptr_eq(known, unit),
            (Self::Exe(known), None, None) => Arc::ptr_eq(known, &workload.exe),
            _ => false,
        }
    }

    /// `unit:…`, `container:…`, `exe:…` or `peer:ADDRESS`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Unit(name) => format!("unit:{name}"),
            Self::Container(id) => format!("container:{id}"),
            Self::Exe(path) => format!("exe:{path}"),
            Self::Remote(address) => format!("peer:{address}"),
        }
    }

    /// Undoes [`Self::label`].
    pub(super) fn parse(label: &str) -> Option<Self> {
        let (kind, rest) = label.split_once(':')?;
        match kind {
            "unit" => Some(Self::Unit(rest.into())),
            "container" => Some(Self::Container(rest.into())),
            "exe" => Some(Self::Exe(rest.into())),
            "peer" => rest.parse().ok().map(Self::Remote),
            _ => None,
        }
    }
}

impl Item for User {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unit(a), Self::Unit(b))
            | (Self::Container(a), Self::Container(b))
            | (Self::Exe(a), Self::Exe(b)) => Arc::ptr_eq(a, b),
            (Self::Remote(a), Self::Remote(b)) => a == b,
            _ => false,
        }
    }
    fn equals(&self, other: &Self) -> bool {
        self == other
    }
    fn heap(&self) -> usize {
        match self {
            Self::Unit(text) | Self::Container(text) | Self::Exe(text) => text.heap(),
            Self::Remote(_) => 0,
        }
    }
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Operation {
    pub(super) method: Arc<str>,
    pub(super) host: Arc<str>,
    pub(super) route: Arc<str>,
}

impl Operation {
    fn heap(&self) -> usize {
        self.method.heap() + self.host.heap() + self.route.heap()
    }
}

/// Counts distinct values in 128 bits by how many bits their hashes leave unset (linear counting).
/// Within a fifth up to about 300, and an "at least" beyond.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sketch(u128);

impl Sketch {
    fn insert(&mut self, hash: u64) {
        self.0 |= 1 << (hash % 128);
    }

    pub(super) fn estimate(self) -> u32 {
        let unset = self.0.count_zeros();
        if unset == 128 {
            return 0;
        }
        let share = f64::from(unset.max(1)) / 128.0;
        // 128·ln(128) is 621: it fits.
        (-128.0 * share.ln()).round() as u32
    }
}

/// The first `bound` distinct values, and about how many more there were.
#[derive(Clone, Debug)]
pub(super) struct Seen<T> {
    pub(super) items: Vec<T>,
    rest: Sketch,
    /// What was known when the list was restored.
    carried: u32,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            rest: Sketch::default(),
            carried: 0,
        }
    }
}

impl<T: Item> Seen<T> {
    /// Notes a value; returns by how many bytes this grew.
    pub(super) fn note(&mut self, value: &T, bound: usize, hasher: &impl BuildHasher) -> usize {
        if self.items.iter().any(|item| item.is(value)) {
            return 0;
        }
        if let Some(item) = self.items.iter_mut().find(|item| item.equals(value)) {
            // The next look finds it by its address.
            *item = value.clone();
            return 0;
        }
        if self.items.len() < bound {
            let before = self.items.capacity();
            self.items.push(value.clone());
            return (self.items.capacity() - before) * size_of::<T>() + value.heap();
        }
        self.rest.insert(hasher.hash_one(value));
        0
    }

    pub(super) fn more(&self) -> u32 {
        self.rest.estimate().max(self.carried)
    }

    pub(super) fn restore(items: impl Iterator<Item = T>, bound: usize, more: u32) -> Self {
        Self {
            items: items.take(bound).collect(),
            rest: Sketch::default(),
            carried: more,
        }
    }

    pub(super) fn heap(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.items.iter().map(Item::heap).sum::<usize>()
    }
}

/// The most frequent operations with their counts (Space-Saving: a newcomer takes the place and the
/// count of the rarest, so a count may be too high, never too low).
#[derive(Clone, Debug, Default)]
pub(super) struct Top {
    pub(super) items: Vec<(Operation, u64)>,
    rest: Sketch,
    carried: u32,
}

impl Top {
    /// Counts an access that is one of the operations already listed, by address; no pointer is cloned.
    pub(super) fn count(&mut self, access: &Access) -> bool {
        let found = self.items.iter_mut().find(|(item, _)| {
            Arc::ptr_eq(&item.route, &access.route)
                && Arc::ptr_eq(&item.host, &access.host)
                && Arc::ptr_eq(&item.method, &access.method)
        });
        match found {
            Some((_, count)) => {
                *count = count.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// Counts an operation that [`Self::count`] did not find; returns by how many bytes this grew
    /// (negative: shrank).
    pub(super) fn note(
        &mut self,
        operation: &Operation,
        bound: usize,
        hasher: &impl BuildHasher,
    ) -> isize {
        if let Some((item, count)) = self.items.iter_mut().find(|(item, _)| item == operation) {
            *item = operation.clone();
            *count = count.saturating_add(1);
            return 0;
        }
        if self.items.len() < bound {
            let before = self.items.capacity();
            self.items.push((operation.clone(), 1));
            let grown = (self.items.capacity() - before) * size_of::<(Operation, u64)>();
            return (grown + operation.heap()).cast_signed();
        }
        let Some((item, count)) = self.items.iter_mut().min_by_key(|(_, count)| *count) else {
            return 0;
        };
        // The one that leaves is one of the rest from now on.
        self.rest.insert(hasher.hash_one(&*item));
        let grown = operation.heap().cast_signed() - item.heap().cast_signed();
        *item = operation.clone();
        *count = count.saturating_add(1);
        grown
    }

    pub(super) fn more(&self) -> u32 {
        self.rest.estimate().max(self.carried)
    }

    pub(super) fn restore(
        items: impl Iterator<Item = (Operation, u64)>,
        bound: usize,
        more: u32,
    ) -> Self {
        Self {
            items: items.take(bound).collect(),
            rest: Sketch::default(),
            carried: more,
        }
    }

    pub(super) fn heap(&self) -> usize {
        self.items.capacity() * size_of::<(Operation, u64)>()
            + self
                .items
                .iter()
                .map(|(item, _)| item.heap())
                .sum::<usize>()
    }
}
