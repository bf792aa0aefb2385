//! What a task's message says beside the input.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::key::Key;
use crate::pool::panics;
use crate::proxy::{Access, ProxyRef};
use crate::region::{Delivery, MessageBytes, Region};
use crate::store::{Inner, registry};

/// In the metadata of the message: whose result is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Order {
    /// The object half of the promise's key.
    pub(super) promise: u64,
    /// The fingerprint of the result's type.
    pub(super) result: u64,
    /// The message is a proxy of the input, in postcard.
    pub(super) is_proxy: bool,
}

const BYTES: usize = 17;

impl Order {
    pub(super) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&self.promise.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.result.to_le_bytes());
        bytes[16] = self.is_proxy.into();
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        (bytes.len() == BYTES).then_some(())?;
        Some(Self { promise: word(0)?, result: word(8)?, is_proxy: bytes[16] != 0 })
    }

    /// Of a message that was received.
    pub(super) fn of(delivery: &Delivery) -> Result<Self> {
        let (bytes, len) = delivery.metadata()?;
        let foreign = || Error::corrupt("a message among the tasks of a worker pool is none");
        Self::from_bytes(&bytes[..len]).ok_or_else(foreign)
    }

    pub(super) fn key(self, region: &Region) -> Key {
        Key::new(region.id(), self.promise)
    }

    /// The proxy, and whether its object goes when the task is done: it is there until then, for whoever tries again.
    pub(super) fn proxy(delivery: &Delivery) -> Result<(ProxyRef, bool)> {
        let bytes = delivery.bytes()?;
        let bytes: &[u8] = match &bytes {
            MessageBytes::Inline(lent) => lent,
            MessageBytes::Object(pinned) => pinned,
        };
        let unread = |error: postcard::Error| Error::corrupt(format!("a task's proxy: {error}"));
        let mut wire: ProxyRef = postcard::from_bytes(bytes).map_err(unread)?;
        let takes = wire.access.takes();
        wire.access = if wire.access.waits() { Access::Wait } else { Access::Get };
        Ok((wire, takes))
    }

    /// W6: evicts the input of a task that is over, if its proxy says so. One that is gone, or that nobody can reach any more,
    /// needs nothing.
    pub(super) fn evict_input(self, delivery: &Delivery, store: &Arc<Inner>) {
        let evict = || -> Result<()> {
            let (wire, takes) = Self::proxy(delivery)?;
            if takes {
                home_of(&wire, store)?.evict(wire.key)?;
            }
            Ok(())
        };
        if self.is_proxy {
            // A connector may be code of a user.
            let _ = panics::catch(evict);
        }
    }
}

/// The store a proxy's object is in: most often the pool's own, which need not be looked for.
pub(super) fn home_of(wire: &ProxyRef, store: &Arc<Inner>) -> Result<Arc<Inner>> {
    let is_here = store.connector.space() == Some(wire.key.space())
        && store.config.name == wire.store.store();
    if is_here { Ok(store.clone()) } else { registry::resolve(&wire.store, wire.key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written_and_nothing_else_is_one() {
        let order = Order { promise: 1 << 40 | 7, result: u64::MAX, is_proxy: true };
        assert_eq!(Order::from_bytes(&order.to_bytes()), Some(order));
        assert_eq!(Order::from_bytes(b"metadata"), None);
        assert_eq!(Order::from_bytes(&[0; 18]), None);
    }
}
