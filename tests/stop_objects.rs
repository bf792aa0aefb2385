//! A process stopped at any instruction of an operation on an object: whatever another does with the same object
//! meanwhile does not wait, and what both hear is what one of the two orders gives. See `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use inplace::{Error, Key, Region, RegionOptions};
use support::payload;
use support::shared::{Atomics, Shared};
use support::steps::kill::{assert_empties, assert_recovers};
use support::steps::script::Script;
use support::steps::stop::Stopped;
use support::steps::sweep::{Errand, Found, Operation, sweep};

const NAME: &str = "name";
const LEN: usize = 1000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Put,
    Get,
    Exists,
    Evict,
    Take,
    Reserve,
    Set,
    Fail,
    Wait,
    Bind,
    Lookup,
    Unbind,
    Trim,
    Reap,
    Check,
}

const ALL: [Op; 15] = [
    Op::Put,
    Op::Get,
    Op::Exists,
    Op::Evict,
    Op::Take,
    Op::Reserve,
    Op::Set,
    Op::Fail,
    Op::Wait,
    Op::Bind,
    Op::Lookup,
    Op::Unbind,
    Op::Trim,
    Op::Reap,
    Op::Check,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Victim,
    Rival,
}

impl Who {
    /// Of the bytes it writes.
    fn seed(self) -> u64 {
        if self == Self::Victim { 5 } else { 6 }
    }
}

/// What the subject, the object that both work on, is at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    Absent,
    Ready(u64),
    Pending(Who),
    Broken,
}

/// What the name leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bound {
    No,
    ToSubject,
    ToOther,
}

// What an operation says; values say their seed.
const NO: u64 = 0;
const YES: u64 = 1;
const VALUE: u64 = 100;
const ALREADY_SET: u64 = 10;
const BROKEN: u64 = 11;
const NOT_FOUND: u64 = 12;
const NOT_OWNER: u64 = 13;
const TIMED_OUT: u64 = 14;
const SUBJECT: u64 = 20;
const OTHER: u64 = 21;

fn name_of_error(error: &Error) -> u64 {
    match error {
        Error::AlreadySet { .. } => ALREADY_SET,
        Error::Broken { .. } => BROKEN,
        Error::NotFound { .. } => NOT_FOUND,
        Error::NotOwner { .. } => NOT_OWNER,
        Error::TimedOut { .. } => TIMED_OUT,
        error => panic!("{error}"),
    }
}

/// The sequential model: one subject, one name, and how many objects there are besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Model {
    subject: Subject,
    bound: Bound,
    more: u64,
}

impl Model {
    fn leads_to(&self) -> u64 {
        match (self.bound, self.subject) {
            (Bound::ToOther, _) => OTHER,
            (Bound::ToSubject, Subject::Ready(_) | Subject::Pending(_)) => SUBJECT,
            _ => NO,
        }
    }

    fn value(&self) -> u64 {
        if let Subject::Ready(seed) = self.subject { VALUE + seed } else { NO }
    }

    fn waited(&self) -> u64 {
        match self.subject {
            Subject::Ready(seed) => VALUE + seed,
            Subject::Pending(_) => TIMED_OUT,
            Subject::Broken => BROKEN,
            Subject::Absent => NOT_FOUND,
        }
    }

    fn apply(&mut self, op: Op, who: Who) -> u64 {
        let before = *self;
        match op {
            Op::Put | Op::Reserve => {
                self.more += 1;
                YES
            }
            Op::Get => self.value(),
            Op::Exists => u64::from(self.value() != NO),
            Op::Evict => {
                self.subject = Subject::Absent;
                u64::from(before.subject != Subject::Absent)
            }
            Op::Take => {
                if self.value() != NO {
                    self.subject = Subject::Absent;
                }
                before.value()
            }
            Op::Set => match self.subject {
                Subject::Pending(_) => {
                    self.subject = Subject::Ready(who.seed());
                    YES
                }
                Subject::Ready(_) => ALREADY_SET,
                Subject::Broken => BROKEN,
                Subject::Absent => NOT_FOUND,
            },
            Op::Fail => match self.subject {
                Subject::Pending(keeper) if keeper == who => {
                    self.subject = Subject::Broken;
                    YES
                }
                Subject::Pending(_) => NOT_OWNER,
                Subject::Ready(_) => ALREADY_SET,
                Subject::Broken => YES,
                Subject::Absent => NOT_FOUND,
            },
            Op::Wait => self.waited(),
            Op::Bind => {
                self.bound = Bound::ToOther;
                before.leads_to()
            }
            Op::Lookup => self.leads_to(),
            Op::Unbind => {
                self.bound = Bound::No;
                before.leads_to()
            }
            Op::Trim | Op::Reap | Op::Check => YES,
        }
    }
}

/// The same in a region.
struct World {
    region: Region,
    subject: Key,
    other: Key,
    /// What the victim tells about the subject.
    posted: Shared<Posted>,
}

struct Posted(AtomicU64);

// SAFETY: made of atomics only.
unsafe impl Atomics for Posted {}

fn seed_of(bytes: &[u8]) -> u64 {
    assert_eq!(payload::blame(None, bytes), None, "a value is torn");
    u64::from(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn said(answer: Result<u64, Error>) -> u64 {
    answer.unwrap_or_else(|error| name_of_error(&error))
}

impl World {
    /// What the model starts with; a promise is the survivor's or, later, the victim's.
    fn new(start: Model) -> Self {
        let options = RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(4);
        let region = options.anonymous().unwrap();
        let other = region.put(&payload::make(9, LEN)).unwrap();
        let subject = match start.subject {
            Subject::Ready(seed) => region.put(&payload::make(seed as u16, LEN)).unwrap(),
            _ => region.reserve().unwrap(),
        };
        let world = Self { region, subject, other, posted: Shared::new() };
        match start.bound {
            Bound::No => {}
            Bound::ToSubject => _ = world.region.bind(NAME, world.subject).unwrap(),
            Bound::ToOther => _ = world.region.bind(NAME, world.other).unwrap(),
        }
        if matches!(start.subject, Subject::Pending(Who::Victim) | Subject::Absent) {
            assert!(world.region.evict(world.subject).unwrap());
        }
        world
    }

    fn which(&self, key: Option<Key>) -> u64 {
        match key {
            None => NO,
            Some(key) if key == self.subject => SUBJECT,
            Some(key) if key == self.other => OTHER,
            Some(key) => panic!("{key} is none of these"),
        }
    }

    fn act(&self, op: Op, who: Who) -> u64 {
        let Self { region, subject, other, .. } = self;
        let bytes = || payload::make(who.seed() as u16, LEN);
        let value = |view: Option<inplace::Pinned>| view.map_or(NO, |view| VALUE + seed_of(&view));
        said(match op {
            Op::Put => region.put(&bytes()).map(|_| YES),
            Op::Get => region.get(*subject).map(value),
            Op::Exists => region.exists(*subject).map(u64::from),
            Op::Evict => region.evict(*subject).map(u64::from),
            Op::Take => region.take(*subject).map(value),
            Op::Reserve => region.reserve().map(|_| YES),
            Op::Set => region.set(*subject, &bytes()).map(|()| YES),
            Op::Fail => region.fail(*subject).map(|()| YES),
            Op::Wait => region.wait(*subject, Some(Duration::ZERO)).map(|view| value(Some(view))),
            Op::Bind => region.bind(NAME, *other).map(|before| self.which(before)),
            Op::Lookup => region.lookup(NAME).map(|found| self.which(found)),
            Op::Unbind => region.unbind(NAME).map(|before| self.which(before)),
            Op::Trim => region.trim().map(|_| YES),
            Op::Reap => region.reap().map(|dead| u64::from(dead == 0)),
            Op::Check => region.check().map(|report| {
                assert!(report.is_clean(), "{report}");
                YES
            }),
        })
    }

    /// What can be seen of it when all is done.
    fn state(&self) -> (u64, u64, u64) {
        let more = self
            .region
            .keys()
            .unwrap()
            .into_iter()
            .filter(|key| *key != self.subject && *key != self.other);
        (self.act(Op::Wait, Who::Rival), self.act(Op::Lookup, Who::Rival), more.count() as u64)
    }
}

/// What both said, and what is left.
type Story = (u64, u64, (u64, u64, u64));

fn told(start: Model, ops: [(Op, Who); 2]) -> Story {
    let mut model = start;
    let mut answers = [0; 2];
    for (op, who) in ops {
        answers[usize::from(who == Who::Rival)] = model.apply(op, who);
    }
    (answers[0], answers[1], (model.waited(), model.leads_to(), model.more))
}

/// What the victim's side of the world is; a promise that is the victim's it makes itself.
fn arrive(world: &World, start: Model) -> World {
    let World { region, subject, other, posted } = world;
    let mut mine =
        World { region: region.clone(), subject: *subject, other: *other, posted: *posted };
    if start.subject == Subject::Pending(Who::Victim) {
        mine.subject = region.reserve().unwrap();
        if start.bound == Bound::ToSubject {
            region.bind(NAME, mine.subject).unwrap();
        }
    }
    posted.0.store(mine.subject.object(), Ordering::SeqCst);
    // What is done first in a process takes longer, in its own memory only.
    drop(region.get(*other).unwrap());
    mine.act(Op::Lookup, Who::Victim);
    mine
}

fn play((start, op): (Model, Op), rivals: &[Op], (script, errand): (&Script, Errand)) -> Found {
    let mut world = World::new(start);
    let variant = if let Errand::Visit { variant, .. } = errand { variant } else { 0 };
    let (rival, is_killed) = (rivals[variant / 2], variant % 2 == 1);
    let (mut stopped, found) =
        Stopped::at((script, errand), || arrive(&world, start), |world| world.act(op, Who::Victim));
    world.subject = Key::new(world.region.id(), world.posted.0.load(Ordering::SeqCst));
    let rivals_answer = stopped.meanwhile(|| world.act(rival, Who::Rival));
    if !is_killed {
        let victims_answer = stopped.go_on();
        let story = (victims_answer, rivals_answer, world.state());
        let (victim, rival) = ((op, Who::Victim), (rival, Who::Rival));
        let orders = [told(start, [victim, rival]), told(start, [rival, victim])];
        assert!(
            orders.contains(&story),
            "{start:?} {victim:?} {rival:?}: {story:?} is none of {orders:?}"
        );
        let report = world.region.check().unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(
            (report.in_progress, report.retired, report.pins, report.participants),
            (0, 0, 0, 2),
            "{report}"
        );
    }
    stopped.kill();
    assert_recovers(&world.region, 1..=1);
    assert_empties(&world.region, &[NAME]);
    found
}

fn duels(start: (&str, Subject, Bound), victims: &[Op], rivals: &'static [Op]) -> Vec<Operation> {
    let (what, subject, bound) = start;
    let start = Model { subject, bound, more: 0 };
    let duel = |&op: &Op| Operation {
        what: format!("{op:?} stopped, {what}"),
        variants: rivals.len() * 2,
        scene: Box::new(move |script, errand| play((start, op), rivals, (script, errand))),
    };
    victims.iter().map(duel).collect()
}

#[test]
fn stopped_at_any_instruction_no_one_waits_and_all_happens_in_some_order() {
    const PROMISE: [Op; 10] = [
        Op::Get,
        Op::Exists,
        Op::Evict,
        Op::Take,
        Op::Set,
        Op::Fail,
        Op::Wait,
        Op::Bind,
        Op::Lookup,
        Op::Unbind,
    ];
    const NAMES: [Op; 8] =
        [Op::Bind, Op::Unbind, Op::Lookup, Op::Evict, Op::Put, Op::Trim, Op::Reap, Op::Check];
    let there = Subject::Ready(1);
    let operations: Vec<_> = [
        duels(("an object, bound", there, Bound::ToSubject), &ALL, &ALL),
        duels(
            ("a rival's promise", Subject::Pending(Who::Rival), Bound::ToSubject),
            &PROMISE,
            &ALL,
        ),
        duels(("its own promise", Subject::Pending(Who::Victim), Bound::ToSubject), &PROMISE, &ALL),
        duels(("nothing, its name left", Subject::Absent, Bound::ToSubject), &PROMISE, &ALL),
        duels(("an object, unbound", there, Bound::No), &NAMES[..3], &NAMES),
        duels(("an object, name elsewhere", there, Bound::ToOther), &NAMES[..3], &NAMES),
    ]
    .into_iter()
    .flatten()
    .collect();
    sweep("stop", 30, &operations);
}
