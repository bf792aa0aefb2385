//! The attendant: a thread of the pool's process that hears the nursery, replaces it if it dies, and turns dead letters into
//! errors.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::key::Key;
use crate::pool::board::Stage;
use crate::pool::core::{Core, Phase};
use crate::pool::nursery::{self, Life};
use crate::pool::order::Order;
use crate::pool::panics;
use crate::pool::wire::{Death, Report};
use crate::region::{Delivery, Patience, PromiseStage, QueueReceiver, Received, WaitPolicy};
use crate::sync::unmodelled::{AtomicU32, Ordering};
use crate::sys::process::{self, End};
use crate::sys::{futex, limits, thread};

/// How long to sleep while tasks are on their way, and else.
const BUSY: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_secs(1);
/// Between two looks at a process that was killed.
const SOON: Duration = Duration::from_millis(5);
/// How long a nursery that is to end may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many nurseries that die with no worker ever ready are enough.
const ENOUGH: u32 = 10;
/// Deaths to remember; of tasks that were done in the end, none need be.
const MEMORY: usize = 1024;

/// An attendant at work, for who waits for its end.
#[derive(Debug)]
pub(super) struct Attending {
    is_over: Arc<AtomicU32>,
}

impl Attending {
    pub(super) fn await_end(&self) {
        while self.is_over.load(Ordering::Acquire) == 0 {
            futex::wait_private_until(&self.is_over, 0, BUSY);
        }
    }
}

/// A nursery that was forked.
struct Nursling {
    pid: u32,
    watch: Option<OwnedFd>,
    /// It said that it ends by its own decision.
    is_leaving: bool,
}

impl Nursling {
    fn new(pid: u32) -> Self {
        Self { pid, watch: process::watch(pid), is_leaving: false }
    }
}

pub(super) struct Attendant {
    core: Arc<Core>,
    tasks: Arc<QueueReceiver>,
    life: Option<Life>,
    nursery: Option<Nursling>,
    /// Of tasks that workers died with: the last death.
    deaths: HashMap<u64, Death>,
    /// What the last worker said that could not get ready.
    unready: Option<String>,
    /// Nurseries that died in a row with no worker ready.
    failures: u32,
    /// When the next nursery is started, if none is there.
    start: Option<Instant>,
    /// When a nursery that was told to end is killed.
    kill_at: Option<Instant>,
}

impl Attendant {
    /// The first nursery is forked by the thread that makes the pool.
    pub(super) fn new(
        core: Arc<Core>,
        tasks: Arc<QueueReceiver>,
        life: Option<Life>,
    ) -> Result<Self> {
        let nursery = life.as_ref().map(|life| nursery::start(&core, life)).transpose()?;
        Ok(Self {
            core,
            tasks,
            life,
            nursery: nursery.map(Nursling::new),
            deaths: HashMap::new(),
            unready: None,
            failures: 0,
            start: None,
            kill_at: None,
        })
    }

    /// Has a thread of its own from now on.
    pub(super) fn start(self) -> Result<Attending> {
        let is_over = Arc::new(AtomicU32::new(0));
        let ending = Ending(is_over.clone());
        let (core, nursery) = (self.core.clone(), self.nursery.as_ref().map(|it| it.pid));
        let (dying, tasks) = (self.core.clone(), self.tasks.clone());
        let work = move || {
            let _said_however_it_ends = ending;
            // Let go of before that is said.
            let (dying, tasks) = (dying, tasks);
            if let Err(why) = panics::catch(|| self.run()) {
                let why = format!("the thread that looks after them {why}");
                dying.set_failure(why.clone());
                dying.wire.order_end();
                fail_all(&tasks, &dying, &why);
            }
        };
        // Nurseries that it forks, and their workers, live on its stack.
        let started = thread::start_with((c"inplace-pool", limits::stack()), work);
        if started.is_err()
            && let Some(nursery) = nursery
        {
            // Its workers go with it.
            process::kill(nursery);
            while process::ended(nursery).is_none() {
                process::wait_readable(&[], SOON);
            }
            let _ = core.region.reap();
        }
        started.map_err(|error| Error::system("starting a worker pool's thread", error))?;
        Ok(Attending { is_over })
    }

    fn run(mut self) {
        loop {
            self.sleep();
            self.hear_all();
            self.look_after_nursery();
            if self.core.phase() != Phase::Running && self.nursery.is_none() {
                return;
            }
            // What can not be done now is tried again.
            let _ = self.core.region.reap();
            match self.core.expect_workers() {
                // Of those who were just submitting.
                Err(Error::NoWorkers { reason }) => fail_all(&self.tasks, &self.core, &reason),
                _ => drop(self.answer_letters()),
            }
        }
    }

    fn sleep(&self) {
        let watch = self.nursery.as_ref().and_then(|nursery| nursery.watch.as_ref());
        let is_blind = self.nursery.is_some() && watch.is_none();
        let mut limit = if self.core.has_outstanding() || is_blind { BUSY } else { IDLE };
        let now = Instant::now();
        let start = self.start.filter(|_| self.nursery.is_none());
        for time in [start, self.kill_at].into_iter().flatten() {
            limit = limit.min(time.saturating_duration_since(now) + Duration::from_millis(1));
        }
        let mut descriptors = vec![self.core.wire.pools_end()];
        descriptors.extend(watch.map(AsFd::as_fd));
        process::wait_readable(&descriptors, limit);
    }

    fn hear_all(&mut self) {
        while let Some(report) = self.core.wire.heard() {
            self.hear(report);
        }
    }

    fn hear(&mut self, report: Report) {
        match report {
            Report::Died(death) => self.remember(death),
            Report::Unready(why) => self.unready = Some(why),
            Report::GaveUp(why) => {
                let said = self.unready.take().map_or_else(String::new, |said| format!(": {said}"));
                self.fail(format!("{why}{said}"));
            }
            Report::Leaving => {
                if let Some(nursery) = &mut self.nursery {
                    nursery.is_leaving = true;
                }
            }
            Report::Look => {}
        }
    }

    fn remember(&mut self, death: Death) {
        if death.task == 0 {
            return;
        }
        if self.deaths.len() >= MEMORY {
            let core = &self.core;
            let id = core.region.id();
            self.deaths.retain(|task, _| {
                let stage = core.region.stage_of_promise(Key::new(id, *task));
                !matches!(stage, Ok(PromiseStage::Answered))
            });
        }
        self.deaths.insert(death.task, death);
    }

    /// There will be no workers.
    fn fail(&mut self, reason: String) {
        self.start = None;
        self.core.set_failure(reason.clone());
        fail_all(&self.tasks, &self.core, &reason);
    }

    fn look_after_nursery(&mut self) {
        self.check_patience();
        let ended = self.nursery.as_ref().and_then(|nursery| process::ended(nursery.pid));
        if let Some(end) = ended {
            self.bury(end);
        }
        let is_wanted = self.core.phase() == Phase::Running && self.core.expect_workers().is_ok();
        if self.nursery.is_some() || !is_wanted {
            return;
        }
        let Some(life) = &self.life else { return };
        // Workers that met the end of the stream come back if somebody died with a task after it.
        let is_due = self.start.is_none_or(|start| start <= Instant::now());
        if !is_due {
            return;
        }
        self.start = None;
        if !self.tasks.has_ended().is_ok_and(|has_ended| !has_ended) {
            return;
        }
        match nursery::start(&self.core, life) {
            Ok(pid) => {
                self.nursery = Some(Nursling::new(pid));
            }
            Err(error) => {
                self.unready = Some(error.to_string());
                self.count_failure();
            }
        }
    }

    /// One that was told to end, and does not, is killed; its workers are with it.
    fn check_patience(&mut self) {
        let Some(nursery) = self.nursery.as_ref().filter(|_| self.core.phase() == Phase::Killing)
        else {
            return;
        };
        let kill_at = *self.kill_at.get_or_insert_with(|| Instant::now() + PATIENCE);
        if kill_at <= Instant::now() {
            process::kill_watched(nursery.pid, nursery.watch.as_ref());
        }
    }

    fn bury(&mut self, end: End) {
        // What it still told.
        self.hear_all();
        let Some(nursery) = self.nursery.take() else { return };
        let core = self.core.clone();
        let board = &core.board;
        let seats = 0..board.seats();
        let was_any_ready = seats.clone().any(|seat| board.stage(seat) >= Stage::Ready);
        // Nobody knows how it ended where children are not to be waited for.
        let is_as_it_should = nursery.is_leaving || end == End::Code(0);
        for seat in seats {
            let death = Death { task: board.task(seat), ..Death::new(nursery.pid, end, 0) };
            if !is_as_it_should && board.pid(seat) != 0 {
                board.count_death();
                self.remember(death);
            }
            board.vacate(seat);
        }
        if !is_as_it_should {
            self.failures = if was_any_ready { 0 } else { self.failures };
            self.count_failure();
        }
    }

    fn count_failure(&mut self) {
        self.failures += 1;
        self.start = Some(Instant::now() + nursery::pause(self.failures));
        if self.failures >= ENOUGH {
            let said = self.unready.take().map_or_else(String::new, |said| format!(": {said}"));
            let why = format!("{ENOUGH} nurseries in a row were killed, or could not be forked");
            self.fail(format!("{why}{said}"));
        }
    }

    /// L2 to L4.
    fn answer_letters(&mut self) -> Result<()> {
        let mut from = 0;
        while let Some(letter) = self.tasks.dead_letter(from)? {
            from = letter.envelope() + 1;
            // One that can not be answered holds up no other.
            let _ = self.answer_letter(letter);
        }
        Ok(())
    }

    fn answer_letter(&mut self, letter: Delivery) -> Result<()> {
        let Ok(order) = Order::of(&letter) else {
            // Not of this pool.
            return letter.acknowledge();
        };
        let key = order.key(&self.core.region);
        match self.core.region.stage_of_promise(key)? {
            // Given back: who died will have been reaped, or the nursery is about to tell of it.
            PromiseStage::Filling => return Ok(()),
            _ if self.core.board.has_task(order.promise) => return Ok(()),
            PromiseStage::Open => {
                // It was told of the death before the board forgot it.
                self.hear_all();
                let times = letter.deliveries();
                let how = self.deaths.remove(&order.promise).map_or_else(
                    || "nobody knows how: it had attached itself, or died before it began".into(),
                    |death| death.describe(),
                );
                let why =
                    format!("its worker died, each of {times} times it was tried; the last, {how}");
                match self.core.region.fail_for_keeper(key, &why) {
                    Err(Error::AlreadySet { .. } | Error::NotFound { .. }) => {}
                    outcome => outcome?,
                }
            }
            PromiseStage::Answered => {}
        }
        order.evict_input(&letter, &self.core.store);
        letter.acknowledge()
    }
}

/// Has every task fail that has no result.
pub(super) fn fail_all(tasks: &QueueReceiver, core: &Core, reason: &str) {
    core.fail_all(&format!("no worker is left to do it: {reason}"));
    discard_all(tasks, core);
}

/// Ends the tasks that nobody will do, dead letters too; their promises have their answers.
pub(super) fn discard_all(tasks: &QueueReceiver, core: &Core) {
    let now = Patience { policy: WaitPolicy::Park, limit: Some(Duration::ZERO) };
    let next = || match tasks.receive(&now) {
        Ok(Received::Message(delivery)) => Some(delivery),
        _ => tasks.dead_letter(0).ok().flatten(),
    };
    while let Some(delivery) = next() {
        if let Ok(order) = Order::of(&delivery) {
            order.evict_input(&delivery, &core.store);
        }
        let _ = delivery.acknowledge();
    }
    tasks.ring_room();
}

/// Says that the attendant is gone, also if it panicked.
struct Ending(Arc<AtomicU32>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Release);
        futex::wake_private(&self.0, u32::MAX);
    }
}
