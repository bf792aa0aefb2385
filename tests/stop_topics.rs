//! A process stopped at any instruction of an operation on a topic: whatever another does with the same topic meanwhile does
//! not wait, and what both hear is what one of the two orders gives. Where bytes are limited, what is too much is dropped one by one,
//! and the other may come in between. See `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use std::time::Duration;

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{
    Error, Published, Publisher, RegionOptions, Start, Store, Subscriber, Topic, TopicOptions,
};
use support::payload;
use support::steps::kill::{assert_empties, assert_recovers};
use support::steps::script::Script;
use support::steps::stop::Stopped;
use support::steps::sweep::{Errand, Found, Operation, sweep};
use support::steps::topics::region;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Publish,
    PublishLarge,
    Recv,
    JoinOldest,
    JoinLatest,
    Leave,
    Produce,
    Close,
    HasEnded,
    Trim,
    Evict,
    Reap,
    Check,
}

const ALL: [Op; 13] = [
    Op::Publish,
    Op::PublishLarge,
    Op::Recv,
    Op::JoinOldest,
    Op::JoinLatest,
    Op::Leave,
    Op::Produce,
    Op::Close,
    Op::HasEnded,
    Op::Trim,
    Op::Evict,
    Op::Reap,
    Op::Check,
];

const VICTIM: usize = 0;
const RIVAL: usize = 1;
/// Of the bytes that each publishes, and of those that were there.
const SEEDS: [u16; 2] = [5, 6];
const OLD: u16 = 1;
const SMALL: usize = 48;
const LARGE: usize = 300;
/// What a message takes beside its bytes.
const BESIDE: usize = 16;

// What an operation says; a message says its seed, its position and what was missed, a publication its position.
const NO: u64 = 0;
const YES: u64 = 1;
const FULL: u64 = 2;
const NOTHING: u64 = 3;
const END: u64 = 4;
const NOT_FOUND: u64 = 5;
const PUBLISHED: u64 = 1 << 60;
const RECEIVED: u64 = 1 << 61;

fn received(seed: u16, position: u64, missed: u64) -> u64 {
    RECEIVED | u64::from(seed) << 32 | position << 16 | missed
}

/// The sequential model of a topic, and of what two processes have of it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Model {
    is_there: bool,
    capacity: u64,
    holds_back: bool,
    /// 0: no limit.
    max_bytes: usize,
    /// Everything that was ever published: seeds and lengths.
    log: Vec<(u16, usize)>,
    /// What the limit dropped.
    dropped: u64,
    cursors: [Option<u64>; 2],
    publishes: [bool; 2],
}

impl Model {
    /// A topic to which so many were published, and where both are.
    fn new(capacity: u64, published: usize, cursors: [Option<u64>; 2]) -> Self {
        let log = vec![(OLD, SMALL); published];
        let (holds_back, max_bytes, dropped) = (false, 0, 0);
        let publishes = [true; 2];
        Self { is_there: true, capacity, holds_back, max_bytes, log, dropped, cursors, publishes }
    }

    fn holding_back(self) -> Self {
        Self { holds_back: true, ..self }
    }

    fn options(&self) -> TopicOptions {
        let options = TopicOptions::new(self.capacity as u32).max_bytes(self.max_bytes as u64);
        options.hold_back(if self.holds_back { 3 } else { 0 })
    }

    fn tail(&self) -> u64 {
        self.log.len() as u64
    }

    fn oldest(&self) -> u64 {
        self.tail().saturating_sub(self.capacity + 1).max(self.dropped)
    }

    /// Where who joins at the oldest begins.
    fn reach(&self) -> u64 {
        let kept = if self.holds_back { self.capacity } else { self.capacity + 1 };
        self.tail().saturating_sub(kept).max(self.dropped)
    }

    fn is_held_back(&self) -> bool {
        let last = self.tail().checked_sub(self.capacity);
        let wants = |last: u64| self.cursors.iter().flatten().any(|cursor| *cursor <= last);
        self.holds_back && last.is_some_and(wants)
    }

    fn publish(&mut self, seed: u16, len: usize) -> u64 {
        if self.is_held_back() {
            return FULL;
        }
        self.log.push((seed, len));
        PUBLISHED | (self.tail() - 1)
    }

    /// Drops the oldest, if all together are too large; how many that were.
    fn drop_one(&mut self) -> u64 {
        let oldest = self.oldest();
        let bytes: usize = self.log[oldest as usize..].iter().map(|(_, len)| len + BESIDE).sum();
        let is_dropped = self.max_bytes != 0 && bytes > self.max_bytes && oldest + 1 < self.tail();
        self.dropped = self.dropped.max(oldest + u64::from(is_dropped));
        is_dropped.into()
    }

    /// One operation in as many steps as it has: who publishes drops what is too much one by one, each for itself, as who trims does.
    fn step(&mut self, (op, who): (Op, usize), step: usize, answer: &mut u64) {
        match (op, step) {
            (_, 0) => *answer = self.apply(op, who),
            (Op::Publish | Op::PublishLarge, _) if *answer & PUBLISHED != 0 => _ = self.drop_one(),
            (Op::Trim, _) if *answer != NOT_FOUND => *answer += self.drop_one(),
            _ => {}
        }
    }

    fn receive(&mut self, who: usize, wanted: u64) -> u64 {
        let position = wanted.max(self.oldest());
        match self.log.get(position as usize) {
            Some((seed, _)) => {
                self.cursors[who] = Some(position + 1);
                received(*seed, position, position - wanted)
            }
            None if self.publishes == [false; 2] => END,
            None => NOTHING,
        }
    }

    fn apply(&mut self, op: Op, who: usize) -> u64 {
        let publishes = matches!(op, Op::Publish | Op::PublishLarge);
        match (op, self.cursors[who]) {
            (Op::Reap | Op::Check, _) => YES,
            (Op::Evict, _) => u64::from(std::mem::take(&mut self.is_there)),
            (Op::Leave, cursor) => {
                self.cursors[who] = None;
                u64::from(cursor.is_some())
            }
            (Op::Close, _) => u64::from(std::mem::take(&mut self.publishes[who])),
            (Op::Recv | Op::HasEnded, None) | (Op::JoinOldest | Op::JoinLatest, Some(_)) => NO,
            _ if publishes && !self.publishes[who] => NO,
            (Op::Produce, _) if self.publishes[who] => NO,
            _ if !self.is_there => NOT_FOUND,
            (Op::Publish, _) => self.publish(SEEDS[who], SMALL),
            (Op::PublishLarge, _) => self.publish(SEEDS[who], LARGE),
            (Op::Recv, Some(wanted)) => self.receive(who, wanted),
            (Op::HasEnded, Some(wanted)) => {
                u64::from(self.publishes == [false; 2] && wanted >= self.tail())
            }
            // Its steps are the drops.
            (Op::Trim, _) => 0,
            (Op::JoinOldest, _) => {
                self.cursors[who] = Some(self.reach());
                YES
            }
            (Op::JoinLatest, _) => {
                self.cursors[who] = Some(self.tail());
                YES
            }
            (Op::Produce, _) => {
                self.publishes[who] = true;
                YES
            }
        }
    }

    /// What can be seen in the end, by the rival: what is left for it; then, when it has left, for who asks for everything; then how
    /// many can be published until the victim is waited for.
    fn state(mut self) -> State {
        if !self.is_there {
            return State::default();
        }
        let mine = self.drain();
        self.cursors[RIVAL] = Some(self.reach());
        let missed = self.reach();
        let mut all = self.drain();
        if all[0] & RECEIVED != 0 {
            all[0] += missed;
        }
        self.cursors[RIVAL] = None;
        let room = (0..MOST).take_while(|_| self.publish(OLD, SMALL) != FULL).count();
        State { mine, all, room }
    }

    fn drain(&mut self) -> Vec<u64> {
        let mut said = Vec::new();
        while !matches!(said.last(), Some(&(NO | NOTHING | END))) {
            said.push(self.apply(Op::Recv, RIVAL));
        }
        said
    }
}

/// How many are published in the end at most.
const MOST: usize = 6;
/// One more than there is ever to drop.
const STEPS: usize = 5;

#[derive(PartialEq, Eq, Debug, Default)]
struct State {
    mine: Vec<u64>,
    all: Vec<u64>,
    room: usize,
}

type Story = (u64, u64, State);

/// What is told if the rival does all of its own before a step of the victim's, or after the last.
fn told(start: &Model, [victim, rival]: [(Op, usize); 2], before: usize) -> Story {
    let mut model = start.clone();
    let (mut mine, mut its) = (0, 0);
    for step in 0..=STEPS {
        if step == before {
            (0..STEPS).for_each(|step| model.step(rival, step, &mut its));
        }
        if step < STEPS {
            model.step(victim, step, &mut mine);
        }
    }
    (mine, its, model.state())
}

/// What one process has of the topic.
struct Side {
    store: Store<Raw>,
    topic: Topic<[u8], Raw>,
    publisher: Option<Publisher<[u8], Raw>>,
    subscriber: Option<Subscriber<[u8], Raw>>,
    who: usize,
}

fn said_of(message: &Published<[u8], Raw>) -> u64 {
    assert_eq!(payload::blame(None, message), None, "a message is torn");
    received(u16::from_le_bytes([message[0], message[1]]), message.position(), message.missed())
}

fn name_of_error(error: &Error) -> u64 {
    match error {
        Error::Full { .. } => FULL,
        Error::TimedOut { .. } => NOTHING,
        Error::NotFound { .. } => NOT_FOUND,
        error => panic!("{error}"),
    }
}

impl Side {
    /// As the model says.
    fn new(store: Store<Raw>, topic: Topic<[u8], Raw>, start: &Model, who: usize) -> Self {
        let subscribe = |position| topic.subscriber(Start::At(position)).unwrap();
        let subscriber = start.cursors[who].map(subscribe);
        let publisher = start.publishes[who].then(|| topic.publisher().unwrap());
        Self { store, topic, publisher, subscriber, who }
    }

    fn publish(&self, len: usize) -> Result<u64, Error> {
        let bytes = payload::make(SEEDS[self.who], len);
        let publisher = self.publisher.as_ref();
        let publish = |publisher: &Publisher<[u8], Raw>| publisher.try_publish(&bytes);
        publisher.map_or(Ok(NO), |publisher| publish(publisher).map(|at| PUBLISHED | at))
    }

    fn join(&mut self, start: Start) -> Result<u64, Error> {
        if self.subscriber.is_some() {
            return Ok(NO);
        }
        self.subscriber = Some(self.topic.subscriber(start)?);
        Ok(YES)
    }

    fn receive(&mut self) -> Result<u64, Error> {
        let Some(subscriber) = &mut self.subscriber else { return Ok(NO) };
        let message = subscriber.recv_timeout(Duration::ZERO)?;
        Ok(message.as_ref().map_or(END, said_of))
    }

    fn act(&mut self, op: Op) -> u64 {
        let region = region(&self.store);
        let answer = match op {
            Op::Publish => self.publish(SMALL),
            Op::PublishLarge => self.publish(LARGE),
            Op::Recv => self.receive(),
            Op::JoinOldest => self.join(Start::Oldest),
            Op::JoinLatest => self.join(Start::Latest),
            Op::Leave => Ok(u64::from(self.subscriber.take().is_some())),
            Op::Produce if self.publisher.is_some() => Ok(NO),
            Op::Produce => self.topic.publisher().map(|publisher| {
                self.publisher = Some(publisher);
                YES
            }),
            Op::Close => Ok(u64::from(self.publisher.take().is_some())),
            Op::HasEnded => {
                let subscriber = self.subscriber.as_ref();
                subscriber.map_or(Ok(false), Subscriber::has_ended).map(u64::from)
            }
            Op::Trim => self.topic.trim(),
            Op::Evict => self.topic.evict().map(u64::from),
            Op::Reap => region.reap().map(|dead| u64::from(dead == 0)),
            Op::Check => region.check().map(|report| {
                assert!(report.is_clean(), "{report}");
                YES
            }),
        };
        answer.unwrap_or_else(|error| name_of_error(&error))
    }

    fn drain(&mut self) -> Vec<u64> {
        let mut said = Vec::new();
        while !matches!(said.last(), Some(&(NO | NOTHING | END))) {
            said.push(self.act(Op::Recv));
        }
        said
    }

    fn state(&mut self) -> State {
        if !region(&self.store).exists(self.topic.key()).unwrap() {
            return State::default();
        }
        let mine = self.drain();
        self.subscriber = None;
        self.subscriber = Some(self.topic.subscriber(Start::At(0)).unwrap());
        let all = self.drain();
        self.subscriber = None;
        let (publisher, bytes) = (self.topic.publisher().unwrap(), payload::make(OLD, SMALL));
        let room = (0..MOST).take_while(|_| publisher.try_publish(&bytes).is_ok()).count();
        State { mine, all, room }
    }

    /// The topic works as if nobody had ever been there, and goes.
    fn end(self, capacity: u64) {
        let Self { store, topic, publisher, subscriber, .. } = self;
        drop((publisher, subscriber));
        region(&store).reap().unwrap();
        if region(&store).exists(topic.key()).unwrap() {
            assert!(topic.subscriber(Start::Latest).unwrap().has_ended().unwrap());
            let publisher = topic.publisher().unwrap();
            let mut subscriber = topic.subscriber(Start::Latest).unwrap();
            for _ in 0..=capacity + 1 {
                let position = publisher.try_publish(&payload::make(OLD, SMALL));
                let said = said_of(&subscriber.try_recv().unwrap().expect("it was published"));
                assert_eq!(said, received(OLD, position.expect("nobody is waited for"), 0));
            }
        }
        let region = region(&store);
        assert_recovers(&region, 0..=0);
        assert_empties(&region, &[]);
    }
}

fn play((start, op): (&Model, Op), (script, errand): (&Script, Errand)) -> Found {
    let options = RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(4);
    let shm = ShmConnector::new(options.anonymous().unwrap());
    let store = Store::builder("scene").connector(shm).codec(Raw).open().unwrap();
    // Warm, so that the victim meets what is usual.
    let warm = store.put(&payload::make(OLD, LARGE)[..]).unwrap();
    assert!(store.evict(warm).unwrap());
    let topic = store.topic_new_with::<[u8]>(&start.options()).unwrap();
    let publisher = topic.publisher().unwrap();
    for (seed, len) in &start.log {
        publisher.publish(&payload::make(*seed, *len)).unwrap();
    }
    drop(publisher);
    let mut world = Side::new(store.clone(), topic.clone(), start, RIVAL);
    let variant = if let Errand::Visit { variant, .. } = errand { variant } else { 0 };
    let (rival, is_killed) = (ALL[variant / 2], variant % 2 == 1);
    let arrive = || Side::new(store.clone(), topic.clone(), start, VICTIM);
    let (mut stopped, found) = Stopped::at((script, errand), arrive, |victim| victim.act(op));
    let rivals_answer = stopped.meanwhile(|| world.act(rival));
    if !is_killed {
        let victims_answer = stopped.go_on();
        let story = (victims_answer, rivals_answer, world.state());
        let ops = [(op, VICTIM), (rival, RIVAL)];
        let orders: Vec<_> = (0..=STEPS).map(|before| told(start, ops, before)).collect();
        assert!(orders.contains(&story), "{start:?} {ops:?}: {story:?} is none of {orders:?}");
        let report = region(&store).check().unwrap();
        assert!(report.is_clean() && report.in_progress == 0, "{report}");
    }
    stopped.kill();
    drop((store, topic));
    world.end(start.capacity);
    found
}

fn duels(what: &str, start: Model, victims: &[Op]) -> Vec<Operation> {
    let duel = |&op: &Op| {
        let start = start.clone();
        Operation {
            what: format!("{op:?} stopped, {what}"),
            variants: ALL.len() * 2,
            scene: Box::new(move |script, errand| play((&start, op), (script, errand))),
        }
    };
    victims.iter().map(duel).collect()
}

#[test]
fn stopped_at_any_instruction_at_a_topic_no_one_waits_and_all_happens_in_some_order() {
    let (here, joins) = (Some, [Op::JoinOldest, Op::JoinLatest]);
    // Of four the first is gone, which the rival has missed.
    let full = Model::new(2, 4, [here(1), here(0)]);
    let limited = Model { max_bytes: 2 * (SMALL + BESIDE), ..Model::new(3, 2, [here(0); 2]) };
    let alone = Model { publishes: [true, false], ..Model::new(2, 0, [here(0); 2]) };
    let nobody = Model { publishes: [false; 2], ..Model::new(2, 2, [here(2), here(1)]) };
    let by_rival = Model::new(2, 3, [here(2), here(1)]).holding_back();
    let by_victim = Model::new(2, 3, [here(1), here(2)]).holding_back();
    let operations: Vec<_> = [
        duels(
            "as many as it keeps",
            full,
            &[Op::Publish, Op::PublishLarge, Op::Recv, Op::Leave, Op::Evict],
        ),
        duels("nobody listens", Model::new(2, 4, [None; 2]), &joins),
        duels("limited", limited, &[Op::Publish, Op::PublishLarge, Op::Recv, Op::Trim]),
        duels("empty, its stream", alone, &[Op::Publish, Op::Recv, Op::Close, Op::HasEnded]),
        duels("nobody publishes", nobody, &[Op::Recv, Op::Produce, Op::HasEnded]),
        duels("held back by the rival", by_rival, &[Op::Publish, Op::Recv, Op::Leave]),
        duels("held back by the victim", by_victim, &[Op::Publish, Op::Recv, Op::Leave]),
        duels("held back by nobody", Model::new(2, 4, [None, here(4)]).holding_back(), &joins),
    ]
    .into_iter()
    .flatten()
    .collect();
    sweep("stop topics", 16, &operations);
}
