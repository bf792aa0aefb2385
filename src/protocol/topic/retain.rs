//! What a topic keeps: the oldest messages are dropped when they are too old, or all together too large.

use std::collections::VecDeque;

use super::Topic;
use crate::error::{Error, Result};
use crate::layout::topic::OLDEST;
use crate::sync::Ordering;

/// Lengths of messages that somebody has looked at, so that each is looked at once.
#[derive(Debug, Default)]
pub(crate) struct Window {
    first: u64,
    lengths: VecDeque<u64>,
    sum: u64,
}

impl Topic<'_> {
    /// D1 to D5: drops what is beyond the limits, as far as every subscriber that is waited for has received it; how much.
    pub(crate) fn drop_oldest(&self, window: &mut Window) -> Result<u64> {
        let shape = &self.place.shape;
        let mut dropped = self.drop_old()?;
        if shape.max_bytes != 0 {
            dropped += self.drop_large(window)?;
        }
        Ok(dropped)
    }

    /// The oldest position that may be there.
    fn oldest(&self, tail: u64) -> u64 {
        let reach = tail.saturating_sub(self.place.shape.ring());
        self.word(OLDEST).load(Ordering::SeqCst).clamp(reach, tail)
    }

    /// The same, of what is too old.
    pub(super) fn drop_old(&self) -> Result<u64> {
        if self.place.shape.max_age == 0 {
            return Ok(0);
        }
        let tail = self.load_tail()?;
        let mut dropped = 0;
        for position in self.oldest(tail)..tail {
            let is_kept = match self.pin_at(position) {
                // What does not say how old it is would be the oldest for ever.
                Ok(pin) => pin.is_some_and(|pin| !self.is_too_old(&pin).unwrap_or(true)),
                // Of what this process has so many views of, others look at the time.
                Err(Error::TooManyViews { .. }) => true,
                Err(error) => return Err(error),
            };
            if is_kept {
                break;
            }
            let Some(is_dropped) = self.drop_at(position) else { break };
            dropped += u64::from(is_dropped);
        }
        Ok(dropped)
    }

    fn drop_large(&self, window: &mut Window) -> Result<u64> {
        let tail = self.find_tail()?.0;
        let mut dropped = 0;
        self.look(window, tail);
        while window.sum > self.place.shape.max_bytes && window.lengths.len() > 1 {
            let Some(is_dropped) = self.drop_at(window.first) else { break };
            dropped += u64::from(is_dropped);
            window.pass();
        }
        Ok(dropped)
    }

    /// Lengths of what was published since.
    fn look(&self, window: &mut Window, tail: u64) {
        let oldest = self.oldest(tail);
        while window.first < oldest && !window.lengths.is_empty() {
            window.pass();
        }
        if window.lengths.is_empty() {
            window.first = oldest;
        }
        for position in window.first + window.lengths.len() as u64..tail {
            let len = self.length(position);
            window.lengths.push_back(len);
            window.sum = window.sum.saturating_add(len);
        }
    }

    /// The length of a message, 0 if it is not there.
    pub(crate) fn length(&self, position: u64) -> u64 {
        let post = self.load_post(position);
        let found = post.is_at(position).then(|| self.message(post, position)).flatten();
        let Some((slot, word)) = found else { return 0 };
        // Acquire: a length of what stands there since comes with its word, which is another.
        let len = slot.len.load(Ordering::Acquire);
        let is_its_own = slot.word.load(Ordering::Relaxed) == word.0;
        // A wrong one is no longer than the region.
        if is_its_own { len.min(self.actor.segment.geometry().capacity) } else { 0 }
    }

    /// D3 to D5: makes sure that the message of a position is not there any more; whether it was there. `None`: it is wanted.
    pub(crate) fn drop_at(&self, position: u64) -> Option<bool> {
        let post = self.load_post(position);
        let mut is_dropped = false;
        if post.is_at(position) {
            if self.is_wanted(position) {
                return None;
            }
            is_dropped = self.evict_post(post, position);
        }
        self.word(OLDEST).fetch_max(position + 1, Ordering::SeqCst);
        Some(is_dropped)
    }
}

impl Window {
    fn pass(&mut self) {
        self.first += 1;
        let len = self.lengths.pop_front().unwrap_or_default();
        self.sum = self.sum.saturating_sub(len);
    }
}
