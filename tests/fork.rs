//! `fork()` just works: views go along, tokens do not, and nobody who dies takes anything with him.

mod support;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inplace::{Error, Fingerprint, Lifespan, Region, RegionOptions, Report};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use support::{Name, in_child, start_child, watch};

fn anonymous(max_participants: u32) -> Region {
    watch();
    RegionOptions::new()
        .capacity(4 << 20)
        .max_objects(500)
        .max_participants(max_participants)
        .anonymous()
        .unwrap()
}

/// Every fork duplicates all regions of the process, those of other tests too: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One process waits at it until another lets it pass.
struct Turnstile(std::io::PipeReader, std::io::PipeWriter);

impl Turnstile {
    fn new() -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        Self(reader, writer)
    }

    fn wait(&self) {
        (&self.0).read_exact(&mut [0]).unwrap();
    }

    fn pass(&self) {
        (&self.1).write_all(&[1]).unwrap();
    }
}

fn clean(region: &Region) -> Report {
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    report
}

#[test]
fn an_inherited_view_keeps_the_object_after_the_parent_let_go_of_it() {
    let _alone = alone();
    let region = anonymous(4);
    let key = region.put(&[7; 5000]).unwrap();
    let view = region.get(key).unwrap().unwrap();
    let (ready, go) = (Turnstile::new(), Turnstile::new());
    let child = start_child(|| {
        ready.pass();
        go.wait();
        let intact = view.iter().all(|&byte| byte == 7);
        drop(view.clone());
        i32::from(!intact)
    });
    ready.wait();
    drop(view);
    assert!(region.evict(key).unwrap());
    for _ in 0..50 {
        let other = region.put(&[8; 5000]).unwrap();
        region.evict(other).unwrap();
    }
    assert_eq!((clean(&region).retired, clean(&region).pins), (1, 1));
    go.pass();
    assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
    let report = clean(&region);
    assert_eq!(
        (report.retired, report.pins, report.bytes_in_use, report.participants),
        (0, 0, 0, 1)
    );
}

#[test]
fn parent_and_child_exchange_objects_by_name() {
    let _alone = alone();
    let region = anonymous(4);
    let (ready, go) = (Turnstile::new(), Turnstile::new());
    let child = start_child(|| {
        let key = region.put(b"from the child").unwrap();
        region.bind("child", key).unwrap();
        ready.pass();
        go.wait();
        let key = region.lookup("parent").unwrap().unwrap();
        i32::from(&*region.get(key).unwrap().unwrap() != b"from the parent")
    });
    ready.wait();
    let key = region.lookup("child").unwrap().unwrap();
    assert_eq!(&*region.get(key).unwrap().unwrap(), b"from the child");
    region.bind("parent", region.put(b"from the parent").unwrap()).unwrap();
    go.pass();
    assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
}

#[test]
fn views_survive_three_generations_of_forks() {
    let _alone = alone();
    let region = anonymous(6);
    let key = region.put(&[1; 100]).unwrap();
    let mut view = region.get(key).unwrap();
    let code = in_child(|| {
        let second = region.put(&[2; 100]).unwrap();
        let mut more = region.get(second).unwrap();
        in_child(|| {
            in_child(|| {
                let third = region.put(&[3; 100]).unwrap();
                let seen = (
                    view.as_ref().unwrap()[99],
                    more.as_ref().unwrap()[99],
                    region.get(third).unwrap().unwrap()[99],
                );
                drop((view.take(), more.take()));
                region.evict(second).unwrap();
                i32::from(seen != (1, 2, 3))
            })
        })
    });
    assert_eq!(code, 0);
    let report = clean(&region);
    assert_eq!((report.participants, report.pins, report.objects), (1, 1, 2));
}

#[test]
fn a_killed_child_gives_back_what_it_inherited_and_what_it_took() {
    let _alone = alone();
    let region = anonymous(4);
    let keys: Vec<_> = (0..20).map(|i| region.put(&[i; 1000]).unwrap()).collect();
    let views: Vec<_> = keys.iter().map(|&key| region.get(key).unwrap().unwrap()).collect();
    let ready = Turnstile::new();
    let child = start_child(|| {
        let _more: Vec<_> = keys.iter().map(|&key| region.get(key).unwrap()).collect();
        let _promised = region.reserve().unwrap();
        ready.pass();
        loop {
            nix::unistd::pause();
        }
    });
    ready.wait();
    assert_eq!(region.check().unwrap().pins, 60);
    child.kill();
    assert_eq!(clean(&region).pins, 20);
    drop(views);
    keys.into_iter().for_each(|key| assert!(region.evict(key).unwrap()));
    assert_eq!((clean(&region).bytes_in_use, clean(&region).participants), (0, 1));
}

#[test]
fn a_loan_stays_with_the_parent() {
    let _alone = alone();
    let region = anonymous(4);
    let mut loan = region.loan(100, Fingerprint::BYTES).unwrap();
    loan.fill(5);
    let address = loan.as_mut_ptr();
    let child = start_child(|| {
        // SAFETY: none, that is the point: the address must be inaccessible here.
        unsafe { address.write_volatile(99) };
        0
    });
    assert!(matches!(child.wait(), WaitStatus::Signaled(_, Signal::SIGSEGV, _)));
    let mut slot = Some(loan);
    let code = in_child(|| match slot.take().unwrap().publish() {
        Err(Error::NotOwner { .. }) => i32::from(region.put(b"works").is_err()),
        other => panic!("{other:?}"),
    });
    assert_eq!(code, 0);
    let key = slot.take().unwrap().publish().unwrap();
    assert_eq!(&*region.get(key).unwrap().unwrap(), &[5; 100]);
    clean(&region);
}

#[test]
fn a_child_without_an_entry_is_severed_and_harms_nobody() {
    let _alone = alone();
    let region = anonymous(1);
    let key = region.put(b"kept").unwrap();
    let mut view = region.get(key).unwrap();
    let code = in_child(|| {
        let severed = matches!(region.put(b"x"), Err(Error::Severed))
            && matches!(region.get(key), Err(Error::Severed))
            && matches!(region.evict(key), Err(Error::Severed));
        drop(view.take());
        drop(region.clone());
        i32::from(!severed)
    });
    assert_eq!(code, 0);
    assert_eq!(&*view.unwrap(), b"kept");
    assert_eq!((clean(&region).pins, clean(&region).participants), (0, 1));
}

#[test]
fn every_operation_of_a_severed_child_is_an_error() {
    let _alone = alone();
    let region = anonymous(1);
    let (key, long) = (region.put(b"kept").unwrap(), Some(Duration::from_secs(9)));
    let promised = region.reserve().unwrap();
    let code = in_child(|| {
        let answers = [
            region.put(b"x").err(),
            region.put_batch(&[b"x"]).err(),
            region.loan(1, Fingerprint::BYTES).err(),
            region.get(key).err(),
            region.take(key).err(),
            region.exists(key).err(),
            region.evict(key).err(),
            region.reserve().err(),
            region.set(promised, b"x").err(),
            region.fail(promised).err(),
            region.wait(promised, long).err(),
            region.bind("name", key).err(),
            region.lookup("name").err(),
            region.unbind("name").err(),
            region.trim().err(),
            region.keys().err(),
            region.check().err(),
            region.reap().err(),
        ];
        i32::from(!answers.iter().all(|answer| matches!(answer, Some(Error::Severed))))
    });
    assert_eq!(code, 0);
    clean(&region);
}

#[test]
fn an_inherited_view_of_a_severed_child_faults() {
    let _alone = alone();
    let region = anonymous(1);
    let view = region.get(region.put(b"kept").unwrap()).unwrap().unwrap();
    let child = start_child(|| i32::from(view[0]));
    assert!(matches!(child.wait(), WaitStatus::Signaled(_, Signal::SIGSEGV, _)));
}

#[test]
fn a_severed_child_can_open_the_region_anew() {
    let _alone = alone();
    let name = Name::new("anew");
    let region = RegionOptions::new().capacity(1 << 20).max_participants(2).create(&name).unwrap();
    region.bind("x", region.put(b"x").unwrap()).unwrap();
    let (ready, go) = (Turnstile::new(), Turnstile::new());
    let blocker = start_child(|| {
        ready.pass();
        go.wait();
        0
    });
    ready.wait();
    let (asked, answered) = (Turnstile::new(), Turnstile::new());
    let severed = start_child(|| {
        assert!(matches!(region.lookup("x"), Err(Error::Severed)));
        assert!(matches!(Region::open(&name), Err(Error::OutOfParticipants { .. })));
        asked.pass();
        answered.wait();
        let anew = Region::open(&name).unwrap();
        let key = anew.lookup("x").unwrap().unwrap();
        i32::from(&*anew.get(key).unwrap().unwrap() != b"x")
    });
    asked.wait();
    blocker.kill();
    answered.pass();
    assert!(matches!(severed.wait(), WaitStatus::Exited(_, 0)));
    clean(&region);
}

/// What `fork` does without its handlers.
fn raw_clone() -> libc::c_long {
    // SAFETY: like fork; the child only makes calls that are safe after one.
    unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) }
}

#[test]
fn a_raw_clone_is_severed_and_does_not_keep_its_parent_alive() {
    let _alone = alone();
    let name = Name::new("raw");
    let options =
        RegionOptions::new().capacity(1 << 20).max_participants(1).lifespan(Lifespan::Persistent);
    drop(options.create(&name).unwrap());
    let (ready, go, done) = (Turnstile::new(), Turnstile::new(), Turnstile::new());
    let parent = start_child(|| {
        let region = options.open(&name).unwrap();
        let view = region.get(region.put(b"x").unwrap()).unwrap();
        if raw_clone() == 0 {
            assert!(matches!(region.put(b"y"), Err(Error::Severed)));
            drop(view);
            ready.pass();
            go.wait();
            done.pass();
            return 0;
        }
        loop {
            nix::unistd::pause();
        }
    });
    ready.wait();
    assert!(matches!(Region::open(&name), Err(Error::OutOfParticipants { .. })));
    parent.kill();
    let region = Region::open(&name).unwrap();
    assert_eq!((clean(&region).pins, clean(&region).participants), (0, 1));
    go.pass();
    done.wait();
    Region::destroy(&name).unwrap();
}

#[test]
fn the_last_of_a_family_removes_the_region() {
    let _alone = alone();
    let name = Name::new("family");
    let go = Turnstile::new();
    let parent = start_child(|| {
        let mut region = Some(RegionOptions::new().capacity(1 << 20).create(&name).unwrap());
        let child = start_child(|| {
            go.wait();
            drop(region.take());
            0
        });
        drop(region.take());
        assert!(name.exists());
        go.pass();
        assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
        i32::from(name.exists())
    });
    assert!(matches!(parent.wait(), WaitStatus::Exited(_, 0)));
}

#[test]
fn a_child_that_exits_with_a_handle_left_removes_the_region_too() {
    let _alone = alone();
    let name = Name::new("exit");
    let code = in_child(|| {
        let region = RegionOptions::new().capacity(1 << 20).create(&name).unwrap();
        std::mem::forget(region.clone());
        let child = start_child(|| {
            // SAFETY: the forked child has one thread, and what runs at exit is this crate's.
            unsafe { libc::exit(0) }
        });
        child.wait();
        assert!(name.exists());
        drop(region);
        assert!(name.exists());
        // SAFETY: as above.
        unsafe { libc::exit(0) }
    });
    assert_eq!(code, 0);
    assert!(!name.exists());
}

#[test]
fn a_fork_that_failed_leaves_an_entry_that_is_reaped() {
    let _alone = alone();
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let name = Name::new("failed");
    let options = RegionOptions::new().capacity(1 << 20).max_participants(3).mode(0o666);
    let region = options.create(&name).unwrap();
    let view = region.get(region.put(b"x").unwrap()).unwrap().unwrap();
    let code = in_child(|| {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NPROC, 1, 1).unwrap();
        nix::unistd::setuid(nix::unistd::Uid::from_raw(54321)).unwrap();
        // SAFETY: fails.
        let outcome = unsafe { nix::unistd::fork() };
        assert!(outcome.is_err());
        assert_eq!(region.check().unwrap().pins, 3);
        assert_eq!(region.reap().unwrap(), 1);
        assert_eq!(region.check().unwrap().pins, 2);
        region.put(b"goes on").unwrap();
        0
    });
    assert_eq!(code, 0);
    assert_eq!((clean(&region).pins, clean(&region).participants), (1, 1));
    drop(view);
}

#[test]
fn forking_while_threads_work_harms_neither_side() {
    let _alone = alone();
    let region = anonymous(8);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3_u8 {
            let (region, stop) = (&region, &stop);
            scope.spawn(move || {
                let mut round = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    let len = 1 + (round as usize * 37) % 3000;
                    let key = region.put(&vec![thread; len]).unwrap();
                    let view = region.get(key).unwrap().unwrap();
                    assert!(region.evict(key).unwrap());
                    assert!(view.len() == len && view.iter().all(|&byte| byte == thread));
                    round += 1;
                }
            });
        }
        for _ in 0..100 {
            let code = in_child(|| {
                let key = region.put(&[9; 500]).unwrap();
                let view = region.get(key).unwrap().unwrap();
                region.evict(key).unwrap();
                i32::from(view.iter().any(|&byte| byte != 9))
            });
            assert_eq!(code, 0);
            region.reap().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let report = clean(&region);
    assert_eq!(
        (report.pins, report.retired, report.bytes_in_use, report.participants),
        (0, 0, 0, 1)
    );
}

#[test]
fn threads_that_fork_at_once_wait_for_each_other() {
    let _alone = alone();
    let region = anonymous(16);
    let key = region.put(&[4; 64]).unwrap();
    let view = region.get(key).unwrap().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..15 {
                    assert_eq!(
                        in_child(|| i32::from(view[63] != 4 || region.put(b"x").is_err())),
                        0
                    );
                }
            });
        }
    });
    assert_eq!((clean(&region).pins, clean(&region).participants), (1, 1));
}

#[test]
fn opening_closing_and_forking_at_once_leaves_nothing_behind() {
    let _alone = alone();
    let name = Name::new("churn");
    let stop = AtomicBool::new(false);
    let options = RegionOptions::new().capacity(1 << 20).max_objects(100).max_participants(32);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let region = options.open_or_create(&name).unwrap();
                    let key = region.put(b"churn").unwrap();
                    let view = region.get(key).unwrap().unwrap();
                    region.evict(key).unwrap();
                    drop(region);
                    assert_eq!(&*view, b"churn");
                }
            });
        }
        for _ in 0..60 {
            assert_eq!(in_child(|| i32::from(options.open_or_create(&name).is_err())), 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(options.open_or_create(&name).unwrap());
    assert!(!name.exists());
}

#[test]
fn a_child_writes_to_every_region_of_its_parent_and_lives_in_each() {
    let _alone = alone();
    // The child's own mapping of a small data area would fit where the parent's of a larger one was.
    let regions = [4, 64, 8, 256].map(|mebibytes| {
        let options = RegionOptions::new().capacity(mebibytes << 20).max_objects(500);
        options.max_participants(4).anonymous().unwrap()
    });
    let uses_all = || {
        for region in &regions {
            let key = region.put(&[4; 3000]).unwrap();
            assert_eq!(region.get(key).unwrap().unwrap()[..], [4; 3000]);
            assert!(region.evict(key).unwrap());
            let report = region.check().unwrap();
            assert!(report.is_clean(), "{report}");
        }
        0
    };
    assert_eq!(in_child(|| uses_all() + in_child(uses_all)), 0);
    regions.iter().for_each(|region| drop(clean(region)));
}
