//! What a topic is to be like.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::layout::topic::{MAX_CAPACITY, MAX_CURSORS, TopicShape};

/// How many messages a [`Topic`](crate::Topic) keeps, and for whom its publishers wait.
///
/// ```
/// use inplace::TopicOptions;
/// use std::time::Duration;
///
/// let prices = TopicOptions::new(1024).max_bytes(1 << 20).max_age(Duration::from_secs(60));
/// let orders = TopicOptions::new(64).hold_back(8);
/// assert_eq!((prices.capacity(), orders.capacity()), (1024, 64));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    capacity: u32,
    subscribers: u32,
    bytes: u64,
    age: Duration,
}

impl TopicOptions {
    /// For so many messages, of whatever size; slow subscribers lose the oldest, and are told how many.
    #[must_use]
    pub const fn new(capacity: u32) -> Self {
        Self { capacity, subscribers: 0, bytes: 0, age: Duration::ZERO }
    }

    /// How many messages are kept: the last so many, and mostly the one before, which the next replaces.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Nobody loses anything: publishers wait while a subscriber has as many messages to receive as the topic keeps, also when
    /// that subscriber is stopped; one that dies is not waited for. There can be at most so many subscribers at a time;
    /// 0: nobody is waited for.
    #[must_use]
    pub const fn hold_back(self, max_subscribers: u32) -> Self {
        Self { subscribers: max_subscribers, ..self }
    }

    /// Keeps fewer messages, if all together have more bytes, as they are encoded, with their metadata and 16 bytes more each.
    /// The newest is kept, whatever its size; so are those that a subscriber is [waited for](TopicOptions::hold_back) with.
    /// Publishers drop what is too much, and so does [`Topic::trim`](crate::Topic::trim). 0 is no limit.
    #[must_use]
    pub const fn max_bytes(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    /// Keeps messages for so long from when they were written. Publishers drop what is too old, and so does
    /// [`Topic::trim`](crate::Topic::trim); nobody receives it any more, but who is
    /// [waited for](TopicOptions::hold_back). Zero is no limit.
    #[must_use]
    pub const fn max_age(self, age: Duration) -> Self {
        Self { age, ..self }
    }

    pub(super) fn shape(&self, participants: u32) -> Result<TopicShape> {
        let refuse = |what: &str, found: u32, expected: String| {
            Err(Error::InvalidConfig { what: what.into(), found: found.to_string(), expected })
        };
        if !(1..MAX_CAPACITY).contains(&self.capacity) {
            let expected = format!("1 to {} messages", MAX_CAPACITY - 1);
            return refuse("a topic's capacity", self.capacity, expected);
        }
        if self.subscribers >= MAX_CURSORS {
            let expected = format!("{} subscribers at most", MAX_CURSORS - 1);
            return refuse("how many subscribers a topic waits for", self.subscribers, expected);
        }
        Ok(TopicShape {
            capacity: self.capacity,
            cursors: self.subscribers,
            participants,
            max_bytes: self.bytes,
            max_age: u64::try_from(self.age.as_nanos()).unwrap_or(u64::MAX),
        })
    }
}
