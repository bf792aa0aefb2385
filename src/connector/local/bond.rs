//! How what is in a dictionary goes with its process. Bonds change hands within the process only: it is the owner of all of
//! them.

use crate::error::{Error, Result};

/// How an object or a variable goes with the process.
pub(super) struct Bond {
    pub(super) to: To,
    /// How often it was offered.
    pub(super) offers: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum To {
    Nobody,
    Me,
    WhoeverAdopts,
}

impl Bond {
    pub(super) const NONE: Self = Self { to: To::Nobody, offers: 0 };
    pub(super) const MINE: Self = Self { to: To::Me, offers: 0 };

    pub(super) fn is_offered(&self) -> bool {
        self.to == To::WhoeverAdopts
    }

    pub(super) fn change(&mut self, from: To, to: To) -> Result<()> {
        if self.to != from {
            return Err(Error::NotOwner { token: "object" });
        }
        self.to = to;
        Ok(())
    }
}
