//! The unit table: what each 64 KiB of the data area are used for.

use std::fmt;

use crate::layout::class::Class;
use crate::layout::participant::ParticipantId;
use crate::sync::AtomicU32;

/// One entry of the unit table.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct UnitEntry {
    /// A [`UnitWord`].
    pub(crate) word: AtomicU32,
    /// [`SPARE_CELLS`] and [`WORDS_COMMITTED`].
    pub(crate) flags: AtomicU32,
}

/// A hint: the slab may have free cells that no stack remembers.
pub(crate) const SPARE_CELLS: u32 = 1;
/// The unit's page of block words is committed, and stays so.
pub(crate) const WORDS_COMMITTED: u32 = 2;

const KIND_SHIFT: u32 = 28;
const PAYLOAD: u32 = (1 << KIND_SHIFT) - 1;
const OWNER_SHIFT: u32 = 8;
const CLASS: u32 = (1 << OWNER_SHIFT) - 1;

/// `kind 4 | payload 28`. All zeros is a cold unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnitWord(pub(crate) u32);

/// What a [`UnitWord`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// Not committed: must not be touched, not even read.
    Cold,
    /// Being committed by a participant.
    Warming(ParticipantId),
    /// Committed and unused.
    Free,
    /// Cut into cells of one class.
    Slab(Class),
    /// A participant looks whether the slab is empty.
    Retiring(Class, ParticipantId),
    /// Part of the span of one slot.
    Span(u32),
    /// Being given back to the system by a participant.
    Trimming(ParticipantId),
}

impl UnitWord {
    #[inline]
    pub(crate) const fn new(unit: Unit) -> Self {
        let (kind, payload) = match unit {
            Unit::Cold => (0, 0),
            Unit::Warming(p) => (1, p.index() << OWNER_SHIFT),
            Unit::Free => (2, 0),
            Unit::Slab(class) => (3, class.0 as u32),
            Unit::Retiring(class, p) => (4, (p.index() << OWNER_SHIFT) | class.0 as u32),
            Unit::Span(slot) => (5, slot),
            Unit::Trimming(p) => (6, p.index() << OWNER_SHIFT),
        };
        Self((kind << KIND_SHIFT) | payload)
    }

    /// `None` for a value no participant writes.
    #[inline]
    pub(crate) const fn get(self) -> Option<Unit> {
        let payload = self.0 & PAYLOAD;
        let class = Class::from_bits(payload & CLASS);
        let owner = ParticipantId::new(payload >> OWNER_SHIFT);
        Some(match (self.0 >> KIND_SHIFT, class) {
            (0, _) => Unit::Cold,
            (1, _) => Unit::Warming(owner),
            (2, _) => Unit::Free,
            (3, Some(class)) => Unit::Slab(class),
            (4, Some(class)) => Unit::Retiring(class, owner),
            (5, _) => Unit::Span(payload),
            (6, _) => Unit::Trimming(owner),
            _ => return None,
        })
    }
}

impl fmt::Debug for UnitWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(unit) => unit.fmt(f),
            None => write!(f, "Invalid({:#x})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_state_comes_back_as_it_went_in() {
        let (p, class) = (ParticipantId::new(4094), Class(44));
        for unit in [
            Unit::Cold,
            Unit::Warming(p),
            Unit::Free,
            Unit::Slab(class),
            Unit::Retiring(class, p),
            Unit::Span((1 << 24) - 1),
            Unit::Trimming(p),
        ] {
            assert_eq!(UnitWord::new(unit).get(), Some(unit));
        }
        assert_eq!(UnitWord(0).get(), Some(Unit::Cold));
        assert_eq!(UnitWord(15 << 28).get(), None);
    }
}
