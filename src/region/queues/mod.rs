//! Queues: who has pinned one, sends, receives, waits.

mod delivery;
mod ledger;
mod loan;
mod options;
mod owned;
#[cfg(test)]
mod tests;
mod wait;

pub use options::{QueueOptions, WaitPolicy};

pub(crate) use crate::protocol::queue::Metadata as MessageMetadata;
pub(crate) use delivery::{Delivery, MessageBytes};
pub(crate) use ledger::Ledger;
pub(crate) use loan::QueueLoan;
pub(crate) use wait::Patience;
pub(super) use wait::wait_until;

use std::sync::Arc;

use crate::actor::{Actor, Refusal};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::ObjectId;
use crate::names;
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::queue::{Envelope, Guess, METADATA_BYTES, Queue, Taken};
use crate::region::attachment::Attachment;
use crate::region::ops::with_key;
use crate::region::pinned::Pinned;
use crate::region::queues::wait::Look;
use crate::region::{Region, reap};
use crate::sync::unmodelled::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::writer::{BlockWriter, Fill};

/// A queue that one process has pinned.
#[derive(Debug)]
pub(super) struct QueueHandle {
    pinned: Pinned,
    /// It is where it is for as long as it is pinned, and for the owner only: in a forked child it is elsewhere.
    queue: Queue<'static>,
    owner: Owner,
}

/// Which process something belongs to: a forked child is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    me: ParticipantId,
    incarnation: u64,
}

impl Owner {
    pub(super) fn new(attachment: &Attachment, me: ParticipantId) -> Self {
        Self { me, incarnation: attachment.identity.incarnation() }
    }

    #[inline]
    fn is_this_process(self, attachment: &Attachment) -> bool {
        // Severed, it is nobody.
        attachment.identity.tag() == self.me.tag()
            && attachment.identity.incarnation() == self.incarnation
    }

    #[inline]
    pub(super) fn actor<'a>(
        self,
        attachment: &'a Attachment,
        token: &'static str,
    ) -> Result<Actor<'a>> {
        if self.is_this_process(attachment) {
            Ok(attachment.actor_as(self.me))
        } else {
            Err(self.not_mine(attachment, token))
        }
    }

    #[cold]
    fn not_mine(self, attachment: &Attachment, token: &'static str) -> Error {
        if attachment.is_severed() { Error::Severed } else { Error::NotOwner { token } }
    }
}

impl Region {
    /// A queue without messages, for those of a type.
    pub(crate) fn new_queue(
        &self,
        fingerprint: Fingerprint,
        options: &QueueOptions,
    ) -> Result<Key> {
        let shape = options.shape(self.max_participants())?;
        self.relieved(shape.bytes(), |actor| actor.new_queue(fingerprint, shape))
            .map(|id| self.key(id))
    }

    /// The same, which goes with this process.
    pub(crate) fn new_bound_queue(
        &self,
        fingerprint: Fingerprint,
        options: &QueueOptions,
    ) -> Result<Key> {
        let shape = options.shape(self.max_participants())?;
        self.relieved(shape.bytes(), |actor| actor.new_bound_queue(fingerprint, shape))
            .map(|id| self.key(id))
    }

    /// The queue a name is bound to; made, and bound, if it is bound to nothing.
    pub(crate) fn open_queue(
        &self,
        name: &str,
        fingerprint: Fingerprint,
        options: &QueueOptions,
    ) -> Result<Key> {
        names::check(name)?;
        let shape = options.shape(self.max_participants())?;
        let id =
            self.relieved(shape.bytes(), |actor| actor.open_queue(name, fingerprint, shape))?;
        let actor = self.attachment.actor()?;
        let key = self.key(id);
        let found = actor.pin_queue(id).map_err(|error| with_key(error, key))?;
        let (_pin, queue) = found.ok_or(Error::NotFound { key })?;
        let found = queue.place.shape;
        for (what, found, wanted) in [
            ("capacity", found.envelopes, shape.envelopes),
            ("inline_bytes", found.inline, shape.inline),
            ("max_deliveries", found.max_deliveries.into(), shape.max_deliveries.into()),
        ] {
            if found != wanted {
                return Err(Error::InvalidConfig {
                    what: format!("{what} of the queue {name:?}"),
                    found: wanted.to_string(),
                    expected: format!("{found}, with which it was made"),
                });
            }
        }
        Ok(key)
    }

    fn queue_handle(&self, key: Key, fingerprint: Fingerprint) -> Result<QueueHandle> {
        let id = self.object_id(key)?;
        let actor = self.attachment.actor()?;
        let owner = Owner::new(self.attachment, actor.me);
        actor.expect_queue(id, fingerprint)?;
        let found = actor.pin_queue(id).map_err(|error| with_key(error, key))?;
        let (pin, queue) = found.ok_or(Error::NotFound { key })?;
        Ok(QueueHandle { queue, pinned: Pinned::new(self.attachment, pin)?, owner })
    }

    /// This process as one that produces for a queue.
    pub(crate) fn queue_sender(&self, key: Key, fingerprint: Fingerprint) -> Result<QueueSender> {
        let handle = self.queue_handle(key, fingerprint)?;
        handle.queue()?.add_producer();
        // Each begins elsewhere, so that they do not all try the same one.
        let (envelopes, me) = (handle.queue.place.shape.envelopes, handle.owner.me.index());
        let first = (u64::from(me) * u64::from(envelopes) / 16 % u64::from(envelopes)) as u32;
        let (cursor, outgrown) = (AtomicU32::new(first), AtomicBool::new(false));
        Ok(QueueSender { region: self.clone(), handle, cursor, outgrown, guess: Guess::default() })
    }

    /// This process as one that receives from a queue.
    pub(crate) fn queue_receiver(
        &self,
        key: Key,
        fingerprint: Fingerprint,
    ) -> Result<QueueReceiver> {
        let handle = Arc::new(self.queue_handle(key, fingerprint)?);
        Ok(QueueReceiver { region: self.clone(), handle, seen: AtomicU64::new(0) })
    }
}

impl QueueHandle {
    #[inline]
    fn attachment(&self) -> &'static Attachment {
        self.pinned.attachment()
    }

    /// The queue, for this process; an error in a forked child.
    #[inline(always)]
    pub(super) fn queue(&self) -> Result<&Queue<'_>> {
        self.queue_for("handle of a queue")
    }

    /// The same for a token of this process's.
    #[inline(always)]
    fn queue_for(&self, token: &'static str) -> Result<&Queue<'_>> {
        if self.is_mine() {
            Ok(&self.queue)
        } else {
            Err(self.owner.not_mine(self.attachment(), token))
        }
    }

    #[inline(always)]
    fn is_mine(&self) -> bool {
        self.owner.is_this_process(self.attachment())
    }

    /// The same, pinned once more.
    pub(super) fn again(&self) -> Result<Self> {
        Ok(Self { pinned: self.pinned.again()?, queue: self.queue, owner: self.owner })
    }

    pub(super) fn id(&self) -> ObjectId {
        self.queue.place.id
    }

    fn key(&self) -> Key {
        self.pinned.key()
    }
}

/// What is to be sent: about how many bytes, whether they may lie in the queue itself, and what is said about them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter<'a> {
    pub(crate) size: usize,
    pub(crate) may_be_inline: bool,
    pub(crate) metadata: &'a [u8],
}

/// A producer.
#[derive(Debug)]
pub(crate) struct QueueSender {
    pub(super) region: Region,
    pub(super) handle: QueueHandle,
    /// The envelope to look at first. Each has its turn: the one after the last was acknowledged long ago, so its lines can be
    /// fetched before they are needed, while those of the last are still on their way.
    cursor: AtomicU32,
    /// Whether the last message that was to lie in the queue itself proved too large for it.
    outgrown: AtomicBool,
    guess: Guess,
}

impl QueueSender {
    /// Whether a message of about so many bytes is likely to lie in the queue itself: then nobody need guess better.
    #[inline]
    pub(crate) fn is_small(&self, size: usize) -> bool {
        let inline = self.handle.queue.place.shape.inline as usize;
        size <= inline && !self.outgrown.load(Ordering::Relaxed)
    }

    /// Sends what `fill` writes.
    #[inline(always)]
    pub(crate) fn send<F>(
        &self,
        letter: Letter<'_>,
        patience: &Patience,
        fill: &mut F,
    ) -> Result<()>
    where
        F: FnMut(&mut BlockWriter<'_>) -> Result<()>,
    {
        if letter.metadata.len() > METADATA_BYTES {
            return Err(too_much_metadata(letter.metadata.len()));
        }
        let queue = self.handle.queue()?;
        let envelope = self.own_envelope(queue, patience)?;
        let inline = queue.place.shape.inline as usize;
        let mut size = letter.size;
        let mut len = None;
        if letter.may_be_inline && size <= inline {
            size = envelope.fill(fill)?;
            len = (size <= inline).then_some(size as u64);
            if len.is_none() != self.outgrown.load(Ordering::Relaxed) {
                self.outgrown.store(len.is_none(), Ordering::Relaxed);
            }
        }
        let len = match len {
            Some(len) => len,
            None => self.put(&envelope, size, fill)?,
        };
        envelope.send(u32::try_from(len).unwrap_or(u32::MAX), letter.metadata, &self.guess)?;
        queue.ring(ChannelBell::Items);
        queue.prefetch_for_send(self.cursor.load(Ordering::Relaxed));
        Ok(())
    }

    pub(crate) fn key(&self) -> Key {
        self.handle.key()
    }

    #[inline(always)]
    fn own_envelope<'a>(
        &'a self,
        queue: &'a Queue<'a>,
        patience: &Patience,
    ) -> Result<Envelope<'a>> {
        let from = self.cursor.load(Ordering::Relaxed);
        queue.expect_there()?;
        let envelope = match queue.own_envelope(from) {
            Some(envelope) => envelope,
            None => self.await_envelope(queue, *patience)?,
        };
        self.cursor.store(queue.envelope_after(envelope.index), Ordering::Relaxed);
        Ok(envelope)
    }

    /// One of a queue that was full.
    #[inline(never)]
    fn await_envelope<'a>(
        &'a self,
        queue: &'a Queue<'a>,
        patience: Patience,
    ) -> Result<Envelope<'a>> {
        let look = || {
            queue.expect_there()?;
            Ok(queue.own_envelope(self.cursor.load(Ordering::Relaxed)))
        };
        let found = self.handle.wait_until(ChannelBell::Room, &patience, look)?;
        found.ok_or_else(|| self.refuse(&patience))
    }

    #[cold]
    fn refuse(&self, patience: &Patience) -> Error {
        let (key, capacity) = (self.handle.key(), self.handle.queue.place.shape.envelopes);
        match patience.waited() {
            Some(waited) => Error::TimedOut { key, waited },
            None => Error::Full { key, capacity },
        }
    }

    #[cold]
    fn put(&self, envelope: &Envelope<'_>, size: usize, fill: &mut Fill<'_>) -> Result<u64> {
        self.region.relieved(size as u64, |_| -> Result<u64, Refusal> {
            envelope.fill_object(size as u64, fill)
        })
    }
}

#[cold]
fn too_much_metadata(len: usize) -> Error {
    let (len, most) = (len as u64, METADATA_BYTES as u64);
    Error::TooLarge { len, most, what: "the metadata of a message".into() }
}

impl Drop for QueueSender {
    fn drop(&mut self) {
        // A forked child never produced.
        if let Ok(queue) = self.handle.queue() {
            queue.remove_producer();
        }
    }
}

/// A consumer.
#[derive(Debug)]
pub(crate) struct QueueReceiver {
    pub(super) region: Region,
    pub(super) handle: Arc<QueueHandle>,
    /// What it knows of messages that were given back.
    seen: AtomicU64,
}

/// What a receiver found.
#[derive(Debug)]
pub(crate) enum Received {
    Message(Delivery),
    /// Nothing, and nobody produces any more.
    End,
    /// Nothing in the time there was.
    Nothing,
}

enum Found {
    Message(Taken),
    End,
}

/// A receiver that waits: for a message, or the end.
struct LookFor<'a> {
    receiver: &'a QueueReceiver,
    queue: &'a Queue<'a>,
}

impl Look<Found> for LookFor<'_> {
    #[inline]
    fn look(&mut self) -> Result<Option<Found>> {
        self.receiver.look(self.queue)
    }

    #[inline]
    fn glance(&mut self) -> Result<Option<Found>> {
        Ok(self.queue.receive(&self.receiver.seen)?.map(Found::Message))
    }
}

impl QueueReceiver {
    /// The next message.
    #[inline(always)]
    pub(crate) fn receive(&self, patience: &Patience) -> Result<Received> {
        let queue = self.handle.queue()?;
        queue.expect_there()?;
        match queue.receive(&self.seen)? {
            Some(taken) => Ok(Received::Message(Delivery::new(&self.handle, taken))),
            None => self.receive_later(queue, *patience),
        }
    }

    /// The same, when there was none.
    #[inline(never)]
    fn receive_later(&self, queue: &Queue<'_>, patience: Patience) -> Result<Received> {
        let look = LookFor { receiver: self, queue };
        match self.handle.wait_until(ChannelBell::Items, &patience, look)? {
            Some(Found::Message(taken)) => {
                Ok(Received::Message(Delivery::new(&self.handle, taken)))
            }
            Some(Found::End) => Ok(Received::End),
            None => Ok(Received::Nothing),
        }
    }

    #[inline]
    fn look(&self, queue: &Queue<'_>) -> Result<Option<Found>> {
        queue.expect_there()?;
        let attachment = self.handle.attachment();
        if let Some(taken) = queue.receive(&self.seen)? {
            return Ok(Some(Found::Message(taken)));
        }
        if !queue.has_no_producer() {
            return Ok(None);
        }
        // Whatever was sent, was sent before that was so. What others hold may come back; what the dead held, does.
        let mut is_to_come = false;
        if queue.is_held_by_others() {
            reap::reap_dead(attachment)?;
            // Somebody else is reaping, and not done. Before the look: what came back until then, it finds.
            is_to_come = queue.is_held_by_dead(&attachment.source())?;
        }
        if let Some(taken) = queue.receive_whatever_is_there()? {
            return Ok(Some(Found::Message(taken)));
        }
        Ok(if is_to_come { None } else { Some(Found::End) })
    }

    /// Whether nobody produces any more, and there is nothing to receive now.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        let queue = self.handle.queue()?;
        queue.expect_there()?;
        Ok(queue.has_no_producer() && !queue.has_messages())
    }

    /// Waits until `look` finds something, which is called whenever a message was acknowledged, and after a while.
    pub(crate) fn wait_for_room<R>(
        &self,
        patience: &Patience,
        look: impl FnMut() -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        self.handle.wait_until(ChannelBell::Room, patience, look)
    }

    /// Whether there is a message, received or not, or one that is just being sent.
    pub(crate) fn is_in_use(&self) -> Result<bool> {
        Ok(self.handle.queue()?.is_in_use())
    }

    /// Whether somebody has received something who is dead, and not reaped yet.
    pub(crate) fn is_held_by_dead(&self) -> Result<bool> {
        self.handle.queue()?.is_held_by_dead(&self.handle.attachment().source())
    }

    /// Wakes whoever waits for room, though there is none.
    pub(crate) fn ring_room(&self) {
        if let Ok(queue) = self.handle.queue() {
            queue.ring(ChannelBell::Room);
        }
    }

    /// A dead letter, looked for from an envelope on.
    pub(crate) fn dead_letter(&self, from: u32) -> Result<Option<Delivery>> {
        let queue = self.handle.queue()?;
        queue.expect_there()?;
        let taken = queue.take_letter(from);
        Ok(taken.map(|taken| Delivery::new(&self.handle, taken)))
    }

    pub(crate) fn key(&self) -> Key {
        self.handle.key()
    }

    /// What it knows of messages that were given back.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}
