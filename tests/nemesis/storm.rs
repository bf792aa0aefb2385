//! A storm: processes that are killed and stopped, others that are only stopped, one that is neither, and audits.

use std::collections::HashSet;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use inplace::{Error, Region, RegionOptions, Report};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::board::{Board, Counts, Lie, Order, Values};
use super::family::{self, Families};
use super::history::Object;
use super::names::NAMES;
use super::support::random::Random;
use super::support::{Forked, end_with_parent, payload, start_child, watch_for};
use super::victim::{self, Setting};
use super::worker::{ACTIONS, Worker, name as name_of};

const CONDUCTOR: usize = 0;
const KEEPER: usize = 1;
pub const SURVIVORS: usize = 2;
const INHERITING: usize = 32;
const OPENING: usize = 64;

/// What kind of storm it is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub capacity: u64,
    pub objects: u32,
    pub participants: u32,
    /// The largest value.
    pub largest: usize,
    /// Processes that are stopped and never killed; every other one reaps in the background.
    pub survivors: usize,
    pub inheriting: usize,
    pub opening: usize,
    pub length: Duration,
    pub lie: Lie,
}

impl Weather {
    pub fn lasting(length: Duration) -> Self {
        Self {
            capacity: 24 << 20,
            objects: 3000,
            participants: 40,
            largest: 4 << 20,
            survivors: 2,
            inheriting: 2,
            opening: 2,
            length,
            lie: Lie::None,
        }
    }

    pub fn options(&self) -> RegionOptions {
        RegionOptions::new()
            .capacity(self.capacity)
            .max_objects(self.objects)
            .max_participants(self.participants)
    }

    pub fn values(&self) -> Values {
        Values { largest: self.largest }
    }

    /// Seconds after which it hangs.
    pub fn limit(&self) -> u32 {
        self.length.as_secs() as u32 + 60
    }
}

/// The process that is never stopped and never killed, and those it rules.
struct Conductor<'a> {
    weather: Weather,
    setting: Setting<'a>,
    region: Region,
    survivors: Vec<Survivor>,
    keeper: Forked,
    random: Random,
    audits: u64,
    lost: u64,
}

struct Survivor {
    process: Forked,
    seat: usize,
    is_stopped: bool,
    /// When it is stopped next, or goes on.
    next: Instant,
    random: Random,
}

/// Runs a storm over a region of that name; what happened is told, and on the board.
pub fn run(name: &str, weather: Weather) -> &'static Board {
    watch_for(weather.limit());
    payload::prepare();
    let (board, seed) = (Board::new(), Random::seed(name));
    board.is_quiet.store(weather.lie != Lie::None, SeqCst);
    let setting =
        Setting { board, name, values: weather.values(), lie: weather.lie, is_plain: false };
    // Before anything is attached.
    let keeper = start_child(|| keep_openers(setting, weather, Random::derive(seed, 1)));
    let survivors = (0..weather.survivors).map(|at| {
        let (seat, seed) = (SURVIVORS + at, Random::derive(seed, 100 + at as u64));
        let process = start_child(|| survive(setting, weather, (seat, seed)));
        let random = Random::new(Random::derive(seed, 5));
        Survivor { process, seat, is_stopped: false, next: Instant::now(), random }
    });
    let survivors: Vec<_> = survivors.collect();
    let region = weather.options().create(name).unwrap();
    board.region.store(region.id(), SeqCst);
    while (board.ready.load(SeqCst) as usize) < weather.survivors {
        std::thread::sleep(Duration::from_millis(1));
    }
    let random = Random::new(Random::derive(seed, 4));
    let mut conductor =
        Conductor { weather, setting, region, survivors, keeper, random, audits: 0, lost: 0 };
    let start = Instant::now();
    conductor.storm(seed);
    let (audits, lost) = conductor.end();
    tell(name, board, start.elapsed(), (audits, lost));
    board
}

impl Conductor<'_> {
    fn storm(&mut self, seed: u64) {
        let (board, setting, weather) = (self.setting.board, self.setting, self.weather);
        let work = |me, seed| victim::inherit(setting, me, seed);
        let seats = INHERITING..INHERITING + weather.inheriting;
        let mut victims = Families::new(board, seats, Random::derive(seed, 2), &work);
        let region = self.region.clone();
        let me = board.new_family(CONDUCTOR);
        let mut worker =
            Worker::new(&region, (board, weather.values()), me, Random::derive(seed, 3));
        worker.lie = weather.lie;
        let start = Instant::now();
        let mut next_audit = start + self.until_next_audit();
        while start.elapsed() < weather.length && board.is_sound() {
            victims.go_on();
            self.stop_survivors();
            worker.act();
            if Instant::now() >= next_audit {
                victims.end_all();
                worker.rest();
                self.pause();
                self.audit(&mut worker);
                board.give(Order::Work);
                next_audit = Instant::now() + self.until_next_audit();
            }
        }
        victims.end_all();
        worker.rest();
    }

    /// Now and then there is time for long stops.
    fn until_next_audit(&mut self) -> Duration {
        let top = if self.random.one_in(8) { 2500 } else { 350 };
        Duration::from_millis(100 + self.random.below(top))
    }

    /// Stops survivors at random, for mostly a short time, and lets those go on whose time is over.
    fn stop_survivors(&mut self) {
        let board = self.setting.board;
        for survivor in &mut self.survivors {
            if Instant::now() < survivor.next {
                continue;
            }
            if survivor.is_stopped {
                survivor.go_on(board);
                survivor.next = Instant::now() + survivor.random.micros(40_000);
            } else {
                survivor.stop(board);
            }
        }
    }

    /// Has everybody rest: all victims are ended, the others hold nothing.
    fn pause(&mut self) {
        let board = self.setting.board;
        self.survivors.iter_mut().for_each(|survivor| survivor.go_on(board));
        let order = board.give(Order::Pause);
        board.await_pause(KEEPER, order);
        self.survivors.iter().for_each(|survivor| board.await_pause(survivor.seat, order));
    }

    /// With every victim dead: all they left half done is undone, and every object that is left has an owner.
    fn audit(&mut self, worker: &mut Worker) {
        let (board, region) = (self.setting.board, &self.region);
        if !board.is_sound() {
            return;
        }
        let participants = 1 + self.survivors.len() as u64;
        let is_right = |report: &Report| {
            let unfinished = (report.in_progress, report.pins, report.retired, report.participants);
            report.is_clean() && unfinished == (0, 0, 0, participants)
        };
        // A survivor's reaper in the background may just have been elected.
        let mut report = reaped(region);
        for _ in 0..400 {
            if is_right(&report) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
            report = reaped(region);
        }
        if !is_right(&report) {
            board.blame(&"audit", &report.to_string());
        }
        let known: HashSet<Object> =
            (0..super::board::PLACES).filter_map(|place| board.at(place)).map(|at| at.0).collect();
        for key in region.keys().unwrap() {
            let object = Object::of(key);
            if !known.contains(&object) {
                board.history.begin_end(object);
                assert!(region.evict(key).unwrap());
                board.judge(&"audit", board.history.ended(object));
                self.lost += 1;
            }
        }
        for name in 0..NAMES {
            board.names.agree(name, region.lookup(&name_of(name)).unwrap().map(Object::of));
        }
        worker.verify_all();
        worker.rest();
        self.audits += 1;
    }

    /// Everybody leaves; then nothing is left of anything.
    fn end(mut self) -> (u64, u64) {
        let board = self.setting.board;
        self.survivors.iter_mut().for_each(|survivor| survivor.go_on(board));
        board.give(Order::Stop);
        let survivors = std::mem::take(&mut self.survivors);
        for process in survivors.into_iter().map(|survivor| survivor.process).chain([self.keeper]) {
            let ended = process.wait();
            if !matches!(ended, WaitStatus::Exited(_, 0)) {
                board.blame(&"the end", &format!("a survivor ended as {ended:?}"));
            }
        }
        if board.is_sound() {
            assert_nothing_is_left(&self.region, self.weather);
        }
        (self.audits, self.lost)
    }
}

fn reaped(region: &Region) -> Report {
    region.reap().unwrap();
    region.check().unwrap()
}

fn signal(pid: Pid, signal: Signal) {
    kill(pid, signal).unwrap();
}

impl Survivor {
    fn stop(&mut self, board: &Board) {
        let is_long = self.random.one_in(40);
        let length = self.random.micros(if is_long { 2_000_000 } else { 10_000 });
        family::stop(board, self.seat, || signal(self.process.0, Signal::SIGSTOP));
        (self.is_stopped, self.next) = (true, Instant::now() + length);
        Counts::add(if is_long { &board.counts.long_stops } else { &board.counts.stops });
    }

    fn go_on(&mut self, board: &Board) {
        if std::mem::take(&mut self.is_stopped) {
            family::cont(board, self.seat, || signal(self.process.0, Signal::SIGCONT));
        }
    }
}

/// A process that attaches by name, is stopped now and then, and never killed.
pub fn survive(setting: Setting<'_>, weather: Weather, (seat, seed): (usize, u64)) -> i32 {
    watch_for(weather.limit());
    end_with_parent();
    let board = setting.board;
    while board.region.load(SeqCst) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let region = Region::open(setting.name).unwrap();
    let _reaper = (seat % 2 == 0).then(|| region.reap_every(Duration::from_millis(3)).unwrap());
    let me = board.new_family(seat);
    let mut worker = Worker::new(&region, (board, setting.values), me, seed);
    worker.lie = setting.lie;
    board.ready.fetch_add(1, SeqCst);
    loop {
        match board.order() {
            (Order::Work, _) => drop(worker.act()),
            (Order::Pause, number) => {
                worker.rest();
                board.paused[seat].store(number, SeqCst);
                std::thread::sleep(Duration::from_micros(200));
            }
            (Order::Stop, _) => {
                worker.rest();
                board.family_may_end(me);
                return 0;
            }
        }
    }
}

/// A process that is never attached itself and keeps victims that open the region by name.
pub fn keep_openers(setting: Setting<'_>, weather: Weather, seed: u64) -> i32 {
    watch_for(weather.limit());
    end_with_parent();
    let board = setting.board;
    let work = |me, seed| victim::open(setting, me, seed);
    let mut victims = Families::new(board, OPENING..OPENING + weather.opening, seed, &work);
    loop {
        match board.order() {
            (Order::Work, _) if (board.ready.load(SeqCst) as usize) < weather.survivors => {}
            (Order::Work, _) => victims.go_on(),
            (Order::Pause, number) => {
                victims.end_all();
                board.paused[KEEPER].store(number, SeqCst);
            }
            (Order::Stop, _) => {
                victims.end_all();
                return 0;
            }
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Everything evicted: all bytes are back, and every slot can be claimed.
fn assert_nothing_is_left(region: &Region, weather: Weather) {
    region.reap().unwrap();
    for name in 0..NAMES {
        region.unbind(&name_of(name)).unwrap();
    }
    for key in region.keys().unwrap() {
        assert!(region.evict(key).unwrap());
    }
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let left = (report.objects, report.retired, report.pending, report.in_progress, report.names);
    assert_eq!(left, (0, 0, 0, 0, 0), "{report}");
    assert_eq!((report.pins, report.bytes_in_use, report.participants), (0, 0, 1), "{report}");
    let mut claimed = Vec::new();
    let refused = loop {
        match region.put(b"") {
            Ok(key) => claimed.push(key),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::OutOfSlots { .. }), "{refused}");
    assert_eq!(claimed.len(), weather.objects as usize, "every slot can be claimed");
    claimed.into_iter().for_each(|key| assert!(region.evict(key).unwrap()));
    match region.put(&vec![1; weather.capacity as usize]) {
        Ok(big) => assert!(region.evict(big).unwrap()),
        Err(error) => assert!(error.to_string().contains("/dev/shm is full"), "{error}"),
    }
    region.trim().unwrap();
    assert_eq!(region.check().unwrap().bytes_committed, 0);
}

fn tell(name: &str, board: &Board, took: Duration, (audits, lost): (u64, u64)) {
    let (counts, of) =
        (&board.counts, |counter: &std::sync::atomic::AtomicU64| counter.load(SeqCst));
    println!(
        "{name}: {} kills in {took:.1?} ({:.0}/s), {} short and {} long stops, {} forks by victims, {} execs, \
         {} severed, {} ended by themselves, {} turned away; {audits} audits, {lost} objects whose key was lost",
        of(&counts.kills),
        of(&counts.kills) as f64 / took.as_secs_f64(),
        of(&counts.stops),
        of(&counts.long_stops),
        of(&counts.forks),
        of(&counts.execs),
        of(&counts.severed),
        of(&counts.early),
        of(&counts.turned_away),
    );
    let all: u64 = board.done.iter().map(of).sum();
    let done: Vec<_> = ACTIONS
        .iter()
        .zip(&board.done)
        .map(|(a, done)| format!("{} {}", of(done), a.name))
        .collect();
    println!(
        "{name}: {all} operations ({}); {} shortages, {} broken promises; {} answers judged, {} values verified, the \
         slowest operation was a {} of {:.1?}: {} violations",
        done.join(", "),
        of(&counts.full),
        of(&counts.broken),
        of(&counts.answers),
        of(&counts.verified),
        ACTIONS[of(&counts.slowest) as usize & 0xff].name,
        Duration::from_nanos(of(&counts.slowest) >> 8),
        board.violations() + of(&counts.went_wrong),
    );
}
