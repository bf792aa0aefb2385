//! A process stopped at any instruction of an operation on a bond or a lease: whatever another does with the same object, or
//! variable, meanwhile does not wait, and what both hear is what one of the two orders gives. See `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use std::time::Duration;

use inplace::connector::{ShmConnector, Variables};
use inplace::{Deadline, Error, Fingerprint, Key, Region, RegionOptions, Term};
use support::payload;
use support::steps::kill::{assert_empties, assert_recovers};
use support::steps::script::Script;
use support::steps::stop::Stopped;
use support::steps::sweep::{Errand, Found, Operation, sweep};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Bind,
    Lift,
    Offer,
    Adopt,
    EvictBound,
    Evict,
    Get,
    Exists,
    Extend,
    Set,
    Reap,
    Check,
}

const ALL: [Op; 12] = [
    Op::Bind,
    Op::Lift,
    Op::Offer,
    Op::Adopt,
    Op::EvictBound,
    Op::Evict,
    Op::Get,
    Op::Exists,
    Op::Extend,
    Op::Set,
    Op::Reap,
    Op::Check,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Victim,
    Rival,
}

// What an operation says; an offer says its number.
const NO: u64 = 0;
const YES: u64 = 1;
const NOT_FOUND: u64 = 2;
const NOT_OWNER: u64 = 3;
const ALREADY_ADOPTED: u64 = 4;
const OFFER: u64 = 100;
/// By how much the numbers of offers go up.
const STEP: u64 = 1 << 12;
/// What a token says that is tried, whether there was such an offer or not.
const TOKEN: u64 = STEP;

/// The sequential model: one object or variable, or what is left of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Model {
    is_variable: bool,
    is_there: bool,
    is_overdue: bool,
    owner: Option<Who>,
    is_offered: bool,
    offers: u64,
}

const PLAIN: Model = Model {
    is_variable: false,
    is_there: true,
    is_overdue: false,
    owner: None,
    is_offered: false,
    offers: 0,
};

impl Model {
    fn is_bound_to(&self, who: Who) -> bool {
        self.owner == Some(who) && !self.is_offered
    }

    fn apply(&mut self, op: Op, who: Who) -> u64 {
        if self.is_overdue && op != Op::Check {
            *self = Self { is_there: false, is_overdue: false, owner: None, ..*self };
        }
        let is_mine = self.is_bound_to(who);
        match op {
            Op::Reap | Op::Check => return YES,
            Op::Evict | Op::EvictBound | Op::Get | Op::Exists | Op::Extend if !self.is_there => {
                return NO;
            }
            _ if !self.is_there => return NOT_FOUND,
            Op::Get | Op::Extend if self.is_variable => return NO,
            Op::Get | Op::Exists | Op::Extend => return YES,
            Op::Set if !self.is_variable => return NOT_FOUND,
            Op::Set if !is_mine && self.owner.is_some() => return NOT_OWNER,
            Op::Set => {}
            Op::EvictBound if !is_mine => return NO,
            Op::Evict | Op::EvictBound => {
                *self = Self { is_there: false, owner: None, is_offered: false, ..*self };
            }
            Op::Bind if is_mine || self.owner.is_none() => self.owner = Some(who),
            Op::Lift if is_mine => self.owner = None,
            Op::Offer if is_mine => {
                (self.is_offered, self.offers) = (true, self.offers + STEP);
                return OFFER + self.offers;
            }
            Op::Bind | Op::Lift | Op::Offer => return NOT_OWNER,
            Op::Adopt if self.is_offered && self.offers == TOKEN => {
                (self.owner, self.is_offered) = (Some(who), false);
            }
            Op::Adopt => return ALREADY_ADOPTED,
        }
        YES
    }

    /// What the rival sees of it in the end.
    fn state(&self) -> (bool, bool, bool) {
        (self.is_there && !self.is_overdue, self.owner.is_some(), self.is_bound_to(Who::Rival))
    }
}

fn said(answer: Result<u64, Error>) -> u64 {
    answer.unwrap_or_else(|error| match error {
        Error::NotFound { .. } => NOT_FOUND,
        Error::NotOwner { .. } => NOT_OWNER,
        Error::AlreadyAdopted { .. } => ALREADY_ADOPTED,
        error => panic!("{error}"),
    })
}

struct World {
    region: Region,
    object: Key,
}

fn set(region: &Region, variable: Key) -> inplace::Result<u64> {
    let bytes = payload::make(1, 1000);
    let shm = ShmConnector::new(region.clone());
    shm.set_variable((variable, None), (bytes.len(), Fingerprint::BYTES), &mut |out| {
        out.write(&bytes);
        Ok(())
    })
}

impl World {
    fn new(start: Model) -> Self {
        let options = RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(4);
        let region = options.anonymous().unwrap();
        if start.is_variable {
            let shm = ShmConnector::new(region.clone());
            let object = shm.new_variable(Fingerprint::BYTES).unwrap();
            assert_eq!(set(&region, object).unwrap(), 1);
            let world = Self { region, object };
            if start.owner == Some(Who::Rival) {
                world.bind(start);
            }
            return world;
        }
        let soon = Term::Until(Deadline::after(Duration::ZERO));
        let term = if start.is_overdue { soon } else { Term::Unlimited };
        let bytes = payload::make(1, 1000);
        let put = region.put_for(bytes.len(), (Fingerprint::BYTES, term), &mut |out| {
            out.write(&bytes);
            Ok(())
        });
        let world = Self { region, object: put.unwrap() };
        if start.owner == Some(Who::Rival) {
            world.bind(start);
        }
        world
    }

    fn bind(&self, start: Model) {
        self.region.bind_to_process(self.object).unwrap();
        if start.is_offered {
            assert_eq!(self.region.offer_object(self.object).unwrap(), TOKEN);
        }
    }

    fn act(&self, op: Op) -> u64 {
        let Self { region, object, .. } = self;
        let done = |()| YES;
        said(match op {
            Op::Bind => region.bind_to_process(*object).map(|_| YES),
            Op::Lift => region.unbind_from_process(*object).map(done),
            Op::Offer => region.offer_object(*object).map(|number| OFFER + number),
            Op::Adopt => region.adopt_object(*object, TOKEN).map(done),
            Op::EvictBound => region.evict_bound(*object).map(u64::from),
            Op::Evict => region.evict(*object).map(u64::from),
            Op::Get => region.get(*object).map(|view| u64::from(view.is_some())),
            Op::Exists => region.exists(*object).map(u64::from),
            Op::Extend => {
                let late = Deadline::after(Duration::from_secs(3600));
                region.set_deadline(*object, Some(late)).map(u64::from)
            }
            Op::Set => set(region, *object).map(|_| YES),
            Op::Reap => region.reap().map(|dead| u64::from(dead == 0)),
            Op::Check => region.check().map(|report| {
                assert!(report.is_clean(), "{report}");
                YES
            }),
        })
    }

    fn state(&self) -> (bool, bool, bool) {
        let is_there = self.region.exists(self.object).unwrap();
        let is_bound = self.region.check().unwrap().bound == 1;
        (is_there, is_bound, self.region.evict_bound(self.object).unwrap())
    }
}

/// What both said, and what is left.
type Story = (u64, u64, (bool, bool, bool));

fn told(start: Model, ops: [(Op, Who); 2]) -> Story {
    let mut model = start;
    let mut answers = [0; 2];
    for (op, who) in ops {
        answers[usize::from(who == Who::Rival)] = model.apply(op, who);
    }
    // To look at it ends a lease that is over.
    model.apply(Op::Exists, Who::Rival);
    (answers[0], answers[1], model.state())
}

fn play((start, op): (Model, Op), (script, errand): (&Script, Errand)) -> Found {
    let world = World::new(start);
    let variant = if let Errand::Visit { variant, .. } = errand { variant } else { 0 };
    let (rival, is_killed) = (ALL[variant / 2], variant % 2 == 1);
    let arrive = || {
        let mine = World { region: world.region.clone(), object: world.object };
        if start.owner == Some(Who::Victim) {
            mine.bind(start);
        }
        mine
    };
    let (mut stopped, found) = Stopped::at((script, errand), arrive, |world| world.act(op));
    let rivals_answer = stopped.meanwhile(|| world.act(rival));
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
        let left = (report.in_progress, report.retired, report.pins, report.participants);
        assert_eq!(left, (0, 0, 0, 2), "{report}");
    }
    stopped.kill();
    assert_recovers(&world.region, 1..=1);
    // Bound to somebody who is dead, the check would have blamed it.
    assert_empties(&world.region, &[]);
    found
}

fn stopped(what: &str, start: Model, op: Op) -> Operation {
    Operation {
        what: format!("{op:?} stopped, {what}"),
        variants: ALL.len() * 2,
        scene: Box::new(move |script, errand| play((start, op), (script, errand))),
    }
}

#[test]
fn stopped_at_any_instruction_of_a_bond_or_a_set_of_a_variable_all_happens_in_some_order() {
    let plain = Model { is_variable: true, ..PLAIN };
    let bound = |owner| Model { owner: Some(owner), ..plain };
    let offered = |owner| Model { is_offered: true, offers: TOKEN, ..bound(owner) };
    let starts = [
        ("nobody's variable", plain),
        ("its own variable", bound(Who::Victim)),
        ("its own variable, offered", offered(Who::Victim)),
        ("a rival's variable, offered", offered(Who::Rival)),
    ];
    let victims = [Op::Bind, Op::Lift, Op::Offer, Op::Adopt, Op::EvictBound, Op::Evict, Op::Set];
    let operation = |(what, start)| victims.map(|op| stopped(what, start, op));
    let operations: Vec<_> = starts.into_iter().flat_map(operation).collect();
    sweep("stop variables", 15, &operations);
}

#[test]
fn stopped_at_any_instruction_of_a_bond_or_a_lease_all_happens_in_some_order() {
    let bound = |owner| Model { owner: Some(owner), ..PLAIN };
    let offered = |owner| Model { is_offered: true, offers: TOKEN, ..bound(owner) };
    let starts = [
        ("nobody's", PLAIN),
        ("its own", bound(Who::Victim)),
        ("its own, offered", offered(Who::Victim)),
        ("a rival's, offered", offered(Who::Rival)),
        ("overdue", Model { is_overdue: true, ..PLAIN }),
    ];
    let mut operations = Vec::new();
    for (what, start) in starts {
        // Walks over the whole region are long, and look at the one object once.
        let victims = if start.is_overdue { &ALL[..11] } else { &ALL[..9] };
        operations.extend(victims.iter().map(|&op| stopped(what, start, op)));
    }
    sweep("stop lifetimes", 15, &operations);
}
