//! A process stopped at any instruction of an operation on a queue: whatever another does with the same queue meanwhile does
//! not wait, and what both hear is what one of the two orders gives. See `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use std::time::Duration;

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{Error, Message, QueueOptions, Receiver, Region, RegionOptions, Sender, Store};
use support::payload;
use support::steps::kill::{assert_empties, assert_recovers};
use support::steps::queues::{Bytes, LARGE, SMALL, region};
use support::steps::script::Script;
use support::steps::stop::Stopped;
use support::steps::sweep::{Errand, Found, Operation, sweep};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Send,
    SendLarge,
    Lend,
    Recv,
    Ack,
    GiveBack,
    Produce,
    Close,
    HasEnded,
    Evict,
    Reap,
    Check,
}

const ALL: [Op; 12] = [
    Op::Send,
    Op::SendLarge,
    Op::Lend,
    Op::Recv,
    Op::Ack,
    Op::GiveBack,
    Op::Produce,
    Op::Close,
    Op::HasEnded,
    Op::Evict,
    Op::Reap,
    Op::Check,
];

const VICTIM: usize = 0;
const RIVAL: usize = 1;
/// Of the bytes that each sends, and of those that were there.
const SEEDS: [u16; 2] = [5, 6];
const FIRST: u16 = 1;
const SECOND: u16 = 2;

// What an operation says; a message says its seed and deliveries.
const NO: u64 = 0;
const YES: u64 = 1;
const FULL: u64 = 2;
const NOTHING: u64 = 3;
const END: u64 = 4;
const NOT_FOUND: u64 = 5;

type Letter = (u16, u8);

fn said_of((seed, deliveries): Letter) -> u64 {
    u64::from(seed) << 8 | u64::from(deliveries) | 1 << 7
}

/// The sequential model of a queue, and of what two processes have of it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Model {
    is_there: bool,
    capacity: usize,
    /// In their order, and what was given back, which is received first.
    queue: Vec<Letter>,
    back: Vec<Letter>,
    held: [Vec<Letter>; 2],
    produces: [bool; 2],
}

impl Model {
    fn new(capacity: usize) -> Self {
        let (queue, back, held) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
        Self { is_there: true, capacity, queue, back, held, produces: [true; 2] }
    }

    fn holding(self, letters: &[Letter]) -> Self {
        Self { queue: letters.to_vec(), ..self }
    }

    fn letters(&self) -> usize {
        self.queue.len() + self.back.len() + self.held.iter().map(Vec::len).sum::<usize>()
    }

    fn receive(&mut self) -> Option<Letter> {
        let from = if self.back.is_empty() { &mut self.queue } else { &mut self.back };
        let (seed, deliveries) = (!from.is_empty()).then(|| from.remove(0))?;
        Some((seed, deliveries + 1))
    }

    fn apply(&mut self, op: Op, who: usize) -> u64 {
        let is_sent = matches!(op, Op::Send | Op::SendLarge | Op::Lend);
        match op {
            Op::Reap | Op::Check => YES,
            Op::Evict => u64::from(std::mem::take(&mut self.is_there)),
            Op::Ack if self.held[who].is_empty() => NO,
            Op::Ack => {
                self.held[who].remove(0);
                YES
            }
            Op::GiveBack => {
                let held = std::mem::take(&mut self.held[who]);
                self.back.extend(held);
                YES
            }
            Op::Close => u64::from(std::mem::take(&mut self.produces[who])),
            _ if is_sent && !self.produces[who] => NO,
            Op::Produce if self.produces[who] => NO,
            _ if !self.is_there => NOT_FOUND,
            Op::Produce => {
                self.produces[who] = true;
                YES
            }
            Op::HasEnded => {
                let is_empty = self.queue.is_empty() && self.back.is_empty();
                u64::from(is_empty && self.produces == [false; 2])
            }
            Op::Recv => match self.receive() {
                Some(letter) => {
                    self.held[who].push(letter);
                    said_of(letter)
                }
                None if self.produces == [false; 2] => END,
                None => NOTHING,
            },
            _ if self.letters() >= self.capacity => FULL,
            _ => {
                self.queue.push((SEEDS[who], 0));
                YES
            }
        }
    }

    /// What can be seen in the end; drained by the rival.
    fn state(mut self) -> State {
        if !self.is_there {
            return State { received: vec![NOT_FOUND], unacknowledged: 0 };
        }
        let unacknowledged = self.held.iter().map(|held| held.len() as u64).sum();
        self.held[RIVAL].clear();
        let mut received = Vec::new();
        loop {
            received.push(self.apply(Op::Recv, RIVAL));
            if matches!(received.last(), Some(&(NOTHING | END))) {
                return State { received, unacknowledged };
            }
        }
    }
}

#[derive(PartialEq, Eq, Debug)]
struct State {
    received: Vec<u64>,
    unacknowledged: u64,
}

type Story = (u64, u64, State);

fn told(start: &Model, ops: [(Op, usize); 2]) -> Story {
    let mut model = start.clone();
    let mut answers = [0; 2];
    for (op, who) in ops {
        answers[who] = model.apply(op, who);
    }
    (answers[VICTIM], answers[RIVAL], model.state())
}

/// What one process has of the queue.
struct Side {
    store: Store<Raw>,
    queue: Bytes,
    sender: Option<Sender<[u8], Raw>>,
    receiver: Receiver<[u8], Raw>,
    held: Vec<Message<[u8], Raw>>,
    who: usize,
}

fn letter_of(message: &Message<[u8], Raw>) -> Letter {
    assert_eq!(payload::blame(None, message), None, "a message is torn");
    (u16::from_le_bytes([message[0], message[1]]), message.deliveries())
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
    fn new(store: Store<Raw>, queue: Bytes, who: usize) -> Self {
        let (sender, receiver) = (Some(queue.sender().unwrap()), queue.receiver().unwrap());
        Self { store, queue, sender, receiver, held: Vec::new(), who }
    }

    /// Takes as many messages, and ends producing, as the model says.
    fn settle(&mut self, start: &Model) {
        for _ in &start.held[self.who] {
            self.held.push(self.receiver.try_recv().unwrap().unwrap());
        }
        if !start.produces[self.who] {
            self.sender = None;
        }
    }

    fn send(
        &self,
        send: impl FnOnce(&Sender<[u8], Raw>) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        self.sender.as_ref().map_or(Ok(NO), |sender| send(sender).map(|()| YES))
    }

    fn act(&mut self, op: Op) -> u64 {
        let bytes = |len| payload::make(SEEDS[self.who], len);
        let region: Region = region(&self.store);
        let answer = match op {
            Op::Send => self.send(|sender| sender.try_send(&bytes(SMALL))),
            Op::SendLarge => self.send(|sender| sender.try_send(&bytes(LARGE))),
            Op::Lend => self.send(|sender| {
                let mut loan = sender.try_loan(LARGE)?;
                payload::fill(SEEDS[self.who], &mut loan);
                loan.send()
            }),
            Op::Recv => self.receiver.recv_timeout(Duration::ZERO).map(|message| {
                let said = message.as_ref().map_or(END, |message| said_of(letter_of(message)));
                self.held.extend(message);
                said
            }),
            Op::Ack if self.held.is_empty() => Ok(NO),
            Op::Ack => self.held.remove(0).ack().map(|()| YES),
            Op::GiveBack => {
                self.held.clear();
                Ok(YES)
            }
            Op::Produce if self.sender.is_some() => Ok(NO),
            Op::Produce => self.queue.sender().map(|sender| {
                self.sender = Some(sender);
                YES
            }),
            Op::Close => Ok(u64::from(self.sender.take().is_some())),
            Op::HasEnded => self.receiver.has_ended().map(u64::from),
            Op::Evict => self.queue.evict().map(u64::from),
            Op::Reap => region.reap().map(|dead| u64::from(dead == 0)),
            Op::Check => region.check().map(|report| {
                assert!(report.is_clean(), "{report}");
                YES
            }),
        };
        answer.unwrap_or_else(|error| name_of_error(&error))
    }

    fn state(&mut self) -> State {
        if !region(&self.store).exists(self.queue.key()).unwrap() {
            assert_eq!(self.act(Op::Recv), NOT_FOUND);
            return State { received: vec![NOT_FOUND], unacknowledged: 0 };
        }
        let report = region(&self.store).check().unwrap();
        while self.act(Op::Ack) == YES {}
        let mut received = Vec::new();
        while !matches!(received.last(), Some(&(NOTHING | END))) {
            received.push(self.act(Op::Recv));
        }
        State { received, unacknowledged: report.unacknowledged }
    }

    /// The queue works as if nobody had ever been there, and goes.
    fn end(self, capacity: usize) {
        let Self { store, queue, sender, receiver, held, .. } = self;
        region(&store).reap().unwrap();
        drop((sender, held));
        if region(&store).exists(queue.key()).unwrap() {
            while let Some(message) = receiver.try_recv().unwrap() {
                letter_of(&message);
                message.ack().unwrap();
            }
            assert!(receiver.has_ended().unwrap(), "the dead still produce");
            let sender = queue.sender().unwrap();
            let bytes = payload::make(FIRST, SMALL);
            (0..capacity).for_each(|_| sender.try_send(&bytes).expect("an envelope is lost"));
            assert!(matches!(sender.try_send(&bytes), Err(Error::Full { .. })));
        }
        drop(receiver);
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
    let warm = store.put(&payload::make(FIRST, LARGE)[..]).unwrap();
    assert!(store.evict(warm).unwrap());
    let options = QueueOptions::new(start.capacity as u32).inline_bytes(64).max_deliveries(0);
    let queue = store.queue_new_with(&options).unwrap();
    let mut world = Side::new(store.clone(), queue.clone(), RIVAL);
    for (seed, len) in [(FIRST, LARGE), (SECOND, SMALL)].into_iter().take(start.letters()) {
        world.sender.as_ref().unwrap().send(&payload::make(seed, len)).unwrap();
    }
    if !start.back.is_empty() {
        drop(world.receiver.try_recv().unwrap().unwrap());
    }
    world.settle(start);
    let variant = if let Errand::Visit { variant, .. } = errand { variant } else { 0 };
    let (rival, is_killed) = (ALL[variant / 2], variant % 2 == 1);
    let arrive = || {
        let mut mine = Side::new(store.clone(), queue.clone(), VICTIM);
        mine.settle(start);
        mine
    };
    let (mut stopped, found) = Stopped::at((script, errand), arrive, |victim| victim.act(op));
    let rivals_answer = stopped.meanwhile(|| world.act(rival));
    if !is_killed {
        let victims_answer = stopped.go_on();
        let story = (victims_answer, rivals_answer, world.state());
        let (victim, rival) = ((op, VICTIM), (rival, RIVAL));
        let orders = [told(start, [victim, rival]), told(start, [rival, victim])];
        assert!(
            orders.contains(&story),
            "{start:?} {victim:?} {rival:?}: {story:?} is none of {orders:?}"
        );
        let report = region(&store).check().unwrap();
        assert!(report.is_clean() && report.in_progress == 0, "{report}");
    }
    stopped.kill();
    drop(store);
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
fn stopped_at_any_instruction_at_a_queue_no_one_waits_and_all_happens_in_some_order() {
    const WORK: [Op; 6] = [Op::Send, Op::SendLarge, Op::Lend, Op::Recv, Op::Ack, Op::GiveBack];
    let (first, second) = ((FIRST, 0), (SECOND, 0));
    let two = Model::new(3).holding(&[first, second]);
    let full = Model::new(2).holding(&[first, second]);
    let held = |who: usize| {
        let mut model = Model::new(3).holding(&[second]);
        model.held[who].push((FIRST, 1));
        model
    };
    let back = Model { back: vec![(FIRST, 1)], ..Model::new(3).holding(&[second]) };
    let alone = Model { produces: [true, false], ..Model::new(3) };
    let nobody = Model { produces: [false; 2], ..held(RIVAL) };
    let operations: Vec<_> = [
        duels("two messages", two, &ALL[..10]),
        duels("full", full, &[Op::Send, Op::Lend, Op::Recv]),
        duels("it holds one", held(VICTIM), &WORK),
        duels("a rival holds one", held(RIVAL), &WORK[..4]),
        duels("one was given back", back, &[Op::Send, Op::Recv, Op::HasEnded]),
        duels("empty, its stream", alone, &[Op::Send, Op::Recv, Op::Close, Op::HasEnded]),
        duels("nobody produces", nobody, &[Op::Recv, Op::Produce, Op::HasEnded]),
    ]
    .into_iter()
    .flatten()
    .collect();
    sweep("stop queues", 16, &operations);
}
