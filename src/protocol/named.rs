//! What a name is bound to for as long as somebody wants it: variables and channels, made by whoever opens the name first.
//!
//! ```text
//! open: O1 name bound? keep that · O2 make one, BOUND to me · O3 bind the name unless it is bound; lost: evict mine, from
//!       O1 · O4 keep it: CAS BOUND out
//! ```
//!
//! A variable may have an owner for good, so NAMING says of it that it is BOUND only until it has its name.
//!
//! Killed before O4: whoever opens the name, or sets the variable, has kept it, or the reaper evicts it.

use crate::actor::{Actor, Refusal};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::slot::{BOUND, NAMING, ObjectId, SlotWord, State};
use crate::sync::Ordering;

/// What has a name, and may be sent for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Noun {
    Variable,
    Queue,
    Topic,
}

impl Noun {
    const fn state(self) -> State {
        match self {
            Self::Variable => State::Variable,
            Self::Queue | Self::Topic => State::Channel,
        }
    }
}

/// What it is, and of what type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) noun: Noun,
    pub(crate) fingerprint: Fingerprint,
}

/// How errors name what is that and has that type.
fn title(noun: Noun, name: &str) -> String {
    let noun = match noun {
        Noun::Variable => "Cell",
        Noun::Queue => "Queue",
        Noun::Topic => "Topic",
    };
    format!("{noun}<{name}>")
}

/// What says that it goes with its maker until it has its name.
const fn naming(state: State) -> u64 {
    if matches!(state, State::Variable) { NAMING } else { BOUND }
}

impl Actor<'_> {
    /// What a name is bound to; what `make` makes, BOUND to this participant, if it is bound to nothing.
    pub(crate) fn open_named(
        &self,
        name: &str,
        kind: Kind,
        make: impl Fn() -> Result<ObjectId, Refusal>,
    ) -> Result<ObjectId, Refusal> {
        loop {
            if let Some(id) = self.lookup(name)? {
                if self.keep_named(id, kind.noun.state()) {
                    self.expect_kind(id, kind)?;
                    return Ok(id);
                }
                self.refuse_object(id, kind)?;
                continue;
            }
            let id = make()?;
            match self.bind_if(name, Some(id), |before| before.is_none()) {
                Ok(None) if self.keep_named(id, kind.noun.state()) => return Ok(id),
                // Somebody evicted it, whoever that may be.
                Ok(None) => {}
                Ok(Some(_)) => drop(self.evict(id)),
                Err(refusal) => {
                    self.evict(id);
                    return Err(refusal);
                }
            }
        }
    }

    /// O4: makes sure that it does not end with who made it for a name; `false`: it is gone.
    pub(crate) fn keep_named(&self, id: ObjectId, state: State) -> bool {
        let Some(slot) = self.segment.slot(id.slot()) else { return false };
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        while word.is_in(state, id) {
            if !word.has(naming(state)) {
                return true;
            }
            let kept = word.unowned().without(BOUND | naming(state));
            match slot.word.compare_exchange(word.0, kept.0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return true,
                Err(found) => word = SlotWord(found),
            }
        }
        false
    }

    /// Refuses what is gone, is something else, or has values of another type.
    pub(crate) fn expect_kind(&self, id: ObjectId, kind: Kind) -> Result<()> {
        let state = kind.noun.state();
        let slot = self.segment.slot(id.slot());
        let is_there =
            || slot.is_some_and(|slot| SlotWord(slot.word.load(Ordering::SeqCst)).is_in(state, id));
        let found = is_there().then_some(slot).flatten();
        let found = found.map(|slot| slot.fingerprint.load(Ordering::Acquire));
        let noun = self.noun_in(state, id)?;
        // That of what stands there now, if it went meanwhile.
        let (Some(found), Some(noun)) = (found.filter(|_| is_there()), noun) else {
            return Err(Error::NotFound { key: self.key(id) });
        };
        if (found, noun) == (kind.fingerprint.get(), kind.noun) {
            return Ok(());
        }
        let found = self.name_type(Fingerprint::from_raw(found));
        Err(self.mismatch(id, kind, title(noun, &found)))
    }

    /// What is in that state: for channels, their block says it. `None`: it is gone.
    fn noun_in(&self, state: State, id: ObjectId) -> Result<Option<Noun>> {
        match state {
            State::Channel => {
                let pin = self.pin_in(state, id).map_err(|error| self.with_key(error, id))?;
                pin.map(|pin| self.noun_of_channel(pin.slot)).transpose()
            }
            _ => Ok(Some(Noun::Variable)),
        }
    }

    /// Refuses what is there and something else.
    fn refuse_object(&self, id: ObjectId, kind: Kind) -> Result<()> {
        let Some(slot) = self.segment.slot(id.slot()) else { return Ok(()) };
        let fingerprint = Fingerprint::from_raw(slot.fingerprint.load(Ordering::Acquire));
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        let found = match word.state() {
            _ if !word.is_generation_of(id) => return Ok(()),
            // It was made for the name just now, and goes on being it.
            Some(state) if state == kind.noun.state() => return Ok(()),
            Some(state @ (State::Variable | State::Channel)) => match self.noun_in(state, id)? {
                Some(noun) => title(noun, &self.name_type(fingerprint)),
                None => return Ok(()),
            },
            Some(State::Ready) => self.name_type(fingerprint),
            Some(State::Pending | State::Filling | State::Broken) => "a promise".into(),
            _ => return Ok(()),
        };
        Err(self.mismatch(id, kind, found))
    }

    fn mismatch(&self, id: ObjectId, kind: Kind, found: String) -> Error {
        let expected = title(kind.noun, &self.name_type(kind.fingerprint));
        Error::TypeMismatch { key: self.key(id), expected, found }
    }
}
