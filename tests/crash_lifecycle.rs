//! Coming and going, killed at every instruction: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use inplace::{Error, Key, Lifespan, Pinned, Region, RegionOptions};
use support::payload;
use support::steps::kill::{Case, assert_empties, assert_recovers};
use support::steps::sweep::{Operation, region_name, sweep};
use support::steps::traced::end;

/// A name, and what the survivor has of its region.
struct World {
    name: String,
    region: Option<Region>,
    object: Option<Key>,
}

#[derive(Default)]
struct Victim {
    name: String,
    region: Option<Region>,
    view: Option<Pinned>,
}

fn options() -> RegionOptions {
    RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(4)
}

fn persistent() -> RegionOptions {
    options().lifespan(Lifespan::Persistent)
}

fn nothing() -> World {
    World { name: region_name(), region: None, object: None }
}

fn attached() -> World {
    let world = nothing();
    let region = options().create(&world.name).unwrap();
    let object = region.put(&payload::make(1, 48)).unwrap();
    World { region: Some(region), object: Some(object), ..world }
}

/// Of one that is destroyed in the end.
fn attached_to_a_lasting_one() -> World {
    let world = nothing();
    let region = persistent().create(&world.name).unwrap();
    let object = region.put(&payload::make(1, 48)).unwrap();
    World { region: Some(region), object: Some(object), ..world }
}

/// A region that nobody is attached to.
fn unattended() -> World {
    World { region: None, ..attached_to_a_lasting_one() }
}

/// A region that one died in.
fn left_by_the_dead(options: &RegionOptions) -> World {
    let world = nothing();
    let code = support::in_child(|| {
        let region = options.create(&world.name).unwrap();
        region.put(&payload::make(1, 48)).unwrap();
        std::mem::forget((region.loan(100, inplace::Fingerprint::BYTES), region));
        0
    });
    assert_eq!(code, 0);
    world
}

fn abandoned() -> World {
    left_by_the_dead(&options())
}

fn abandoned_for_good() -> World {
    left_by_the_dead(&persistent())
}

/// A creator died before its file became a region.
fn beside_a_draft() -> World {
    let world = attached();
    std::fs::write("/dev/shm/.inplace-new.0123456789abcdef", [0; 100]).unwrap();
    world
}

/// The survivor's region is none of the victim's.
fn arrive_unattached(mut world: World) -> Victim {
    world.region = None;
    Victim { name: world.name, ..Victim::default() }
}

fn arrive_attached(world: World) -> Victim {
    Victim { name: world.name, region: world.region, view: None }
}

/// The last handle is gone, one view is left.
fn arrive_with_a_view(world: World) -> Victim {
    let view = world.region.as_ref().unwrap().get(world.object.unwrap()).unwrap();
    Victim { name: world.name, region: None, view }
}

/// The victim is the first, and will be the last.
fn arrive_alone(world: World) -> Victim {
    let region = options().create(&world.name).unwrap();
    region.put(&payload::make(1, 48)).unwrap();
    Victim { name: world.name, region: Some(region), view: None }
}

fn arrive_alone_with_a_view(world: World) -> Victim {
    let mut victim = arrive_alone(world);
    let region = victim.region.take().unwrap();
    victim.view = region.get(region.keys().unwrap()[0]).unwrap();
    victim
}

fn arrive_owing(world: World) -> Victim {
    let victim = arrive_attached(world);
    victim.region.as_ref().unwrap().reserve().unwrap();
    victim
}

/// What ends the process ends with `end`, which was registered before the region's handler.
fn arrive_ending(world: World) -> Victim {
    extern "C" fn end_in_the_end() {
        end();
    }
    // SAFETY: a function without arguments that lives as long as the program.
    assert_eq!(unsafe { libc::atexit(end_in_the_end) }, 0);
    arrive_alone(world)
}

fn create(victim: &mut Victim) {
    victim.region = options().create(&victim.name).ok();
}

fn create_lasting(victim: &mut Victim) {
    victim.region = persistent().create(&victim.name).ok();
}

fn create_anonymous(victim: &mut Victim) {
    victim.region = options().anonymous().ok();
}

fn open(victim: &mut Victim) {
    victim.region = Region::open(&victim.name).ok();
}

fn open_or_create(victim: &mut Victim) {
    victim.region = options().open_or_create(&victim.name).ok();
}

fn open_again(victim: &mut Victim) {
    let _ = (Region::open(&victim.name), victim.region.clone());
}

fn leave(victim: &mut Victim) {
    victim.region = None;
}

fn drop_view(victim: &mut Victim) {
    victim.view = None;
}

fn destroy(victim: &mut Victim) {
    let _ = Region::destroy(&victim.name);
}

fn exit(_: &mut Victim) {
    // SAFETY: ends the process as a return from `main` does.
    unsafe { libc::exit(0) }
}

/// The survivor's region works, with the object in it, and goes with it.
fn stays(mut world: World) {
    let region = world.region.take().unwrap();
    assert_recovers(&region, 0..=1);
    let view = region.get(world.object.unwrap()).unwrap().expect("nobody evicted it");
    assert_eq!(payload::blame(Some(1), &view), None);
    drop(view);
    assert_empties(&region, &[]);
}

/// Anybody may attach and detach; then nothing is left.
fn comes_and_goes(world: World) {
    let region = options().open_or_create(&world.name).unwrap();
    assert_recovers(&region, 0..=1);
    assert_empties(&region, &[]);
}

/// The lasting region is there or not; destroyed, nothing is left.
fn comes_and_is_destroyed(world: World) {
    let region = persistent().open_or_create(&world.name).unwrap();
    assert_recovers(&region, 0..=1);
    let keys = region.keys().unwrap();
    assert!(world.object.is_none_or(|object| keys == [object]));
    assert_empties(&region, &[]);
    Region::destroy(&world.name).unwrap();
}

/// The survivor's region works, whether its name is gone or not; who then destroys the name leaves nothing.
fn is_destroyed_or_not(mut world: World) {
    match Region::destroy(&world.name) {
        Ok(()) | Err(Error::RegionNotFound { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    let another = options().create(&world.name).unwrap();
    assert_recovers(&another, 0..=0);
    drop(another);
    let region = world.region.take().unwrap();
    assert_recovers(&region, 0..=1);
    assert_empties(&region, &[]);
}

/// The abandoned region is not believed, and a new one is made: by the victim, or after it.
fn starts_anew(world: World) {
    let region = options().open_or_create(&world.name).unwrap();
    assert_recovers(&region, 0..=0);
    assert_eq!(region.keys().unwrap(), []);
    assert_empties(&region, &[]);
}

/// Of the promise nobody expects anything any more.
fn stays_and_is_broken(world: World) {
    let region = world.region.as_ref().unwrap();
    region.reap().unwrap();
    for key in region.keys().unwrap() {
        let end = region.wait(key, Some(std::time::Duration::ZERO));
        assert!(matches!(end, Ok(_) | Err(Error::Broken { .. })), "{end:?}");
    }
    stays(world);
}

fn arrivals() -> Vec<Operation> {
    vec![
        Case::new("create", (nothing, arrive_unattached), create, comes_and_goes).operation(),
        Case::new(
            "create, lasting",
            (nothing, arrive_unattached),
            create_lasting,
            comes_and_is_destroyed,
        )
        .operation(),
        Case::new(
            "create, anonymous",
            (nothing, arrive_unattached),
            create_anonymous,
            comes_and_goes,
        )
        .operation(),
        Case::new("create, name taken", (attached, arrive_unattached), create, stays).operation(),
        Case::new(
            "open_or_create, abandoned",
            (abandoned, arrive_unattached),
            open_or_create,
            starts_anew,
        )
        .operation(),
        Case::new("open, abandoned", (abandoned, arrive_unattached), open, starts_anew).operation(),
        Case::new("open, as second", (attached, arrive_unattached), open, stays).operation(),
        Case::new("open, again", (attached, arrive_attached), open_again, stays).operation(),
        Case::new("open, beside a draft", (beside_a_draft, arrive_unattached), open, sweeps)
            .operation(),
        Case::new(
            "open, unattended",
            (unattended, arrive_unattached),
            open,
            comes_and_is_destroyed,
        )
        .operation(),
        Case::new(
            "open, reaping",
            (abandoned_for_good, arrive_unattached),
            open,
            comes_and_is_destroyed,
        )
        .operation(),
    ]
}

/// Whoever attaches next sweeps.
fn sweeps(world: World) {
    let other = format!("{}-other", world.name);
    drop(options().create(&other).unwrap());
    stays(world);
}

fn departures() -> Vec<Operation> {
    vec![
        Case::new("leave, others stay", (attached, arrive_attached), leave, stays).operation(),
        Case::new("leave, owing a promise", (attached, arrive_owing), leave, stays_and_is_broken)
            .operation(),
        Case::new("leave, last", (nothing, arrive_alone), leave, comes_and_goes).operation(),
        Case::new(
            "leave, last of a lasting one",
            (unattended, |world| Victim {
                region: Region::open(&world.name).ok(),
                ..arrive_unattached(world)
            }),
            leave,
            comes_and_is_destroyed,
        )
        .operation(),
        Case::new("drop the last view, closing", (attached, arrive_with_a_view), drop_view, stays)
            .operation(),
        Case::new(
            "drop the last view, closing, last",
            (nothing, arrive_alone_with_a_view),
            drop_view,
            comes_and_goes,
        )
        .operation(),
        Case::new("exit, last", (nothing, arrive_ending), exit, comes_and_goes).operation(),
        Case::new(
            "destroy, unattended",
            (unattended, arrive_unattached),
            destroy,
            is_gone_or_there,
        )
        .operation(),
        Case::new(
            "destroy, attended",
            (attached_to_a_lasting_one, arrive_unattached),
            destroy,
            is_destroyed_or_not,
        )
        .operation(),
    ]
}

/// The lasting region that nobody attends is destroyed or not, and then it is.
fn is_gone_or_there(world: World) {
    match Region::destroy(&world.name) {
        Ok(()) | Err(Error::RegionNotFound { .. }) => comes_and_goes(world),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn killed_at_any_instruction_who_comes_or_goes_leaves_no_file_and_no_entry() {
    let operations: Vec<_> = arrivals().into_iter().chain(departures()).collect();
    sweep("lifecycle", 10, &operations);
}
