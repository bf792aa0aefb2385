//! Regions come and go: created, raced for, left, crashed, persisted, destroyed.

mod support;

use inplace::{Error, Lifespan, Region, RegionOptions};
use support::{Name, Program, hear, role, say};

fn small() -> RegionOptions {
    RegionOptions::new().capacity(1 << 20).max_objects(1000).max_participants(16)
}

fn single() -> RegionOptions {
    RegionOptions::new().capacity(1 << 20).max_participants(1).lifespan(Lifespan::Persistent)
}

fn hold(region: inplace::Result<Region>) {
    let region = region.unwrap();
    say(region.id());
    hear();
}

/// What the programs do that the tests start.
#[test]
#[allow(clippy::too_many_lines, reason = "a table of programs")]
fn program() {
    let Some((role, name)) = role() else { return };
    match role.as_str() {
        "hold" => hold(small().open_or_create(&name)),
        "hold persistent" => hold(small().lifespan(Lifespan::Persistent).open_or_create(&name)),
        "hold single" => hold(single().open_or_create(&name)),
        "open" => say(match Region::open(&name) {
            Ok(region) => region.id().to_string(),
            Err(error) => format!("{error:?}"),
        }),
        "hold for ever" => {
            let region = small().open_or_create(&name).unwrap();
            say(region.id());
            hear();
            std::mem::forget(region);
        }
        "close everything" => {
            let region = single().open_or_create(&name).unwrap();
            // SAFETY: closes what this program never uses again.
            unsafe { libc::close_range(3, u32::MAX, 0) };
            hold(Ok(region));
        }
        "exec" => {
            let _region = single().open_or_create(&name).unwrap();
            say("");
            hear();
            let error = std::os::unix::process::CommandExt::exec(
                std::process::Command::new("sh")
                    .args(["-c", "echo; echo SAYS executed; exec sleep 100"]),
            );
            panic!("{error}");
        }
        "hold the door" => support::stand_in_the_door(&name, libc::F_WRLCK),
        "stay in the door" => support::stand_in_the_door(&name, libc::F_RDLCK),
        "draft" => {
            // Whoever sweeps between the creation and the lock makes a creator start again.
            let draft = std::path::Path::new(&name);
            let lock = loop {
                let file = std::fs::File::create(draft).unwrap();
                let lock = support::lock(&file, libc::F_WRLCK, 1);
                if draft.exists() {
                    break (file, lock);
                }
            };
            say(lock.1);
            hear();
        }
        "little address space" => {
            let gib = 1 << 30;
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_AS, gib, gib)
                .unwrap();
            say(format!(
                "{:?}",
                RegionOptions::new().capacity(gib).create(&name).map(|region| region.id())
            ));
        }
        "churn" => loop {
            let region = small().open_or_create(&name).unwrap();
            let key = region.put(name.as_bytes()).unwrap();
            let view = region.get(key).unwrap().unwrap();
            region.evict(key).unwrap();
            drop(region);
            assert_eq!(&*view, name.as_bytes());
            drop(view);
        },
        "little shared memory" => {
            say(match support::own_shared_memory("256k") {
                Err(error) => format!("cannot mount: {error}"),
                Ok(()) => {
                    let error = small().max_participants(1000).create(&name).unwrap_err();
                    let left = std::fs::read_dir("/dev/shm").unwrap().count();
                    format!("{error:?}, files left: {left}")
                }
            });
        }
        "little file size" => {
            let mib = 1 << 20;
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_FSIZE, mib, mib)
                .unwrap();
            say(format!(
                "{:?}",
                RegionOptions::new().capacity(mib).create(&name).map(|region| region.id())
            ));
        }
        other => panic!("no such role: {other}"),
    }
}

#[test]
fn processes_that_race_to_create_end_up_in_one_region_and_the_last_removes_it() {
    for _ in 0..3 {
        let name = Name::new("race");
        let mut programs: Vec<_> = (0..10).map(|_| Program::start("hold", &name)).collect();
        let mut ids: Vec<_> = programs.iter_mut().map(Program::says).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
        programs.into_iter().for_each(Program::finish);
        assert!(!name.exists());
    }
}

#[test]
fn threads_that_race_share_one_entry_of_the_table() {
    let name = Name::new("threads");
    let options = single();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let region = options.open_or_create(&name).unwrap();
                    let other = region.clone();
                    drop(region);
                    assert_eq!(other.name(), &*name);
                }
            });
        }
    });
    Region::destroy(&name).unwrap();
}

#[test]
fn a_region_goes_with_the_last_process_and_not_before() {
    let name = Name::new("last");
    let (first, id) = Program::ready("hold", &name);
    let (second, same) = Program::ready("hold", &name);
    assert_eq!(id, same);
    first.finish();
    assert!(name.exists());
    assert_eq!(Region::open(&name).unwrap().id().to_string(), id);
    assert!(name.exists());
    second.finish();
    assert!(!name.exists());
    assert!(matches!(Region::open(&name), Err(Error::RegionNotFound { .. })));
}

#[test]
fn a_region_held_until_the_end_of_the_process_is_removed_all_the_same() {
    let name = Name::new("statics");
    let (first, _) = Program::ready("hold for ever", &name);
    let (second, _) = Program::ready("hold for ever", &name);
    first.finish();
    assert!(name.exists());
    second.finish();
    assert!(!name.exists());
}

#[test]
fn two_processes_that_end_at_once_do_not_miss_each_other() {
    for _ in 0..5 {
        let name = Name::new("both");
        let mut programs: Vec<_> = (0..4).map(|_| Program::start("hold for ever", &name)).collect();
        programs.iter_mut().for_each(|program| drop(program.says()));
        programs.iter_mut().for_each(|program| program.tell("go"));
        programs.into_iter().for_each(Program::finish);
        assert!(!name.exists());
    }
}

#[test]
fn after_all_were_killed_the_next_to_arrive_starts_anew() {
    let name = Name::new("killed");
    let start = || {
        let ((first, id), (second, _)) =
            (Program::ready("hold", &name), Program::ready("hold", &name));
        first.kill();
        second.kill();
        assert!(name.exists());
        id
    };
    start();
    assert!(matches!(Region::open(&name), Err(Error::RegionNotFound { .. })));
    assert!(!name.exists());
    let old = start();
    assert_ne!(small().open_or_create(&name).unwrap().id().to_string(), old);
    assert!(!name.exists());
    let old = start();
    assert_ne!(small().create(&name).unwrap().id().to_string(), old);
}

#[test]
fn a_persistent_region_outlives_its_processes_and_their_crashes_until_it_is_destroyed() {
    let name = Name::new("persistent");
    let (program, id) = Program::ready("hold persistent", &name);
    program.kill();
    let (program, same) = Program::ready("hold persistent", &name);
    program.finish();
    assert_eq!(id, same);
    let region = Region::open(&name).unwrap();
    assert_eq!((region.id().to_string(), region.lifespan()), (id.clone(), Lifespan::Persistent));
    assert!(matches!(small().create(&name), Err(Error::RegionExists { .. })));
    Region::destroy(&name).unwrap();
    assert!(!name.exists());
    assert!(matches!(Region::destroy(&name), Err(Error::RegionNotFound { .. })));

    let anew = small().open_or_create(&name).unwrap();
    assert_ne!(anew.id(), region.id());
    drop(region);
    assert!(
        name.exists(),
        "who leaves a destroyed region must not remove the one that has its name now"
    );
}

#[test]
fn every_process_killed_leaves_entries_that_the_next_can_have() {
    let name = Name::new("full");
    let (program, _) = Program::ready("hold single", &name);
    assert!(matches!(Region::open(&name), Err(Error::OutOfParticipants { max_participants: 1 })));
    program.kill();
    for _ in 0..3 {
        let (program, _) = Program::ready("hold single", &name);
        program.kill();
    }
    let region = Region::open(&name).unwrap();
    let again = Region::open(&name).unwrap();
    assert_eq!(region.id(), again.id());
    Region::destroy(&name).unwrap();
}

#[test]
fn a_process_whose_descriptors_were_all_closed_still_lives_and_leaves_properly() {
    let name = Name::new("closed");
    let (program, _) = Program::ready("close everything", &name);
    assert!(matches!(Region::open(&name), Err(Error::OutOfParticipants { .. })));
    program.finish();
    let (program, _) = Program::ready("close everything", &name);
    program.kill();
    Region::open(&name).unwrap();
    Region::destroy(&name).unwrap();
}

#[test]
fn a_process_that_executes_another_program_is_gone() {
    let name = Name::new("exec");
    let (mut program, _) = Program::ready("exec", &name);
    assert!(matches!(Region::open(&name), Err(Error::OutOfParticipants { .. })));
    program.tell("go");
    assert_eq!(program.says(), "executed");
    Region::open(&name).unwrap();
    program.kill();
    Region::destroy(&name).unwrap();
}

#[test]
fn a_storm_of_kills_never_keeps_the_next_from_a_working_region() {
    let name = Name::new("storm");
    for round in 0..12_u64 {
        let programs: Vec<_> = (0..4).map(|_| Program::start("churn", &name)).collect();
        std::thread::sleep(std::time::Duration::from_millis(20 + 7 * (round % 5)));
        programs.into_iter().for_each(Program::kill);
        let region = small().open_or_create(&name).unwrap();
        let key = region.put(b"works").unwrap();
        assert_eq!(&*region.get(key).unwrap().unwrap(), b"works");
        region.reap().unwrap();
        let report = region.check().unwrap();
        assert!(report.is_clean(), "{report}");
        drop(region);
        assert!(!name.exists());
    }
}

#[test]
fn too_little_shared_memory_for_a_new_region_is_said_and_nothing_is_left_behind() {
    let name = Name::new("little");
    let (program, said) = Program::ready("little shared memory", &name);
    if !said.contains("cannot mount") {
        assert!(said.contains("OutOfSpace") && said.contains("files left: 0"), "{said}");
    }
    program.finish();
}

#[test]
fn an_anonymous_region_never_has_a_name() {
    let name = Name::new("anonymous");
    let options = small().lifespan(Lifespan::Anonymous);
    let (one, two) = (options.create(&name).unwrap(), options.open_or_create(&name).unwrap());
    assert_ne!(one.id(), two.id());
    assert!(!name.exists());
    assert!(matches!(Region::open(&name), Err(Error::RegionNotFound { .. })));
}

#[test]
fn a_stopped_process_at_the_door_is_reported_instead_of_waited_for() {
    let name = Name::new("door");
    let (holder, _) = Program::ready("hold", &name);
    let (door, taken) = Program::ready("hold the door", &name);
    assert_eq!(taken, "0");
    door.signal(nix::sys::signal::Signal::SIGSTOP);
    let start = std::time::Instant::now();
    let error = Region::open(&name).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && error.to_string().contains(&*name), "{error}");
    assert!(matches!(Region::destroy(&name), Err(Error::Busy { .. })));
    holder.finish();
    assert!(start.elapsed() < std::time::Duration::from_secs(10));
    assert!(name.exists(), "who could not get through the door leaves the region to the next");
    door.kill();
    assert!(matches!(Region::open(&name), Err(Error::RegionNotFound { .. })));
    assert!(!name.exists());
}

#[test]
fn one_stopped_in_the_door_of_an_abandoned_region_is_reported_too() {
    let name = Name::new("within");
    let (holder, _) = Program::ready("hold", &name);
    let (door, taken) = Program::ready("stay in the door", &name);
    assert_eq!(taken, "0");
    let (guest, _) = Program::ready("hold", &name);
    guest.kill();
    holder.kill();
    let start = std::time::Instant::now();
    let error = small().open_or_create(&name).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert!(start.elapsed() < std::time::Duration::from_secs(5));
    door.kill();
    small().open_or_create(&name).unwrap();
}

#[test]
fn files_of_creators_that_died_are_swept_and_those_of_living_ones_are_not() {
    let name = Name::new("sweep");
    let alive =
        std::path::PathBuf::from(format!("/dev/shm/.inplace-new.alive{}", std::process::id()));
    let (creator, taken) = Program::ready("draft", alive.to_str().unwrap());
    assert_eq!(taken, "0");
    let dead =
        std::path::PathBuf::from(format!("/dev/shm/.inplace-new.dead{}", std::process::id()));
    std::fs::write(&dead, b"x").unwrap();
    let _region = small().create(&name).unwrap();
    assert!(!dead.exists() && alive.exists());
    creator.kill();
    assert!(Region::open(&name).is_ok() && !alive.exists());
}

#[test]
fn limits_of_the_process_are_named_with_their_numbers() {
    let name = Name::new("limits");
    for (role, limit) in
        [("little address space", "RLIMIT_AS"), ("little file size", "RLIMIT_FSIZE")]
    {
        let (program, said) = Program::ready(role, &name);
        assert!(said.contains("LimitTooLow") && said.contains(limit), "{said}");
        program.finish();
        assert!(!name.exists());
    }
}

#[test]
fn a_closed_region_gives_back_its_mappings_and_descriptors() {
    let name = Name::new("leak");
    let count = |what: &str| {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains(what)).count()
    };
    for _ in 0..3 {
        let region = small().create(&name).unwrap();
        assert!(count(&region.id().to_string()) == 0 && std::fs::exists(name.path()).unwrap());
    }
    assert_eq!(count("test-leak"), 0);
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.ok()?.path().read_link().ok());
    assert_eq!(open.filter(|path| path.to_string_lossy().contains("test-leak")).count(), 0);
}
