//! A checker that can not fail is worth nothing: histories that must be blamed, each beside one that must not.

use std::time::Duration;

use super::history::{History, Object, Verdict};
use super::names::Names;
use super::patience;
use super::support::random::Random;
use super::support::shared::{Atomics, Shared};
use super::worker::Step;

struct Past {
    history: History,
    names: Names,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Past {}

fn past() -> &'static Past {
    Shared::<Past>::new().get()
}

const A: Object = Object { slot: 7, generation: 3 };
const B: Object = Object { slot: 7, generation: 4 };
const C: Object = Object { slot: 8, generation: 0 };

fn put(history: &History, object: Object) {
    history.born(object).unwrap();
    history.settled(object, 40).unwrap();
}

fn evict(history: &History, object: Object) {
    history.begin_end(object);
    history.ended(object).unwrap();
}

#[track_caller]
fn assert_blamed(verdict: Verdict, with: &str) {
    let blamed = verdict.unwrap_err();
    assert!(blamed.contains(with), "{blamed}");
}

#[test]
fn a_value_got_after_its_end_is_blamed_and_one_got_meanwhile_is_not() {
    let history = &past().history;
    put(history, A);
    let before = history.look(A);
    evict(history, A);
    history.saw(before, 40).unwrap();
    assert_blamed(history.saw(history.look(A), 40), "after its end");
    assert_blamed(history.is_or_was_there(history.look(A)), "after its end");
}

#[test]
fn a_value_got_after_its_slot_was_used_again_is_blamed() {
    let history = &past().history;
    put(history, A);
    put(history, B);
    assert_blamed(history.saw(history.look(A), 40), "after its end");
    history.saw(history.look(B), 40).unwrap();
}

#[test]
fn another_value_and_a_value_of_nobody_are_blamed() {
    let history = &past().history;
    put(history, A);
    assert_blamed(history.saw(history.look(A), 41), "had 40");
    assert_blamed(history.saw(history.look(B), 40), "never put");
    assert_blamed(history.settled(A, 40), "twice");
    assert_blamed(history.born(A), "another object");
}

#[test]
fn an_object_that_nobody_evicted_must_not_be_missed() {
    let history = &past().history;
    let before = history.look(A);
    put(history, A);
    history.missed(before).unwrap();
    assert_blamed(history.missed(history.look(A)), "lost");
    assert_blamed(history.was_gone(A), "nobody has evicted it");
    let before = history.look(A);
    history.begin_end(A);
    // Its evictor may have been killed.
    history.missed(before).unwrap();
    history.was_gone(A).unwrap();
}

#[test]
fn an_eviction_that_answers_false_had_no_effect_and_needs_a_reason() {
    let history = &past().history;
    put(history, A);
    history.begin_end(A);
    assert_blamed(history.not_evicted(A), "nobody else has tried");
    assert_blamed(history.missed(history.look(A)), "lost");
    history.begin_end(A);
    assert_blamed(history.not_taken(history.look(A)), "nobody else has tried");
    evict(history, A);
    history.begin_end(A);
    history.not_evicted(A).unwrap();
}

#[test]
fn of_many_who_evict_or_take_one_may_win() {
    let history = &past().history;
    put(history, A);
    evict(history, A);
    history.begin_end(A);
    assert_blamed(history.ended(A), "twice");
    put(history, B);
    evict(history, B);
}

#[test]
fn a_promise_breaks_with_its_keeper_or_by_its_keeper_only() {
    let history = &past().history;
    history.born(A).unwrap();
    history.promised(A, 5);
    assert_blamed(history.was_broken(A, |_| false), "its keeper lives");
    history.was_broken(A, |keeper| keeper == 5).unwrap();
    history.begin_fail(A);
    history.was_broken(A, |_| false).unwrap();
    history.not_failed(A);
    assert_blamed(history.was_broken(A, |_| false), "its keeper lives");
    history.begin_fail(A);
    history.failed(A);
    assert_blamed(history.saw(history.look(A), 1), "after its end");
    put(history, C);
    assert_blamed(history.was_broken(C, |_| true), "its keeper lives");
}

#[test]
fn a_promise_that_nobody_set_is_not_set() {
    let history = &past().history;
    history.born(A).unwrap();
    history.promised(A, 5);
    assert_blamed(history.was_set(history.look(A), 0), "nobody has");
    history.begin_set(A);
    assert_blamed(history.was_set(history.look(A), 1), "nobody has");
    history.was_set(history.look(A), 0).unwrap();
    history.begin_set(A);
    history.was_set(history.look(A), 1).unwrap();
    history.was_listed(history.look(A)).unwrap();
    evict(history, A);
    assert_blamed(history.was_set(history.look(A), 1), "after its end");
    assert_blamed(history.was_listed(history.look(A)), "after its end");
}

#[test]
fn a_name_means_what_was_bound_to_it_last() {
    let Past { history, names } = past();
    let judges = (history, &(|object| history.may_have_ended(object)) as &dyn Fn(Object) -> bool);
    let bind = |name, to, before| {
        let bind = names.begin(name, to, history).unwrap();
        names.over(bind, before, judges)
    };
    put(history, A);
    put(history, C);
    let early = names.look(0, history);
    bind(0, Some(A), None).unwrap();
    assert_blamed(names.found(names.look(0, history), None, judges), "was bound to");
    assert_blamed(names.found(names.look(1, history), Some(A), judges), "was bound to");
    names.found(names.look(0, history), Some(A), judges).unwrap();
    assert_blamed(bind(0, Some(C), None), "was bound to");
    bind(2, Some(A), None).unwrap();
    bind(2, Some(C), Some(A)).unwrap();
    assert!(names.begin(2, Some(A), history).is_none(), "it had its turn");
    let lost = names.begin(2, None, history).unwrap();
    // Two who begin at once are not alone: nothing is known but what was bound, and by whom replaced.
    let late = names.begin(2, None, history).unwrap();
    assert_blamed(names.over(late, Some(A), judges), "had been replaced");
    names.over(lost, Some(C), judges).unwrap();
    assert_blamed(names.found(names.look(2, history), Some(A), judges), "had been replaced");
    evict(history, A);
    assert_blamed(names.found(names.look(0, history), Some(A), judges), "was gone");
    names.found(early, Some(A), judges).unwrap();
    names.found(names.look(0, history), None, judges).unwrap();
}

#[test]
fn two_can_not_have_replaced_the_same_binding() {
    let Past { history, names } = past();
    let judges = (history, &(|_| false) as &dyn Fn(Object) -> bool);
    put(history, A);
    let bind = names.begin(0, Some(A), history).unwrap();
    names.over(bind, None, judges).unwrap();
    let (one, two) =
        (names.begin(0, None, history).unwrap(), names.begin(0, None, history).unwrap());
    names.over(one, Some(A), judges).unwrap();
    assert_blamed(names.over(two, Some(A), judges), "replaced twice");
}

#[test]
fn an_operation_that_waits_for_a_stopped_process_is_blamed_and_one_that_is_stopped_itself_is_not() {
    let (limit, short) = (Some(patience::LIMIT), Duration::from_millis(1));
    let long = patience::LIMIT * 2;
    assert_blamed(patience::judge(long, short, limit), "took");
    patience::judge(long, long - short, limit).unwrap();
    patience::judge(long, short, None).unwrap();
    patience::judge(short, Duration::ZERO, limit).unwrap();
}

#[test]
fn a_seed_makes_a_process_decide_the_same_once_more() {
    let draw = |seed| {
        let mut random = Random::new(seed);
        (0..1000).map(|_| Step::draw(&mut random)).collect::<Vec<_>>()
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
    let fates = |seed| (0..100).map(move |at| super::family::Fate::draw(Random::derive(seed, at)));
    assert!(fates(3).eq(fates(3)) && !fates(3).eq(fates(4)));
}
