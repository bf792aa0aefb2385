//! Operations on objects, killed at every instruction: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use inplace::connector::BlockWriter;
use inplace::{Error, Fingerprint, Key, Pinned, Region, RegionOptions};
use support::Forked;
use support::payload;
use support::steps::kill::{Case, assert_empties, assert_recovers, keeper};
use support::steps::sweep::{Operation, sweep};

const CAPACITY: u64 = 8 << 16;

/// A region, and an object in it that the survivor may look at.
struct World {
    region: Region,
    object: Key,
    view: Option<Pinned>,
    /// Who else is at work.
    writer: Option<Forked>,
}

/// What the victim has.
struct Victim {
    region: Region,
    object: Key,
    bytes: Vec<u8>,
    view: Option<Pinned>,
}

fn world(capacity: u64, objects: u32) -> World {
    furnished(RegionOptions::new().capacity(capacity).max_objects(objects))
}

fn furnished(options: RegionOptions) -> World {
    let region = options.max_participants(4).anonymous().unwrap();
    let object = region.put(&payload::make(1, 1000)).unwrap();
    World { region, object, view: None, writer: None }
}

fn cold() -> World {
    world(CAPACITY, 20)
}

fn warm() -> World {
    let world = cold();
    for len in [48, 40_000] {
        let other = world.region.put(&payload::make(1, len)).unwrap();
        assert!(world.region.evict(other).unwrap());
    }
    world
}

/// Everybody counts.
fn counted() -> World {
    furnished(RegionOptions::new().capacity(CAPACITY).max_objects(20).metrics(true))
}

fn watched() -> World {
    let world = cold();
    let view = world.region.get(world.object).unwrap();
    World { view, ..world }
}

/// All slots of the first chunk of the index are taken.
fn crowded() -> World {
    let world = world(CAPACITY, 2100);
    (2..2048).for_each(|_| _ = world.region.put(&[]).unwrap());
    world
}

/// One who died has all slots but one.
fn occupied_by_the_dead() -> World {
    let world = cold();
    let code = support::in_child(|| {
        (1..20).for_each(|_| std::mem::forget(world.region.loan(0, Fingerprint::BYTES).unwrap()));
        0
    });
    assert_eq!(code, 0);
    world
}

/// Another is about to write to all units of which the table is committed.
fn occupied_by_another() -> World {
    let mut world = world(600 << 16, 20);
    world.writer = Some(keeper(|ready| {
        let _ = world.region.put_with(511 << 16, Fingerprint::BYTES, &mut |_| ready());
    }));
    world
}

fn arrive(World { region, object, view, .. }: World) -> Victim {
    Victim { region, object, bytes: payload::make(2, 48), view }
}

fn arrive_with<const LEN: usize>(world: World) -> Victim {
    Victim { bytes: payload::make(2, LEN), ..arrive(world) }
}

fn put(victim: &mut Victim) {
    let _ = victim.region.put(&victim.bytes);
}

fn put_batch(victim: &mut Victim) {
    let bytes = &victim.bytes[..];
    let _ = victim.region.put_batch(&[bytes, bytes, bytes]);
}

/// The first guess is too small, the second right.
fn put_written(victim: &mut Victim) {
    let Victim { region, bytes, .. } = victim;
    let _ = region.put_with(0, Fingerprint::BYTES, &mut |out| {
        out.write(bytes);
        Ok(())
    });
}

fn put_batch_written(victim: &mut Victim) {
    let Victim { region, bytes, .. } = victim;
    let _ = region.put_batch_with(&[48, 0, 100], Fingerprint::BYTES, &mut |_, out| {
        out.write(bytes);
        Ok(())
    });
}

/// Copying a span would be a step per byte: only its start is written.
fn put_into_a_span(victim: &mut Victim) {
    let Victim { region, bytes, .. } = victim;
    let _ = region.put_with(40_000, Fingerprint::BYTES, &mut |out| {
        out.write(bytes);
        Ok(())
    });
}

/// The writer changes its mind.
fn put_given_up(victim: &mut Victim) {
    let mut fill = |_: &mut BlockWriter<'_>| Err(Error::Severed);
    let _ = victim.region.put_with(150_000, Fingerprint::BYTES, &mut fill);
}

fn loan_a_span_and_publish(victim: &mut Victim) {
    let Victim { region, bytes, .. } = victim;
    let Ok(mut loan) = region.loan(40_000, Fingerprint::BYTES) else { return };
    loan[..bytes.len()].copy_from_slice(bytes);
    let _ = loan.publish_prefix(bytes.len());
}

fn loan_and_publish(victim: &mut Victim) {
    let Ok(mut loan) = victim.region.loan(victim.bytes.len(), Fingerprint::BYTES) else { return };
    loan.copy_from_slice(&victim.bytes);
    let _ = loan.publish();
}

fn loan_and_abandon(victim: &mut Victim) {
    drop(victim.region.loan(victim.bytes.len(), Fingerprint::BYTES));
}

fn evict(victim: &mut Victim) {
    let _ = victim.region.evict(victim.object);
}

fn take(victim: &mut Victim) {
    drop(victim.region.take(victim.object));
}

fn get(victim: &mut Victim) {
    if let Ok(Some(view)) = victim.region.get(victim.object) {
        drop(view.clone());
    }
}

fn exists(victim: &mut Victim) {
    let _ = (victim.region.exists(victim.object), victim.region.keys());
}

fn trim(victim: &mut Victim) {
    let _ = victim.region.trim();
}

fn unpin(victim: &mut Victim) {
    victim.view = None;
}

fn intact(world: &World) {
    let view = world.region.get(world.object).unwrap().expect("nobody evicted it");
    assert_eq!(payload::blame(Some(1), &view), None);
}

/// The object is there, and so many more at most, each whole.
fn at_most<const MORE: usize>(mut world: World) {
    if let Some(writer) = world.writer.take() {
        writer.kill();
    }
    assert_recovers(&world.region, 1..=2);
    let mut keys = world.region.keys().unwrap();
    keys.retain(|&key| key != world.object && !world.region.get(key).unwrap().unwrap().is_empty());
    assert!(keys.len() <= MORE, "{keys:?}");
    for key in keys {
        assert_eq!(payload::blame(Some(2), &world.region.get(key).unwrap().unwrap()), None);
    }
    intact(&world);
    assert_empties(&world.region, &[]);
}

/// The object is there or not; who looks at it sees all of it.
fn there_or_gone(mut world: World) {
    assert_recovers(&world.region, 1..=1);
    let report = world.region.check().unwrap();
    let is_there = world.region.exists(world.object).unwrap();
    let is_watched = world.view.is_some();
    assert_eq!(report.objects, u64::from(is_there), "{report}");
    assert_eq!(
        (report.retired, report.pins),
        (u64::from(is_watched && !is_there), u64::from(is_watched)),
        "{report}"
    );
    if let Some(view) = world.view.take() {
        assert_eq!(payload::blame(Some(1), &view), None);
    }
    if is_there {
        intact(&world);
    }
    assert_empties(&world.region, &[]);
}

/// A count follows its operation: it may be missing, and is never too high.
fn counted_once_put(world: World) {
    let (found, objects) = (world.region.counters().unwrap(), world.region.keys().unwrap().len());
    assert!((1..=objects as u64).contains(&found.puts), "{found:?} {objects}");
    assert!(found.put_bytes == 1000 || (found.put_bytes, found.puts) == (1048, 2), "{found:?}");
    at_most::<1>(world);
}

fn counted_once_taken(world: World) {
    let (found, is_there) =
        (world.region.counters().unwrap(), world.region.exists(world.object).unwrap());
    assert!(found.gets <= u64::from(!is_there) && found.evictions <= found.gets, "{found:?}");
    there_or_gone(world);
}

/// The object was evicted before; whoever pinned it is dead.
fn gone(world: World) {
    assert!(!world.region.exists(world.object).unwrap());
    assert_recovers(&world.region, 1..=1);
    assert_empties(&world.region, &[]);
}

/// The victim is left with the only view.
fn drop_survivors_view(world: &mut World) {
    world.view = None;
    assert!(world.region.evict(world.object).unwrap());
}

fn puts() -> Vec<Operation> {
    vec![
        Case::new("put, small, warm", (warm, arrive), put, at_most::<1>).operation(),
        Case::new("put, small, cold", (cold, arrive), put, at_most::<1>).operation(),
        Case::new("put, counted", (counted, arrive), put, counted_once_put).operation(),
        Case::new("put, nothing", (cold, arrive_with::<0>), put, at_most::<1>).operation(),
        Case::new("put, a span, warm", (warm, arrive), put_into_a_span, at_most::<1>).operation(),
        Case::new("put, three units, cold", (cold, arrive_with::<150_000>), put, at_most::<1>)
            .operation(),
        Case::new("put, growing the index", (crowded, arrive), put, at_most::<1>).operation(),
        Case::new("put, after reaping", (occupied_by_the_dead, arrive), put_batch, at_most::<3>)
            .operation(),
        Case::new("put_batch of three", (warm, arrive), put_batch, at_most::<3>).operation(),
        Case::new(
            "put_batch_with, one guess too small",
            (warm, arrive),
            put_batch_written,
            at_most::<3>,
        )
        .operation(),
        Case::new("put_with, too small a guess", (warm, arrive), put_written, at_most::<1>)
            .operation(),
        Case::new("put, growing the unit table", (occupied_by_another, arrive), put, at_most::<1>)
            .operation(),
        Case::new("put_with, given up", (cold, arrive), put_given_up, at_most::<0>).operation(),
        Case::new("loan, publish", (warm, arrive), loan_and_publish, at_most::<1>).operation(),
        Case::new(
            "loan, publish, a span, cold",
            (cold, arrive),
            loan_a_span_and_publish,
            at_most::<1>,
        )
        .operation(),
        Case::new("loan, abandon", (warm, arrive), loan_and_abandon, at_most::<0>).operation(),
        Case::new(
            "loan, abandon, a span, cold",
            (cold, arrive_with::<150_000>),
            loan_and_abandon,
            at_most::<0>,
        )
        .operation(),
    ]
}

fn others() -> Vec<Operation> {
    vec![
        Case::new("evict", (warm, arrive), evict, there_or_gone).operation(),
        Case::new("evict, pinned by another", (watched, arrive_without_view), evict, there_or_gone)
            .operation(),
        Case::new("take", (warm, arrive), take, there_or_gone).operation(),
        Case::new("take, pinned by another", (watched, arrive_without_view), take, there_or_gone)
            .operation(),
        Case::new("take, counted", (counted, arrive), take, counted_once_taken).operation(),
        Case::new("get, clone, drop", (warm, arrive), get, at_most::<0>).operation(),
        Case::new("exists, keys", (warm, arrive), exists, at_most::<0>).operation(),
        Case::new("unpin, last of an evicted object", (watched, arrive), unpin, gone)
            .before(drop_survivors_view)
            .operation(),
        Case::new("trim", (warm, arrive), trim, at_most::<0>).operation(),
    ]
}

fn arrive_without_view(world: World) -> Victim {
    Victim { view: None, ..arrive(world) }
}

#[test]
fn killed_at_any_instruction_of_an_operation_on_objects_it_is_done_or_undone() {
    let operations: Vec<_> = puts().into_iter().chain(others()).collect();
    sweep("objects", 10, &operations);
}
