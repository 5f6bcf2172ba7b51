//! A store in memory, for tests. Deterministic, forgets everything.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Entry, Put, Store, StoreError, Table};

type Entries = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// The store.
#[derive(Debug, Default)]
#[cfg_attr(not(test), allow(dead_code, reason = "the store that tests of the layers above use"))]
pub struct MemoryStore(Mutex<Entries>);

impl MemoryStore {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.entries().get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        let entries = self.entries();
        let from = entries.range((table, prefix.to_vec())..);
        let inside = from.take_while(|((t, key), _)| *t == table && key.starts_with(prefix));
        Ok(inside.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Entry>, StoreError> {
        Ok(self.scan(table, prefix)?.pop())
    }

    fn write(&self, puts: &[Put]) -> Result<(), StoreError> {
        let mut entries = self.entries();
        for put in puts {
            entries.insert((put.table, put.key.clone()), put.value.clone());
        }
        Ok(())
    }
}
