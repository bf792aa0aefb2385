//! What a process remembers for itself: which slots and blocks it saw returned last, and which objects it has checked.

use crate::error::Result;
use crate::layout::class::{CLASSES, Class};
use crate::layout::geometry::Geometry;
use crate::layout::hint::HintKind;
use crate::layout::slot::ObjectId;
use crate::pins::Gate;
use crate::segment::Marks;
use crate::sync::unmodelled::{AtomicU32, AtomicU64, Ordering};

const DEPTH: u32 = 64;

/// Hints and marks of one process for one region. All of it may be stale, lost or duplicated.
#[derive(Debug)]
pub(crate) struct Local {
    /// Closed while a fork copies this process's pins.
    pub(crate) gate: Gate,
    /// Bumped in every forked child: what was begun before is the parent's.
    pub(crate) forks: AtomicU32,
    stacks: Box<[PrivateStack]>,
    /// Where the search for a free slot goes on.
    pub(crate) slot_cursor: AtomicU32,
    /// Where the search for a unit for a new slab goes on.
    pub(crate) unit_cursor: AtomicU32,
    /// Below which unit the search for a span goes on.
    span_cursor: AtomicU32,
    /// The unit whose cells are being handed out, per class, and the next cell: `unit 32 | cell 32`.
    cell_cursors: Box<[AtomicU64]>,
    /// `header.returns` when a search of every unit for a cell was in vain, per class.
    fruitless_cells: Box<[AtomicU64]>,
    /// `header.returns` when a search for a span was in vain, and of how many units: `returns 32 | units 32`.
    fruitless_span: AtomicU64,
    /// `header.returns` when `span_cursor` was set.
    span_cursor_at: AtomicU64,
    marks: Marks,
    /// Per slot, the block this process last saw there: where its next object may well be.
    last_seen: Marks,
}

/// A lossy stack: two threads may lose or double an entry, which the CAS on the truth forgives.
#[repr(align(128))]
#[derive(Debug)]
struct PrivateStack {
    depth: AtomicU32,
    /// How many returns this process will need again itself; the others are told to everybody.
    credit: AtomicU32,
    entries: [AtomicU64; DEPTH as usize],
}

impl PrivateStack {
    fn new() -> Self {
        Self {
            depth: AtomicU32::new(0),
            credit: AtomicU32::new(0),
            entries: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Local {
    pub(crate) fn new(geometry: &Geometry) -> Result<Self> {
        Ok(Self {
            gate: Gate::default(),
            forks: AtomicU32::new(0),
            stacks: (0..HintKind::COUNT).map(|_| PrivateStack::new()).collect(),
            slot_cursor: AtomicU32::new(1),
            unit_cursor: AtomicU32::new(0),
            span_cursor: AtomicU32::new(0),
            cell_cursors: (0..CLASSES).map(|_| AtomicU64::new(u64::MAX)).collect(),
            fruitless_cells: (0..CLASSES).map(|_| AtomicU64::new(u64::MAX)).collect(),
            fruitless_span: AtomicU64::new(u64::MAX),
            span_cursor_at: AtomicU64::new(u64::MAX),
            marks: Marks::new(geometry)?,
            last_seen: Marks::new(geometry)?,
        })
    }

    /// Takes the hint that was remembered last.
    #[inline]
    pub(crate) fn pop(&self, kind: HintKind) -> Option<u64> {
        let stack = &self.stacks[kind.0];
        let credit = stack.credit.load(Ordering::Relaxed);
        stack.credit.store((credit + 1).min(DEPTH), Ordering::Relaxed);
        let depth = stack.depth.load(Ordering::Relaxed);
        let top = depth.checked_sub(1)?;
        stack.depth.store(top, Ordering::Relaxed);
        Some(stack.entries.get(top as usize)?.load(Ordering::Relaxed))
    }

    /// Remembers a hint; `false` when this process has no use for it.
    #[inline]
    pub(crate) fn push(&self, kind: HintKind, hint: u64) -> bool {
        let stack = &self.stacks[kind.0];
        let (credit, depth) =
            (stack.credit.load(Ordering::Relaxed), stack.depth.load(Ordering::Relaxed));
        if credit == 0 || depth >= DEPTH {
            return false;
        }
        stack.credit.store(credit - 1, Ordering::Relaxed);
        stack.entries[depth as usize].store(hint, Ordering::Relaxed);
        stack.depth.store(depth + 1, Ordering::Relaxed);
        true
    }

    /// Takes the hint remembered last that `fits`.
    pub(crate) fn pop_fitting(&self, kind: HintKind, fits: impl Fn(u64) -> bool) -> Option<u64> {
        let stack = &self.stacks[kind.0];
        let credit = stack.credit.load(Ordering::Relaxed);
        stack.credit.store((credit + 1).min(DEPTH), Ordering::Relaxed);
        take_fitting(&stack.depth, &stack.entries, fits)
    }

    /// The unit and cell where the search for a cell of `class` goes on.
    pub(crate) fn cell_cursor(&self, class: Class) -> Option<(u32, u32)> {
        let cursor = self.cell_cursors[class.0 as usize].load(Ordering::Relaxed);
        (cursor != u64::MAX).then_some(((cursor >> 32) as u32, cursor as u32))
    }

    pub(crate) fn set_cell_cursor(&self, class: Class, unit: u32, cell: u32) {
        self.cell_cursors[class.0 as usize]
            .store((u64::from(unit) << 32) | u64::from(cell), Ordering::Relaxed);
    }

    /// Whether a search for a cell of `class` was in vain and nothing was returned since.
    pub(crate) fn is_cell_search_fruitless(&self, class: Class, returns: u32) -> bool {
        self.fruitless_cells[class.0 as usize].load(Ordering::Relaxed) == u64::from(returns)
    }

    pub(crate) fn set_cell_search_fruitless(&self, class: Class, returns: u32) {
        self.fruitless_cells[class.0 as usize].store(u64::from(returns), Ordering::Relaxed);
    }

    /// Whether a search for a span of free units as short as this was in vain and nothing was returned since.
    pub(crate) fn is_span_search_fruitless(&self, units: u32, returns: u32) -> bool {
        let last = self.fruitless_span.load(Ordering::Relaxed);
        last != u64::MAX && (last >> 32) as u32 == returns && units >= last as u32
    }

    pub(crate) fn set_span_search_fruitless(&self, units: u32, returns: u32) {
        self.fruitless_span.store((u64::from(returns) << 32) | u64::from(units), Ordering::Relaxed);
    }

    /// Below which unit spans may be found, when nothing was returned since.
    pub(crate) fn span_cursor(&self, returns: u32) -> Option<u32> {
        let valid = self.span_cursor_at.load(Ordering::Relaxed) == u64::from(returns);
        valid.then(|| self.span_cursor.load(Ordering::Relaxed))
    }

    pub(crate) fn set_span_cursor(&self, unit: u32, returns: u32) {
        self.span_cursor.store(unit, Ordering::Relaxed);
        self.span_cursor_at.store(u64::from(returns), Ordering::Relaxed);
    }

    /// The block this process last saw at a slot; 0 for none.
    #[inline(always)]
    pub(crate) fn last_seen(&self, slot: u32) -> u64 {
        self.last_seen.get(slot).map_or(0, |last| last.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn set_last_seen(&self, slot: u32, block: u64) {
        if let Some(last) = self.last_seen.get(slot)
            && last.load(Ordering::Relaxed) != block
        {
            last.store(block, Ordering::Relaxed);
        }
    }

    /// Whether this process has checked the object's bytes.
    #[inline]
    pub(crate) fn is_checked(&self, id: ObjectId) -> bool {
        self.marks
            .get(id.slot())
            .is_some_and(|mark| mark.load(Ordering::Relaxed) == id.generation() + 1)
    }

    /// Remembers that the object's bytes are what its fingerprint says.
    #[inline]
    pub(crate) fn set_checked(&self, id: ObjectId) {
        if let Some(mark) = self.marks.get(id.slot()) {
            mark.store(id.generation() + 1, Ordering::Relaxed);
        }
    }
}

/// Takes the topmost fitting entry out of a lossy stack, and puts the top in its place.
pub(crate) fn take_fitting(
    depth: &AtomicU32,
    entries: &[AtomicU64],
    fits: impl Fn(u64) -> bool,
) -> Option<u64> {
    let top = (depth.load(Ordering::Relaxed) as usize).min(entries.len()).checked_sub(1)?;
    let found = (0..=top).rev().find(|&at| fits(entries[at].load(Ordering::Relaxed)))?;
    let hint = entries[found].load(Ordering::Relaxed);
    entries[found].store(entries[top].load(Ordering::Relaxed), Ordering::Relaxed);
    depth.store(top as u32, Ordering::Relaxed);
    Some(hint)
}
