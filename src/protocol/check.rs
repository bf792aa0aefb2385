//! `check()`: walks everything and states every broken invariant.

mod queues;
mod report;
mod topics;

pub use report::Report;

use std::cell::Cell;
use std::time::Duration;

use crate::actor::Actor;
use crate::layout::block::{Block, BlockRef};
use crate::layout::class::Class;
use crate::layout::geometry::NAME_BUCKETS;
use crate::layout::participant::{EntryWord, ParticipantId, Presence};
use crate::layout::slot::{
    BOUND, EXPIRED, KeeperWord, Link, MESSAGE, OFFERED, ObjectId, Place, Slot, SlotWord, State,
    VARIABLE, VERSION,
};
use crate::layout::unit::{Unit, UnitWord};
use crate::segment::Segment;
use crate::sync::Ordering;

/// One walk. What live participants are in the middle of is counted, not blamed.
pub(crate) struct Walk<'a> {
    actor: Actor<'a>,
    segment: &'a Segment,
    is_alive: &'a dyn Fn(ParticipantId) -> bool,
    report: Report,
    /// How often it may still sleep before it looks again.
    patience: Cell<u32>,
}

/// How often what looks broken is looked at again, a millisecond later each time: a walk meets operations under way.
const LOOKS: u32 = 20;
/// How often one walk sleeps: where more is broken than operations can be under way, it is not worth waiting.
const PATIENCE: u32 = 500;

impl<'a> Walk<'a> {
    /// Walks the region.
    pub(crate) fn over(actor: Actor<'a>, is_alive: &'a dyn Fn(ParticipantId) -> bool) -> Report {
        let segment = actor.segment;
        let (report, patience) = (Report::default(), Cell::new(PATIENCE));
        let mut walk = Self { actor, segment, is_alive, report, patience };
        walk.entries();
        for index in 1..segment.committed_slots() {
            walk.slot(index);
        }
        for unit in 0..segment.frontier() {
            walk.unit(unit);
        }
        walk.names();
        walk.report
    }

    fn blame(&mut self, violation: String) {
        self.report.violations.push(violation);
    }

    /// Whether the slot's word is still that: who was asked for after it may have finished and left.
    fn is(&self, index: u32, word: SlotWord) -> bool {
        self.segment.slot(index).is_some_and(|slot| slot.word.load(Ordering::SeqCst) == word.0)
    }

    fn is_lost(&self, owner: Option<ParticipantId>) -> bool {
        owner.is_none_or(|p| !(self.is_alive)(p))
    }

    fn entries(&mut self) {
        for p in self.segment.participants() {
            let word = EntryWord(self.segment.entry(p).word.load(Ordering::SeqCst));
            match word.presence() {
                None => self.blame(format!("{p:?} has an entry of unknown presence {:#x}", word.0)),
                Some(Presence::Vacant) => {}
                Some(_) => {
                    self.report.participants += 1;
                    let is_dead = !(self.is_alive)(p);
                    if is_dead && self.segment.entry(p).word.load(Ordering::SeqCst) == word.0 {
                        self.blame(format!("{p:?} is dead and not reaped"));
                    }
                }
            }
        }
    }

    fn slot(&mut self, index: u32) {
        let Some(slot) = self.segment.slot(index) else { return };
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        let block = BlockRef(slot.block.load(Ordering::SeqCst));
        let pins = self.pins_of(index);
        let may_be_bound = word.is(State::Ready)
            || word.is(State::Variable)
            || word.is(State::Channel) && !word.has(OFFERED);
        if (word.has(BOUND | OFFERED) || word.is_naming()) && !may_be_bound {
            self.blame(format!("slot {index} ({word:?}) is bound and not READY"));
        }
        let Some(state) = word.state() else {
            return self.blame(format!("slot {index} has the unknown word {:#x}", word.0));
        };
        match state {
            State::Free => {
                if pins > 0 && self.is_still_pinned(index, word) && !self.is_anybody_at(index) {
                    self.blame(format!("slot {index} is FREE and pinned {pins} times"));
                }
            }
            State::Writing | State::Filling | State::Reclaiming => {
                self.report.in_progress += 1;
                if self.is_lost(word.owner()) && self.is(index, word) {
                    self.blame(format!(
                        "slot {index} is {state:?} by {:?}, who is dead",
                        word.owner()
                    ));
                }
            }
            State::Pending => {
                self.report.pending += 1;
                let kept = KeeperWord(slot.extra.load(Ordering::SeqCst));
                let keeper = kept.keeper();
                let is_it = || slot.extra.load(Ordering::SeqCst) == kept.0 && self.is(index, word);
                // Who gives it up may be stopped before it breaks it.
                let is_left = || !self.others_live() && self.stays(is_it);
                if self.is_lost(keeper) && is_it() && (keeper.is_some() || is_left()) {
                    self.blame(format!("slot {index} is PENDING, kept by {keeper:?}, who is dead: waiters would hang"));
                }
            }
            State::Broken => self.report.pending += 1,
            State::Ready => {
                let own = word.has(VERSION);
                if !own {
                    self.object(index, slot, word);
                }
                if own {
                    self.version(index, slot, word);
                }
                self.owned(index, word, block);
            }
            State::Variable => self.variable(index, word),
            State::Channel => {
                self.channel(index, word);
                self.owned(index, word, block);
            }
            State::Retired => {
                self.report.retired += 1;
                if pins == 0 && self.is_still(index, word) {
                    // Who has just evicted it, or unpinned it last, may be stopped before it reclaims.
                    if self.others_live() {
                        self.report.in_progress += 1;
                    } else {
                        self.blame(format!(
                            "slot {index} is RETIRED, not pinned and not reclaimed"
                        ));
                    }
                }
                if !word.has(VARIABLE) {
                    self.owned(index, word, block);
                }
            }
        }
    }

    /// What a bucket, a variable or a channel names.
    fn version(&mut self, index: u32, slot: &Slot, word: SlotWord) {
        if word.has(MESSAGE) {
            self.post(index, slot, word);
        } else if self.is_orphan(index, word) {
            let place = Place::from_word(slot.place.load(Ordering::SeqCst));
            self.blame(format!("slot {index} is a version of {place:?}, which does not name it"));
        }
    }

    /// An object that is READY, and no version.
    fn object(&mut self, index: u32, slot: &Slot, word: SlotWord) {
        match slot.deadline.load(Ordering::SeqCst) {
            EXPIRED => {
                // Whoever said so may be stopped before it evicts; killed, it is reaped, and that evicts.
                let is_left =
                    || self.is(index, word) && slot.deadline.load(Ordering::SeqCst) == EXPIRED;
                if !self.others_live() && self.stays(is_left) {
                    self.blame(format!("slot {index} is READY, and its lease was found over"));
                }
                self.report.in_progress += 1;
            }
            deadline => {
                self.report.objects += 1;
                self.report.leased += u64::from(deadline != 0);
            }
        }
        self.bond(index, word);
    }

    /// The bond of an object or a variable, if it has one.
    fn bond(&mut self, index: u32, word: SlotWord) {
        self.report.bound += u64::from(word.has(BOUND) && !word.is_naming());
        if (word.has(OFFERED) || word.is_naming()) && !word.has(BOUND) {
            self.blame(format!(
                "slot {index} ({word:?}) is offered or being named, and bound to nobody"
            ));
        }
        if word.is_sent() {
            self.sent(index, word);
        } else if word.has(BOUND) && self.is_lost(word.owner()) && self.is(index, word) {
            let owner = word.owner();
            self.blame(format!("slot {index} is bound to {owner:?}, who is dead or nobody"));
        }
    }

    /// A variable names a version that can be got, or none.
    fn variable(&mut self, index: u32, word: SlotWord) {
        self.report.variables += 1;
        let id = ObjectId::new(index, word.generation());
        self.bond(index, word);
        let is_broken = self.stays(|| {
            let current = self.actor.current_of(id);
            current.is_some_and(|current| {
                !self.actor.exists(current) && self.actor.current_of(id) == Some(current)
            })
        });
        if is_broken {
            self.blame(format!("slot {index} is a variable that names an object that is gone"));
        }
    }

    /// Whether something is broken now and a little later.
    fn stays(&self, is_broken: impl Fn() -> bool) -> bool {
        (0..LOOKS).all(|look| {
            let left = self.patience.get();
            if look > 0 && left > 0 {
                self.patience.set(left - 1);
                std::thread::sleep(Duration::from_millis(1));
            }
            is_broken()
        })
    }

    /// Whether the slot's word is what it was, and nobody pins it.
    fn is_still(&self, index: u32, word: SlotWord) -> bool {
        self.stays(|| self.is(index, word) && self.pins(index).next().is_none())
    }

    /// Whether another participant lives, and may be stopped in the middle of anything.
    fn others_live(&self) -> bool {
        let others = self.segment.participants().filter(|&p| p != self.actor.me);
        others.into_iter().any(|p| !self.is_vacant(p) && (self.is_alive)(p))
    }

    fn is_vacant(&self, p: ParticipantId) -> bool {
        let word = EntryWord(self.segment.entry(p).word.load(Ordering::SeqCst));
        word.presence() == Some(Presence::Vacant)
    }

    /// Whether another living participant pins a free slot: it has a stale key, and may be stopped before it unpins.
    fn is_anybody_at(&self, index: u32) -> bool {
        self.pins(index)
            .all(|(p, _)| p != self.actor.me && !self.is_vacant(p) && (self.is_alive)(p))
    }

    /// Whether a free slot's pins stay: somebody with a stale key pins it for a moment.
    fn is_still_pinned(&self, index: u32, word: SlotWord) -> bool {
        self.stays(|| self.is(index, word) && self.pins(index).next().is_some())
    }

    fn pins(&self, index: u32) -> impl Iterator<Item = (ParticipantId, u16)> {
        let counts = self.segment.participants().map(move |p| (p, self.segment.count(p, index)));
        counts.map(|(p, count)| (p, count.load(Ordering::SeqCst))).filter(|&(_, count)| count != 0)
    }

    fn pins_of(&mut self, index: u32) -> u64 {
        let pins: Vec<_> = self.pins(index).collect();
        for &(p, count) in &pins {
            if count >= 0x8000 {
                self.blame(format!(
                    "{p:?} has {count} pins of slot {index}: a count fell below zero"
                ));
            }
            let word = EntryWord(self.segment.entry(p).word.load(Ordering::SeqCst));
            // Looked at again: it may have left in between, or another have joined.
            let is_vacant = word.presence() == Some(Presence::Vacant)
                && self.segment.count(p, index).load(Ordering::SeqCst) != 0
                && self.segment.entry(p).word.load(Ordering::SeqCst) == word.0;
            if is_vacant {
                self.blame(format!("{p:?} is vacant and has {count} pins of slot {index}"));
            }
        }
        let sum = pins.iter().map(|&(_, count)| u64::from(count)).sum();
        self.report.pins += sum;
        sum
    }

    /// Whether a living participant has just replaced this version, and will evict it.
    fn is_being_replaced(&self, version: ObjectId) -> bool {
        (1..self.segment.committed_slots()).filter_map(|index| self.segment.slot(index)).any(
            |slot| {
                let word = SlotWord(slot.word.load(Ordering::SeqCst));
                Link(slot.link.load(Ordering::SeqCst)).predecessor() == Some(Some(version))
                    && word.has(VERSION)
                    && matches!(word.state(), Some(State::Ready | State::Retired))
                    && !self.is_lost(word.owner())
            },
        )
    }

    /// Whether a version is neither current nor about to be, now and a little later.
    fn is_orphan(&self, index: u32, word: SlotWord) -> bool {
        let id = ObjectId::new(index, word.generation());
        self.stays(|| {
            self.segment.slot(index).is_some_and(|slot| {
                let current = match Place::from_word(slot.place.load(Ordering::SeqCst)) {
                    None => None,
                    Some(Place::Bucket(bucket)) => {
                        ObjectId::from_word(self.segment.name_bucket(bucket).load(Ordering::SeqCst))
                    }
                    Some(Place::Variable(place)) => match self.is_message_of(place, id) {
                        Some(true) => Some(id),
                        Some(false) => None,
                        None => self.actor.current_of(place),
                    },
                };
                let is_unfinished =
                    slot.link.load(Ordering::SeqCst) != 0 && !self.is_lost(word.owner());
                current != Some(id)
                    && !is_unfinished
                    && !self.is_being_replaced(id)
                    && slot.word.load(Ordering::SeqCst) == word.0
            })
        })
    }

    /// A READY or RETIRED slot owns its block.
    fn owned(&mut self, index: u32, word: SlotWord, block: BlockRef) {
        let len = self.segment.slot(index).map_or(0, |slot| slot.len.load(Ordering::SeqCst));
        let owns = match block.get() {
            None => false,
            Some(Block::None) => true,
            Some(Block::Cell { unit, index: cell, class }) => {
                self.report.bytes_in_use += class.bytes();
                self.is_slab(unit, class)
                    && self
                        .segment
                        .block_words(unit, class)
                        .get(cell as usize)
                        .is_some_and(|word| word.load(Ordering::SeqCst) == index)
            }
            Some(Block::Span { first, count }) => {
                self.report.bytes_in_use += block.size();
                (first..first.saturating_add(count))
                    .all(|unit| self.unit_word(unit) == Some(Unit::Span(index)))
            }
        };
        if self.is(index, word)
            && (!owns || len > block.size() || !self.segment.contains(block, len))
        {
            self.blame(format!(
                "slot {index} ({word:?}) with {len} bytes does not own its block {block:?}"
            ));
        }
    }

    fn unit_word(&self, unit: u32) -> Option<Unit> {
        UnitWord(self.segment.unit(unit)?.word.load(Ordering::SeqCst)).get()
    }

    fn is_slab(&self, unit: u32, class: Class) -> bool {
        matches!(self.unit_word(unit), Some(Unit::Slab(found) | Unit::Retiring(found, _)) if found == class)
    }

    fn unit(&mut self, unit: u32) {
        let Some(word) = self.unit_word(unit) else {
            return self.blame(format!("unit {unit} has an unknown word"));
        };
        self.report.bytes_committed +=
            if word == Unit::Cold { 0 } else { crate::layout::geometry::UNIT };
        match word {
            Unit::Cold | Unit::Free => {}
            Unit::Warming(p) | Unit::Trimming(p) | Unit::Retiring(_, p)
                if self.is_lost(Some(p)) && self.unit_word(unit) == Some(word) =>
            {
                self.blame(format!("unit {unit} is {word:?}, who is dead"));
            }
            Unit::Warming(_) | Unit::Trimming(_) => {}
            Unit::Span(slot) => {
                if self.is_leaked(slot, |block| match block {
                    Block::Span { first, count } => {
                        (first..first.saturating_add(count)).contains(&unit)
                    }
                    _ => false,
                }) && self.unit_word(unit) == Some(word)
                {
                    self.blame(format!(
                        "unit {unit} is leaked: it says slot {slot}, which has another block"
                    ));
                }
            }
            Unit::Slab(class) | Unit::Retiring(class, _) => self.cells(unit, class),
        }
    }

    fn cells(&mut self, unit: u32, class: Class) {
        let words = self.segment.block_words(unit, class);
        let tags: Vec<_> = words.iter().map(|word| word.load(Ordering::SeqCst)).collect();
        for (cell, tag) in tags.into_iter().enumerate().filter(|&(_, tag)| tag != 0) {
            let expected = Block::Cell { unit, index: cell as u32, class };
            if self.is_leaked(tag, |block| block == expected)
                && words[cell].load(Ordering::SeqCst) == tag
                && self.is_slab(unit, class)
            {
                self.blame(format!("cell {cell} of unit {unit} is leaked: it says slot {tag}, which has another block"));
            }
        }
    }

    /// Whether a block that carries a slot's tag is not that slot's, now and a little later.
    fn is_leaked(&self, slot: u32, is_mine: impl Fn(Block) -> bool) -> bool {
        self.stays(|| {
            self.segment.slot(slot).is_none_or(|slot| {
                let word = SlotWord(slot.word.load(Ordering::SeqCst));
                let block = BlockRef(slot.block.load(Ordering::SeqCst)).get();
                word.is(State::Free) || word.has(VARIABLE) || !block.is_some_and(&is_mine)
            })
        })
    }

    fn names(&mut self) {
        for bucket in 0..NAME_BUCKETS {
            let word = self.segment.name_bucket(bucket).load(Ordering::SeqCst);
            if ObjectId::from_word(word).is_none() {
                continue;
            }
            match self.actor.read_bucket(bucket) {
                Ok(None) => {}
                Ok(Some((pin, names))) => {
                    self.report.names += names.entries.len() as u64;
                    let word = SlotWord(pin.slot.word.load(Ordering::SeqCst));
                    let is_finished = pin.slot.link.load(Ordering::SeqCst) == 0;
                    let is_unfinished = !is_finished && !self.is_lost(word.owner());
                    let current = self.segment.name_bucket(bucket).load(Ordering::SeqCst);
                    if names.entries.is_empty() && !is_unfinished && current == pin.id.0 {
                        self.blame(format!("name bucket {bucket} names an object without names"));
                    }
                }
                Err(error) => self.blame(format!("name bucket {bucket} can not be read: {error}")),
            }
        }
    }
}
