//! A message that was received: its bytes, until it is acknowledged or given back.

use super::{Owner, QueueHandle};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::layout::slot::ObjectId;
use crate::protocol::pin::Pin;
use crate::protocol::queue::{Contents, METADATA_BYTES, Queue, QueuePlace, Taken};
use crate::protocol::variable::Current;
use crate::region::pinned::{Lent, Pinned};

/// A message of this process's. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The queue.
    pinned: Pinned,
    place: QueuePlace,
    owner: Owner,
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
    pub(super) fn new(handle: &QueueHandle, taken: Taken) -> Result<Self> {
        let (place, owner) = (handle.place, handle.owner);
        match handle.pinned.again() {
            Ok(pinned) => Ok(Self { pinned, place, owner, taken, is_over: false }),
            Err(error) => {
                handle.queue()?.give_back(&taken);
                Err(error)
            }
        }
    }

    #[inline]
    fn queue(&self) -> Result<Queue<'_>> {
        let actor = self.owner.actor(self.pinned.attachment(), "message")?;
        actor.at_queue(self.place, self.pinned.slot())
    }

    /// Where its bytes are.
    #[inline]
    pub(crate) fn bytes(&self) -> Result<MessageBytes> {
        match self.queue()?.contents(&self.taken)? {
            Contents::Inline { at, len } => self.pinned.lend((at, len)).map(MessageBytes::Inline),
            Contents::Object(id) => {
                let attachment = self.pinned.attachment();
                let pin = match attachment.actor()?.pin(id)? {
                    Some(pin) => pin,
                    None => self.current(id)?,
                };
                Pinned::new(attachment, pin).map(MessageBytes::Object)
            }
        }
    }

    /// What was owned and updated is a variable: the version that it has.
    #[cold]
    fn current(&self, id: ObjectId) -> Result<Pin<'static>> {
        let attachment = self.pinned.attachment();
        match attachment.actor()?.read_variable(id)? {
            Current::Version(version) => Ok(version.pin),
            _ if self.queue()?.is_of_owned(self.taken.envelope) => {
                Err(Error::NotFound { key: id.key(attachment.facts.region) })
            }
            _ => Err(Error::corrupt(format!("a message's object {id:?} is gone"))),
        }
    }

    /// The key of the object that it is; `None`: it lies in the queue itself.
    pub(crate) fn object(&self) -> Result<Option<Key>> {
        let object = self.queue()?.object_of(self.taken.envelope);
        Ok(object.map(|id| id.key(self.pinned.attachment().facts.region)))
    }

    /// Acknowledges a message that is an object, which is bound to this process from then on.
    pub(crate) fn take_out(mut self) -> Result<()> {
        self.queue()?.take_out(&self.taken)?;
        self.is_over = true;
        Ok(())
    }

    /// What was sent with it.
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
        self.owner.is_this_process(self.pinned.attachment())
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
