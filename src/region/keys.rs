//! Which objects there are: for people and tools that evict what nobody else remembers.

use crate::error::Result;
use crate::key::Key;
use crate::layout::slot::{EVICTED, ObjectId, SlotWord, State, VERSION};
use crate::region::Region;
use crate::sync::Ordering;

impl Region {
    /// Keys of everything that can be got, is promised, or will never come, of variables and of queues, in no order; the region's
    /// own objects are left out: the names, the versions of variables, messages. A process that is killed between a put and the sending of the key leaves an object that only this
    /// names.
    ///
    /// ```
    /// use inplace::RegionOptions;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let key = region.put(b"bytes")?;
    /// assert_eq!(region.keys()?, [key]);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Severed`](crate::Error::Severed).
    pub fn keys(&self) -> Result<Vec<Key>> {
        let actor = self.attachment.actor()?;
        let segment = &self.attachment.segment;
        let key = |index: u32| {
            let slot = segment.slot(index)?;
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            let listed = match word.state()? {
                State::Ready => !word.has(VERSION) && !actor.expire_slot(index, slot),
                State::Variable | State::Channel => true,
                State::Pending | State::Filling | State::Broken => !word.has(EVICTED),
                _ => false,
            };
            listed.then(|| ObjectId::new(index, word.generation()).key(self.id()))
        };
        Ok((1..segment.committed_slots()).filter_map(key).collect())
    }
}
