//! Rounds, samples, medians.

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::shared::Shared;

/// Nanoseconds of one operation, from one sample.
pub(crate) type Sampler = Box<dyn FnMut() -> f64>;

/// What one operation is compared with.
pub(crate) enum Baseline {
    /// An uncontended atomic addition, sampled beside every case anyway.
    FetchAdd,
    /// Something of its own.
    Of(Sampler),
}

/// A case set up for one round.
pub(crate) struct Trial {
    pub(crate) subject: Sampler,
    pub(crate) baseline: Baseline,
}

/// One operation at one size.
pub(crate) struct Case {
    pub(crate) op: &'static str,
    pub(crate) bytes: usize,
    pub(crate) baseline: &'static str,
    pub(crate) set_up: Box<dyn Fn() -> Trial>,
}

impl Case {
    pub(crate) fn new(
        (op, bytes): (&'static str, usize),
        baseline: &'static str,
        set_up: impl Fn() -> Trial + 'static,
    ) -> Self {
        Self { op, bytes, baseline, set_up: Box::new(set_up) }
    }
}

/// How long to measure.
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// For one case in one round.
    time: Duration,
    samples: std::ops::Range<usize>,
    /// Sizes above this are left out of all but a few operations.
    pub(crate) largest: usize,
}

impl Effort {
    pub(crate) fn full() -> Self {
        Self { rounds: 7, time: Duration::from_millis(120), samples: 5..400, largest: usize::MAX }
    }

    pub(crate) fn quick() -> Self {
        Self { rounds: 3, time: Duration::from_millis(40), samples: 3..100, largest: 16 << 20 }
    }
}

/// What came out.
#[derive(serde::Serialize)]
pub(crate) struct Row {
    pub(crate) op: &'static str,
    pub(crate) bytes: usize,
    pub(crate) median_ns: f64,
    pub(crate) p99_ns: f64,
    pub(crate) baseline: &'static str,
    pub(crate) baseline_ns: f64,
    pub(crate) ratio: f64,
    /// Against an atomic addition in the same rounds.
    pub(crate) ratio_fetch_add: f64,
}

#[derive(Default)]
struct Round {
    subject: Vec<f64>,
    baseline: Vec<f64>,
    fetch_add: Vec<f64>,
}

/// Runs `operation` as often as said; nanoseconds of one.
#[inline]
pub(crate) fn time_each(count: usize, mut operation: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    for index in 0..count {
        operation(index);
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

/// Additions to a word of shared memory nobody else uses.
pub(crate) fn fetch_add() -> Sampler {
    let shared = Shared::new(4096);
    Box::new(move || {
        let word = shared.word(0);
        time_each(1000, |_| {
            black_box(word.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        })
    })
}

pub(crate) fn run(cases: &[Case], effort: &Effort) -> Vec<Row> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
    let mut random = Random(seed | 1);
    let mut rounds: Vec<Vec<Round>> = cases.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        for index in order {
            rounds[index].push(measure((cases[index].set_up)(), effort));
        }
    }
    cases.iter().zip(&rounds).map(|(case, rounds)| row(case, rounds)).collect()
}

/// Alternates samples of subject and baseline; the first of each warm up.
fn measure(mut trial: Trial, effort: &Effort) -> Round {
    let mut fetch_add = fetch_add();
    let mut round = Round::default();
    for _ in 0..2 {
        (trial.subject)();
        if let Baseline::Of(sample) = &mut trial.baseline {
            sample();
        }
        fetch_add();
    }
    let start = Instant::now();
    while round.subject.len() < effort.samples.start
        || round.subject.len() < effort.samples.end && start.elapsed() < effort.time
    {
        round.subject.push((trial.subject)());
        let bare = fetch_add();
        round.fetch_add.push(bare);
        round.baseline.push(match &mut trial.baseline {
            Baseline::FetchAdd => bare,
            Baseline::Of(sample) => sample(),
        });
    }
    round
}

fn row(case: &Case, rounds: &[Round]) -> Row {
    let medians =
        |of: fn(&Round) -> &[f64]| rounds.iter().map(|round| median(of(round))).collect::<Vec<_>>();
    let subject = medians(|round| &round.subject);
    let ratio =
        |to: &[f64]| median(&subject.iter().zip(to).map(|(own, to)| own / to).collect::<Vec<_>>());
    let baseline = medians(|round| &round.baseline);
    let fetch_add = medians(|round| &round.fetch_add);
    let all: Vec<f64> = rounds.iter().flat_map(|round| round.subject.iter().copied()).collect();
    Row {
        op: case.op,
        bytes: case.bytes,
        median_ns: median(&subject),
        p99_ns: quantile(&all, 0.99),
        baseline: case.baseline,
        baseline_ns: median(&baseline),
        ratio: ratio(&baseline),
        ratio_fetch_add: ratio(&fetch_add),
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1)) as f64 * part;
    sorted.get(at.round() as usize).copied().unwrap_or(f64::NAN)
}

/// xorshift64: the order of cases needs no better.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
