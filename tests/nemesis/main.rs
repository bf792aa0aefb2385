//! Processes are killed and stopped at any moment, thousands a minute, while others go on: whatever an operation answers
//! is what the history allows, nothing hangs, nobody waits for who is stopped, and nothing is lost but what the killed
//! alone knew.
//!
//! `INPLACE_STORM_SECONDS` says how long, `INPLACE_SEED` with which random numbers: it is printed, and makes every
//! process decide the same once more.

mod board;
mod family;
mod history;
mod lies;
mod names;
mod patience;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod times;
mod victim;
mod worker;

use std::time::Duration;

use board::Lie;
use storm::Weather;
use support::small_shm::with_shm_of;
use support::{Name, alone};

/// Of the longest storm.
fn seconds() -> f64 {
    std::env::var("INPLACE_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6.0)
}

fn weather(share: f64) -> Weather {
    Weather::lasting(Duration::from_secs_f64(seconds() * share))
}

fn assert_sound(name: &str, weather: Weather) {
    assert!(storm::run(name, weather).is_sound(), "see above");
}

#[test]
fn killed_stopped_and_forking_processes_leave_no_wrong_answer_and_nothing_behind() {
    let _alone = alone();
    let name = Name::new("storm");
    assert_sound(&name, weather(1.0));
    assert!(!name.exists(), "the last to leave removes the region");
}

#[test]
fn more_processes_than_entries_are_turned_away_or_severed_and_the_others_go_on() {
    let _alone = alone();
    let name = Name::new("crowd");
    assert_sound(&name, Weather { participants: 6, opening: 4, inheriting: 3, ..weather(0.4) });
}

#[test]
fn full_of_objects_and_of_bytes_a_region_is_right_and_comes_back() {
    let _alone = alone();
    let name = Name::new("crush");
    assert_sound(&name, Weather { objects: 90, ..weather(0.3) });
    let name = Name::new("crush");
    assert_sound(&name, Weather { capacity: 2 << 20, largest: 300_000, ..weather(0.3) });
}

#[test]
fn killed_and_stopped_while_dev_shm_is_full_nobody_faults() {
    let _alone = alone();
    let weather = weather(0.4);
    support::watch_for(weather.limit());
    with_shm_of(5 << 20, || assert_sound("storm in a teacup", weather));
}

#[test]
fn a_lie_does_not_go_unnoticed() {
    let _alone = alone();
    let lies = [
        Lie::FalseEvict,
        Lie::SilentEvict,
        Lie::WrongValue,
        Lie::SilentBind,
        Lie::DoubleTake,
        Lie::Dawdle,
    ];
    for lie in lies {
        let name = Name::new("lie");
        let weather = Weather { lie, ..Weather::lasting(Duration::from_secs(20)) };
        let board = storm::run(&name, weather);
        assert!(board.violations() > 0, "{lie:?} went unnoticed");
    }
}
