//! A look into the store of a daemon that is not running: nothing is locked, mended or created.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{ReadOnlyDatabase, ReadableDatabase};

use super::StoreError;
use super::error::{Fault, classify};
use super::tables::META;

/// What was kept under a name; `None` when there is no store, or nothing under that name.
///
/// # Errors
/// The store is in use, was not closed in good order, or cannot be read.
pub fn peek_meta(directory: &Path, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let path = directory.join("state.redb");
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => return Err(classify(&path, Fault::Io(error))),
    }
    let read = || -> Result<Option<Vec<u8>>, Fault> {
        let db = ReadOnlyDatabase::open(&path)?;
        let txn = db.begin_read()?;
        let table = txn.open_table(META)?;
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    };
    let result = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|p| Err(Fault::panic(&*p)));
    result.map_err(|fault| classify(&path, fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreOptions};

    #[test]
    fn reads_what_was_kept_and_touches_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(peek_meta(dir.path(), "k").unwrap(), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        store.meta_put("k", b"v").unwrap();
        assert!(peek_meta(dir.path(), "k").is_err(), "in use");
        store.close();
        drop(store);
        let before = std::fs::read(dir.path().join("state.redb")).unwrap();
        assert_eq!(peek_meta(dir.path(), "k").unwrap(), Some(b"v".to_vec()));
        assert_eq!(peek_meta(dir.path(), "other").unwrap(), None);
        assert_eq!(
            std::fs::read(dir.path().join("state.redb")).unwrap(),
            before
        );
        std::fs::write(dir.path().join("state.redb"), vec![7; 9000]).unwrap();
        assert!(peek_meta(dir.path(), "k").is_err(), "garbage");
    }
}
