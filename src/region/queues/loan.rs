//! Messages that are made in place: in the queue itself, or in an object of their own.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use super::{Letter, Patience, QueueSender, too_much_metadata};
use crate::actor::Refusal;
use crate::error::{Error, Result};
use crate::layout::block::BlockRef;
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::queue::{Envelope, METADATA_BYTES};
use crate::protocol::write::Writing;

/// An envelope, and where its message is made; dropped unsent, both are given back.
pub(crate) struct QueueLoan<'a> {
    sender: &'a QueueSender,
    /// Both are taken out once: when it is sent, or dropped by the process that has it.
    envelope: ManuallyDrop<Envelope<'a>>,
    object: ManuallyDrop<Option<Writing<'a>>>,
    /// In a block, from there on.
    at: (BlockRef, u64),
    len: usize,
}

impl QueueSender {
    /// Lends memory for a message of so many bytes.
    pub(crate) fn loan(&self, letter: Letter<'_>, patience: &Patience) -> Result<QueueLoan<'_>> {
        let queue = self.handle.queue()?;
        let envelope = self.own_envelope(queue, patience)?;
        let len = letter.size;
        let (object, at) = if letter.may_be_inline && len <= queue.place.shape.inline as usize {
            (None, envelope.inline_part())
        } else {
            let len = len as u64;
            let writing = self
                .region
                .relieved(len, |_| -> Result<_, Refusal> { envelope.lend_object(len) })?;
            let block = writing.block;
            (Some(writing), (block, 0))
        };
        let (envelope, object) = (ManuallyDrop::new(envelope), ManuallyDrop::new(object));
        Ok(QueueLoan { sender: self, envelope, object, at, len })
    }
}

impl<'a> QueueLoan<'a> {
    fn is_mine(&self) -> bool {
        self.sender.handle.is_mine()
    }

    /// What is to be sent or dropped; `self` is forgotten by the caller.
    fn take(&mut self) -> (Envelope<'a>, Option<Writing<'a>>) {
        // SAFETY: taken once, as said above.
        unsafe { (ManuallyDrop::take(&mut self.envelope), ManuallyDrop::take(&mut self.object)) }
    }

    /// Sends the first `len` bytes.
    pub(crate) fn send(self, len: usize, metadata: &[u8]) -> Result<()> {
        if metadata.len() > METADATA_BYTES {
            return Err(too_much_metadata(metadata.len()));
        }
        let queue = self.sender.handle.queue()?;
        queue.expect_there()?;
        let len = len.min(self.len);
        let sender = self.sender;
        let (envelope, object) = ManuallyDrop::new(self).take();
        if let Some(writing) = object {
            envelope.publish(writing, len as u64);
        }
        envelope.send(u32::try_from(len).unwrap_or(u32::MAX), metadata, &sender.guess)?;
        queue.ring(ChannelBell::Items);
        Ok(())
    }

    fn start(&self) -> *mut u8 {
        if !self.is_mine() {
            panic!("{}", Error::NotOwner { token: "loan of a message" });
        }
        let (block, at) = self.at;
        let end = at + self.len as u64;
        let start = self.sender.handle.attachment().segment.claimed_start(block, end);
        // SAFETY: inside the block, as just checked.
        unsafe { start.add(at as usize) }
    }
}

impl Deref for QueueLoan<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: committed bytes that are this loan's, and written only through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
}

impl DerefMut for QueueLoan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; nobody else looks at them.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }
}

impl Drop for QueueLoan<'_> {
    fn drop(&mut self) {
        if self.is_mine() {
            let (envelope, object) = self.take();
            // The object before what it is for.
            drop(object);
            drop(envelope);
        }
    }
}

impl fmt::Debug for QueueLoan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueLoan").field("len", &self.len).finish_non_exhaustive()
    }
}
