//! Small things other modules keep, by name.

use super::error::Fault;
use super::tables::META;
use super::{Store, StoreError};

/// Longest value.
pub const MAX_META: usize = 16 << 20;

impl Store {
    /// Reads a value.
    ///
    /// # Errors
    /// The store is not available.
    pub fn meta_get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|txn| {
            let table = txn.open_table(META)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    /// Writes a value, durably. Keys that begin with `store.` are the store's own.
    ///
    /// # Errors
    /// The store is not available, or the value is longer than [`MAX_META`].
    pub fn meta_put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        if value.len() > MAX_META || key.len() > 256 || key.starts_with("store.") {
            return Err(StoreError::Refused(format!(
                "{key:?}: {} bytes do not go into the store's small values",
                value.len()
            )));
        }
        self.write(|txn, _| {
            txn.open_table(META)?.insert(key, value)?;
            Ok(())
        })
    }

    /// Removes a value; says whether there was one.
    ///
    /// # Errors
    /// The store is not available.
    pub fn meta_delete(&self, key: &str) -> Result<bool, StoreError> {
        self.write(|txn, _| {
            let mut table = txn.open_table(META)?;
            let found = table.remove(key)?.is_some();
            Ok(found)
        })
    }

    /// All keys that begin with `prefix`.
    ///
    /// # Errors
    /// The store is not available.
    pub fn meta_keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.read(|txn| {
            let table = txn.open_table(META)?;
            let mut keys = Vec::new();
            for entry in table.range(prefix..)? {
                let key = entry?.0;
                if !key.value().starts_with(prefix) {
                    break;
                }
                keys.push(key.value().to_owned());
            }
            Ok::<_, Fault>(keys)
        })
    }
}
