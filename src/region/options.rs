//! How a region is created, and what is demanded of one that is opened.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layout::geometry::{Geometry, MAX_CAPACITY, UNIT};
use crate::sys::limits;

const LEAST_DEFAULT_CAPACITY: u64 = 64 << 20;
const DEFAULT_OBJECTS: u32 = 1 << 20;
const DEFAULT_PARTICIPANTS: u32 = 64;
const DEFAULT_MODE: u32 = 0o600;

/// How long a region exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Lifespan {
    /// As long as processes are attached: the last to leave removes it, or the first to arrive after all have crashed.
    #[default]
    Attached,
    /// Until somebody destroys it.
    Persistent,
    /// It never has a name: for a process and the children it forks.
    Anonymous,
}

impl Lifespan {
    pub(crate) const fn to_word(self) -> u32 {
        match self {
            Self::Attached => 1,
            Self::Persistent => 2,
            Self::Anonymous => 3,
        }
    }

    pub(crate) const fn from_word(word: u32) -> Option<Self> {
        Some(match word {
            1 => Self::Attached,
            2 => Self::Persistent,
            3 => Self::Anonymous,
            _ => return None,
        })
    }
}

/// How to create a region; what is set explicitly is also demanded of a region that exists already.
///
/// ```
/// use inplace::{Lifespan, RegionOptions};
///
/// # fn main() -> inplace::Result<()> {
/// let region = RegionOptions::new().capacity(1 << 20).lifespan(Lifespan::Anonymous).create("scratch")?;
/// assert_eq!(region.capacity(), 1 << 20);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct RegionOptions {
    capacity: Option<u64>,
    max_objects: Option<u32>,
    max_participants: Option<u32>,
    lifespan: Option<Lifespan>,
    mode: Option<u32>,
    wider: bool,
    metrics: bool,
}

impl RegionOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes for objects, rounded up to 64 KiB. Address space, not memory: memory is taken when objects need it. By
    /// default the size of /dev/shm.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// How many objects there can be at once; by default 1,048,576.
    pub fn max_objects(mut self, count: u32) -> Self {
        self.max_objects = Some(count);
        self
    }

    /// How many processes can be attached at once; by default 64.
    pub fn max_participants(mut self, count: u32) -> Self {
        self.max_participants = Some(count);
        self
    }

    /// How long the region exists; by default as long as processes are attached.
    pub fn lifespan(mut self, lifespan: Lifespan) -> Self {
        self.lifespan = Some(lifespan);
        self
    }

    /// Permissions of the file, by default 0600. Whoever may write it may change every object.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Opens regions that belong to another user, or that more users may access than the mode says.
    pub fn allow_wider_access(mut self) -> Self {
        self.wider = true;
        self
    }

    /// Counts what this process does with the region, in the region: see [`Region::counters`](crate::Region::counters).
    /// Off by default; once on, it is so for every handle of this process, and of its forked children.
    pub fn metrics(mut self, counted: bool) -> Self {
        self.metrics = counted;
        self
    }

    pub(crate) fn is_counted(&self) -> bool {
        self.metrics
    }

    pub(crate) fn geometry(&self) -> Result<Geometry> {
        Geometry::new(
            self.capacity.unwrap_or_else(default_capacity),
            self.max_objects.unwrap_or(DEFAULT_OBJECTS),
            self.max_participants.unwrap_or(DEFAULT_PARTICIPANTS),
        )
    }

    pub(crate) fn chosen_lifespan(&self) -> Lifespan {
        self.lifespan.unwrap_or_default()
    }

    pub(crate) fn chosen_mode(&self) -> Result<u32> {
        let mode = self.mode.unwrap_or(DEFAULT_MODE);
        if mode & !0o777 != 0 || mode & 0o600 != 0o600 {
            return Err(Error::InvalidConfig {
                what: "mode".into(),
                found: format!("{mode:#o}"),
                expected: "0600 with any of 0177: the owner reads and writes".into(),
            });
        }
        Ok(mode)
    }

    pub(crate) fn allows_wider_access(&self) -> bool {
        self.wider
    }

    /// Compares what was set explicitly with what a region has.
    pub(crate) fn check(&self, name: &str, found: &Geometry, lifespan: Lifespan) -> Result<()> {
        let capacity = self.capacity.map(|bytes| bytes.div_ceil(UNIT).saturating_mul(UNIT));
        let demands = [
            ("capacity", capacity, found.capacity),
            ("max_objects", self.max_objects.map(u64::from), found.max_objects.into()),
            (
                "max_participants",
                self.max_participants.map(u64::from),
                found.max_participants.into(),
            ),
        ];
        let differing = |expected: String, found: String, what| {
            Err(Error::LayoutMismatch { name: name.to_owned(), what, expected, found })
        };
        for (what, demanded, found) in demands {
            if let Some(demanded) = demanded.filter(|&demanded| demanded != found) {
                return differing(demanded.to_string(), found.to_string(), what);
            }
        }
        match self.lifespan {
            Some(demanded) if demanded != lifespan => {
                differing(format!("{demanded:?}"), format!("{lifespan:?}"), "lifespan")
            }
            _ => Ok(()),
        }
    }
}

fn default_capacity() -> u64 {
    let total = limits::shm_space().map_or(0, |space| space.total);
    (total / UNIT * UNIT).clamp(LEAST_DEFAULT_CAPACITY, MAX_CAPACITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_demanded_is_not_compared_and_rounding_is_no_difference() {
        let found = Geometry::new(1 << 20, 100, 8).unwrap();
        let check = |options: RegionOptions| options.check("r", &found, Lifespan::Attached);
        check(RegionOptions::new()).unwrap();
        check(RegionOptions::new().capacity((1 << 20) - 5).max_objects(100)).unwrap();
        let error = check(RegionOptions::new().max_participants(9)).unwrap_err();
        assert!(matches!(error, Error::LayoutMismatch { what: "max_participants", .. }), "{error}");
        let error = check(RegionOptions::new().lifespan(Lifespan::Persistent)).unwrap_err();
        assert!(matches!(error, Error::LayoutMismatch { what: "lifespan", .. }), "{error}");
    }

    #[test]
    fn a_mode_without_access_for_the_owner_is_refused() {
        assert!(RegionOptions::new().mode(0o044).chosen_mode().is_err());
        assert!(RegionOptions::new().mode(0o1600).chosen_mode().is_err());
        assert_eq!(RegionOptions::new().mode(0o660).chosen_mode().unwrap(), 0o660);
    }
}
