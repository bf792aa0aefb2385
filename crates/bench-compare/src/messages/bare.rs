//! Shared memory and nothing else: a number that says that the bytes beside it are there, waited for busily or on a futex.

use std::hint::spin_loop;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

use crate::payload::{SMALL, fill, read};
use crate::play::{End, Peer, Plan};
use crate::process::{Board, wait, wake};

pub struct Bare {
    board: Board,
    parked: bool,
}

struct BareEnd<'a> {
    board: &'a Board,
    parked: bool,
    lines: [usize; 2],
    sent: u64,
    received: u64,
    buffer: [u8; SMALL],
}

impl Peer for Bare {
    fn new(plan: &Plan) -> Self {
        assert_eq!(plan.bytes, SMALL);
        Self { board: Board::new(), parked: plan.parked }
    }

    fn open(&self, is_first: bool) -> impl End {
        let lines = if is_first { [4, 5] } else { [5, 4] };
        let (board, parked) = (&self.board, self.parked);
        BareEnd { board, parked, lines, sent: 0, received: 0, buffer: [0; SMALL] }
    }
}

impl BareEnd<'_> {
    fn word(&self, way: usize, at: usize) -> &AtomicU64 {
        self.board.line(self.lines[way], at)
    }
}

impl End for BareEnd<'_> {
    #[inline]
    fn send(&mut self, first: u64) {
        fill(&mut self.buffer, first);
        for (at, word) in self.buffer.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            self.word(0, at + 1).store(word, Relaxed);
        }
        self.sent += 1;
        self.word(0, 0).store(self.sent, SeqCst);
        if self.parked {
            wake(self.word(0, 0));
        }
    }

    #[inline]
    fn receive(&mut self) -> u64 {
        while self.word(1, 0).load(Acquire) == self.received {
            if self.parked {
                wait(self.word(1, 0), self.received);
            } else {
                spin_loop();
            }
        }
        self.received += 1;
        let mut bytes = [0; SMALL];
        for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&self.word(1, at + 1).load(Relaxed).to_le_bytes());
        }
        read(&bytes)
    }
}
