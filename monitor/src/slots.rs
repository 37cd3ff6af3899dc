//! Named things in numbered places, found by name. A place keeps its number while its thing is there; the places of
//! things that went are used again. Order and bounds are the owner's.

use hashbrown::HashTable;

/// No place.
pub(crate) const NONE: u32 = u32::MAX;

/// What has a name. Its hash is the owner's, and never changes.
pub(crate) trait Named {
    fn name(&self) -> &str;
    fn hash(&self) -> u64;
}

/// The places.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    table: HashTable<u32>,
    /// `None`: free, and in `free`.
    places: Vec<Option<Box<T>>>,
    free: Vec<u32>,
}

impl<T: Named> Slots<T> {
    pub(crate) fn new() -> Self {
        Self {
            table: HashTable::new(),
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many things.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many places, free ones included.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.places.get(at as usize).and_then(Option::as_deref)
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.places
            .get_mut(at as usize)
            .and_then(Option::as_deref_mut)
    }

    /// Where the thing with this name, and this hash of it, is.
    pub(crate) fn find(&self, name: &str, hash: u64) -> Option<u32> {
        let same = |at: &u32| {
            self.get(*at)
                .is_some_and(|thing| thing.hash() == hash && thing.name() == name)
        };
        self.table.find(hash, same).copied()
    }

    /// A place for a thing whose name has none.
    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        let hash = thing.hash();
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.places.push(None);
                u32::try_from(self.places.len().saturating_sub(1)).unwrap_or(NONE)
            }
        };
        if let Some(place) = self.places.get_mut(at as usize) {
            *place = Some(Box::new(thing));
        }
        let places = &self.places;
        self.table.insert_unique(hash, at, |at| {
            places
                .get(*at as usize)
                .and_then(Option::as_deref)
                .map_or(0, Named::hash)
        });
        at
    }

    /// Takes a thing out.
    pub(crate) fn remove(&mut self, at: u32) -> Option<Box<T>> {
        let thing = self.places.get_mut(at as usize).and_then(Option::take)?;
        if let Ok(found) = self.table.find_entry(thing.hash(), |other| *other == at) {
            found.remove();
        }
        self.free.push(at);
        Some(thing)
    }

    /// In the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.part(0, usize::MAX)
    }

    /// Those in `max` places from one on.
    pub(crate) fn part(&self, from: usize, max: usize) -> impl Iterator<Item = &T> {
        let places = self.places.iter().skip(from).take(max);
        places.flatten().map(|thing| &**thing)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten().map(|thing| &mut **thing)
    }

    /// Room of the places and of the index.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> (usize, usize) {
        (self.places.capacity(), self.table.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Thing(String);

    impl Named for Thing {
        fn name(&self) -> &str {
            &self.0
        }
        /// Few hashes: names decide.
        fn hash(&self) -> u64 {
            self.0.len() as u64
        }
    }

    #[test]
    fn places_are_used_again_and_names_tell_apart() {
        let mut slots = Slots::new();
        let places: Vec<u32> = ["aa", "bb", "c"]
            .map(|name| slots.insert(Thing(name.to_owned())))
            .to_vec();
        assert_eq!(places, [0, 1, 2]);
        let find = |slots: &Slots<Thing>, name: &str| slots.find(name, name.len() as u64);
        assert_eq!(find(&slots, "bb"), Some(1));
        assert_eq!(find(&slots, "xx"), None);
        assert_eq!(slots.remove(1).unwrap().0, "bb");
        assert!(slots.remove(1).is_none() && slots.get(1).is_none());
        assert_eq!(
            (find(&slots, "bb"), slots.len(), slots.places()),
            (None, 2, 3)
        );
        let again = slots.insert(Thing("dd".to_owned()));
        assert_eq!((again, slots.places()), (1, 3));
        let names: Vec<&str> = slots.iter().map(Named::name).collect();
        assert_eq!(names, ["aa", "dd", "c"]);
        assert_eq!(slots.part(1, 1).count(), 1);
    }
}
