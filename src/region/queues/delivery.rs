//! A message that was received: its bytes, until it is acknowledged or given back.

use std::sync::Arc;

use super::QueueHandle;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::layout::queue::EnvelopeWord;
use crate::layout::slot::ObjectId;
use crate::protocol::pin::Pin;
use crate::protocol::queue::{Contents, Metadata, Queue, Taken};
use crate::protocol::variable::Current;
use crate::region::pinned::{Lent, Pinned};

/// A message of this process's. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The receiver's, which pins the queue for as long as any of them has it.
    handle: Arc<QueueHandle>,
    /// With the word 0 when it is over.
    taken: Taken,
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
    #[inline(always)]
    pub(super) fn new(handle: &Arc<QueueHandle>, taken: Taken) -> Self {
        Self { handle: handle.clone(), taken }
    }

    #[inline(always)]
    fn queue(&self) -> Result<&Queue<'_>> {
        self.handle.queue_for("message")
    }

    /// Where its bytes are.
    pub(crate) fn bytes(&self) -> Result<MessageBytes> {
        self.bytes_of(self.queue()?.contents(&self.taken)?)
    }

    /// What was sent with it.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        Ok(self.queue()?.metadata(&self.taken))
    }

    /// Both.
    #[inline(always)]
    pub(crate) fn parts(&self) -> Result<(MessageBytes, Metadata)> {
        let (contents, metadata) = self.queue()?.parts(&self.taken)?;
        Ok((self.bytes_of(contents)?, metadata))
    }

    #[inline(always)]
    fn bytes_of(&self, contents: Contents) -> Result<MessageBytes> {
        match contents {
            Contents::Inline { at, len } => {
                self.handle.pinned.lend((at, len)).map(MessageBytes::Inline)
            }
            Contents::Object(id) => self.pin_object(id),
        }
    }

    #[inline(never)]
    fn pin_object(&self, id: ObjectId) -> Result<MessageBytes> {
        let attachment = self.handle.attachment();
        let pin = match attachment.actor()?.pin(id)? {
            Some(pin) => pin,
            None => self.current(id)?,
        };
        Pinned::new(attachment, pin).map(MessageBytes::Object)
    }

    /// What was owned and updated is a variable: the version that it has.
    #[cold]
    fn current(&self, id: ObjectId) -> Result<Pin<'static>> {
        let attachment = self.handle.attachment();
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
        Ok(object.map(|id| id.key(self.handle.attachment().facts.region)))
    }

    /// Acknowledges a message that is an object, which is bound to this process from then on.
    pub(crate) fn take_out(mut self) -> Result<()> {
        self.queue()?.take_out(&self.taken)?;
        self.taken.word = EnvelopeWord(0);
        Ok(())
    }

    #[inline(never)]
    fn give_back(&self) {
        if let Ok(queue) = self.queue() {
            queue.give_back(&self.taken);
        }
    }

    /// How often it was received, with this time.
    pub(crate) fn deliveries(&self) -> u8 {
        self.taken.word.deliveries()
    }

    /// The key of its queue.
    pub(super) fn queue_key(&self) -> Key {
        self.handle.key()
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
    #[inline(always)]
    pub(crate) fn acknowledge(mut self) -> Result<()> {
        let is_done = self.queue()?.acknowledge(&self.taken);
        self.taken.word = EnvelopeWord(0);
        if is_done { Ok(()) } else { Err(Error::NotOwner { token: "message" }) }
    }
}

impl Drop for Delivery {
    #[inline]
    fn drop(&mut self) {
        if self.taken.word != EnvelopeWord(0) {
            self.give_back();
        }
    }
}
