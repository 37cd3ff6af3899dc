//! Control groups by id, as units and containers.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::access::workload::parse_cgroup;

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
        let mut groups = Self { places: HashMap::new() };
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
        let place = self.parse(path);
        self.places.insert(id, place);
    }

    /// `None` for an unknown group and for the root.
    pub(super) fn get(&self, id: u64) -> Option<Place> {
        self.places.get(&id).cloned()
    }

    /// From a path in the hierarchy, or the contents of `/proc/PID/cgroup`.
    #[allow(clippy::unused_self, reason = "reads as what it is: the groups' knowledge")]
    pub(super) fn parse(&self, text: &str) -> Place {
        let placement = parse_cgroup(text);
        Place {
            unit: placement.unit.map(Arc::from),
            container: placement.container.map(Arc::from),
        }
    }
}
