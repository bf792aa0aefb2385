//! Two processes that take turns, over any peer.

use std::time::{Duration, Instant};

use crate::payload::SMALL;
use crate::process::{Board, SAMPLES, Work, run};
use crate::report::median;

/// What two processes do to each other.
#[derive(Clone, Copy)]
pub struct Plan {
    pub bytes: usize,
    /// The message is made where it is sent from, not copied there.
    pub in_place: bool,
    /// Inplace's messages lie in the queue.
    pub inline: bool,
    /// The receiver sleeps until it is woken; else it looks again and again, if the peer can.
    pub parked: bool,
    pub processors: [usize; 2],
    pub turns: usize,
    /// Memory is loaned before it is known what for, if the peer can.
    pub ahead: bool,
    /// Turns per sample.
    pub batch: usize,
}

impl Plan {
    pub const BUSY: Self = Self {
        bytes: SMALL,
        in_place: false,
        inline: true,
        parked: false,
        processors: [0, 1],
        ahead: false,
        turns: 6_000,
        batch: 10,
    };
}

/// One end of two ways between two processes.
pub trait End {
    /// Sends a message that begins with this number.
    fn send(&mut self, first: u64);

    /// Receives one, and reads it; what it begins with.
    fn receive(&mut self) -> u64;
}

/// Something that carries messages from a process to another, made before both are.
pub trait Peer: Sized {
    fn new(plan: &Plan) -> Self;

    /// The end of one of both processes, in that process.
    fn open(&self, is_first: bool) -> impl End;
}

/// Nanoseconds of a turn there and back: the median of the samples.
pub fn ping_pong<P: Peer>(plan: &Plan) -> f64 {
    let (board, peer) = (Board::new(), P::new(plan));
    let count = plan.turns / plan.batch;
    assert!(count <= SAMPLES);
    let [first, second] = plan.processors;
    let begin = || {
        let mut end = peer.open(true);
        board.meet(0, 2);
        if plan.parked {
            // The other sleeps by then, and the scheduler holds nothing against either for what was before.
            std::thread::sleep(Duration::from_millis(40));
        }
        let mut number = 1;
        for sample in 0..count {
            let start = Instant::now();
            for _ in 0..plan.batch {
                end.send(number);
                assert_eq!(end.receive(), number + 1);
                number += 2;
            }
            board.set_sample(sample, start.elapsed().as_nanos() as f64 / plan.batch as f64);
        }
        board.meet(1, 2);
    };
    let answer = || {
        let mut end = peer.open(false);
        board.meet(0, 2);
        for _ in 0..count * plan.batch {
            let number = end.receive();
            end.send(number + 1);
        }
        board.meet(1, 2);
    };
    run(&[
        Work { processors: &[first], work: &begin },
        Work { processors: &[second], work: &answer },
    ]);
    median(board.samples(count).split_off(count / 10))
}
