//! What was consumed.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::inlet::Packet;
use super::packet::{Entry, Metadata, Place};
use crate::codec::{Archive, Codec, Decoded};
use crate::connector::Block;
use crate::error::{Error, Result};
use crate::proxy::{Access, Proxy, ProxyRef};
use crate::sync::unmodelled::{AtomicU64, Ordering};
use crate::view::View;

/// A message of a stream. It is held until all of its objects are consumed.
pub(super) struct Batch<T, M: Metadata, C: Codec<T>> {
    packet: Packet<T, M, C>,
    block: Arc<Block>,
    /// How many of its objects are not consumed yet.
    left: AtomicU64,
}

impl<T, M: Metadata, C: Codec<T>> Batch<T, M, C> {
    pub(super) fn new(packet: Packet<T, M, C>, objects: usize) -> Result<Self> {
        let none = || Error::Codec { codec: "stream", what: "a message has no bytes".into() };
        let block = Arc::new(packet.block().ok_or_else(none)?.clone());
        Ok(Self { packet, block, left: AtomicU64::new(objects as u64) })
    }

    pub(super) fn packet(&self) -> &Packet<T, M, C> {
        &self.packet
    }

    /// An object that lies in the message; it is to be looked at only while this is held.
    fn decode(&self, (at, len): (u64, u64)) -> Result<View<C::Target>> {
        let part = |at: u64, len: u64| {
            self.block.part((at.try_into().ok()?, len.try_into().ok()?), C::FINGERPRINT)
        };
        let outside = || {
            let what = format!("an object of {len} bytes at {at} lies outside its message");
            Error::Codec { codec: "stream", what }
        };
        let block = part(at, len).ok_or_else(outside)?;
        // Others' codecs may keep parts of it.
        let may_stay = block.is_lent() && !C::CONTAINED.0;
        let block =
            if may_stay { Block::from_heap(block[..].into(), C::FINGERPRINT) } else { block };
        C::decode(block).map(View::new)
    }

    /// One of its objects is consumed.
    pub(super) fn consume_one(self: Arc<Self>) -> Result<()> {
        self.left.fetch_sub(1, Ordering::AcqRel);
        self.let_go()
    }

    /// Acknowledged by the last one to let go, if all is consumed; else given back.
    pub(super) fn let_go(self: Arc<Self>) -> Result<()> {
        match Arc::into_inner(self) {
            Some(Self { packet, block, left }) if left.load(Ordering::Relaxed) == 0 => {
                drop(block);
                packet.ack()
            }
            _ => Ok(()),
        }
    }
}

/// An object of a stream, in place: derefs to it. [Acknowledge](StreamItem::ack) it when its work is done.
///
/// What was sent in one message is held until all of it is acknowledged: when one of its objects is dropped without that, or its
/// consumer is killed, all that lie in the message are received again. Objects in a store of their own, which are evicted one by
/// one, are not. What came through a topic is every consumer's: nothing comes of acknowledging it, or of not doing so.
///
/// It may be sent to other threads. A forked child does not inherit it, unless it came through a topic.
///
/// # Panics
/// Through a queue, it derefs in a forked child only by panicking; and it does as a [`Proxy`] does when its object is in a store and
/// cannot be had.
pub struct StreamItem<T, M: Metadata = (), C: Codec<T> = Archive> {
    /// Goes before the batch, whose bytes it may look at.
    value: Value<T, C>,
    metadata: Decoded<M>,
    channel: Arc<str>,
    batch: Arc<Batch<T, M, C>>,
    missed: u64,
}

enum Value<T, C: Codec<T>> {
    Here(View<C::Target>),
    Stored { proxy: Proxy<T, C>, is_lasting: bool },
}

/// An object of a store; whether it stays when it has been consumed.
pub(super) fn stored<T, C: Codec<T>>(stored: ProxyRef) -> (Proxy<T, C>, bool) {
    let is_lasting = !stored.access.takes();
    (Proxy::from_ref(ProxyRef { access: Access::Get, ..stored }), is_lasting)
}

/// Evicts an object that was consumed.
pub(super) fn evict<T, C: Codec<T>>(proxy: &Proxy<T, C>) -> Result<bool> {
    proxy.store()?.evict(proxy.key())
}

impl<T, M: Metadata, C: Codec<T>> StreamItem<T, M, C> {
    pub(super) fn new(
        entry: Entry,
        metadata: Decoded<M>,
        (channel, batch): (Arc<str>, Arc<Batch<T, M, C>>),
    ) -> Result<Self> {
        let value = match entry.place {
            Place::Here { at, len } => Value::Here(batch.decode((at, len))?),
            Place::Stored(reference) => {
                let (proxy, is_lasting) = stored(reference);
                // What others have as well, nobody evicts.
                Value::Stored { proxy, is_lasting: is_lasting || batch.packet.is_shared() }
            }
        };
        Ok(Self { value, metadata, channel, batch, missed: 0 })
    }

    /// The same, handed out after so many messages were lost.
    pub(super) fn after_losing(self, missed: u64) -> Self {
        Self { missed, ..self }
    }

    /// What was said of it.
    #[must_use]
    pub fn metadata(&self) -> &M {
        &self.metadata
    }

    /// Through which channel it came.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// How often its message was received, with this time; 255 for more.
    #[must_use]
    pub fn deliveries(&self) -> u8 {
        self.batch.packet.deliveries()
    }

    /// How many messages its consumer lost, because it was too slow, since the last object that it had from the same channel: each
    /// is a whole batch. 0 through a queue, which loses nothing. [`StreamConsumer::missed`](super::StreamConsumer::missed) is all.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Which message of its topic it was in, from 0; `None` through a queue. Another consumer goes on behind it that
    /// [starts](crate::Start::At) at the next one.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.batch.packet.position()
    }

    /// The proxy of an object in a store of its own, which may be sent on; `None`: it is in the message.
    #[must_use]
    pub fn proxy(&self) -> Option<&Proxy<T, C>> {
        match &self.value {
            Value::Here(_) => None,
            Value::Stored { proxy, .. } => Some(proxy),
        }
    }

    /// The object, or why it cannot be had.
    ///
    /// # Errors
    /// [`Error::NotOwner`] in a forked child, and as [`Proxy::resolve`].
    #[inline]
    pub fn resolve(&self) -> Result<&C::Target> {
        match &self.value {
            Value::Here(view) => self.batch.packet.expect_mine().map(|()| &**view),
            Value::Stored { proxy, .. } => proxy.resolve(),
        }
    }

    /// Says that it is consumed. An object in a store of its own is evicted, unless it was sent to stay. With the last object of
    /// its message there is room for another. Through a topic, the same as dropping it.
    ///
    /// # Errors
    /// [`Error::NotOwner`] in a forked child, and as [`Store::evict`](crate::Store::evict).
    pub fn ack(self) -> Result<()> {
        let Self { value, batch, .. } = self;
        batch.packet.expect_mine()?;
        // Evicted first: received again, it is known to be consumed, and nobody has to find it later.
        if let Value::Stored { proxy, is_lasting: false } = &value {
            evict(proxy)?;
        }
        drop(value);
        batch.consume_one()
    }
}

impl<T, M: Metadata, C: Codec<T>> Deref for StreamItem<T, M, C> {
    type Target = C::Target;

    #[inline]
    fn deref(&self) -> &C::Target {
        match self.resolve() {
            Ok(value) => value,
            Err(error) => unusable(&error),
        }
    }
}

#[cold]
fn unusable(error: &Error) -> ! {
    panic!("an object of a stream cannot be used: {error}")
}

impl<T, M: Metadata + fmt::Debug, C: Codec<T>> fmt::Debug for StreamItem<T, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamItem")
            .field("channel", &self.channel)
            .field("metadata", self.metadata())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_go_to_other_threads() {
        fn goes<T: Send + Sync>() {}
        goes::<StreamItem<String, u64>>();
        goes::<StreamItem<Vec<u8>, (), crate::codec::Raw>>();
    }
}
