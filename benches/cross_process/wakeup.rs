//! Waking a process that sleeps on a promise, against waking one that sleeps on a bare futex.
//!
//! The two take turns: each keeps a promise the other sleeps on, and then sleeps on the next one. Promises are made
//! before, and evicted after, the timed part; a sample is half of what a turn of both takes. Turns are timed one by one:
//! on a busy machine now and then one takes as long as somebody else's time slice.

use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use inplace::{Key, Region};

use crate::harness::{Baseline, Case, Sampler, Trial, time_each};
use crate::one_process::region;
use crate::partner::{Mailbox, Partner};
use crate::shared::{Shared, roam, stay_on};

/// Turns for which promises are made at once.
const TURNS: usize = 64;

pub(crate) fn cases() -> Vec<Case> {
    let case = |op, processor| Case::new((op, 64), "futex", move || trial(processor));
    vec![case("wakeup_same_core", 0), case("wakeup_cross_core", 1)]
}

struct Link {
    region: Region,
    /// The promises of a sample, two for each turn; then the two words of the bare futex.
    shared: Shared,
}

fn trial(processor: usize) -> Trial {
    let link = Rc::new(Link {
        region: region(0).region().expect("open").clone(),
        shared: Shared::new(1 << 16),
    });
    let partner = Rc::new(Partner::spawn({
        let link = link.clone();
        move |mailbox, is_bare| {
            stay_on(processor);
            mailbox.back().store(0, Ordering::Release);
            let turns = 0..TURNS;
            if is_bare == 1 {
                turns.for_each(|turn| link.bare((1, 0), turn as u64 + 1, Order::WaitFirst));
            } else {
                turns.for_each(|turn| link.promised((2 * turn + 1, 2 * turn), Order::WaitFirst));
            }
            mailbox.back().store(1, Ordering::Release);
        }
    }));
    let sampler = |is_bare: bool| -> Sampler {
        let (link, partner) = (link.clone(), partner.clone());
        let mut turns = Vec::new();
        Box::new(move || {
            if turns.is_empty() {
                stay_on(0);
                turns = link.turns(&partner, is_bare);
                roam();
            }
            turns.pop().unwrap_or(f64::NAN)
        })
    };
    Trial { subject: sampler(false), baseline: Baseline::Of(sampler(true)) }
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    WaitFirst,
    WakeFirst,
}

impl Link {
    fn turns(&self, partner: &Partner, is_bare: bool) -> Vec<f64> {
        let keys: Vec<Key> =
            (0..2 * TURNS).map(|_| self.region.reserve().expect("there is room")).collect();
        for (word, key) in self.promises().iter().zip(&keys) {
            word.store(key.object(), Ordering::Relaxed);
        }
        self.bare_words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        partner.start(u64::from(is_bare));
        wait_until_asleep(partner.mailbox());
        let turn = |turn: usize| {
            time_each(1, |_| match is_bare {
                true => self.bare((0, 1), turn as u64 + 1, Order::WakeFirst),
                false => self.promised((2 * turn, 2 * turn + 1), Order::WakeFirst),
            }) / 2.0
        };
        let times = (0..TURNS).map(turn).collect();
        while partner.mailbox().back().load(Ordering::Acquire) != 1 {
            std::thread::yield_now();
        }
        for key in keys {
            self.region.evict(key).expect("attached");
        }
        times
    }

    fn promises(&self) -> &[AtomicU64] {
        self.shared.words(0..2 * TURNS * 8)
    }

    fn bare_words(&self) -> [&AtomicU64; 2] {
        [self.shared.word(256), self.shared.word(257)]
    }

    /// Keeps one promise and waits for another.
    fn promised(&self, (mine, other): (usize, usize), order: Order) {
        let key =
            |at: usize| Key::new(self.region.id(), self.promises()[at].load(Ordering::Relaxed));
        let keep = || self.region.set(key(mine), &[7; 64]).expect("there is room");
        if order == Order::WakeFirst {
            keep();
        }
        let value = self.region.wait(key(other), None).expect("it is kept");
        assert_eq!(value[0], 7);
        if order == Order::WaitFirst {
            keep();
        }
    }

    /// Changes one word and waits until the other has changed as well.
    fn bare(&self, (mine, other): (usize, usize), turn: u64, order: Order) {
        let words = self.bare_words();
        let keep = || {
            words[mine].store(turn, Ordering::SeqCst);
            futex_wake(words[mine]);
        };
        if order == Order::WakeFirst {
            keep();
        }
        while words[other].load(Ordering::SeqCst) != turn {
            futex_wait(words[other], turn as u32 - 1);
        }
        if order == Order::WaitFirst {
            keep();
        }
    }
}

/// Gives the partner time to go to sleep.
fn wait_until_asleep(mailbox: &Mailbox) {
    while mailbox.back().load(Ordering::Acquire) != 0 {
        std::thread::yield_now();
    }
    std::thread::sleep(std::time::Duration::from_micros(200));
}

fn futex_wait(word: &AtomicU64, expected: u32) {
    let no_limit = ptr::null::<libc::timespec>();
    // SAFETY: the kernel compares the word's low half, which is at its address, and writes nothing.
    unsafe {
        libc::syscall(libc::SYS_futex, ptr::from_ref(word), libc::FUTEX_WAIT, expected, no_limit)
    };
}

fn futex_wake(word: &AtomicU64) {
    // SAFETY: the kernel uses the address only to find sleepers.
    unsafe { libc::syscall(libc::SYS_futex, ptr::from_ref(word), libc::FUTEX_WAKE, i32::MAX) };
}
