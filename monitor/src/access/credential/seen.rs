//! Paths that come again and again keep their route at hand.
//!
//! Only a path in which nothing was found is remembered: it is what is shown anyway.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::super::route::Router;

/// Places; a path has one.
const PLACES: usize = 1024;
/// Longest path that is remembered.
const MAX_PATH: usize = 256;
/// After so many uses the router is asked again, so that it knows what is in use.
const TURN: u32 = 16;

#[derive(Debug)]
struct Place {
    host: Arc<str>,
    path: String,
    route: Arc<str>,
    version: u64,
    uses: u32,
    /// Hash of the path that came last and was not the one held: when it comes again, it moves in. So paths
    /// that come once push nothing out.
    waiting: u64,
}

#[derive(Debug)]
pub(super) struct SeenPaths {
    places: Vec<Place>,
    hasher: DefaultHashBuilder,
}

impl SeenPaths {
    pub(super) fn new(nothing: &Arc<str>) -> Self {
        let empty = || Place {
            host: Arc::clone(nothing),
            path: String::new(),
            route: Arc::clone(nothing),
            version: u64::MAX,
            uses: 0,
            waiting: 0,
        };
        Self {
            places: std::iter::repeat_with(empty).take(PLACES).collect(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    fn place(&mut self, path: &[u8]) -> (Option<&mut Place>, u64) {
        let hash = self.hasher.hash_one(path);
        let at = usize::try_from(hash % PLACES as u64).unwrap_or(0);
        (self.places.get_mut(at), hash)
    }

    /// Writes path and route, if this path on this host was remembered.
    pub(super) fn get(
        &mut self,
        host: &Arc<str>,
        path: &[u8],
        router: &mut Router,
        path_out: &mut String,
        route_out: &mut Arc<str>,
    ) -> bool {
        let (Some(place), _) = self.place(path) else {
            return false;
        };
        if place.version != router.version()
            || !Arc::ptr_eq(&place.host, host)
            || place.path.as_bytes() != path
        {
            return false;
        }
        place.uses += 1;
        if place.uses >= TURN {
            place.route = router.route_for(host, &place.path, place.uses);
            place.version = router.version();
            place.uses = 0;
        }
        path_out.clear();
        path_out.push_str(&place.path);
        if !Arc::ptr_eq(route_out, &place.route) {
            *route_out = Arc::clone(&place.route);
        }
        true
    }

    /// Remembers a path in which nothing was found, when it comes for the second time.
    pub(super) fn put(&mut self, host: &Arc<str>, path: &str, route: &Arc<str>, version: u64) {
        if path.len() > MAX_PATH {
            return;
        }
        let (Some(place), hash) = self.place(path.as_bytes()) else {
            return;
        };
        if place.waiting != hash {
            place.waiting = hash;
            return;
        }
        place.host = Arc::clone(host);
        place.path.clear();
        place.path.push_str(path);
        place.route = Arc::clone(route);
        place.version = version;
        place.uses = 0;
    }
}
