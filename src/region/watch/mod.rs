//! Being told of promises, of changes of variables, and of channels without sleeping on them: the wakers of futures, and the thread
//! that calls them.
//!
//! One thread of this process listens to the bells of every promise that somebody watches, in all regions, with one
//! system call (`futex_waitv`; where the kernel has none, it looks every millisecond). It takes 127 bells; for more there
//! is another thread. A bell that rang makes it look at the slots of that bell, and only the wakers of those that are final
//! are called, outside every lock. Once in 100 ms it reaps the dead, as those do who wait, and looks at everything that is
//! watched, whether its bell rang or not. Without anything to watch it ends after a second.
//!
//! The thread reaches into a region under the lock only, where each bell has a handle. Asleep it has nothing but
//! addresses, which the kernel checks. So a watch that is dropped is gone at once, and the region with it, unless the thread
//! is just at work in it.

mod bell;
mod roster;
mod sleeper;
mod told;

pub(crate) use told::Told;

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::key::Key;
use crate::layout::slot::ObjectId;
use crate::protocol::bell::bell_of;
use crate::protocol::channel::ChannelBell;
use crate::region::watch::bell::{Bell, ChannelHandle, Until, Watched};
use crate::region::watch::roster::{Place, Timer, lock};
use crate::region::{QueueReceiver, QueueSender, Region, TopicPublisher, TopicSubscriber};
use crate::sync::unmodelled::{AtomicBool, Ordering};

/// Has a waker called until it is dropped. One of the parent's does nothing in a forked child.
#[derive(Debug)]
#[must_use = "dropped, it calls nobody"]
pub(crate) struct Watch {
    number: u64,
    place: Place,
    process: u32,
    is_called: Arc<AtomicBool>,
}

impl Region {
    /// Has `waker` called once, when a promised object has its value, or never will; `None`: it is so already.
    pub(crate) fn watch(&self, key: Key, waker: &Waker) -> Result<Option<Watch>> {
        let id = self.object_id(key)?;
        self.watch_until(Until::Answered(id), id, waker)
    }

    /// Has `waker` called once, when a variable has a version with a number above `seen`, or is gone; `None`: it is so
    /// already.
    pub(crate) fn watch_change(&self, key: Key, seen: u64, waker: &Waker) -> Result<Option<Watch>> {
        let id = self.object_id(key)?;
        self.watch_until(Until::ChangedSince(id, seen), id, waker)
    }

    fn watch_until(&self, until: Until, id: ObjectId, waker: &Waker) -> Result<Option<Watch>> {
        self.attachment.actor()?;
        Watch::at(Bell::of_slots(self, bell_of(id.slot())), until, waker)
    }
}

impl QueueReceiver {
    /// Has `waker` called once, when there is a message, or will be none any more, or no queue; `None`: it is so already.
    pub(crate) fn watch(&self, waker: &Waker) -> Result<Option<Watch>> {
        let queue = ChannelHandle::Queue(self.handle.again()?);
        let bell = Bell::of_channel(&self.region, queue, ChannelBell::Items);
        Watch::at(bell, Until::Rung { seen: self.seen() }, waker)
    }
}

impl QueueSender {
    /// Has `waker` called once, when there is room, or no queue; `None`: it is so already.
    pub(crate) fn watch(&self, waker: &Waker) -> Result<Option<Watch>> {
        let queue = ChannelHandle::Queue(self.handle.again()?);
        let bell = Bell::of_channel(&self.region, queue, ChannelBell::Room);
        Watch::at(bell, Until::Rung { seen: 0 }, waker)
    }
}

impl TopicSubscriber {
    /// Has `waker` called once, when there is a message, or will be none any more, or no topic; `None`: it is so already.
    pub(crate) fn watch(&self, waker: &Waker) -> Result<Option<Watch>> {
        let topic = ChannelHandle::Topic(self.handle.again()?);
        let bell = Bell::of_channel(&self.region, topic, ChannelBell::Items);
        Watch::at(bell, Until::Rung { seen: self.position() }, waker)
    }
}

impl TopicPublisher {
    /// Has `waker` called once, when nobody holds a publisher back, or there is no topic; `None`: it is so already.
    pub(crate) fn watch(&self, waker: &Waker) -> Result<Option<Watch>> {
        let topic = ChannelHandle::Topic(self.handle.again()?);
        let bell = Bell::of_channel(&self.region, topic, ChannelBell::Room);
        Watch::at(bell, Until::Rung { seen: 0 }, waker)
    }
}

impl Watch {
    fn at(mut bell: Bell, until: Until, waker: &Waker) -> Result<Option<Self>> {
        let (waker, is_called) = (waker.clone(), Arc::new(AtomicBool::new(false)));
        let mut roster = lock();
        // Z1, before Z2.
        bell.heard = bell.listen()?;
        if !bell.is_awaited(until)? {
            drop(roster);
            return Ok(None);
        }
        let number = roster.next_number();
        bell.watched.push(Watched { number, until, waker, is_called: is_called.clone() });
        let (place, errand, spare) = roster.add(bell);
        drop(roster);
        drop(spare);
        let watch = Self { number, place, process: std::process::id(), is_called };
        errand.run()?;
        Ok(Some(watch))
    }

    /// Whether it is yet to call its waker. Said before the waker is called: who is called and looks finds it so.
    pub(crate) fn is_pending(&self) -> bool {
        !self.is_called.load(Ordering::Relaxed) && self.process == std::process::id()
    }

    /// Calls `waker` again and again: for those who cannot be told, and have to look.
    pub(crate) fn every(interval: Duration, waker: &Waker) -> Result<Self> {
        let waker = Arc::new(waker.clone());
        let mut roster = lock();
        let number = roster.next_number();
        let due = Instant::now() + interval;
        let (place, errand) = roster.add_timer(Timer { number, interval, due, waker });
        drop(roster);
        let is_called = Arc::new(AtomicBool::new(false));
        let watch = Self { number, place, process: std::process::id(), is_called };
        errand.run()?;
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.is_called.load(Ordering::Relaxed) || self.process != std::process::id() {
            return;
        }
        let removed = lock().remove(self.number, self.place);
        // A waker is a user's, and the last handle of a region detaches.
        drop(removed);
    }
}
