//! What a region is to those who use it: objects, names, and who holds what. Nothing of how it is built.

use std::collections::{BTreeMap, HashMap};

use inplace::Fingerprint;

use super::orders::{Content, Id, Summary, Token};
use super::space::{self, Block, Fit, UNIT};

pub const SLOTS: usize = 4;
pub const UNITS: u64 = 2;
const BUCKETS: u64 = 1024;

/// A process for as long as anything of it is known: numbers are not used twice.
pub type Life = u32;

/// A mistake a model can be told to make, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// An unbound name goes on meaning what it meant.
    UnbindIsForgotten,
    /// What a killed process had pinned stays pinned.
    TheDeadKeepTheirPins,
    /// A child has no views.
    ViewsAreNotInherited,
    /// A promise outlives its keeper.
    PromisesOutliveTheirKeepers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has an entry.
    Member,
    /// It has an entry still, and will never use it.
    Dead,
    /// It has what it inherited, and no entry.
    Severed,
    /// It is not attached.
    Away,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    Promised(Life),
    Broken,
    Evicted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    pub state: State,
    pub content: Content,
    /// How many have been made before.
    pub age: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent {
    /// Whether it is not an inherited one, which is good for nothing.
    pub mine: bool,
    pub content: Content,
    block: Block,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub standing: Standing,
    pub has_handle: bool,
    pub views: BTreeMap<Token, Id>,
    pub loans: BTreeMap<Token, Lent>,
}

impl Process {
    pub fn new(standing: Standing) -> Self {
        let has_handle = standing == Standing::Member;
        Self { standing, has_handle, views: BTreeMap::new(), loans: BTreeMap::new() }
    }

    fn has_entry(&self) -> bool {
        matches!(self.standing, Standing::Member | Standing::Dead)
    }
}

/// Names of one bucket, in the order in which they were bound.
pub type Entries = Vec<(String, Id)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    pub participants: usize,
    pub flaw: Option<Flaw>,
    pub objects: HashMap<Id, Object>,
    /// Blocks of objects and of those that became shorter than theirs.
    blocks: HashMap<Id, Block>,
    pub processes: BTreeMap<Life, Process>,
    pub buckets: BTreeMap<u64, Entries>,
    /// What a flawed model believes to be pinned.
    haunted: Vec<Id>,
    /// Right after a trim nothing is committed that holds no object.
    pub is_trimmed: bool,
}

pub fn bucket_of(name: &str) -> u64 {
    Fingerprint::of(name).get() % BUCKETS
}

pub fn bucket_block(entries: &Entries) -> Block {
    Block::of(entries.iter().map(|(name, _)| 12 + name.len() as u64).sum())
}

impl Model {
    pub fn new(participants: usize, flaw: Option<Flaw>) -> Self {
        Self {
            participants,
            flaw,
            objects: HashMap::new(),
            blocks: HashMap::new(),
            processes: BTreeMap::from([(0, Process::new(Standing::Member))]),
            buckets: BTreeMap::new(),
            haunted: Vec::new(),
            is_trimmed: false,
        }
    }

    pub fn process(&mut self, life: Life) -> &mut Process {
        self.processes.get_mut(&life).unwrap()
    }

    pub fn pins(&self, id: Id) -> usize {
        let pinning = self.processes.values().filter(|process| process.has_entry());
        pinning.flat_map(|process| process.views.values()).filter(|&&pinned| pinned == id).count()
            + self.haunted.iter().filter(|&&pinned| pinned == id).count()
    }

    /// Whether the object, evicted or not, has its slot.
    pub fn has_slot(&self, id: Id) -> bool {
        self.objects[&id].state != State::Evicted || self.pins(id) > 0
    }

    fn lent(&self) -> impl Iterator<Item = &Lent> {
        let lending = self.processes.values().filter(|process| process.has_entry());
        lending.flat_map(|process| process.loans.values()).filter(|lent| lent.mine)
    }

    pub fn free_slots(&self) -> usize {
        let objects = self.objects.keys().filter(|&&id| self.has_slot(id)).count();
        SLOTS - objects - self.lent().count() - self.buckets.len()
    }

    pub fn held_blocks(&self) -> Vec<Block> {
        let objects = self.blocks.iter().filter(|&(&id, _)| self.has_slot(id));
        let objects = objects.map(|(_, &block)| block);
        let lent = self.lent().map(|lent| lent.block);
        objects.chain(lent).chain(self.buckets.values().map(bucket_block)).collect()
    }

    /// Whether blocks fit, and each has a slot if that is asked.
    pub fn fit(&self, demand: &[Block], with_slots: bool) -> Fit {
        if with_slots && demand.len() > self.free_slots() {
            return Fit::Never;
        }
        space::fit(&self.held_blocks(), demand, UNITS)
    }

    /// Gives a key out. `false`: it is one that was used before, or its slot is in use.
    pub fn make(&mut self, id: Id, state: State, (content, block): (Content, Block)) -> bool {
        let in_use = |other: &Id| other.slot() == id.slot() && self.has_slot(*other);
        if self.objects.contains_key(&id) || self.objects.keys().any(in_use) {
            return false;
        }
        let age = self.objects.len();
        self.objects.insert(id, Object { state, content, age });
        self.blocks.insert(id, block);
        (1..=SLOTS as u64).contains(&id.slot())
    }

    pub fn set(&mut self, id: Id, content: Content) {
        self.change(id, State::Ready);
        self.objects.get_mut(&id).unwrap().content = content;
        self.blocks.insert(id, Block::of(content.len.into()));
    }

    pub fn change(&mut self, id: Id, state: State) {
        self.objects.get_mut(&id).unwrap().state = state;
    }

    pub fn is_bindable(&self, id: Id) -> bool {
        matches!(self.objects[&id].state, State::Ready | State::Promised(_))
    }

    /// The names of a bucket without those whose object is gone.
    pub fn entries(&self, bucket: u64) -> Entries {
        let mut entries = self.buckets.get(&bucket).cloned().unwrap_or_default();
        entries.retain(|&(_, id)| self.is_bindable(id));
        entries
    }

    pub fn means(&self, name: &str) -> Option<Id> {
        let entries = self.entries(bucket_of(name));
        entries.iter().find(|(bound, _)| bound == name).map(|&(_, id)| id)
    }

    pub fn lend(&mut self, life: Life, loan: Token, content: Content) {
        let block = Block::of(content.len.into());
        self.process(life).loans.insert(loan, Lent { mine: true, content, block });
    }

    pub fn publish(&mut self, life: Life, (loan, id): (Token, Id), len: u32) -> bool {
        let lent = self.process(life).loans.remove(&loan).unwrap();
        self.make(id, State::Ready, (Content { len, ..lent.content }, lent.block))
    }

    fn break_promises(&mut self, keeper: Life) {
        let kept =
            self.objects.values_mut().filter(|object| object.state == State::Promised(keeper));
        kept.for_each(|object| object.state = State::Broken);
    }

    pub fn drop_view(&mut self, life: Life, view: Token) {
        self.process(life).views.remove(&view);
        self.detach_if_unused(life);
    }

    /// Drops handle and loans.
    pub fn close(&mut self, life: Life) {
        let process = self.process(life);
        process.has_handle = false;
        process.loans.clear();
        self.detach_if_unused(life);
    }

    fn detach_if_unused(&mut self, life: Life) {
        let process = self.process(life);
        if process.standing == Standing::Member && !process.has_handle && process.views.is_empty() {
            process.standing = Standing::Away;
            self.break_promises(life);
        }
    }

    pub fn entries_taken(&self) -> usize {
        self.processes.values().filter(|process| process.has_entry()).count()
    }

    pub fn dead(&self) -> usize {
        self.processes.values().filter(|process| process.standing == Standing::Dead).count()
    }

    /// A child; one that finds no entry, after the dead were reaped, is severed.
    pub fn fork(&mut self, parent: Life, child: Life) {
        let mut process = self.processes[&parent].clone();
        process.loans.values_mut().for_each(|lent| lent.mine = false);
        if process.standing == Standing::Member {
            if self.entries_taken() == self.participants {
                self.reap();
            }
            if self.entries_taken() == self.participants {
                process.standing = Standing::Severed;
            }
            if self.flaw == Some(Flaw::ViewsAreNotInherited) {
                process.views.clear();
            }
        }
        self.processes.insert(child, process);
    }

    /// Ends without giving anything back.
    pub fn die(&mut self, life: Life) {
        let process = self.process(life);
        if process.standing == Standing::Member {
            process.standing = Standing::Dead;
        } else {
            self.processes.remove(&life);
        }
    }

    pub fn reap(&mut self) {
        let dead = |process: &Process| process.standing == Standing::Dead;
        let lives: Vec<_> = self
            .processes
            .iter()
            .filter(|(_, process)| dead(process))
            .map(|(&life, _)| life)
            .collect();
        for life in lives {
            let process = self.processes.remove(&life).unwrap();
            if self.flaw == Some(Flaw::TheDeadKeepTheirPins) {
                self.haunted.extend(process.views.values());
            }
            if self.flaw != Some(Flaw::PromisesOutliveTheirKeepers) {
                self.break_promises(life);
            }
        }
    }

    pub fn keys(&self) -> Vec<Id> {
        let listed = self.objects.iter().filter(|(_, object)| object.state != State::Evicted);
        let mut keys: Vec<_> = listed.map(|(&id, _)| id).collect();
        keys.sort();
        keys
    }

    /// What `check()` should say, without the committed bytes; of violations only how many.
    pub fn summary(&self) -> Summary {
        let count = |wanted: &dyn Fn(State) -> bool| {
            self.objects.values().filter(|object| wanted(object.state)).count() as u64
        };
        let ids = || self.objects.keys().copied();
        let evicted = |id: &Id| self.objects[id].state == State::Evicted;
        let own: u64 = self.buckets.values().map(|entries| bucket_block(entries).bytes()).sum();
        let bytes: u64 =
            ids().filter(|&id| self.has_slot(id)).map(|id| self.blocks[&id].bytes()).sum();
        Summary {
            objects: count(&|state| state == State::Ready),
            retired: ids().filter(evicted).filter(|&id| self.has_slot(id)).count() as u64,
            pending: count(&|state| matches!(state, State::Promised(_) | State::Broken)),
            in_progress: self.lent().count() as u64,
            names: self.buckets.values().map(|entries| entries.len() as u64).sum(),
            pins: ids().map(|id| self.pins(id) as u64).sum(),
            participants: self.entries_taken() as u64,
            bytes_in_use: bytes + own,
            bytes_committed: 0,
            violations: vec![String::new(); self.violations()],
        }
    }

    /// What the dead have begun, promised, and their entries.
    pub fn violations(&self) -> usize {
        let dead = self.processes.iter().filter(|(_, process)| process.standing == Standing::Dead);
        dead.map(|(&life, process)| {
            let promised = |object: &&Object| object.state == State::Promised(life);
            let begun = process.loans.values().filter(|lent| lent.mine).count();
            1 + begun + self.objects.values().filter(promised).count()
        })
        .sum()
    }

    /// Bytes that may be committed, given what is held.
    pub fn may_commit(&self, bytes: u64) -> bool {
        let held = self.held_blocks();
        let most = if self.is_trimmed { space::most(&held, UNITS) } else { UNITS };
        (space::least(&held) * UNIT..=most * UNIT).contains(&bytes)
    }
}
