//! Runs the scenes of many operations, two at a time, and counts.
//!
//! `INPLACE_STEPS` says how many scenes of each operation are played, `INPLACE_SEED` which. `INPLACE_STEPS=all` plays all
//! variants of every instruction; `INPLACE_STEPS=turns` one variant of every instruction but those of the middle rounds of
//! loops that go round hundreds of times. `INPLACE_ONLY` plays those operations only whose names contain it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use nix::sys::wait::WaitStatus;

use super::script::Script;
use crate::support::random::Random;
use crate::support::shared::{Atomics, Shared};
use crate::support::{own_shared_memory, start_child, watch_for};

/// What a scene is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errand {
    /// Step through the operation and write it down.
    Record,
    /// Act where so many instructions are done, in one of the operation's variants.
    Visit { place: usize, variant: usize, exactly: bool },
}

/// What a scene found; that all was well it says by ending well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    Inside,
    Astray,
}

type Scene = Box<dyn Fn(&Script, Errand) -> Found + Sync>;

/// One operation.
pub struct Operation {
    pub what: String,
    /// How many scenes there are of each place.
    pub variants: usize,
    pub scene: Scene,
}

const MOST: usize = 64;
const TEXT: usize = 4096;
const ASTRAY: i32 = 3;

#[derive(Debug)]
struct Tally {
    places: AtomicU64,
    scenes: AtomicU64,
    clean: AtomicU64,
    astray: AtomicU64,
    micros: AtomicU64,
}

/// What launchers and scenes tell the test.
struct Board {
    tallies: [Tally; MOST],
    next: AtomicU32,
    failures: AtomicU32,
    text_len: AtomicU64,
    text: [AtomicU64; TEXT],
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Board {}

impl Board {
    /// Adds to what is printed in the end, as far as there is room.
    fn say(&self, what: &str) {
        let bytes = what.len().div_ceil(8) * 8;
        let at = self.text_len.fetch_add(bytes as u64, Ordering::SeqCst) as usize / 8;
        for (word, chunk) in self.text.iter().skip(at).zip(what.as_bytes().chunks(8)) {
            let mut padded = [b' '; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(padded), Ordering::SeqCst);
        }
    }

    fn said(&self) -> String {
        let len = (self.text_len.load(Ordering::SeqCst) as usize / 8).min(TEXT);
        let bytes: Vec<u8> = self.text[..len]
            .iter()
            .flat_map(|word| word.load(Ordering::SeqCst).to_le_bytes())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Which places are tried.
#[derive(Clone, Copy, Debug)]
enum Choice {
    All,
    Turns,
    Some(u64),
}

impl Choice {
    /// `few`: how many scenes of an operation a quick run makes.
    fn read(few: u64) -> Self {
        match std::env::var("INPLACE_STEPS").ok().as_deref() {
            None => Self::Some(few),
            Some("all") => Self::All,
            Some("turns") => Self::Turns,
            Some(number) => {
                Self::Some(number.parse().expect("INPLACE_STEPS is a number, all or turns"))
            }
        }
    }
}

/// Launchers at work at once.
const LAUNCHERS: usize = 2;
/// A scene ends much sooner.
const SCENE_SECONDS: u32 = 240;

/// Runs scenes at places of every operation; `few` of each unless told otherwise.
pub fn sweep(title: &str, few: u64, operations: &[Operation]) {
    let _alone = crate::support::alone();
    let only = std::env::var("INPLACE_ONLY").unwrap_or_default();
    let operations: Vec<_> = operations.iter().filter(|it| it.what.contains(&only)).collect();
    let operations = &operations[..];
    let (seed, choice, start) = (Random::seed(title), Choice::read(few), Instant::now());
    assert!(operations.len() <= MOST);
    let board = Shared::<Board>::new();
    watch_for(6 * 3600);
    crate::support::payload::prepare();
    let launchers: Vec<_> = (0..LAUNCHERS)
        .map(|_| {
            start_child(|| Launcher { board, seed, choice, script: Script::new() }.work(operations))
        })
        .collect();
    let ends: Vec<_> = launchers.into_iter().map(|launcher| launcher.wait()).collect();
    let all: Vec<_> = board.tallies[..operations.len()].iter().collect();
    let sum = |of: fn(&Tally) -> &AtomicU64| {
        all.iter().map(|tally| of(tally).load(Ordering::SeqCst)).sum::<u64>()
    };
    for (operation, tally) in operations.iter().zip(&all) {
        let [places, scenes, clean, astray, micros] =
            [&tally.places, &tally.scenes, &tally.clean, &tally.astray, &tally.micros]
                .map(|n| n.load(Ordering::SeqCst));
        let (what, seconds) = (&operation.what, micros as f64 / 1e6);
        println!(
            "{what:50} {places:7} places {scenes:7} scenes {clean:7} clean {astray:5} astray {seconds:8.1} s"
        );
    }
    println!(
        "{title}: {} operations, {} places, {} scenes, {} clean, in {:.1} s",
        operations.len(),
        sum(|tally| &tally.places),
        sum(|tally| &tally.scenes),
        sum(|tally| &tally.clean),
        start.elapsed().as_secs_f64()
    );
    print!("{}", board.said());
    assert!(ends.iter().all(|end| matches!(end, WaitStatus::Exited(_, 0))), "launchers: {ends:?}");
    assert_eq!(sum(|tally| &tally.clean), sum(|tally| &tally.scenes));
    assert!(all.iter().all(|tally| tally.clean.load(Ordering::SeqCst) > 0));
}

/// Whether this launcher and its scenes have a /dev/shm of their own.
static ALONE: AtomicBool = AtomicBool::new(false);

/// The name of a scene's region.
pub fn region_name() -> String {
    if ALONE.load(Ordering::SeqCst) {
        "scene".into()
    } else {
        format!("scene-{:010}", std::process::id())
    }
}

/// Panics when a scene left a file.
pub fn assert_no_file_is_left() {
    let entries = std::fs::read_dir("/dev/shm").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let own = format!("inplace.scene-{:010}", std::process::id());
    let left: Vec<_> = names.filter(|name| ALONE.load(Ordering::SeqCst) || *name == own).collect();
    assert!(left.is_empty(), "left in /dev/shm: {left:?}");
}

struct Launcher {
    board: Shared<Board>,
    seed: u64,
    choice: Choice,
    script: Shared<Script>,
}

impl Launcher {
    fn work(&self, operations: &[&Operation]) -> i32 {
        watch_for(6 * 3600);
        match own_shared_memory("1g") {
            Ok(()) => ALONE.store(true, Ordering::SeqCst),
            Err(error) => self.board.say(&format!("scenes share the /dev/shm of all: {error}\n")),
        }
        let board = self.board.get();
        std::panic::set_hook(Box::new(|panic| board.say(&format!("{panic}\n"))));
        // When there are few places, recording takes most of the time: then nobody records what another has.
        let parts = if matches!(self.choice, Choice::Some(_)) { 1 } else { LAUNCHERS };
        loop {
            let job = self.board.next.fetch_add(1, Ordering::SeqCst) as usize;
            let Some(operation) = operations.get(job / parts) else { return 0 };
            self.run(operation, &self.board.tallies[job / parts], (job % parts, parts));
            if self.board.failures.load(Ordering::SeqCst) > 5 {
                return 1;
            }
        }
    }

    /// All scenes of an operation, or every `parts`-th.
    fn run(&self, operation: &Operation, tally: &Tally, (part, parts): (usize, usize)) {
        let start = Instant::now();
        if !self.play(operation, tally, Errand::Record) {
            return;
        }
        let len = self.script.len();
        tally.places.store(len as u64, Ordering::SeqCst);
        let mut random = Random::new(self.seed ^ operation.what.len() as u64);
        let count = match self.choice {
            Choice::All => len * operation.variants,
            Choice::Turns => self.script.turns(),
            Choice::Some(count) => count as usize,
        };
        for n in 0..count {
            let drawn = random.below((len * operation.variants) as u64) as usize;
            let (place, variant) = match self.choice {
                Choice::All => (1 + n / operation.variants, n % operation.variants),
                Choice::Turns => (self.script.turn(n), drawn % operation.variants),
                Choice::Some(_) => (1 + drawn / operation.variants, drawn % operation.variants),
            };
            if n % parts == part {
                self.play(operation, tally, Errand::Visit { place, variant, exactly: false });
            }
            if self.board.failures.load(Ordering::SeqCst) > 5 {
                return;
            }
        }
        if parts > 1 {
            let (what, clean) = (&operation.what, tally.clean.load(Ordering::SeqCst));
            eprintln!("{what}: part {part} is done, {clean} scenes are clean so far");
        }
        tally.micros.fetch_add(start.elapsed().as_micros() as u64, Ordering::SeqCst);
    }

    fn play(&self, operation: &Operation, tally: &Tally, errand: Errand) -> bool {
        tally.scenes.fetch_add(1, Ordering::SeqCst);
        let scene = start_child(|| {
            watch_for(SCENE_SECONDS);
            // SAFETY: only says who waits for the children of ended children.
            unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
            match (operation.scene)(&self.script, errand) {
                Found::Inside => 0,
                Found::Astray => ASTRAY,
            }
        });
        let end = scene.wait();
        match (end, errand) {
            (WaitStatus::Exited(_, 0), _) => {}
            (WaitStatus::Exited(_, ASTRAY), Errand::Visit { place, variant, exactly: false }) => {
                // It went well there, too; and now every instruction is counted.
                tally.astray.fetch_add(1, Ordering::SeqCst);
                tally.clean.fetch_add(1, Ordering::SeqCst);
                return self.play(
                    operation,
                    tally,
                    Errand::Visit { place, variant, exactly: true },
                );
            }
            (WaitStatus::Exited(_, ASTRAY), _) => {}
            _ => {
                self.board.failures.fetch_add(1, Ordering::SeqCst);
                self.board.say(&format!(
                    "{}: {errand:?} of {}: {end:?}\n",
                    operation.what,
                    self.script.len()
                ));
                return false;
            }
        }
        tally.clean.fetch_add(1, Ordering::SeqCst);
        true
    }
}
