//! The operations on variables.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::names;
use crate::protocol::variable::{Awaited, Current, Version};
use crate::region::ops::with_key;
use crate::region::pinned::Pinned;
use crate::region::promises::SLICE;
use crate::region::{Region, reap};
use crate::sys::futex;
use crate::writer::Fill;

/// What is in a variable: the version, and its number.
pub(crate) type Numbered = (Pinned, u64);

impl Region {
    /// A variable that was never set, for values of a type.
    pub(crate) fn new_variable(&self, fingerprint: Fingerprint) -> Result<Key> {
        self.relieved(0, |actor| actor.new_variable(fingerprint)).map(|id| self.key(id))
    }

    /// The same, bound to this process from its first instant.
    pub(crate) fn new_bound_variable(&self, fingerprint: Fingerprint) -> Result<Key> {
        self.relieved(0, |actor| actor.new_bound_variable(fingerprint)).map(|id| self.key(id))
    }

    /// The variable a name is bound to; made, and bound, if it is bound to nothing.
    pub(crate) fn open_variable(&self, name: &str, fingerprint: Fingerprint) -> Result<Key> {
        names::check(name)?;
        let open = self.relieved(name.len() as u64, |actor| actor.open_variable(name, fingerprint));
        open.map(|id| self.key(id))
    }

    /// Gives a variable the version that `fill` writes, if it is at the version wanted; the new one's number.
    pub(crate) fn set_variable(
        &self,
        (key, wanted): (Key, Option<u64>),
        (size, fingerprint): (usize, Fingerprint),
        fill: &mut Fill<'_>,
    ) -> Result<u64> {
        let variable = (self.object_id(key)?, wanted);
        let size = size as u64;
        self.relieved(size, |actor| actor.set_variable(variable, (size, fingerprint), fill))
    }

    /// The current version; `None` when it was never set.
    #[inline(always)]
    pub(crate) fn get_variable(
        &self,
        key: Key,
        fingerprint: Fingerprint,
    ) -> Result<Option<Numbered>> {
        let id = self.object_id(key)?;
        let actor = self.attachment.actor()?;
        match actor.read_variable(id).map_err(|error| with_key(error, key))? {
            Current::Gone => Err(Error::NotFound { key }),
            Current::Empty => actor.expect_type(id, fingerprint).map(|()| None),
            Current::Version(version) => self.numbered(version).map(Some),
        }
    }

    /// Waits for a version with a number above `seen`; `None` waits without limit.
    pub(crate) fn wait_for_change(
        &self,
        key: Key,
        seen: u64,
        timeout: Option<Duration>,
    ) -> Result<Numbered> {
        let id = self.object_id(key)?;
        let actor = self.attachment.actor()?;
        // Who waits without a limit need not know the time.
        let limit = timeout.map(|timeout| (Instant::now(), timeout));
        loop {
            let (slot, change) =
                match actor.look_for_change(id, seen).map_err(|error| with_key(error, key))? {
                    Awaited::Gone => return Err(Error::NotFound { key }),
                    Awaited::Version(version) => return self.numbered(version),
                    Awaited::Unchanged(slot, change) => (slot, change),
                };
            let mut left = SLICE;
            if let Some((started, timeout)) = limit {
                let waited = started.elapsed();
                left = timeout.saturating_sub(waited);
                if left.is_zero() {
                    return Err(Error::TimedOut { key, waited });
                }
            }
            // Who set it may have died before it woke anybody.
            if !futex::wait_low(&slot.extra, change, Some(left.min(SLICE))) {
                reap::reap_dead(self.attachment)?;
            }
        }
    }

    #[inline(always)]
    fn numbered(&self, version: Version<'_>) -> Result<Numbered> {
        Ok((Pinned::new(self.attachment, version.pin)?, version.number))
    }
}
