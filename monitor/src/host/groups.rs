//! Control groups by id, as units and containers.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::access::workload::Cgroup;

/// Most control groups known at a time.
const MOST: usize = 65_536;

/// Where a control group belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) unit: Option<Arc<str>>,
    pub(super) container: Option<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Groups {
    places: HashMap<u64, Place>,
}

impl Groups {
    pub(super) fn new(found: Vec<(u64, String)>) -> Self {
        let mut groups = Self {
            places: HashMap::new(),
        };
        for (id, path) in found {
            groups.insert(id, &path);
        }
        groups
    }

    pub(super) fn insert(&mut self, id: u64, path: &str) {
        // The root says nothing: on a host with the older hierarchies everything is in it.
        if path.is_empty() || path == "/" {
            return;
        }
        if self.places.len() >= MOST {
            self.places.clear();
        }
        self.places.insert(id, Cgroup::from_path(path).into());
    }

    /// `None` for an unknown group and for the root.
    pub(super) fn get(&self, id: u64) -> Option<Place> {
        self.places.get(&id).cloned()
    }
}

impl From<Cgroup> for Place {
    fn from(group: Cgroup) -> Self {
        Self {
            unit: group.unit.map(Arc::from),
            container: group.container.map(Arc::from),
        }
    }
}

impl Place {
    /// From the contents of `/proc/PID/cgroup`.
    pub(super) fn from_proc(text: &str) -> Self {
        Cgroup::from_proc(text.as_bytes()).into()
    }
}
