//! Processes that send, receive, acknowledge, give back, lend, and produce anew are killed and stopped at any moment, while
//! others go on: no message is lost, none comes back that was acknowledged, and nothing is left.
//!
//! `INPLACE_STORM_SECONDS` says how long, `INPLACE_SEED` with which random numbers.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{
    Error, Message, Queue, QueueOptions, Receiver, Region, RegionOptions, Sender, Store,
};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use support::random::Random;
use support::shared::{Atomics, Shared};
use support::{Forked, alone, end_with_parent, payload, start_child, watch};

const MESSAGES: usize = 1 << 20;
const PROCESSES: usize = 5;
const CAPACITY: u32 = 12;

// What is known of a message.
const ATTEMPTED: u64 = 1;
const SENT: u64 = 2;
const REFUSED: u64 = 4;
const ACK_BEGUN: u64 = 8;
const ACKED: u64 = 16;

struct Board {
    next: AtomicU64,
    known: [AtomicU64; MESSAGES],
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Board {}

impl Board {
    fn say(&self, id: u64, what: u64) {
        self.known[id as usize].fetch_or(what, Ordering::SeqCst);
    }

    fn knows(&self, id: u64) -> u64 {
        self.known[id as usize].load(Ordering::SeqCst)
    }
}

fn store() -> (Store<Raw>, Region) {
    watch();
    let options = RegionOptions::new().capacity(16 << 20).max_objects(500).max_participants(12);
    let region = options.anonymous().unwrap();
    let connector = ShmConnector::new(region.clone());
    let store = Store::builder("storm").connector(connector).codec(Raw).open().unwrap();
    (store, region)
}

/// The number of a message, then bytes that say what they should be.
fn fill(id: u64, bytes: &mut [u8]) {
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    payload::fill(id as u16, &mut bytes[8..]);
}

struct Worker {
    board: Shared<Board>,
    queue: Queue<[u8], Raw>,
    region: Region,
    sender: Sender<[u8], Raw>,
    receiver: Receiver<[u8], Raw>,
    held: Vec<(u64, Message<[u8], Raw>)>,
    random: Random,
}

impl Worker {
    fn send(&mut self, is_lent: bool) {
        let id = self.board.next.fetch_add(1, Ordering::SeqCst);
        let len = [24, 60, 300, 5000][self.random.below(4) as usize];
        self.board.say(id, ATTEMPTED);
        let sent = if is_lent {
            self.sender.try_loan(len).and_then(|mut loan| {
                fill(id, &mut loan);
                loan.send()
            })
        } else {
            let mut bytes = vec![0; len];
            fill(id, &mut bytes);
            self.sender.try_send(&bytes)
        };
        match sent {
            Ok(()) => self.board.say(id, SENT),
            Err(Error::Full { .. }) => self.board.say(id, REFUSED),
            Err(error) => panic!("message {id}: {error}"),
        }
    }

    fn received(&mut self, message: Message<[u8], Raw>) {
        let id = u64::from_le_bytes(message[..8].try_into().unwrap());
        assert_eq!(payload::blame(Some(id as u16), &message[8..]), None, "message {id}");
        let known = self.board.knows(id);
        assert_eq!(known & (ATTEMPTED | REFUSED | ACKED), ATTEMPTED, "message {id}: {known:b}");
        self.held.push((id, message));
    }

    fn acknowledge(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let at = self.random.below(self.held.len() as u64) as usize;
        let (id, message) = self.held.swap_remove(at);
        self.board.say(id, ACK_BEGUN);
        message.ack().unwrap();
        self.board.say(id, ACKED);
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..10 => self.send(false),
            10..14 => self.send(true),
            14..26 if self.held.len() < 3 => {
                if let Some(message) = self.receiver.try_recv().unwrap() {
                    self.received(message);
                }
            }
            26..36 => self.acknowledge(),
            36 => drop(self.held.pop()),
            37 => self.sender = self.queue.sender().unwrap(),
            38 => drop(self.receiver.has_ended().unwrap()),
            39 => drop(self.region.reap().unwrap()),
            _ => self.acknowledge(),
        }
    }
}

/// A process at work until it is killed.
fn start(
    (board, seed): (Shared<Board>, u64),
    (queue, region): (&Queue<[u8], Raw>, &Region),
) -> Forked {
    start_child(|| {
        end_with_parent();
        let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        let (queue, region) = (queue.clone(), region.clone());
        let (held, random) = (Vec::new(), Random::new(seed));
        let mut worker = Worker { board, queue, region, sender, receiver, held, random };
        while board.next.load(Ordering::SeqCst) + 100 < MESSAGES as u64 {
            worker.step();
        }
        0
    })
}

#[test]
fn killed_and_stopped_at_any_moment_processes_lose_no_message_and_double_none() {
    let _alone = alone();
    payload::prepare();
    let seconds = std::env::var("INPLACE_STORM_SECONDS").ok().and_then(|it| it.parse().ok());
    let (store, region) = store();
    let board = Shared::<Board>::new();
    let mut random = Random::new(Random::seed("storm of queues"));
    let options = QueueOptions::new(CAPACITY).inline_bytes(64).max_deliveries(0);
    let queue = store.queue_new_with::<[u8]>(&options).unwrap();
    let begin = |random: &mut Random| start((board, random.draw()), (&queue, &region));
    let mut children: Vec<Forked> = (0..PROCESSES).map(|_| begin(&mut random)).collect();
    let (started, mut kills) = (Instant::now(), 0);
    let limit = Duration::from_secs_f64(seconds.unwrap_or(4.0));
    support::watch_for(limit.as_secs() as u32 + 100);
    while started.elapsed() < limit && board.next.load(Ordering::SeqCst) + 100 < MESSAGES as u64 {
        std::thread::sleep(Duration::from_micros(random.below(3000)));
        let at = random.below(PROCESSES as u64) as usize;
        if random.below(3) == 0 {
            kill(children[at].0, Signal::SIGSTOP).unwrap();
            std::thread::sleep(Duration::from_micros(random.below(5000)));
            kill(children[at].0, Signal::SIGCONT).unwrap();
            continue;
        }
        let victim = children.swap_remove(at);
        kill(victim.0, Signal::SIGKILL).unwrap();
        let end = victim.wait();
        let is_killed = matches!(end, WaitStatus::Signaled(_, Signal::SIGKILL, _));
        assert!(is_killed || matches!(end, WaitStatus::Exited(_, 0)), "see above: {end:?}");
        kills += 1;
        children.push(begin(&mut random));
    }
    children.into_iter().for_each(Forked::kill);
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0 && report.unacknowledged == 0, "{report}");
    let left = drain(&queue);
    let count = board.next.load(Ordering::SeqCst);
    for id in 0..count {
        let known = board.knows(id);
        let times = left.iter().filter(|left| **left == id).count();
        let allowed = match known {
            _ if known & (ACKED | REFUSED) != 0 => 0..=0,
            _ if known & ACK_BEGUN != 0 || known & SENT == 0 => 0..=1,
            _ => 1..=1,
        };
        assert!(allowed.contains(&times), "message {id}, {known:b}, is left {times} times");
    }
    let acked = (0..count).filter(|id| board.knows(*id) & ACKED != 0).count();
    println!("{kills} kills, {count} messages, {acked} acknowledged, {} left", left.len());
    assert!(kills > 20 && acked > 100, "nothing was tried");
    assert!(queue.evict().unwrap());
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.bytes_in_use == 0 && report.pins == 0, "{report}");
}

/// What is left in the queue, which has room for as many as ever then.
fn drain(queue: &Queue<[u8], Raw>) -> Vec<u64> {
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let mut left = Vec::new();
    while let Some(message) = receiver.try_recv().unwrap() {
        left.push(u64::from_le_bytes(message[..8].try_into().unwrap()));
        message.ack().unwrap();
    }
    for _ in 0..CAPACITY {
        sender.try_send(&[0; 100]).expect("an envelope is lost");
    }
    assert!(matches!(sender.try_send(&[]), Err(Error::Full { .. })));
    sender.close();
    assert_eq!(receiver.iter().map(|message| message.unwrap().ack().unwrap()).count(), 12);
    left
}
