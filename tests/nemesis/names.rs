//! What has happened to every name: each is a register that must read as what was written last.
//!
//! An object is bound to a name at most once, so whoever replaced it has ended that binding for ever.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::history::{History, Object, SLOTS, Verdict, blame};

pub const NAMES: usize = 20;

const TIME: u64 = (1 << 40) - 1;

struct Register {
    /// How many binds and unbinds have begun.
    begun: AtomicU64,
    /// `how many had begun 28 | rank 24 | slot 12`: bound so when all of them were over.
    settled: AtomicU64,
}

/// The bindings of all objects.
pub struct Names {
    registers: [Register; NAMES],
    /// Per slot `rank 24 | a bit per name 40`: the names that somebody has begun to bind its object to.
    bound: [AtomicU64; SLOTS],
    /// Per slot and name `rank 24 | when 40`: replaced.
    replaced: [[AtomicU64; NAMES]; SLOTS],
}

/// What was known of a name before an operation on it started.
#[derive(Clone, Copy)]
pub struct Known {
    name: usize,
    time: u64,
    settled: u64,
}

fn pack(begun: u64, object: Option<Object>) -> u64 {
    let object = object.map_or(0, |object| object.rank() << 12 | object.slot as u64);
    begun << 36 | object
}

fn unpack(settled: u64) -> Option<Object> {
    let rank = settled >> 12 & 0xff_ffff;
    (rank != 0).then(|| Object { slot: (settled & 0xfff) as usize, generation: rank - 1 })
}

/// A bind or unbind that has begun.
#[derive(Clone, Copy)]
pub struct Bind {
    known: Known,
    number: u64,
    to: Option<Object>,
}

impl Names {
    pub fn look(&self, name: usize, history: &History) -> Known {
        Known { name, time: history.now(), settled: self.registers[name].settled.load(SeqCst) }
    }

    /// Begins to bind a name to an object, or to nothing; `None`: that object had its turn.
    pub fn begin(&self, name: usize, to: Option<Object>, history: &History) -> Option<Bind> {
        if let Some(object) = to
            && !self.mark(object, name)
        {
            return None;
        }
        let known = self.look(name, history);
        let number = self.registers[name].begun.fetch_add(1, SeqCst) + 1;
        Some(Bind { known, number, to })
    }

    fn mark(&self, object: Object, name: usize) -> bool {
        let with = |word: u64| match (word >> 40).cmp(&object.rank()) {
            std::cmp::Ordering::Less => Some(object.rank() << 40 | 1 << name),
            std::cmp::Ordering::Equal if word >> name & 1 == 0 => Some(word | 1 << name),
            _ => None,
        };
        self.bound[object.slot].fetch_update(SeqCst, SeqCst, with).is_ok()
    }

    /// Whether nobody has begun to write the name since so many had begun.
    fn is_still(&self, name: usize, begun: u64) -> bool {
        self.registers[name].begun.load(SeqCst) == begun
    }

    /// Whether this was the only writer from its start, all before it being over, to now.
    fn is_alone(&self, bind: Bind) -> bool {
        bind.known.settled >> 36 == bind.number - 1 && self.is_still(bind.known.name, bind.number)
    }

    fn settle(&self, name: usize, begun: u64, object: Option<Object>) {
        self.registers[name].settled.store(pack(begun, object), SeqCst);
    }

    /// While nobody writes, and whoever was killed while it did is dead.
    pub fn agree(&self, name: usize, object: Option<Object>) {
        self.settle(name, self.registers[name].begun.load(SeqCst), object);
    }

    /// A bind or unbind was refused.
    pub fn in_vain(&self, bind: Bind) {
        if self.is_alone(bind) {
            self.settle(bind.known.name, bind.number, unpack(bind.known.settled));
        }
    }

    /// A bind or unbind is over, and says what the name was bound to before.
    pub fn over(
        &self,
        bind: Bind,
        before: Option<Object>,
        (history, is_unbindable): (&History, &dyn Fn(Object) -> bool),
    ) -> Verdict {
        let Bind { known, number, to } = bind;
        if self.is_alone(bind) {
            self.agrees(known, before, is_unbindable)?;
            self.settle(known.name, number, to);
        }
        let Some(before) = before else { return Ok(()) };
        self.was_bound(known, before, history)?;
        let mine = before.rank() << 40 | history.tick();
        let found = self.replaced[before.slot][known.name].fetch_max(mine, SeqCst);
        blame(found >> 40 == before.rank(), || {
            format!("{before:?} was replaced twice under name {}", known.name)
        })
    }

    /// A lookup is over.
    pub fn found(
        &self,
        known: Known,
        found: Option<Object>,
        (history, is_unbindable): (&History, &dyn Fn(Object) -> bool),
    ) -> Verdict {
        if self.is_still(known.name, known.settled >> 36) {
            self.agrees(known, found, is_unbindable)?;
        }
        found.map_or(Ok(()), |found| self.was_bound(known, found, history))
    }

    /// What a name that nobody else writes must say.
    fn agrees(
        &self,
        known: Known,
        said: Option<Object>,
        is_unbindable: &dyn Fn(Object) -> bool,
    ) -> Verdict {
        let bound = unpack(known.settled);
        let is_right = said == bound || said.is_none() && bound.is_some_and(is_unbindable);
        blame(!is_right, || {
            format!("name {} is said to mean {said:?}, and was bound to {bound:?}", known.name)
        })
    }

    /// What a name means must have been bound to it, and neither be replaced nor gone before it was asked for.
    fn was_bound(&self, known: Known, object: Object, history: &History) -> Verdict {
        let (name, word) = (known.name, self.bound[object.slot].load(SeqCst));
        let is_known =
            word >> 40 > object.rank() || word >> 40 == object.rank() && word >> name & 1 != 0;
        blame(!is_known, || format!("name {name} means {object:?}, which nobody bound to it"))?;
        let replaced = self.replaced[object.slot][name].load(SeqCst);
        let is_stale = replaced >> 40 == object.rank() && (replaced & TIME) < known.time;
        blame(is_stale, || format!("name {name} means {object:?}, which had been replaced"))?;
        blame(history.was_gone_at(object, known.time), || {
            format!("name {name} means {object:?}, which was gone")
        })
    }
}
