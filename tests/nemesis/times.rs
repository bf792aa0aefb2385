//! Two measures of what the dead cost the living, each printed as a table.
//!
//! `INPLACE_KILLS` says how many processes are killed for the first, `INPLACE_STORM_SECONDS` how long the second takes.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use inplace::{Error, Fingerprint, Key, Region, RegionOptions};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::board::{Board, Lie, Order};
use super::patience::waited_for_a_processor;
use super::storm::{self, Weather};
use super::support::random::Random;
use super::support::shared::{Atomics, Shared};
use super::support::{Forked, Name, alone, end_with_parent, payload, start_child, watch_for};
use super::victim::Setting;

/// Of durations, in order.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The least that `share` of them do not exceed.
    fn at(&self, share: f64) -> Duration {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    fn print(&self, what: &str, own: &str) {
        println!(
            "| {what:<54} | {:>8} | {:>9.1?} | {:>9.1?} | {:>9.1?} | {:>9.1?} | {own:>9} |",
            self.0.len(),
            self.at(0.5),
            self.at(0.99),
            self.at(0.999),
            self.at(1.0)
        );
    }
}

fn print_head(what: &str, own: &str) {
    println!(
        "| {what:<54} |        n |       p50 |       p99 |     p99.9 |       max | {own:>9} |"
    );
    println!("|---|---|---|---|---|---|---|");
}

/// How a victim holds the memory that a survivor needs.
#[derive(Clone, Copy, Debug)]
enum Hold {
    Loan,
    ViewOfEvicted,
    PromiseBeingFilled,
    HalfWrittenPut,
}

const HOLDS: [Hold; 4] =
    [Hold::Loan, Hold::ViewOfEvicted, Hold::PromiseBeingFilled, Hold::HalfWrittenPut];
const UNIT: usize = 64 << 10;
const BLOCK: usize = 16 * UNIT;

struct Stage(AtomicU32);

// SAFETY: made of atomics only.
unsafe impl Atomics for Stage {}

fn until_killed(stage: Shared<Stage>) -> ! {
    stage.0.store(1, SeqCst);
    loop {
        nix::unistd::pause();
    }
}

/// In the victim.
fn hold(region: &Region, how: Hold, key: Option<Key>, stage: Shared<Stage>) -> i32 {
    let mut fill = |out: &mut inplace::connector::BlockWriter<'_>| {
        out.write(&vec![1; BLOCK / 2]);
        until_killed(stage)
    };
    let _held = match how {
        Hold::Loan => region.loan(BLOCK, Fingerprint::BYTES).map(drop_never),
        Hold::ViewOfEvicted => region.get(key.unwrap()).map(drop_never),
        Hold::PromiseBeingFilled => {
            let promise = region.reserve().unwrap();
            region.set_with(promise, BLOCK, Fingerprint::BYTES, &mut fill)
        }
        Hold::HalfWrittenPut => {
            region.put_with(BLOCK, Fingerprint::BYTES, &mut fill).map(drop_never)
        }
    };
    until_killed(stage)
}

fn drop_never<T>(held: T) {
    std::mem::forget(held);
}

/// Kills one who holds the block; how long until a survivor has put into it: from the kill, and from the death.
fn kill_and_put(region: &Region, how: Hold) -> (Duration, Duration) {
    let stage = Shared::<Stage>::new();
    let key = matches!(how, Hold::ViewOfEvicted).then(|| region.put(&vec![2; BLOCK]).unwrap());
    let victim = start_child(|| {
        end_with_parent();
        hold(region, how, key, stage)
    });
    while stage.0.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
    if let Some(key) = key {
        assert!(region.evict(key).unwrap());
    }
    let bytes = vec![3; BLOCK];
    let refused = region.put(&bytes);
    assert!(matches!(refused, Err(Error::OutOfSpace { .. })), "{how:?} holds what is needed");
    let start = Instant::now();
    kill(victim.0, Signal::SIGKILL).unwrap();
    let mut died = None;
    let key = loop {
        if died.is_none() && is_dead(victim.0) {
            died = Some(Instant::now());
        }
        match region.put(&bytes) {
            Ok(key) => break key,
            Err(Error::OutOfSpace { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    // Its memory can be free a moment before it may be waited for.
    let took = (start.elapsed(), died.map_or(Duration::ZERO, |died| died.elapsed()));
    victim.wait();
    assert!(region.evict(key).unwrap());
    took
}

/// Whether a child has ended; it is still to be waited for.
fn is_dead(child: Pid) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(child), flags).unwrap(), WaitStatus::StillAlive)
}

/// Leaves room for one block, at the top, and for a few slabs.
fn fill_up(region: &Region) {
    let room = region.put(&vec![0; BLOCK]).unwrap();
    let mut filler = Vec::new();
    while let Ok(key) = region.put(&[0; UNIT]) {
        filler.push(key);
    }
    for key in filler.split_off(filler.len() - 6).into_iter().chain([room]) {
        assert!(region.evict(key).unwrap());
    }
}

/// A process that puts, gets and evicts small objects until it is killed.
fn work_beside(name: &str) -> Forked {
    start_child(|| {
        watch_for(600);
        end_with_parent();
        let region = loop {
            match Region::open(name) {
                Ok(region) => break region,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        loop {
            let key = region.put(&[5; 1000]).unwrap();
            assert_eq!(region.get(key).unwrap().unwrap()[999], 5);
            assert!(region.evict(key).unwrap());
        }
    })
}

#[test]
fn memory_of_the_dead_is_usable_again_once_a_survivor_needs_it() {
    let _alone = alone();
    watch_for(600);
    let kills: usize =
        std::env::var("INPLACE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let name = Name::new("usable");
    let options = RegionOptions::new().capacity(8 << 20).max_objects(1000).max_participants(16);
    let region = options.create(&name).unwrap();
    fill_up(&region);
    let others = [work_beside(&name), work_beside(&name)];
    print_head("until a survivor has put, 2 others work", "");
    let (mut from_kill, mut from_death) = (Vec::new(), Vec::new());
    for how in HOLDS {
        let (kill, death): (Vec<_>, Vec<_>) =
            (0..kills / 4).map(|_| kill_and_put(&region, how)).unzip();
        from_kill.extend(&kill);
        from_death.extend(&death);
        Times::of(kill).print(&format!("{how:?}, from the kill"), "");
        Times::of(death).print(&format!("{how:?}, from the death"), "");
    }
    Times::of(from_kill).print("all, from the kill", "");
    // How long a killed process takes to be dead is the scheduler's doing: it needs a processor for that.
    Times::of(from_death).print("all, from the death", "");
    others.into_iter().for_each(Forked::kill);
}

const OPERATIONS: [&str; 3] = ["put of 1000 bytes", "get", "evict"];

/// One kind of a survivor's operations.
struct Measured {
    times: Times,
    /// The longest, without what it waited for a processor.
    longest: Duration,
}

/// Longer than an operation is likely to take without waiting for a processor.
const LONG: Duration = Duration::from_micros(50);

/// The survivor uses one slot again and again, and a history holds eight million generations of it.
const MOST: usize = 4_000_000;

/// Times of one survivor's operations, by kind.
fn survive_and_measure(region: &Region, length: Duration) -> [Measured; 3] {
    let (mut times, mut longest) = ([const { Vec::new() }; 3], [Duration::ZERO; 3]);
    let mut waited = waited_for_a_processor();
    let start = Instant::now();
    while start.elapsed() < length && times[0].len() < MOST {
        let put = Instant::now();
        let key = region.put(&[6; 1000]).unwrap();
        let get = Instant::now();
        let view = region.get(key).unwrap();
        let got = Instant::now();
        drop(view);
        let evict = Instant::now();
        assert!(region.evict(key).unwrap());
        let took = [get - put, got - get, evict.elapsed()];
        let is_long = took.iter().any(|took| *took > LONG);
        let now = if is_long { waited_for_a_processor() } else { waited };
        for (at, took) in took.into_iter().enumerate() {
            times[at].push(took);
            longest[at] = longest[at].max(took.saturating_sub(now - waited));
        }
        waited = now;
    }
    let mut longest = longest.into_iter();
    times.map(|times| Measured { times: Times::of(times), longest: longest.next().unwrap() })
}

/// A survivor at work beside so many others, who are killed and stopped or not.
fn phase(what: &str, others: usize, is_storm: bool, length: Duration) -> [Measured; 3] {
    let name = Name::new("times");
    let (board, seed) = (Board::new(), Random::seed(&name));
    let weather = Weather { survivors: 0, opening: others, ..Weather::lasting(length) };
    let (values, is_plain) = (weather.values(), others == 1);
    let setting = Setting { board, name: &name, values, lie: Lie::None, is_plain };
    let processes: Vec<Forked> = if is_storm {
        vec![start_child(|| storm::keep_openers(setting, weather, seed))]
    } else {
        let start = |at| {
            let seed = Random::derive(seed, at as u64);
            start_child(|| storm::survive(setting, weather, (storm::SURVIVORS + 2 * at + 1, seed)))
        };
        (0..others).map(start).collect()
    };
    let region = weather.options().create(&name).unwrap();
    board.region.store(region.id(), SeqCst);
    std::thread::sleep(Duration::from_millis(100));
    let waited = waited_for_a_processor();
    let times = survive_and_measure(&region, length);
    let waited = waited_for_a_processor() - waited;
    board.give(Order::Stop);
    for process in processes {
        let ended = process.wait();
        assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
    }
    assert!(board.is_sound(), "see above");
    let kills = board.counts.kills.load(SeqCst);
    println!(
        "{what}: {kills} kills; the survivor waited {waited:.1?} of {length:.1?} for a processor"
    );
    times
}

#[test]
fn a_survivor_goes_on_in_a_storm_as_beside_as_many_who_live() {
    let _alone = alone();
    watch_for(600);
    payload::prepare();
    let length = Duration::from_secs_f64(super::seconds() / 10.0);
    let phases = [
        ("alone", 0, false),
        ("beside 1 that lives", 1, false),
        ("beside 1 that is killed", 1, true),
        ("beside 4 that live", 4, false),
        ("beside 4 that are killed and fork", 4, true),
    ];
    let times = phases.map(|(what, others, is_storm)| phase(what, others, is_storm, length));
    print_head("a survivor's operation", "own max");
    for (at, operation) in OPERATIONS.iter().enumerate() {
        for ((what, ..), of) in phases.iter().zip(&times) {
            let own = format!("{:.1?}", of[at].longest);
            of[at].times.print(&format!("{operation}, {what}"), &own);
        }
    }
}
