//! A bell that a thread of this process listens to, and who is to be called when it rings.

use std::sync::Arc;
use std::task::Waker;

use crate::actor::Actor;
use crate::error::Result;
use crate::layout::slot::ObjectId;
use crate::protocol::bell::listen;
use crate::protocol::channel::{self, AtChannel, ChannelBell};
use crate::region::Region;
use crate::region::queues::QueueHandle;
use crate::region::topics::TopicHandle;
use crate::sync::unmodelled::{AtomicBool, Ordering};
use crate::sync::{AtomicU32, AtomicU64};
use crate::sys::futex::Awaited;

/// Which bell, of all regions.
pub(super) type Name = (u64, Which);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    OfSlots(usize),
    OfChannel(ObjectId, ChannelBell),
}

/// A bell of a region that somebody listens to.
pub(super) struct Bell {
    pub(super) region: Region,
    place: Place,
    /// What it held when what it is rung for was looked at last.
    pub(super) heard: u32,
    pub(super) watched: Vec<Watched>,
}

/// Where it is: among those of the region, or in a channel, which is pinned for it.
enum Place {
    OfSlots(usize),
    OfChannel(ChannelHandle, ChannelBell),
}

/// A channel that this process has pinned.
pub(super) enum ChannelHandle {
    Queue(QueueHandle),
    Topic(TopicHandle),
}

impl ChannelHandle {
    fn id(&self) -> ObjectId {
        match self {
            Self::Queue(queue) => queue.id(),
            Self::Topic(topic) => topic.id(),
        }
    }

    fn bell(&self, bell: ChannelBell) -> Result<&AtomicU64> {
        match self {
            Self::Queue(queue) => queue.queue().map(|queue| queue.bell(bell)),
            Self::Topic(topic) => topic.topic().map(|topic| topic.bell(bell)),
        }
    }
}

/// A bell without a handle of its region.
pub(super) struct Stale {
    pub(super) name: Name,
    pub(super) heard: u32,
    pub(super) word: Awaited,
}

/// What is waited for.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// A promise has an answer.
    Answered(ObjectId),
    /// A variable has a version with a higher number than that.
    ChangedSince(ObjectId, u64),
    /// The channel has what its bell is rung for: `seen` is what a receiver knows of messages that were given back, or the
    /// position that a subscriber wants.
    Rung { seen: u64 },
}

impl Until {
    pub(super) fn promise(self) -> Option<ObjectId> {
        if let Self::Answered(id) = self { Some(id) } else { None }
    }

    /// Z2 at slots: whether it still is waited for; then a sleeper is announced.
    fn is_awaited(self, actor: &Actor<'_>) -> bool {
        match self {
            Self::Answered(id) => actor.is_pending(id),
            Self::ChangedSince(id, seen) => actor.is_unchanged(id, seen),
            Self::Rung { .. } => false,
        }
    }
}

/// What is waited for, and who is to be called then.
pub(super) struct Watched {
    pub(super) number: u64,
    pub(super) until: Until,
    pub(super) waker: Waker,
    /// It has been taken out: whoever drops the watch need not look for it.
    pub(super) is_called: Arc<AtomicBool>,
}

impl Watched {
    pub(super) fn called(self) -> Waker {
        self.is_called.store(true, Ordering::Relaxed);
        self.waker
    }
}

impl Bell {
    pub(super) fn of_slots(region: &Region, bell: usize) -> Self {
        let place = Place::OfSlots(bell);
        Self { region: region.clone(), place, heard: 0, watched: Vec::new() }
    }

    pub(super) fn of_channel(region: &Region, channel: ChannelHandle, bell: ChannelBell) -> Self {
        let place = Place::OfChannel(channel, bell);
        Self { region: region.clone(), place, heard: 0, watched: Vec::new() }
    }

    pub(super) fn name(&self) -> Name {
        let which = match &self.place {
            Place::OfSlots(bell) => Which::OfSlots(*bell),
            Place::OfChannel(channel, bell) => Which::OfChannel(channel.id(), *bell),
        };
        (self.region.id(), which)
    }

    fn slots(&self, bell: usize) -> &AtomicU32 {
        &self.region.attachment.segment.header().bells[bell]
    }

    /// What the thread is to sleep on; it has only an address of it.
    pub(super) fn word(&self) -> Result<Awaited> {
        Ok(match &self.place {
            Place::OfSlots(bell) => Awaited::shared(self.slots(*bell), self.heard),
            Place::OfChannel(channel, bell) => Awaited::low(channel.bell(*bell)?, self.heard),
        })
    }

    pub(super) fn stale(&self) -> Result<Stale> {
        Ok(Stale { name: self.name(), heard: self.heard, word: self.word()? })
    }

    /// Z1: what it holds now.
    pub(super) fn listen(&self) -> Result<u32> {
        Ok(match &self.place {
            Place::OfSlots(bell) => listen(self.slots(*bell)),
            Place::OfChannel(channel, bell) => channel::listen(channel.bell(*bell)?).1,
        })
    }

    /// Z2, and what is not to be found out is not waited for.
    pub(super) fn is_awaited(&self, until: Until) -> Result<bool> {
        match (&self.place, until) {
            (Place::OfChannel(ChannelHandle::Queue(queue), bell), Until::Rung { seen }) => {
                queue.queue()?.is_silent(*bell, seen, &self.region.attachment.source())
            }
            (Place::OfChannel(ChannelHandle::Topic(topic), bell), Until::Rung { seen }) => {
                topic.topic()?.is_silent(*bell, seen)
            }
            _ => Ok(until.is_awaited(&self.region.attachment.actor()?)),
        }
    }

    /// Z1 and Z2: takes out who has something to hear, if it rang, or if it is to be looked at whether it did or not: whoever has
    /// changed something may have been stopped before it rings.
    pub(super) fn look(&mut self, wakers: &mut Vec<Waker>, is_due: bool) {
        match self.listen() {
            Ok(heard) if heard == self.heard && !is_due => return,
            Ok(heard) => self.heard = heard,
            // Severed: nobody hears of anything here.
            Err(_) => return,
        }
        let mut watched = std::mem::take(&mut self.watched);
        let is_final = |it: &mut Watched| !self.is_awaited(it.until).unwrap_or(false);
        wakers.extend(watched.extract_if(.., is_final).map(Watched::called));
        self.watched = watched;
    }
}
