//! What a queue is to be like, and how to wait for it.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::layout::queue::{MAX_ENVELOPES, Shape};

/// Bytes of a message that lies in the queue itself, unless told otherwise.
const INLINE_BYTES: u32 = 192;
const MAX_INLINE_BYTES: u32 = 1 << 16;
const MAX_DELIVERIES: u8 = 16;

/// How large a [`Queue`](crate::Queue) is, and what becomes of a message that nobody acknowledges.
///
/// ```
/// use inplace::QueueOptions;
///
/// let options = QueueOptions::new(1024).max_deliveries(3).inline_bytes(0);
/// assert_eq!(options.capacity(), 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    capacity: u32,
    inline: u32,
    max_deliveries: u8,
}

impl QueueOptions {
    /// For so many messages at a time, of whatever size: those that were sent and not acknowledged yet, and dead letters.
    #[must_use]
    pub const fn new(capacity: u32) -> Self {
        Self { capacity, inline: INLINE_BYTES, max_deliveries: MAX_DELIVERIES }
    }

    /// How many messages there can be at a time.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// A message that was received so often and never acknowledged is a dead letter; 0: it is delivered for ever. 16 unless
    /// told otherwise.
    #[must_use]
    pub const fn max_deliveries(self, most: u8) -> Self {
        Self { max_deliveries: most, ..self }
    }

    /// Messages of so many bytes lie in the queue itself, which spares them an object each; rounded up to a multiple of 64.
    /// The queue takes that for each message from the start. 192 unless told otherwise.
    #[must_use]
    pub const fn inline_bytes(self, bytes: u32) -> Self {
        Self { inline: bytes, ..self }
    }

    pub(super) fn shape(&self, participants: u32) -> Result<Shape> {
        let refuse = |what: &str, found: u32, expected: String| {
            Err(Error::InvalidConfig { what: what.into(), found: found.to_string(), expected })
        };
        if !(1..MAX_ENVELOPES).contains(&self.capacity) {
            let expected = format!("1 to {} messages", MAX_ENVELOPES - 1);
            return refuse("a queue's capacity", self.capacity, expected);
        }
        if self.inline > MAX_INLINE_BYTES {
            let expected = format!("{MAX_INLINE_BYTES} bytes at most");
            return refuse("a queue's inline_bytes", self.inline, expected);
        }
        Ok(Shape::new(self.capacity, self.inline, participants, self.max_deliveries))
    }
}

/// How a sender waits for room, and a receiver for messages.
///
/// ```
/// use inplace::WaitPolicy;
/// use std::time::Duration;
///
/// assert_eq!(WaitPolicy::default(), WaitPolicy::SpinThenPark(Duration::from_micros(20)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitPolicy {
    /// Sleep until woken: costs no processor time, and some microseconds more.
    Park,
    /// Look again and again for so long, then sleep.
    SpinThenPark(Duration),
    /// Look again and again: the lowest latency, for one core each.
    Spin,
}

impl Default for WaitPolicy {
    fn default() -> Self {
        Self::SpinThenPark(Duration::from_micros(20))
    }
}

impl WaitPolicy {
    /// How long to spin; `None`: for ever.
    pub(super) fn spins(self) -> Option<Duration> {
        match self {
            Self::Park => Some(Duration::ZERO),
            Self::SpinThenPark(time) => Some(time),
            Self::Spin => None,
        }
    }
}
