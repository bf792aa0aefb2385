//! Joining, receiving, leaving.

use super::Topic;
use super::publish::Note;
use crate::error::{Error, Result};
use crate::layout::slot::{ObjectId, SlotWord};
use crate::layout::topic::{CursorWord, PostWord};
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::pin::Pin;
use crate::sync::Ordering;
use crate::sys::clock;

/// Where a subscriber begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Oldest,
    Latest,
    At(u64),
}

/// Which message a subscriber wants next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    /// Where it stands in the topic, if the subscriber is waited for.
    place: Option<u32>,
    pub(crate) position: u64,
    /// How many it lost since the last that it received.
    pub(crate) missed: u64,
    /// It is waited for, and has received none yet: what went before it came, it did not ask for.
    wants_any: bool,
}

/// A message that was received.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    pub(crate) pin: Pin<'a>,
    pub(crate) position: u64,
    /// How many were lost just before it.
    pub(crate) missed: u64,
}

impl<'a> Topic<'a> {
    /// J1 to J4; `None`: as many as can be waited for are there.
    pub(crate) fn join(&self, start: Start) -> Result<Option<Cursor>> {
        if start == Start::Oldest {
            // What is too old is not there, for whoever is not waited for; nor for who is, if nobody waits for it yet.
            self.drop_old()?;
        }
        let tail = self.find_tail()?.0;
        let mut position = self.start_at(start, tail);
        let wants_any = self.holds_back() && !matches!(start, Start::At(_));
        let mut place = None;
        if self.holds_back() {
            let Some(free) = self.take_cursor(position) else { return Ok(None) };
            place = Some(free);
            match self.settle(free, (start, position)) {
                Ok(settled) => position = settled,
                Err(error) => {
                    self.free_cursor(free);
                    return Err(error);
                }
            }
            self.ring(ChannelBell::Room);
        }
        // What it asked for and is gone, it has missed.
        let missed = match start {
            Start::At(wanted) => position.saturating_sub(wanted),
            _ => 0,
        };
        Ok(Some(Cursor { place, position, missed, wants_any }))
    }

    /// J2 and J3 until they fit together: where the cursor is then.
    fn settle(&self, cursor: u32, (start, mut position): (Start, u64)) -> Result<u64> {
        loop {
            let tail = self.find_tail()?.0;
            if position >= self.reach(tail) {
                return Ok(position);
            }
            position = self.start_at(start, tail);
            self.set_cursor(cursor, position);
        }
    }

    /// The oldest position that may be there; for whoever is waited for, that nobody may be about to replace.
    fn reach(&self, tail: u64) -> u64 {
        let shape = &self.place.shape;
        tail.saturating_sub(if self.holds_back() { shape.capacity.into() } else { shape.ring() })
    }

    fn start_at(&self, start: Start, tail: u64) -> u64 {
        match start {
            Start::Latest => tail,
            Start::At(wanted) => wanted.max(self.reach(tail)),
            Start::Oldest => {
                let is_there = |position: &u64| self.has(*position);
                (self.reach(tail)..tail).find(is_there).unwrap_or(tail)
            }
        }
    }

    /// Whether the message of a position is there.
    pub(crate) fn has(&self, position: u64) -> bool {
        let post = self.load_post(position);
        post.is_at(position) && self.message(post, position).is_some()
    }

    fn take_cursor(&self, position: u64) -> Option<u32> {
        let mine = CursorWord::new(position, self.actor.me).0;
        (0..self.place.shape.cursors).find(|&cursor| {
            self.load_cursor(cursor).is_free() && {
                let word = self.word(self.place.shape.cursor(cursor));
                word.compare_exchange(0, mine, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            }
        })
    }

    fn set_cursor(&self, cursor: u32, position: u64) {
        let word = CursorWord::new(position, self.actor.me).0;
        self.word(self.place.shape.cursor(cursor)).store(word, Ordering::SeqCst);
    }

    /// Gives a cursor up.
    pub(crate) fn leave(&self, cursor: &Cursor) {
        if let Some(place) = cursor.place {
            self.free_cursor(place);
        }
    }

    fn free_cursor(&self, cursor: u32) {
        self.word(self.place.shape.cursor(cursor)).store(0, Ordering::SeqCst);
        self.ring(ChannelBell::Room);
    }

    /// The next message, if there is one.
    #[inline]
    pub(crate) fn receive(&self, cursor: &mut Cursor) -> Result<Option<Post<'a>>> {
        loop {
            let position = cursor.position;
            let post = self.load_post(position);
            if !post.is_at(position) {
                if self.pass_replaced(cursor, post)? {
                    continue;
                }
                return Ok(None);
            }
            if let Some(pin) = self.pin_post(post, position)? {
                let is_too_old = !self.holds_back()
                    && self.is_too_old(&pin).inspect_err(|_| {
                        // It is received, with an error.
                        self.move_on(cursor, position + 1);
                    })?;
                if !is_too_old {
                    let missed = std::mem::take(&mut cursor.missed);
                    cursor.wants_any = false;
                    self.move_on(cursor, position + 1);
                    return Ok(Some(Post { pin, position, missed }));
                }
                self.evict_post(post, position);
            }
            if self.load_post(position) == post && !self.pass_gone(cursor)? {
                return Ok(None);
            }
        }
    }

    /// The word is of the position wanted, or of another that is cut to the same; its message is gone, or another's. `false`: the
    /// position is still to come.
    #[cold]
    fn pass_gone(&self, cursor: &mut Cursor) -> Result<bool> {
        let tail = self.find_tail()?.0;
        if tail <= cursor.position {
            return Ok(false);
        }
        let next = tail.saturating_sub(self.place.shape.ring());
        self.lose(cursor, next.max(cursor.position + 1));
        Ok(true)
    }

    /// What a word says that is not of the position wanted: `true`, that some were lost, or that there is a newer word.
    #[cold]
    fn pass_replaced(&self, cursor: &mut Cursor, post: PostWord) -> Result<bool> {
        let tail = self.load_tail()?;
        let found = post.position(tail).filter(|found| *found > cursor.position);
        if let Some(found) = found {
            // Published before the tail was loaded, at a position that this word is for.
            if found > tail || !(found - cursor.position).is_multiple_of(self.place.shape.ring()) {
                let what = format!("position {} of a topic is at {post:?}", cursor.position);
                return Err(Error::corrupt(what));
            }
            self.lose(cursor, found - u64::from(self.place.shape.capacity));
            return Ok(true);
        }
        if tail <= cursor.position {
            return Ok(false);
        }
        // Published, so the word was loaded too early.
        if self.load_post(cursor.position) == post {
            let what = format!("position {} of a topic is at {post:?}", cursor.position);
            return Err(Error::corrupt(what));
        }
        Ok(true)
    }

    /// C2.
    #[inline]
    fn pin_post(&self, post: PostWord, position: u64) -> Result<Option<Pin<'a>>> {
        let Some(slot) = self.actor.segment.slot(post.slot()) else { return Ok(None) };
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        let id = ObjectId::new(post.slot(), word.generation());
        let pin = self.actor.pin(id).map_err(|error| self.actor.with_key(error, id))?;
        // What the slot says now is said by what is pinned.
        Ok(pin.filter(|pin| self.is_of(pin.slot, word, position)))
    }

    /// Whether a message that is pinned was written longer ago than messages are kept.
    #[inline]
    pub(super) fn is_too_old(&self, pin: &Pin<'_>) -> Result<bool> {
        let most = self.place.shape.max_age;
        if most == 0 {
            return Ok(false);
        }
        let (_, note) = Note::split(pin.bytes()?)?;
        Ok(clock::now().saturating_sub(note.time) > most)
    }

    /// All up to `next` are gone.
    #[cold]
    fn lose(&self, cursor: &mut Cursor, next: u64) {
        if !cursor.wants_any {
            cursor.missed += next - cursor.position;
        }
        self.move_on(cursor, next);
    }

    /// C3.
    #[inline]
    fn move_on(&self, cursor: &mut Cursor, next: u64) {
        cursor.position = next;
        if let Some(place) = cursor.place {
            self.set_cursor(place, next);
            self.ring(ChannelBell::Room);
        }
    }

    /// Whether everything that is published is received, or lost.
    pub(crate) fn is_at_end(&self, cursor: &Cursor) -> Result<bool> {
        Ok(self.find_tail()?.0 <= cursor.position)
    }

    /// Z2 for another, who has looked before: whether it is in vain to look again. `wanted` is the position that a subscriber
    /// wants next.
    pub(crate) fn is_silent(&self, bell: ChannelBell, wanted: u64) -> Result<bool> {
        Ok(self.is_there()
            && match bell {
                ChannelBell::Room => !self.has_room()?,
                ChannelBell::Items => self.find_tail()?.0 <= wanted && !self.has_no_producer(),
            })
    }

    /// Pins the message of a position, if it is there.
    pub(super) fn pin_at(&self, position: u64) -> Result<Option<Pin<'a>>> {
        let post = self.load_post(position);
        if post.is_at(position) { self.pin_post(post, position) } else { Ok(None) }
    }
}
