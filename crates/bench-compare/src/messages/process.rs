//! Processes that take part in a measurement, and the memory they share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use memmap2::MmapMut;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Seconds until a process is ended that waits for what never comes.
const PATIENCE: u32 = 120;
const LINE: usize = 128;
const LINES: usize = 16;
pub const SAMPLES: usize = 4096;

/// Lines of memory, each of another processor's if need be, and samples.
pub struct Board(MmapMut);

impl Board {
    pub fn new() -> Self {
        // `map_anon` is private to a process.
        let file = memfd_create(c"board", MFdFlags::MFD_CLOEXEC).expect("memory");
        let file = std::fs::File::from(file);
        file.set_len((LINE * LINES + SAMPLES * 8) as u64).expect("memory");
        // SAFETY: nobody else knows the file, and only atomics are made of it.
        Self(unsafe { MmapMut::map_mut(&file) }.expect("memory"))
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset + 8 <= self.0.len());
        // SAFETY: inside the mapping, aligned, and only ever used as this.
        unsafe { &*self.0.as_ptr().add(offset).cast::<AtomicU64>() }
    }

    /// A word of a line.
    #[inline]
    pub fn line(&self, line: usize, word: usize) -> &AtomicU64 {
        assert!(line < LINES && word < LINE / 8);
        self.word(line * LINE + word * 8)
    }

    pub fn set_sample(&self, at: usize, nanoseconds: f64) {
        self.word(LINE * LINES + at * 8).store(nanoseconds.to_bits(), SeqCst);
    }

    pub fn samples(&self, count: usize) -> Vec<f64> {
        let sample = |at| f64::from_bits(self.word(LINE * LINES + at * 8).load(SeqCst));
        (0..count).map(sample).collect()
    }

    /// Waits until so many have come here; each line is one place to meet.
    pub fn meet(&self, line: usize, count: u64) {
        let word = self.line(line, 0);
        let mut here = word.fetch_add(1, SeqCst) + 1;
        wake(word);
        while here < count {
            wait(word, here);
            here = word.load(SeqCst);
        }
    }
}

fn futex(word: &AtomicU64, operation: i32, value: u64) {
    let no_limit = ptr::null::<libc::timespec>();
    let value = value as u32;
    // SAFETY: the kernel compares the word's low half, which is at its address, or looks for sleepers there.
    unsafe { libc::syscall(libc::SYS_futex, ptr::from_ref(word), operation, value, no_limit) };
}

/// Sleeps, if the word is still this.
pub fn wait(word: &AtomicU64, value: u64) {
    futex(word, libc::FUTEX_WAIT, value);
}

pub fn wake(word: &AtomicU64) {
    futex(word, libc::FUTEX_WAKE, i32::MAX as u64);
}

pub fn stay_on(processors: &[usize]) {
    let mut set = CpuSet::new();
    processors.iter().for_each(|&it| set.set(it).expect("a small number"));
    sched_setaffinity(Pid::from_raw(0), &set).expect("the processors are there");
}

/// What a process does, and where.
pub struct Work<'a> {
    pub processors: &'a [usize],
    pub work: &'a dyn Fn(),
}

/// Does each in a process of its own, until all are done.
///
/// # Panics
/// One of them did, or was not done after two minutes.
pub fn run(works: &[Work<'_>]) {
    let mut left: Vec<Pid> = works.iter().map(start).collect();
    while !left.is_empty() {
        let ended = waitpid(left[0], None).expect("a child of this process");
        let child = left.remove(0);
        if ended != WaitStatus::Exited(child, 0) {
            for other in left {
                let _may_be_dead = kill(other, Signal::SIGKILL);
                let _ = waitpid(other, None);
            }
            panic!("a process that takes part has failed: {ended:?}");
        }
    }
}

fn start(work: &Work<'_>) -> Pid {
    // SAFETY: this process has no thread that the child would miss, and the child ends by `_exit`.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
            nix::unistd::alarm::set(PATIENCE);
            stay_on(work.processors);
            let is_done = catch_unwind(AssertUnwindSafe(work.work)).is_ok();
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(!is_done)) }
        }
    }
}
