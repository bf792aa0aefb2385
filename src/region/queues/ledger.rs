//! Promises that end with this process: nobody has to evict what it owed.

use super::{QueueHandle, QueueOptions};
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::region::Region;

/// A list of promises, in shared memory, that are evicted when this process ends, with their values: each has a place, from
/// 0 on. Evicted when it is dropped, with what it names.
#[derive(Debug)]
pub(crate) struct Ledger {
    region: Region,
    handle: QueueHandle,
}

impl Region {
    /// An empty ledger of so many places.
    pub(crate) fn new_ledger(&self, places: u32) -> Result<Ledger> {
        let options = QueueOptions::new(places).inline_bytes(0);
        let key = self.new_bound_queue(Fingerprint::BYTES, &options)?;
        let handle = self.queue_handle(key, Fingerprint::BYTES)?;
        Ok(Ledger { region: self.clone(), handle })
    }
}

impl Ledger {
    /// Promises an object, in a place that is free; `None`: it is not.
    pub(crate) fn reserve(&self, place: u32) -> Result<Option<Key>> {
        let queue = self.handle.queue()?;
        let id = self.region.relieved(0, |_| queue.reserve_in(place))?;
        Ok(id.map(|id| self.region.key(id)))
    }

    /// Frees a place; whether what it names goes or stays. Nothing in a forked child.
    pub(crate) fn release(&self, place: u32, goes: bool) {
        if let Ok(queue) = self.handle.queue() {
            queue.release(place, goes);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if self.handle.queue().is_ok() {
            // Who could not evict it leaves it to whoever reaps this process.
            let _ = self.region.evict(self.handle.key());
        }
    }
}
