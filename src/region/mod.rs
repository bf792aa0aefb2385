//! Regions: attaching to them, and every operation on them.

mod attachment;
mod counters;
pub(crate) mod flight;
pub(crate) mod fork;
mod keys;
mod lasting;
mod lifecycle;
mod loan;
mod name;
mod ops;
mod options;
mod pinned;
mod promises;
mod queues;
mod reap;
mod reaper;
mod table;
mod topics;
mod variables;
pub(crate) mod watch;

#[cfg(test)]
mod tests;

pub use counters::{RegionCounters, RegionMetrics, RegionUsage};
pub use loan::Loan;
pub use options::{Lifespan, RegionOptions};
pub use pinned::Pinned;
pub use promises::Offer;
pub use queues::{QueueOptions, WaitPolicy};
pub use reaper::Reaper;
pub use topics::TopicOptions;

pub(crate) use crate::protocol::promise::PromiseStage;
pub(crate) use pinned::Lent;
pub(crate) use queues::{
    Delivery, Ledger, Letter, MessageBytes, MessageMetadata, Patience, QueueLoan, QueueReceiver,
    QueueSender, Received,
};
pub(crate) use topics::{Broadcast, ReceivedPost, TopicPublisher, TopicSubscriber};

use crate::error::Result;
use crate::region::attachment::Attachment;

/// A handle of an attached region. Cloning it is cheap; the process detaches when the last handle and the last view
/// are gone.
#[derive(Debug)]
pub struct Region {
    pub(crate) attachment: &'static Attachment,
}

impl Clone for Region {
    /// # Panics
    /// When this process has forgotten about four thousand million handles.
    fn clone(&self) -> Self {
        // A count that wraps would unmap the region under its other handles.
        assert!(self.attachment.add_handle(), "too many handles of a region");
        Self { attachment: self.attachment }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.attachment.is_severed() {
            return;
        }
        let attachment = self.attachment.address();
        if self.attachment.remove_handle() {
            table::last_handle_dropped(attachment);
        }
    }
}

impl Region {
    /// Opens a region that exists, with the default options.
    ///
    /// # Errors
    /// [`Error::RegionNotFound`](crate::Error::RegionNotFound) when there is none, or when all its processes crashed and
    /// nobody asked for it to persist; others when the file is not a region, or not one this build can use.
    pub fn open(name: &str) -> Result<Self> {
        RegionOptions::new().open(name)
    }

    /// Another handle of a region this process is attached to already, or inherited by a fork, by its id: the space of
    /// its keys.
    ///
    /// # Errors
    /// [`Error::Busy`](crate::Error::Busy) in a signal handler that interrupted an attach.
    pub fn attached(id: u64) -> Result<Option<Self>> {
        Ok(table::lock()?.find(id))
    }

    /// Removes a region's name. Processes that are attached go on with it among themselves; its memory is given back
    /// when the last of them has left.
    ///
    /// # Errors
    /// [`Error::RegionNotFound`](crate::Error::RegionNotFound) when there is none,
    /// [`Error::NotARegion`](crate::Error::NotARegion) when the file is something else.
    pub fn destroy(name: &str) -> Result<()> {
        lifecycle::destroy(name)
    }

    /// Names of the regions on this host, without opening them.
    ///
    /// # Errors
    /// When /dev/shm can not be listed.
    pub fn list() -> Result<Vec<String>> {
        name::regions().map_err(|error| crate::Error::system("listing /dev/shm", error))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.attachment.facts.name
    }

    /// The number that tells this region from all others, also from later ones of the same name.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.attachment.facts.region
    }

    /// How long it exists.
    #[must_use]
    pub fn lifespan(&self) -> Lifespan {
        self.attachment.facts.lifespan
    }

    /// Bytes for objects.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.attachment.segment.geometry().capacity
    }

    /// How many objects there can be at once.
    #[must_use]
    pub fn max_objects(&self) -> u32 {
        self.attachment.segment.geometry().max_objects
    }

    /// How many processes can be attached at once.
    #[must_use]
    pub fn max_participants(&self) -> u32 {
        self.attachment.segment.geometry().max_participants
    }
}
