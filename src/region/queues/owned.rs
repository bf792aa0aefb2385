//! Objects that have an owner, as messages.

use super::{Delivery, Patience, QueueReceiver, QueueSender, too_much_metadata};
use crate::error::Result;
use crate::key::Key;
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::queue::METADATA_BYTES;

impl QueueSender {
    /// Sends an object that is bound to this process; after an error it still is.
    pub(crate) fn send_owned(&self, key: Key, metadata: &[u8], patience: &Patience) -> Result<()> {
        if metadata.len() > METADATA_BYTES {
            return Err(too_much_metadata(metadata.len()));
        }
        let id = self.region.object_id(key)?;
        let queue = self.handle.queue()?;
        let mut envelope = self.own_envelope(queue, patience)?;
        envelope.take_in(id)?;
        envelope.send(0, metadata, &self.guess)?;
        queue.ring(ChannelBell::Items);
        Ok(())
    }
}

impl QueueReceiver {
    /// Refuses a message of another region's queue.
    pub(crate) fn expect_same_region(&self, message: &Delivery) -> Result<()> {
        self.region.object_id(message.queue_key()).map(drop)
    }
}
