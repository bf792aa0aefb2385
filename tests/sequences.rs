//! Random sequences of operations by several processes, against a model: whatever they do and whoever is killed, each
//! answer is one that the model allows, and what two of them see of the whole is what the model says.
//!
//! `INPLACE_CASES` says how many sequences. What fails is made small, printed as a list of operations, and its seed kept
//! in `proptest-regressions/sequences.txt`, which is played first from then on.

mod support;

mod sequences {
    pub mod actor;
    pub mod cast;
    pub mod judge;
    pub mod model;
    pub mod ops;
    pub mod orders;
    pub mod play;
    pub mod space;
    pub mod stores;
}

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};
use sequences::cast::Cast;
use sequences::model::Flaw;
use sequences::ops::{Case, case};
use sequences::play::{ANSWERS, PLAYED, play};

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/sequences.txt");
const CASES: u32 = 300;
const LONGEST: usize = 60;
/// What every run must meet, or it proves little.
const REFUSALS: [&str; 11] = [
    "TypeMismatch",
    "nothing",
    "OutOfSpace",
    "OutOfSlots",
    "OutOfParticipants",
    "NotFound",
    "AlreadySet",
    "Broken",
    "NotOwner",
    "TimedOut",
    "Severed",
];

fn cases(default: u32) -> u32 {
    std::env::var("INPLACE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Plays sequences until one fails; that one, made as small as can be.
fn run(config: Config, longest: usize, flaw: Option<Flaw>) -> Result<(), TestError<Case>> {
    let _alone = support::alone();
    let cast = RefCell::new(Cast::new());
    let wrong = |case: &Case| play(&mut cast.borrow_mut(), case, flaw);
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&case(longest), |case| wrong(&case).map_err(TestCaseError::fail));
    let Err(TestError::Fail(mut reason, mut case)) = outcome else { return outcome };
    while let Some((shorter, why)) = shorter(&case, &wrong) {
        (case, reason) = (shorter, why.into());
    }
    Err(TestError::Fail(reason, case))
}

/// The sequence without a few operations that were of use only until others had become simpler, if it still fails.
fn shorter(case: &Case, wrong: &dyn Fn(&Case) -> Result<(), String>) -> Option<(Case, String)> {
    (1..=3).rev().find_map(|count| {
        (0..(case.ops.len() + 1).saturating_sub(count)).find_map(|at| {
            let mut case = case.clone();
            case.ops.drain(at..at + count);
            let why = wrong(&case).err()?;
            Some((case, why))
        })
    })
}

#[test]
fn every_answer_in_any_sequence_is_one_the_model_allows() {
    let config = Config {
        cases: cases(CASES),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(KEPT))),
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let cases = config.cases;
    let outcome = run(config, LONGEST, None);
    let answers = ANSWERS.lock().unwrap().clone();
    println!("{cases} sequences, {} operations\n{answers:#?}", PLAYED.load(Ordering::Relaxed));
    if let Err(TestError::Fail(reason, case)) = &outcome {
        panic!("{reason}\nthe smallest sequence that fails: {case:#?}");
    }
    outcome.unwrap();
    let never =
        REFUSALS.iter().filter(|refusal| !answers.keys().any(|kind| kind.ends_with(*refusal)));
    let never: Vec<_> = never.collect();
    assert!(cases < CASES || never.is_empty(), "never met: {never:?}");
}

/// What is left of a sequence that contradicts a model with a flaw. Always of the same one.
fn smallest(flaw: Flaw) -> Case {
    let config = Config {
        cases: 5000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..Config::default()
    };
    let Err(TestError::Fail(_, case)) = run(config, LONGEST, Some(flaw)) else {
        panic!("nothing contradicts a model with the flaw {flaw:?}");
    };
    println!("{flaw:?}: {case:?}");
    case
}

#[test]
fn a_model_in_which_unbind_does_nothing_is_contradicted_by_three_operations() {
    let case = smallest(Flaw::UnbindIsForgotten);
    assert!(case.ops.len() <= 3, "{case:#?}");
}

#[test]
fn a_model_in_which_the_dead_keep_their_pins_is_contradicted_by_four_operations() {
    let case = smallest(Flaw::TheDeadKeepTheirPins);
    assert!(case.ops.len() <= 4, "{case:#?}");
}

#[test]
fn a_model_in_which_views_are_not_inherited_is_contradicted_by_three_operations() {
    let case = smallest(Flaw::ViewsAreNotInherited);
    assert!(case.ops.len() <= 3, "{case:#?}");
}

#[test]
fn a_model_in_which_promises_outlive_their_keepers_is_contradicted_by_four_operations() {
    let case = smallest(Flaw::PromisesOutliveTheirKeepers);
    assert!(case.ops.len() <= 4, "{case:#?}");
}
