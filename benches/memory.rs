//! What objects cost in memory: `cargo bench --bench memory`.
//!
//! Overhead per object; fragmentation after a mixed trace; how much a process grows that reads a hundredth of a large
//! object. The trace takes about a minute; `-- --quick` does a tenth of it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use inplace::{Key, Region, RegionOptions};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

const MIB: f64 = 1048576.0;

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    overhead();
    fragmentation(if is_quick { 100_000 } else { 1_000_000 });
    growth();
}

/// A region with a name, so that its file can be asked for its size.
fn region(what: &str, capacity: u64) -> Region {
    let name = format!("bench-memory-{what}-{}", std::process::id());
    RegionOptions::new()
        .capacity(capacity)
        .max_objects(4_000_000)
        .create(&name)
        .expect("shared memory")
}

/// Bytes of memory the region's file takes, control area and data area.
fn taken(region: &Region) -> u64 {
    let file =
        File::open(format!("/dev/shm/inplace.{}", region.name())).expect("the region's file");
    file.metadata().expect("its size").blocks() * 512
}

fn overhead() {
    println!("overhead per object (the region's file, less its size when empty, less the payload)");
    for (size, count) in [(64, 400_000), (1024, 400_000), (100, 400_000), (65_536, 10_000)] {
        let region = region("overhead", 2 << 30);
        let empty = taken(&region);
        let bytes = vec![7; size];
        for _ in 0..count {
            region.put(&bytes).expect("room");
        }
        let per_object = (taken(&region) - empty) as f64 / f64::from(count);
        println!("{size:>8} B × {count}: {:8.1} B overhead each", per_object - size as f64);
    }
}

/// Xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// 64 B to 16 MiB, every power of two as likely as any other.
    fn size(&mut self) -> usize {
        (64.0 * (self.unit() * 18.0).exp2()) as usize
    }
}

/// Puts and evicts at random with at most 1 GiB alive, and shows what of the committed memory holds no payload.
fn fragmentation(operations: u32) {
    let region = region("fragmentation", 4 << 30);
    let mut random = Random(0x5eed);
    let mut live: Vec<(Key, usize)> = Vec::new();
    let (mut alive, mut most_committed) = (0_usize, 0);
    let payload = vec![7; 16 << 20];
    for operation in 0..operations {
        let size = random.size();
        if alive + size <= 1 << 30 && random.unit() < 0.55 || live.is_empty() {
            live.push((region.put(&payload[..size]).expect("four times the room"), size));
            alive += size;
        } else {
            let (key, size) = live.swap_remove((random.next() % live.len() as u64) as usize);
            assert!(region.evict(key).expect("evict"));
            alive -= size;
        }
        if operation % 10_000 == 0 {
            most_committed = most_committed.max(region.check().expect("check").bytes_committed);
        }
    }
    let report = region.check().expect("check");
    assert!(report.is_clean(), "{report}");
    println!(
        "fragmentation after {operations} puts and evictions of 64 B to 16 MiB, at most 1 GiB alive"
    );
    let show = |what: &str, committed: u64| {
        let lost = 1.0 - alive as f64 / committed as f64;
        println!(
            "  {what}: {:.1} MiB committed, {:.1} % of it no payload",
            committed as f64 / MIB,
            lost * 100.0
        );
    };
    println!(
        "  payload {:.1} MiB in {} objects; in their blocks {:.1} MiB",
        alive as f64 / MIB,
        live.len(),
        report.bytes_in_use as f64 / MIB
    );
    show("at the end", report.bytes_committed);
    region.trim().expect("trim");
    show("after trim", region.check().expect("check").bytes_committed);
    println!("  most that was ever committed: {:.1} MiB", most_committed as f64 / MIB);
}

/// A child gets an object of 1 GiB and reads a hundredth of it.
fn growth() {
    let region = region("growth", 2 << 30);
    // Full pages, so that the object is real memory.
    let key = region.put(&vec![7; 1 << 30]).expect("1 GiB of shared memory");
    // SAFETY: this program has one thread, so the child may do anything.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => {
            waitpid(child, None).expect("wait");
        }
        ForkResult::Child => {
            let before = resident();
            let view = region.get(key).expect("get").expect("there");
            let got = resident() - before;
            let part = &view[view.len() / 2..][..view.len() / 100];
            let sum: u64 = part.iter().map(|&byte| u64::from(byte)).sum();
            assert_eq!(sum, 7 * part.len() as u64);
            println!(
                "a process that gets 1 GiB grows by {got:.2} MiB, having read 1 % of it by {:.2} MiB ({:.2} %)",
                resident() - before,
                (resident() - before) / 10.24
            );
            drop(view);
            std::process::exit(0);
        }
    }
}

/// MiB of memory present in this process, shared pages included.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm");
    pages * 4096.0 / MIB
}
