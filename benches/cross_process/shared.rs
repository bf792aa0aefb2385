//! Plain shared memory for the baselines and for what two processes tell each other.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Zeroed memory that forked children share, every page present.
pub(crate) struct Shared {
    memory: MmapRaw,
}

impl Shared {
    pub(crate) fn new(len: usize) -> Self {
        let file = memory_file();
        file.set_len(len as u64).expect("a memory file grows");
        let memory =
            MmapOptions::new().len(len).map_raw(&file).expect("a memory file can be mapped");
        let shared = Self { memory };
        shared.fault_in();
        shared
    }

    /// Makes every page present in this process.
    pub(crate) fn fault_in(&self) {
        for at in (0..self.memory.len()).step_by(4096) {
            // SAFETY: inside the mapping, which lives as long as `self`; nobody minds this byte being written as it is.
            unsafe { self.memory.as_mut_ptr().add(at).write_volatile(0) };
        }
    }

    /// The word at the start of the `line`-th cache line pair.
    pub(crate) fn word(&self, line: usize) -> &AtomicU64 {
        assert!(line * 128 + 8 <= self.memory.len());
        // SAFETY: inside the mapping, aligned, and only ever accessed as an atomic.
        unsafe { &*self.memory.as_ptr().add(line * 128).cast::<AtomicU64>() }
    }

    /// The words of a range of bytes.
    pub(crate) fn words(&self, bytes: Range<usize>) -> &[AtomicU64] {
        assert!(bytes.start.is_multiple_of(8) && bytes.end <= self.memory.len());
        // SAFETY: inside the mapping, aligned, and only ever accessed as atomics.
        unsafe {
            let first = self.memory.as_ptr().add(bytes.start).cast::<AtomicU64>();
            std::slice::from_raw_parts(first, bytes.len() / 8)
        }
    }

    /// Copies into the memory.
    #[inline]
    pub(crate) fn copy_in(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.memory.len());
        // SAFETY: just checked to lie inside the mapping; `bytes` is other memory.
        unsafe {
            self.memory.as_mut_ptr().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// Reads one byte.
    #[inline]
    pub(crate) fn byte(&self, at: usize) -> u8 {
        assert!(at < self.memory.len());
        // SAFETY: just checked to lie inside the mapping.
        unsafe { self.memory.as_ptr().add(at).read_volatile() }
    }
}

/// An empty file in memory.
pub(crate) fn memory_file() -> File {
    File::from(memfd_create(c"inplace-bench", MFdFlags::MFD_CLOEXEC).expect("memory files exist"))
}

/// Spins until the word is another than `last`. Yields now and then: there may be fewer free processors than spinners.
#[inline]
pub(crate) fn spin_while(word: &AtomicU64, last: u64) -> u64 {
    let mut spins = 0_u32;
    loop {
        let value = word.load(Ordering::Acquire);
        if value != last {
            return value;
        }
        std::hint::spin_loop();
        spins += 1;
        if spins.is_multiple_of(1 << 16) {
            std::thread::yield_now();
        }
    }
}

/// Keeps the process on one processor; nothing happens where there is no such one.
pub(crate) fn stay_on(processor: usize) {
    // SAFETY: the set lives on this stack, is all zeros, which is an empty set, and has the size that is passed.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Lets the process run on every processor again.
pub(crate) fn roam() {
    // SAFETY: as in `stay_on`.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for processor in 0..libc::CPU_SETSIZE as usize {
            libc::CPU_SET(processor, &mut set);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}
