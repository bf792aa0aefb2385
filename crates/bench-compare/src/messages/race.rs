//! Many processes that send to many, as fast as they can, over any peer.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use crate::payload::{SMALL, fill};
use crate::process::{Board, Work, run};

const MESSAGES: u64 = 100_000;
/// Tells a consumer that there is nothing more.
const LAST: u64 = u64::MAX;

/// How many take part.
#[derive(Clone, Copy)]
pub struct Crowd {
    pub producers: usize,
    pub consumers: usize,
}

/// Something over which any number of processes send to any number.
pub trait Many: Sized {
    fn new(crowd: Crowd) -> Self;

    /// Sends a message, in a producer.
    fn producer(&self) -> impl FnMut(&[u8; SMALL]);

    /// Receives one and reads it, in a consumer; what it begins with.
    fn consumer(&self) -> impl FnMut() -> u64;
}

struct Race<M> {
    peer: M,
    crowd: Crowd,
    board: Board,
    since: Instant,
}

/// Messages per second.
pub fn rate<M: Many>(crowd: Crowd) -> f64 {
    let Crowd { producers, consumers } = crowd;
    let race = Race { peer: M::new(crowd), crowd, board: Board::new(), since: Instant::now() };
    let race = &race;
    let works: Vec<Box<dyn Fn() + '_>> = (0..producers + consumers)
        .map(|at| -> Box<dyn Fn()> {
            if at < producers {
                Box::new(move || race.produce(at))
            } else {
                Box::new(move || race.consume(at))
            }
        })
        .collect();
    let works: Vec<_> = works.iter().map(|work| Work { processors: &[0, 1], work }).collect();
    run(&works);
    let times = race.board.samples(producers + consumers);
    let begun = times[..producers].iter().copied().fold(f64::INFINITY, f64::min);
    let ended = times[producers..].iter().copied().fold(0.0, f64::max);
    assert_eq!(race.board.line(2, 1).load(SeqCst), MESSAGES);
    MESSAGES as f64 / (ended - begun) * 1e9
}

impl<M: Many> Race<M> {
    fn meet(&self, line: usize) {
        self.board.meet(line, (self.crowd.producers + self.crowd.consumers) as u64);
    }

    fn note_time(&self, at: usize) {
        self.board.set_sample(at, self.since.elapsed().as_nanos() as f64);
    }

    fn produce(&self, at: usize) {
        let Crowd { producers, consumers } = self.crowd;
        let mut send = self.peer.producer();
        let mut bytes = [0; SMALL];
        self.meet(0);
        self.meet(1);
        self.note_time(at);
        for number in 0..MESSAGES / producers as u64 {
            fill(&mut bytes, number);
            send(&bytes);
        }
        // What the last one sends is behind everybody's.
        let is_last = self.board.line(2, 0).fetch_add(1, SeqCst) + 1 == producers as u64;
        if is_last && consumers > 1 {
            fill(&mut bytes, LAST);
            (0..consumers).for_each(|_| send(&bytes));
        }
        self.meet(3);
    }

    fn consume(&self, at: usize) {
        // Once there are producers: a peer may connect those who are there.
        self.meet(0);
        let mut receive = self.peer.consumer();
        self.meet(1);
        let mut count = 0;
        // One alone counts: there may be no order between producers.
        while count < MESSAGES || self.crowd.consumers > 1 {
            match receive() {
                LAST => break,
                _ => count += 1,
            }
        }
        self.note_time(at);
        self.board.line(2, 1).fetch_add(count, SeqCst);
        self.meet(3);
    }
}
