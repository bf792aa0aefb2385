//! Wrong bytes in the control area of a region: every operation ends, with a result or an error, and nothing faults.

mod support;

#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/survivors.rs"]
mod survivors;

use std::os::unix::fs::FileExt;

use hostile::{Image, Work};
use nix::sys::wait::WaitStatus;
use support::random::bytes;
use support::{Name, start_child};
use survivors::{seeds, survive};

#[test]
fn wrong_words_in_the_control_area_end_in_results_or_errors() {
    let name = Name::new("words");
    let image = Image::new(&name);
    survive(seeds(300), |seed| hostile::control(&image, (&name, &bytes(seed, 440)), |_| ()));
}

#[test]
fn children_forked_from_a_region_with_wrong_words_end_as_they_want() {
    let name = Name::new("forks");
    let image = Image::new(&name);
    survive(seeds(20), |seed| {
        hostile::control(&image, (&name, &bytes(seed, 100)), |region| {
            let child = start_child(|| {
                Work::on(region, &image.keys).everything();
                0
            });
            assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
            Work::on(region, &image.keys).everything();
        });
    });
}

/// Opens a region in which some bytes were overwritten, and does everything to it.
fn survive_with(words: &[(u64, u64)]) {
    let name = Name::new("word");
    let image = Image::new(&name);
    let file = image.write(&name);
    let region = hostile::open(&name).unwrap();
    for (at, word) in words {
        file.write_all_at(&(*word as u32).to_le_bytes(), *at).unwrap();
    }
    survive(0..1, |_| Work::on(&region, &image.keys).everything());
}

#[test]
fn bounds_that_say_less_than_creation_commits_neither_divide_by_zero_nor_grow_for_ever() {
    let (chunks, frontier) = (64, 72);
    survive_with(&[(chunks, 0)]);
    survive_with(&[(frontier, 0)]);
    survive_with(&[(chunks, 0), (frontier, 5)]);
}

#[test]
fn a_count_that_is_as_high_as_can_be_refuses_a_pin_and_does_not_count_for_ever() {
    let (row, slots) = (45_056 + 64 * 2048, 40);
    survive_with(&(0..slots).map(|slot| (row + 4 * slot, u64::MAX)).collect::<Vec<_>>());
}

#[test]
fn a_walk_over_a_region_where_all_is_broken_ends_soon() {
    let (words, units) = (192_512, 40_960);
    let slab_of_single_granules = 3 << 28;
    let tables = (0..16).map(|unit| (units + 8 * unit, slab_of_single_granules));
    let flags = (0..16).map(|unit| (units + 8 * unit + 4, 2));
    let cells = (0..16 * 1024).map(|cell| (words + 4 * cell, cell + 1));
    survive_with(&tables.chain(flags).chain(cells).collect::<Vec<_>>());
}

#[test]
fn spans_that_say_they_are_huge_take_no_memory_to_walk() {
    let slots = 45_056;
    // The upper half of a block reference: a span of as many units as there can be.
    let huge = (0..500).map(|slot| (slots + 64 * slot + 12, 0xbfff_ffc0));
    let ready = (0..500).map(|slot| (slots + 64 * slot, 4 << 8));
    survive_with(&huge.chain(ready).collect::<Vec<_>>());
}
