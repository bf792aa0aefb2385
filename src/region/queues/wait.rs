//! Waiting at a queue: spinning, then asleep on one of its bells.

use std::time::{Duration, Instant};

use super::{QueueHandle, WaitPolicy};
use crate::error::Result;
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::region::attachment::Attachment;
use crate::region::promises::SLICE;
use crate::region::reap;
use crate::sync::AtomicU64;
use crate::sys::futex;

/// How long to wait, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) policy: WaitPolicy,
    /// `None`: without limit; nothing: do not wait.
    pub(crate) limit: Option<Duration>,
}

impl Patience {
    /// How long somebody has waited who has given up; `None`: he was not to wait.
    pub(in crate::region) fn waited(&self) -> Option<Duration> {
        self.limit.filter(|limit| !limit.is_zero())
    }
}

/// The time since somebody began to ask for it: most find what they wait for before they need to know.
struct Clock {
    limit: Option<Duration>,
    started: Option<Instant>,
}

impl Clock {
    fn elapsed(&mut self) -> Duration {
        match self.started {
            Some(started) => started.elapsed(),
            None => {
                self.started = Some(Instant::now());
                Duration::ZERO
            }
        }
    }

    /// How long to sleep at most.
    fn left(&mut self) -> Duration {
        match self.limit {
            Some(limit) => limit.saturating_sub(self.elapsed()),
            // From the first sleep on: the dead are looked for by the time.
            None => {
                self.elapsed();
                SLICE
            }
        }
    }
}

/// What somebody waits for.
pub(in crate::region) trait Look<R> {
    /// It, or that there is none to come.
    fn look(&mut self) -> Result<Option<R>>;

    /// The same of one who spins, most of the time: for less, if it can be had so. What spins should take little from the
    /// other half of its core, on which the one that is waited for may be.
    #[inline]
    fn glance(&mut self) -> Result<Option<R>> {
        self.look()
    }
}

impl<R, F: FnMut() -> Result<Option<R>>> Look<R> for F {
    #[inline]
    fn look(&mut self) -> Result<Option<R>> {
        self()
    }
}

/// Glances between two looks at the clock, the last of them a look.
const GLANCES: u32 = 64;

impl QueueHandle {
    /// What `look` finds, sooner or later; `None`: not in the time there is.
    #[inline]
    pub(super) fn wait_until<R>(
        &self,
        bell: ChannelBell,
        patience: &Patience,
        look: impl Look<R>,
    ) -> Result<Option<R>> {
        wait_until(self.attachment(), patience, || Ok(self.queue()?.listen(bell)), look)
    }
}

/// What `look` finds, sooner or later; `None`: not in the time there is. `listen` says what to sleep on.
#[inline]
pub(in crate::region) fn wait_until<'a, R>(
    attachment: &Attachment,
    patience: &Patience,
    listen: impl Fn() -> Result<(&'a AtomicU64, u32)>,
    mut look: impl Look<R>,
) -> Result<Option<R>> {
    match look.look()? {
        Some(found) => Ok(Some(found)),
        None if patience.limit == Some(Duration::ZERO) => Ok(None),
        None => wait_longer(attachment, patience, listen, look),
    }
}

/// The same for one that has found nothing yet.
#[inline(never)]
fn wait_longer<'a, R>(
    attachment: &Attachment,
    patience: &Patience,
    listen: impl Fn() -> Result<(&'a AtomicU64, u32)>,
    mut look: impl Look<R>,
) -> Result<Option<R>> {
    let (spins, mut reaped) = (patience.policy.spins(), Duration::ZERO);
    let mut clock = Clock { limit: patience.limit, started: None };
    while spins.is_none_or(|time| !time.is_zero() && clock.elapsed() < time) {
        for glances in (0..GLANCES).rev() {
            std::hint::spin_loop();
            let found = if glances == 0 { look.look() } else { look.glance() };
            if let Some(found) = found? {
                return Ok(Some(found));
            }
        }
        if clock.left().is_zero() {
            return Ok(None);
        }
        let elapsed = clock.elapsed();
        // Whoever was to send, or to acknowledge, may have died.
        if elapsed - reaped >= SLICE {
            reap::reap_dead(attachment)?;
            reaped = elapsed;
        }
    }
    loop {
        let (word, heard) = listen()?;
        if let Some(found) = look.look()? {
            return Ok(Some(found));
        }
        let left = clock.left();
        if left.is_zero() {
            return Ok(None);
        }
        let is_woken = futex::wait_low(word, heard, Some(left.min(SLICE)));
        // Before it says again that it sleeps: the next one would ring for nobody.
        if let Some(found) = look.look()? {
            return Ok(Some(found));
        }
        // Who is woken again and again for nothing looks for the dead, too.
        let elapsed = clock.elapsed();
        if !is_woken || elapsed - reaped >= SLICE {
            reap::reap_dead(attachment)?;
            reaped = elapsed;
        }
    }
}
