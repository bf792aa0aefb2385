//! A victim is killed at an instruction; what it leaves must be nothing that lasts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use inplace::Region;

use super::script::Script;
use super::sweep::{Errand, Found, Operation, assert_no_file_is_left};
use super::traced::{Arrival, Traced, Whom, begin, end};
use crate::support::shared::{Atomics, Shared};
use crate::support::{Forked, payload, start_child};

/// What the survivor makes, and what the victim makes of it.
pub type Start<W, V> = (fn() -> W, fn(W) -> V);

/// One operation that is killed at every instruction.
#[derive(Clone, Copy)]
pub struct Case<W, V> {
    pub what: &'static str,
    /// By the survivor: makes what the operation finds.
    pub prepare: fn() -> W,
    /// By the victim, a forked child with a world of its own: what it does before.
    pub arrive: fn(W) -> V,
    /// By the victim, and killed there.
    pub operate: fn(&mut V),
    /// By the survivor: what must hold afterwards.
    pub holds: fn(W),
    /// Whose instructions count.
    pub whom: Whom,
    /// By the survivor, between the victim's preparation and its operation.
    pub meanwhile: Option<fn(&mut W)>,
    /// By the survivor, as soon as the operation sleeps.
    pub wake: Option<fn(&W)>,
}

impl<W: 'static, V: 'static> Case<W, V> {
    pub fn new(
        what: &'static str,
        (prepare, arrive): Start<W, V>,
        operate: fn(&mut V),
        holds: fn(W),
    ) -> Self {
        Self {
            what,
            prepare,
            arrive,
            operate,
            holds,
            whom: Whom::Victim,
            meanwhile: None,
            wake: None,
        }
    }

    pub fn woken_by(self, wake: fn(&W)) -> Self {
        Self { wake: Some(wake), ..self }
    }

    pub fn before(self, meanwhile: fn(&mut W)) -> Self {
        Self { meanwhile: Some(meanwhile), ..self }
    }

    pub fn in_its_child(self) -> Self {
        Self { whom: Whom::ItsChild, ..self }
    }

    /// As the scenes of a sweep.
    pub fn operation(self) -> Operation {
        Operation {
            what: self.what.into(),
            variants: 1,
            scene: Box::new(move |script, errand| self.play(script, errand)),
        }
    }

    fn play(&self, script: &Script, errand: Errand) -> Found {
        let mut world = (self.prepare)();
        let mut victim = Traced::start(self.whom, || {
            // SAFETY: the victim ends without dropping the survivor's, which is a copy of its own, forked.
            let world = unsafe { std::ptr::read(&raw const world) };
            let mut mine = std::mem::ManuallyDrop::new((self.arrive)(world));
            begin();
            (self.operate)(&mut mine);
            end();
        });
        if let Some(meanwhile) = self.meanwhile {
            meanwhile(&mut world);
        }
        let wake = self.wake.map(|wake| {
            let world = &world;
            move || wake(world)
        });
        let wake = wake.as_ref().map(|wake| wake as &dyn Fn());
        let found = match errand {
            Errand::Record => {
                victim.record(script, wake);
                Found::Inside
            }
            Errand::Visit { place, exactly, .. } => {
                match victim.go_to(script, (place, exactly), wake) {
                    Arrival::There => Found::Inside,
                    Arrival::Astray => Found::Astray,
                }
            }
        };
        victim.kill();
        (self.holds)(world);
        assert_no_file_is_left();
        found
    }
}

/// Waits for everybody the victim left behind; they must end well.
pub fn await_orphans() {
    use nix::sys::wait::{WaitStatus, wait};
    while let Ok(end) = wait() {
        let fine = matches!(
            end,
            WaitStatus::Exited(_, 0)
                | WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGKILL, _)
        );
        assert!(fine, "a child of the victim: {end:?}");
    }
}

/// The survivor reaps so many, finds everything in order, and works.
pub fn assert_recovers(region: &Region, dead: std::ops::RangeInclusive<usize>) {
    let reaped = region.reap().unwrap();
    assert!(dead.contains(&reaped), "{reaped} dead participants");
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.in_progress, report.participants), (0, 1), "{report}");
    for len in [20, 70_000] {
        let key = region.put(&payload::make(4, len)).unwrap();
        assert_eq!(payload::blame(Some(4), &region.get(key).unwrap().unwrap()), None);
        assert_eq!(payload::blame(Some(4), &region.take(key).unwrap().unwrap()), None);
        assert!(!region.exists(key).unwrap());
    }
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0, "{report}");
}

/// Nobody else is there and nothing is pinned: everything is evicted, and all slots and bytes are there again.
pub fn assert_empties(region: &Region, names: &[&str]) {
    for name in names {
        region.unbind(name).unwrap();
    }
    for key in region.keys().unwrap() {
        if let Some(view) = region.get(key).unwrap() {
            assert_eq!(payload::blame(None, &view), None, "a value is torn");
        }
        assert!(region.evict(key).unwrap());
    }
    assert_empty(region);
    let slots = vec![&[][..]; region.max_objects() as usize];
    let keys = region.put_batch(&slots).expect("all slots are there again");
    keys.into_iter().for_each(|key| assert!(region.evict(key).unwrap()));
    let whole =
        region.put(&vec![1; region.capacity() as usize]).expect("all bytes are there again");
    assert!(region.evict(whole).unwrap());
    region.trim().unwrap();
    let report = assert_empty(region);
    assert_eq!(report.bytes_committed, 0, "{report}");
}

fn assert_empty(region: &Region) -> inplace::Report {
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let left = [
        report.objects,
        report.retired,
        report.pending,
        report.in_progress,
        report.names,
        report.pins,
    ];
    assert_eq!((left, report.bytes_in_use), ([0; 6], 0), "{report}");
    assert_eq!(report.participants, 1, "{report}");
    report
}

/// A child of the scene, which does not outlive it.
pub fn helper(work: impl FnOnce() -> i32) -> Forked {
    start_child(|| {
        // SAFETY: only says what happens to this process when its parent ends.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        work()
    })
}

/// A child of the scene that comes to a point, says so, and stays there until it is killed.
pub fn keeper(come: impl FnOnce(&dyn Fn() -> inplace::Result<()>)) -> Forked {
    let there = Shared::<Flag>::new();
    let child = helper(|| {
        come(&|| {
            there.0.store(1, Ordering::SeqCst);
            loop {
                nix::unistd::pause();
            }
        });
        1
    });
    let start = Instant::now();
    while there.0.load(Ordering::SeqCst) == 0 {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "a helper of the scene does not get ready"
        );
        std::thread::yield_now();
    }
    child
}

struct Flag(AtomicU32);

// SAFETY: made of atomics only.
unsafe impl Atomics for Flag {}
