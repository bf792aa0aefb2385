//! Slots, cells, units, spans: claimed, returned, retired, trimmed, grown.

use loom::sync::Arc;
use loom::thread;

use super::scene::{
    Deaths, HALF, Scene, Size, explore, explore_deaths, explore_handing_over, get, mortal, put,
    put_empty,
};
use crate::layout::geometry::UNIT;
use crate::layout::slot::ObjectId;

fn both(
    scene: &Arc<Scene>,
    one: impl FnOnce(&Scene) -> Option<ObjectId> + Send + 'static,
    other: impl FnOnce(&Scene) -> Option<ObjectId>,
) -> [Option<ObjectId>; 2] {
    let thread = thread::spawn({
        let scene = Arc::clone(scene);
        move || one(&scene)
    });
    let here = other(scene);
    [thread.join().unwrap(), here]
}

fn assert_values(scene: &Scene, ids: [Option<ObjectId>; 2]) {
    for (id, value) in ids.into_iter().zip([1, 2]) {
        assert!(id.is_none_or(|id| get(&scene.actor(0), id) == Some(value)));
    }
    assert!(ids[0].is_none() || ids[0] != ids[1]);
}

#[test]
fn two_puts_get_slots_and_cells_of_their_own_while_the_index_grows() {
    explore("put | put, growing", 2, || {
        let scene = Scene::new(Size { objects: 2, units: 1, participants: 2 });
        let ids = both(&scene, |s| put(&s.actor(1), 1, HALF), |s| put(&s.actor(0), 2, HALF));
        assert!(ids.iter().all(Option::is_some), "{ids:?}");
        assert_values(&scene, ids);
        scene.assert_all_returns();
    });
}

#[test]
fn two_who_grow_the_index_touch_no_slot_that_is_not_committed() {
    explore("put | put, both growing", 3, || {
        let scene = Scene::new(Size { objects: 3, units: 1, participants: 2 });
        put_empty(&scene.actor(0));
        let other = thread::spawn({
            let scene = Arc::clone(&scene);
            move || put_empty(&scene.actor(1))
        });
        assert_ne!(put_empty(&scene.actor(0)), other.join().unwrap());
        scene.assert_all_returns();
    });
}

#[test]
fn a_cell_is_claimed_or_its_slab_retired() {
    explore("put | retire", 2, || {
        let scene = Scene::new(Size { objects: 1, units: 1, participants: 2 });
        let id = put(&scene.actor(0), 0, HALF).unwrap();
        assert!(scene.actor(0).evict(id));
        let retire = |s: &Scene| {
            s.actor(0).retire_empty_slabs();
            None
        };
        let ids = both(&scene, |s| put(&s.actor(1), 1, HALF), retire);
        assert!(ids[0].is_some());
        assert_values(&scene, ids);
        scene.assert_all_returns();
    });
}

#[test]
fn a_free_unit_is_trimmed_or_made_a_slab() {
    explore_handing_over("put | trim", 2, || {
        let scene = Scene::new(Size { objects: 1, units: 1, participants: 2 });
        let id = put(&scene.actor(0), 0, HALF).unwrap();
        assert!(scene.actor(0).evict(id));
        scene.actor(0).retire_empty_slabs();
        let ids = both(
            &scene,
            |s| put(&s.actor(1), 1, HALF),
            |s| {
                s.actor(0).trim_units(u64::MAX);
                None
            },
        );
        assert!(ids[0].is_some());
        assert_values(&scene, ids);
        scene.assert_all_returns();
    });
}

#[test]
fn a_cell_is_returned_while_its_slab_is_retired() {
    explore("evict | retire, put a span", 2, || {
        let scene = Scene::new(Size { objects: 2, units: 1, participants: 2 });
        let id = put(&scene.actor(0), 0, HALF).unwrap();
        let evict = move |s: &Scene| {
            assert!(s.actor(1).evict(id));
            None
        };
        let ids = both(&scene, evict, |s| {
            s.actor(0).retire_empty_slabs();
            put(&s.actor(0), 2, UNIT)
        });
        assert_values(&scene, ids);
        scene.assert_all_returns();
    });
}

#[test]
fn two_spans_share_no_unit() {
    explore("put a span | put a span", 1, || {
        let scene = Scene::new(Size { objects: 2, units: 3, participants: 2 });
        let ids =
            both(&scene, |s| put(&s.actor(1), 1, 2 * UNIT), |s| put(&s.actor(0), 2, 2 * UNIT));
        assert!(ids.iter().any(Option::is_some), "both gave way");
        assert_values(&scene, ids);
        scene.assert_all_returns();
    });
}

#[test]
fn a_warm_span_is_claimed_by_one_of_two() {
    explore("evict a span, put | put a span", 2, || {
        let scene = Scene::new(Size { objects: 2, units: 2, participants: 2 });
        let id = put(&scene.actor(0), 0, 2 * UNIT).unwrap();
        let again = move |s: &Scene| {
            assert!(s.actor(1).evict(id));
            put(&s.actor(1), 1, HALF)
        };
        let ids = both(&scene, again, |s| put(&s.actor(0), 2, UNIT));
        assert_values(&scene, ids);
        scene.assert_all_returns();
    });
}

/// One reads and evicts an object; another puts where it was.
fn reused(name: &str, size: u64) {
    explore_handing_over(name, 2, move || {
        let scene = Scene::new(Size { objects: 3, units: 1, participants: 2 });
        let id = put(&scene.actor(0), 0, size).unwrap();
        let other = (size < UNIT).then(|| put(&scene.actor(0), 3, size).unwrap());
        let ids = both(
            &scene,
            move |s| put(&s.actor(1), 1, size),
            |s| {
                assert_eq!(get(&s.actor(0), id), Some(0));
                assert!(s.actor(0).evict(id));
                None
            },
        );
        assert_values(&scene, ids);
        assert!(other.is_none_or(|other| get(&scene.actor(0), other) == Some(3)));
        scene.assert_all_returns();
    });
}

#[test]
fn a_cell_is_written_again_only_after_its_last_reader() {
    reused("get, evict | put in the cell", HALF);
}

#[test]
fn a_span_is_written_again_only_after_its_last_reader() {
    reused("get, evict | put in the span", UNIT);
}

#[test]
fn a_span_that_was_given_up_is_written_again_only_after_its_writer() {
    explore_handing_over("write a span, give it up | put in the span", 2, || {
        let scene = Scene::new(Size { objects: 2, units: 1, participants: 2 });
        let warm = put(&scene.actor(0), 0, UNIT).unwrap();
        assert!(scene.actor(0).evict(warm));
        let ids = both(
            &scene,
            |s| put(&s.actor(1), 1, UNIT),
            |s| {
                let actor = s.actor(0);
                if let Ok(writing) = actor.start_writing(UNIT) {
                    let (slot, block) = (writing.claimed.index, writing.block);
                    actor.write_block(slot, block, &7_u64.to_le_bytes()).unwrap();
                }
                None
            },
        );
        assert_values(&scene, ids);
        scene.assert_all_returns();
    });
}

/// One reads and evicts an object, another gives its unit another use, a third puts there.
fn passed_on(name: &str, size: u64, pass_on: fn(&Scene)) {
    explore_handing_over(name, 1, move || {
        let scene = Scene::new(Size { objects: 3, units: 1, participants: 3 });
        let id = put(&scene.actor(0), 0, size).unwrap();
        let between = thread::spawn({
            let scene = Arc::clone(&scene);
            move || pass_on(&scene)
        });
        let ids = both(
            &scene,
            |s| put(&s.actor(1), 1, UNIT),
            |s| {
                assert_eq!(get(&s.actor(0), id), Some(0));
                assert!(s.actor(0).evict(id));
                None
            },
        );
        between.join().unwrap();
        assert_values(&scene, ids);
        scene.assert_all_returns();
    });
}

#[test]
fn a_retired_slab_is_written_again_only_after_its_last_reader() {
    passed_on("get, evict | retire | put a span", HALF, |s| {
        s.actor(2).retire_empty_slabs();
    });
}

#[test]
fn a_trimmed_unit_is_written_again_only_after_its_last_reader() {
    passed_on("get, evict | trim | put a span", UNIT, |s| {
        s.actor(2).trim_units(u64::MAX);
    });
}

#[test]
fn two_who_warm_units_commit_each_its_own() {
    explore_handing_over("put | put a span, cold", 2, || {
        let scene = Scene::new(Size { objects: 2, units: 2, participants: 2 });
        let ids = both(&scene, |s| put(&s.actor(1), 1, HALF), |s| put(&s.actor(0), 2, UNIT));
        assert!(ids.iter().all(Option::is_some), "{ids:?}");
        assert_values(&scene, ids);
        scene.assert_all_returns();
    });
}

/// A victim that puts, while a survivor reaps and puts.
fn killed(name: &str, warm: u64, work: fn(&Scene)) {
    explore_deaths(name, move |changes, deaths| {
        let scene = Scene::new(Size { objects: 3, units: 2, participants: 2 });
        if warm > 0 {
            let id = put(&scene.actor(0), 0, warm).unwrap();
            assert!(scene.actor(0).evict(id));
        }
        let victim = thread::spawn({
            let (scene, deaths) = (Arc::clone(&scene), Deaths::clone(deaths));
            move || mortal(&scene, (1, changes), &deaths, |_| work(&scene))
        });
        scene.reap();
        let id = put(&scene.actor(0), 2, HALF);
        victim.join().unwrap();
        assert!(id.is_none_or(|id| get(&scene.actor(0), id) == Some(2)));
        scene.assert_all_returns();
        assert!(put(&scene.actor(0), 3, 2 * UNIT).is_some(), "all memory is there again");
    });
}

#[test]
fn killed_in_a_put_a_writer_keeps_nothing() {
    killed("put", 0, |s| _ = put(&s.actor(1), 1, HALF));
}

#[test]
fn killed_when_another_has_the_cell_it_meant_a_writer_gives_nothing_back() {
    explore_deaths("put | put in the same cell", |changes, deaths| {
        let scene = Scene::new(Size { objects: 3, units: 1, participants: 2 });
        let id = put(&scene.actor(0), 0, HALF).unwrap();
        assert!(scene.actor(0).evict(id));
        let victim = thread::spawn({
            let (scene, deaths) = (Arc::clone(&scene), Deaths::clone(deaths));
            move || mortal(&scene, (1, changes), &deaths, |actor| _ = put(actor, 1, HALF))
        });
        let id = put(&scene.actor(0), 2, HALF);
        victim.join().unwrap();
        scene.assert_settled();
        assert!(id.is_none_or(|id| get(&scene.actor(0), id) == Some(2)));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_a_put_of_a_cold_span_a_writer_keeps_nothing() {
    killed("put a cold span", 0, |s| _ = put(&s.actor(1), 1, 2 * UNIT));
}

#[test]
fn killed_in_a_put_of_a_warm_span_a_writer_keeps_nothing() {
    killed("put a warm span", 2 * UNIT, |s| _ = put(&s.actor(1), 1, 2 * UNIT));
}

#[test]
fn killed_in_trim_nobody_finds_a_unit_half_given_back() {
    killed("trim", HALF, |s| {
        s.actor(1).retire_empty_slabs();
        s.actor(1).trim_units(u64::MAX);
    });
}
