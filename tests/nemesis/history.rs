//! What has happened to every object, outside of the region: what an operation may still answer follows from it.
//!
//! Whoever begins an operation that ends objects says so *before*, and that it ended one *after*. So what is known
//! before an operation starts binds its answer, and only what had begun before it was over excuses it. A process that
//! is killed in between leaves a beginning without an end, which excuses either answer for ever: nothing here ever
//! blames what is right, whoever is stopped or killed where.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use inplace::Key;

/// Slots that are followed; no more may be used.
pub const SLOTS: usize = 4096;

/// Ends are remembered for so many generations of a slot.
const REMEMBERED: usize = 8;

/// What is wrong, in words.
pub type Verdict = Result<(), String>;

pub fn blame(is_wrong: bool, what: impl FnOnce() -> String) -> Verdict {
    if is_wrong { Err(what()) } else { Ok(()) }
}

/// One object that there was, is, or is promised.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Object {
    pub slot: usize,
    pub generation: u64,
}

impl Object {
    pub fn of(key: Key) -> Self {
        let (slot, generation) = ((key.object() & 0xff_ffff) as usize, key.object() >> 24);
        // What is remembered packs both.
        assert!(slot < SLOTS && generation < 1 << 23, "{key} is beyond what a history holds");
        Self { slot, generation }
    }

    pub fn key(self, region: u64) -> Key {
        Key::new(region, self.generation << 24 | self.slot as u64)
    }

    /// Greater than that of all earlier objects of the slot, and never 0.
    pub fn rank(self) -> u64 {
        self.generation + 1
    }
}

/// `rank 48 | how many have begun 16`.
#[derive(Default)]
struct Begun(AtomicU64);

impl Begun {
    fn begin(&self, object: Object) {
        let more = |word: u64| match (word >> 16).cmp(&object.rank()) {
            std::cmp::Ordering::Less => Some(object.rank() << 16 | 1),
            std::cmp::Ordering::Equal => Some(word + 1),
            std::cmp::Ordering::Greater => None,
        };
        let _later = self.0.fetch_update(SeqCst, SeqCst, more);
    }

    /// It is over, and had no effect.
    fn cancel(&self, object: Object) {
        let less = |word: u64| (word >> 16 == object.rank()).then(|| word - 1);
        let _later = self.0.fetch_update(SeqCst, SeqCst, less);
    }

    /// How many have begun and not been cancelled; of an object that has a successor already, nobody knows.
    fn count(&self, object: Object) -> u64 {
        let word = self.0.load(SeqCst);
        match (word >> 16).cmp(&object.rank()) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => word & 0xffff,
            std::cmp::Ordering::Greater => u64::MAX,
        }
    }
}

/// One slot's objects. Ranks only grow.
struct Life {
    /// Rank of the last object whose key an operation returned.
    born: AtomicU64,
    /// Rank of the last object that a put or a set gave its value.
    given: AtomicU64,
    /// `rank 24 | when 40`: no value of this rank is got by who starts later.
    gone: AtomicU64,
    /// Ranks that an eviction or a take has ended.
    ended: [AtomicU64; REMEMBERED],
    ending: Begun,
    setting: Begun,
    failing: Begun,
    /// `rank 24 | keeper 40` of the last promise.
    kept: AtomicU64,
    /// `rank 48 | value 16` of the last value given or seen: it is there unless somebody has begun to end it.
    value: AtomicU64,
}

/// Everything that has happened. All zeros is a beginning.
pub struct History {
    lives: [Life; SLOTS],
    clock: AtomicU64,
}

/// What was known of an object before an operation on it started.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    pub object: Object,
    is_there: bool,
    /// Its value is not got any more.
    is_gone: bool,
    /// An eviction or a take ended it.
    is_ended: bool,
}

fn rank_of(word: u64) -> u64 {
    word >> 40
}

const LOW: u64 = (1 << 40) - 1;

impl History {
    fn life(&self, object: Object) -> &Life {
        &self.lives[object.slot]
    }

    /// To be taken before an operation starts: what ended earlier has an earlier time.
    pub fn now(&self) -> u64 {
        self.clock.load(SeqCst)
    }

    /// A time of its own, for what is over.
    pub fn tick(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    pub fn look(&self, object: Object) -> Before {
        let life = self.life(object);
        let gone = rank_of(life.gone.load(SeqCst));
        let ended = life.ended[object.generation as usize % REMEMBERED].load(SeqCst);
        Before {
            object,
            is_there: life.value.load(SeqCst) >> 16 == object.rank(),
            is_gone: gone >= object.rank(),
            is_ended: gone > object.rank() || ended >= object.rank(),
        }
    }

    /// An operation returned a new key.
    pub fn born(&self, object: Object) -> Verdict {
        let before = self.life(object).born.fetch_max(object.rank(), SeqCst);
        self.leave_behind(object, object.rank() - 1);
        blame(before >= object.rank(), || {
            format!("the new key {object:?} had been given to another object")
        })
    }

    /// A promise was made by `keeper`.
    pub fn promised(&self, object: Object, keeper: u64) {
        self.life(object).kept.fetch_max(object.rank() << 40 | keeper, SeqCst);
    }

    /// Who keeps this promise; `None`: it is none, or of an older object.
    pub fn keeper(&self, object: Object) -> Option<u64> {
        let word = self.life(object).kept.load(SeqCst);
        (rank_of(word) == object.rank()).then_some(word & LOW)
    }

    fn leave_behind(&self, object: Object, rank: u64) {
        self.life(object).gone.fetch_max(rank << 40 | self.tick(), SeqCst);
    }

    /// A put or a set returned `Ok`: from now on the value is there.
    pub fn settled(&self, object: Object, value: u16) -> Verdict {
        let before = self.life(object).given.fetch_max(object.rank(), SeqCst);
        blame(before == object.rank(), || format!("{object:?} got its value twice"))?;
        self.agree(object, value)
    }

    /// An object has one value, whoever saw it.
    fn agree(&self, object: Object, value: u16) -> Verdict {
        let mine = object.rank() << 16 | u64::from(value);
        let before = self.life(object).value.fetch_max(mine, SeqCst);
        let differs = before >> 16 == object.rank() && before != mine;
        blame(differs, || format!("{object:?} has the value {value}, and had {}", before & 0xffff))
    }

    /// The value was got.
    pub fn saw(&self, before: Before, value: u16) -> Verdict {
        self.is_or_was_there(before)?;
        self.agree(before.object, value)
    }

    /// Something said that the value was there.
    pub fn is_or_was_there(&self, before: Before) -> Verdict {
        let Before { object, is_gone, .. } = before;
        blame(is_gone, || format!("{object:?} was got after its end"))?;
        let is_unborn = self.life(object).born.load(SeqCst) < object.rank();
        blame(is_unborn, || format!("{object:?} was got and never put"))
    }

    /// Something said that the value was not there, or was not yet.
    pub fn missed(&self, before: Before) -> Verdict {
        let is_lost = before.is_there && !self.may_have_ended(before.object);
        blame(is_lost, || format!("{:?} is lost: nobody has evicted it", before.object))
    }

    /// Something said that the object does not exist any more, promised or not.
    pub fn was_gone(&self, object: Object) -> Verdict {
        blame(!self.may_have_ended(object), || {
            format!("{object:?} is said to be gone: nobody has evicted it")
        })
    }

    /// Whether anybody has begun to evict or to take it.
    pub fn may_have_ended(&self, object: Object) -> bool {
        self.life(object).ending.count(object) > 0
    }

    pub fn begin_end(&self, object: Object) {
        self.life(object).ending.begin(object);
    }

    /// An eviction answered `true`, or a take gave the value.
    pub fn ended(&self, object: Object) -> Verdict {
        self.leave_behind(object, object.rank());
        let ends = &self.life(object).ended[object.generation as usize % REMEMBERED];
        let before = ends.fetch_max(object.rank(), SeqCst);
        blame(before == object.rank(), || format!("{object:?} was evicted or taken twice"))
    }

    /// An eviction answered `false`.
    pub fn not_evicted(&self, object: Object) -> Verdict {
        let life = self.life(object);
        // Nobody who has an effect cancels, so a lone beginning is this one.
        let is_lost = life.ending.count(object) == 1 && life.born.load(SeqCst) == object.rank();
        life.ending.cancel(object);
        blame(is_lost, || format!("{object:?} could not be evicted: nobody else has tried"))
    }

    /// A take answered `None`.
    pub fn not_taken(&self, before: Before) -> Verdict {
        let ending = &self.life(before.object).ending;
        let is_lost = before.is_there && ending.count(before.object) == 1;
        ending.cancel(before.object);
        blame(is_lost, || format!("{:?} could not be taken: nobody else has tried", before.object))
    }

    pub fn begin_set(&self, object: Object) {
        self.life(object).setting.begin(object);
    }

    /// A set or a fail said that there is a value, or will be; `own`: how many sets it has begun itself.
    pub fn was_set(&self, before: Before, own: u64) -> Verdict {
        let object = before.object;
        let is_promise = self.keeper(object).is_some();
        let is_alone = self.life(object).setting.count(object) <= own;
        blame(is_promise && is_alone, || format!("{object:?} is said to be set: nobody has"))?;
        blame(before.is_ended, || format!("{object:?} is said to be set after its end"))
    }

    /// Something said that the object is there, promised, or broken.
    pub fn was_listed(&self, before: Before) -> Verdict {
        blame(before.is_ended, || format!("{:?} is listed after its end", before.object))
    }

    pub fn begin_fail(&self, object: Object) {
        self.life(object).failing.begin(object);
    }

    /// A fail answered `Ok`: the value will never come.
    pub fn failed(&self, object: Object) {
        self.leave_behind(object, object.rank());
    }

    /// A fail had no effect.
    pub fn not_failed(&self, object: Object) {
        self.life(object).failing.cancel(object);
    }

    /// Something said that the value will never come.
    pub fn was_broken(&self, object: Object, may_be_dead: impl Fn(u64) -> bool) -> Verdict {
        // Whoever heard that must be right for ever.
        self.leave_behind(object, object.rank());
        blame(!self.may_be_broken(object, may_be_dead), || {
            format!("{object:?} is broken: its keeper lives and nobody failed it")
        })
    }

    fn may_be_broken(&self, object: Object, may_be_dead: impl Fn(u64) -> bool) -> bool {
        let life = self.life(object);
        let word = life.kept.load(SeqCst);
        let lost_its_keeper = match rank_of(word).cmp(&object.rank()) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => may_be_dead(word & LOW),
            std::cmp::Ordering::Greater => true,
        };
        lost_its_keeper || life.failing.count(object) > 0
    }

    /// Whether the object may be neither there nor promised any more.
    pub fn may_be_unbindable(&self, object: Object, may_be_dead: impl Fn(u64) -> bool) -> bool {
        self.may_have_ended(object) || self.may_be_broken(object, may_be_dead)
    }

    /// Whether it was gone for all who started at `time` or later.
    pub fn was_gone_at(&self, object: Object, time: u64) -> bool {
        let word = self.life(object).gone.load(SeqCst);
        rank_of(word) == object.rank() && (word & LOW) < time
    }
}
