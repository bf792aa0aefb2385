//! What a store remembers about types: how long their objects were lately, and whether they are made anew.

use crate::fingerprint::Fingerprint;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// How many types there is room for.
pub(crate) const TYPES: usize = 128;
const PROBES: usize = 8;

/// A small lossy table by fingerprint. No locks: wrong numbers cost a second encoding, nothing else.
#[derive(Debug)]
pub(crate) struct Types {
    seen: Box<[Seen; TYPES]>,
}

/// One type.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    fingerprint: AtomicU64,
    hint: AtomicU64,
    size: AtomicU64,
    made_anew: AtomicBool,
}

impl Types {
    pub(crate) fn new() -> Self {
        Self { seen: Box::new(std::array::from_fn(|_| Seen::default())) }
    }

    /// The entry at a place.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> &Seen {
        &self.seen[place % TYPES]
    }

    /// Where the type's entry is. `meet` is called by the first to ask for it; there is none when the table is full.
    #[inline]
    pub(crate) fn place(&self, fingerprint: Fingerprint, meet: impl FnOnce()) -> Option<usize> {
        let raw = fingerprint.get();
        for place in (0..PROBES).map(|probe| (raw as usize).wrapping_add(probe) % TYPES) {
            let seen = &self.seen[place];
            match seen.fingerprint.load(Ordering::Relaxed) {
                0 => match seen.fingerprint.compare_exchange(
                    0,
                    raw,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        meet();
                        return Some(place);
                    }
                    Err(other) if other == raw => return Some(place),
                    Err(_) => {}
                },
                found if found == raw => return Some(place),
                _ => {}
            }
        }
        None
    }

    /// Every type that was met, and its place.
    pub(crate) fn met(&self) -> impl Iterator<Item = (usize, Fingerprint)> {
        let places = self.seen.iter().map(|seen| seen.fingerprint.load(Ordering::Relaxed));
        let met = places.enumerate().filter(|(_, raw)| *raw != 0);
        met.map(|(place, raw)| (place, Fingerprint::from_raw(raw)))
    }
}

impl Seen {
    /// Corrects a codec's hint by what the last hint was worth. Never more than twice the last object, or the hint.
    #[inline]
    pub(crate) fn guess(&self, hint: usize) -> usize {
        let (last_hint, last) =
            (self.hint.load(Ordering::Relaxed), self.size.load(Ordering::Relaxed));
        if last_hint == last {
            return hint;
        }
        let scaled = u128::from(last) * (hint.max(1) as u128) / u128::from(last_hint.max(1));
        let slack = scaled / 16;
        let bound = u128::from(last.saturating_mul(2)).max(hint as u128);
        (scaled + slack).min(bound) as usize
    }

    #[inline]
    pub(crate) fn wrote(&self, hint: usize, size: usize) {
        let (hint, size) = (hint as u64, size as u64);
        if self.hint.load(Ordering::Relaxed) != hint {
            self.hint.store(hint, Ordering::Relaxed);
        }
        if self.size.load(Ordering::Relaxed) != size {
            self.size.store(size, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_made_anew(&self) -> bool {
        self.made_anew.load(Ordering::Relaxed)
    }

    pub(crate) fn set_made_anew(&self) {
        self.made_anew.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_met_once_until_the_table_is_full() {
        let types = Types::new();
        let mut met = 0;
        for round in 0..2 {
            for number in 0..64_u64 {
                let fingerprint = Fingerprint::of("type").with_u64(number);
                types.place(fingerprint, || met += 1);
            }
            assert!(met <= 64, "round {round}: {met}");
        }
        assert!(met > 32);
    }

    #[test]
    fn a_guess_follows_the_last_object_and_is_bounded() {
        let seen = Seen::default();
        assert_eq!(seen.guess(100), 100);
        seen.wrote(100, 100);
        assert_eq!(seen.guess(7), 7);
        seen.wrote(16, 1600);
        assert!((1600..=1700).contains(&seen.guess(16)));
        assert!((3200..=3400).contains(&seen.guess(32)));
        assert_eq!(seen.guess(1 << 20), 1 << 20);
        seen.wrote(0, 500);
        assert!((500..=600).contains(&seen.guess(0)));
    }
}
