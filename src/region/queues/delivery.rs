//! A message that was received: its bytes, until it is acknowledged or given back.

use std::sync::Arc;

use super::QueueHandle;
use crate::error::{Error, Result};
use crate::protocol::queue::{Contents, METADATA_BYTES, Queue, Taken};
use crate::region::pinned::{Lent, Pinned};

/// A message of this process's. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The receiver's, which pins the queue for as long as any of them has it.
    handle: Arc<QueueHandle>,
    taken: Taken,
    is_over: bool,
}

/// The bytes of a message.
#[derive(Debug)]
pub(crate) enum MessageBytes {
    /// In the queue itself: for as long as the delivery is not over.
    Inline(Lent),
    /// An object.
    Object(Pinned),
}

impl Delivery {
    #[inline]
    pub(super) fn new(handle: &Arc<QueueHandle>, taken: Taken) -> Self {
        Self { handle: handle.clone(), taken, is_over: false }
    }

    #[inline(always)]
    fn queue(&self) -> Result<&Queue<'_>> {
        self.handle.queue_for("message")
    }

    /// Where its bytes are.
    #[inline]
    pub(crate) fn bytes(&self) -> Result<MessageBytes> {
        match self.queue()?.contents(&self.taken)? {
            Contents::Inline { at, len } => {
                self.handle.pinned.lend((at, len)).map(MessageBytes::Inline)
            }
            Contents::Object(id) => {
                let attachment = self.handle.attachment();
                let pin = attachment.actor()?.pin(id)?;
                let gone = || Error::corrupt(format!("a message's object {id:?} is gone"));
                Pinned::new(attachment, pin.ok_or_else(gone)?).map(MessageBytes::Object)
            }
        }
    }

    /// What was sent with it.
    #[inline]
    pub(crate) fn metadata(&self) -> Result<([u8; METADATA_BYTES], usize)> {
        Ok(self.queue()?.metadata(&self.taken))
    }

    /// How often it was received, with this time.
    pub(crate) fn deliveries(&self) -> u8 {
        self.taken.word.deliveries()
    }

    /// The envelope it is in.
    pub(crate) fn envelope(&self) -> u32 {
        self.taken.envelope
    }

    /// Whether this process received it: a forked child did not.
    #[inline]
    pub(crate) fn is_mine(&self) -> bool {
        self.handle.is_mine()
    }

    /// Says that nobody needs it any more.
    #[inline]
    pub(crate) fn acknowledge(mut self) -> Result<()> {
        let is_done = self.queue()?.acknowledge(&self.taken);
        self.is_over = true;
        if is_done { Ok(()) } else { Err(Error::NotOwner { token: "message" }) }
    }
}

impl Drop for Delivery {
    #[inline]
    fn drop(&mut self) {
        if !self.is_over
            && let Ok(queue) = self.queue()
        {
            queue.give_back(&self.taken);
        }
    }
}
