//! What an access is made into: as written, weakened, or not at all because its participant is dead.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::{Fences, Ordering};

/// What an access does to its word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Access {
    Read,
    Write,
    Update,
}

/// How an access is carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) before: bool,
    pub(super) ordering: Ordering,
    pub(super) after: bool,
}

impl Plan {
    /// The ordering of a compare-exchange that fails: what was written, unless the access was weakened.
    pub(super) fn failure(self, written: Ordering) -> Ordering {
        match (self.ordering, written) {
            (Ordering::Relaxed, _) | (_, Ordering::Relaxed) => Ordering::Relaxed,
            _ => Ordering::Acquire,
        }
    }
}

/// A place in the source where a word is accessed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Site {
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One ordering, weakened.
#[derive(Debug)]
struct Weakened {
    site: Site,
    /// To Relaxed, or only out of the total order.
    to_relaxed: bool,
}

/// `INPLACE_WEAKEN=src/file.rs:line:column:relaxed`, or `…:unordered`.
static WEAKENED: LazyLock<Option<Weakened>> = LazyLock::new(|| {
    let text = std::env::var("INPLACE_WEAKEN").ok()?;
    let parts: Vec<_> = text.split(':').collect();
    let [file, line, column, how] = parts[..] else { panic!("no place: {text}") };
    let number = |text: &str| text.parse().expect("lines and columns are numbers");
    let site = Site { file: file.into(), line: number(line), column: number(column) };
    Some(Weakened { site, to_relaxed: how == "relaxed" })
});

type Sites = BTreeMap<Site, (Access, String)>;
static IS_RECORDING: LazyLock<bool> = LazyLock::new(|| std::env::var_os("INPLACE_SITES").is_some());
static SITES: Mutex<Sites> = Mutex::new(BTreeMap::new());

/// Every place that was met since the last time, when `INPLACE_SITES` is set.
pub(crate) fn take_sites() -> Sites {
    std::mem::take(&mut SITES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The unwinding of a participant that was killed.
#[derive(Debug)]
pub(crate) struct Killed;

loom::thread_local! {
    static LIFE: Cell<Life> = Cell::new(Life::Unlimited);
}

#[derive(Clone, Copy)]
enum Life {
    Unlimited,
    /// So many changes more.
    Left(u32),
    Dead,
}

/// Runs a participant that is killed when it has changed so many words and is about to change another; `None` when it was.
/// Killed before or after an access that changes nothing it has done the same.
pub(crate) fn die_after<T>(changes: u32, participant: impl FnOnce() -> T) -> Option<T> {
    LIFE.with(|life| life.set(Life::Left(changes)));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(participant));
    LIFE.with(|life| life.set(Life::Unlimited));
    match outcome {
        Ok(done) => Some(done),
        Err(cause) if cause.is::<Killed>() => None,
        Err(cause) => std::panic::resume_unwind(cause),
    }
}

/// Whether the participant at work is dead: what its guards do while they unwind does not happen.
pub(crate) fn is_dead() -> bool {
    LIFE.with(|life| matches!(life.get(), Life::Dead))
}

/// [`is_dead`], for what a participant does that another may notice: it may die instead.
pub(crate) fn dies() -> bool {
    LIFE.with(|life| match life.get() {
        Life::Unlimited | Life::Left(1..) => false,
        Life::Left(0) => {
            life.set(Life::Dead);
            std::panic::resume_unwind(Box::new(Killed));
        }
        Life::Dead => true,
    })
}

/// The participant at work has changed something.
pub(crate) fn note_change() {
    LIFE.with(|life| {
        if let Life::Left(left) = life.get() {
            life.set(Life::Left(left - 1));
        }
    });
}

thread_local! {
    static FENCES: Cell<Fences> = const { Cell::new(Fences::AfterWrites) };
}

/// Where SeqCst accesses of this thread's models get their fences from now on.
pub(crate) fn set_fences(fences: Fences) {
    FENCES.set(fences);
}

fn weaker(access: Access, ordering: Ordering) -> Ordering {
    match (access, ordering) {
        (_, Ordering::Relaxed) => Ordering::Relaxed,
        (Access::Read, _) => Ordering::Acquire,
        (Access::Write, _) => Ordering::Release,
        (Access::Update, Ordering::SeqCst) => Ordering::AcqRel,
        (Access::Update, other) => other,
    }
}

/// `None`: the participant is dead.
pub(super) fn plan(access: Access, ordering: Ordering, at: &Location<'_>) -> Option<Plan> {
    let is_over = if access == Access::Read { is_dead() } else { dies() };
    if is_over {
        return None;
    }
    let here = |site: &Site| {
        site.line == at.line() && site.column == at.column() && site.file == at.file()
    };
    if *IS_RECORDING {
        let site = Site { file: at.file().into(), line: at.line(), column: at.column() };
        let mut sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
        sites.entry(site).or_insert_with(|| (access, format!("{ordering:?}")));
    }
    let fences = FENCES.get();
    let is_total = ordering == Ordering::SeqCst;
    let weakened = WEAKENED.as_ref().filter(|weakened| here(&weakened.site));
    Some(match weakened {
        Some(weakened) if weakened.to_relaxed => {
            Plan { before: false, ordering: Ordering::Relaxed, after: false }
        }
        _ => Plan {
            before: is_total
                && weakened.is_none()
                && fences == Fences::BeforeReads
                && access != Access::Write,
            ordering: weaker(access, ordering),
            after: is_total
                && weakened.is_none()
                && fences == Fences::AfterWrites
                && access != Access::Read,
        },
    })
}
