//! Memory lent to a producer, who fills it in place: an object without a copy.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::connector::Block;
use crate::connector::heap::HeapBytes;
use crate::connector::local::Lender;
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::region;

/// Memory of an object that nobody else sees yet. Fill it, then [`publish`](Loan::publish); dropped, it goes back.
///
/// ```
/// use inplace::Fingerprint;
/// use inplace::connector::{Connector, Loaning, LocalConnector};
///
/// let local = LocalConnector::new();
/// let mut loan = local.loan(4, Fingerprint::BYTES)?;
/// loan.copy_from_slice(b"made");
/// let key = loan.publish()?;
/// assert_eq!(&*local.get(key)?.unwrap(), b"made");
/// # Ok::<(), inplace::Error>(())
/// ```
#[must_use = "a loan that is not published goes back"]
pub struct Loan {
    repr: Repr,
}

enum Repr {
    Heap { bytes: HeapBytes, fingerprint: Fingerprint, lender: Lender },
    Shm(region::Loan),
}

impl Loan {
    pub(crate) fn heap(bytes: HeapBytes, fingerprint: Fingerprint, lender: Lender) -> Self {
        Self { repr: Repr::Heap { bytes, fingerprint, lender } }
    }

    /// Makes the object readable by everyone who gets the key.
    pub fn publish(self) -> Result<Key> {
        match self.repr {
            Repr::Heap { bytes, fingerprint, lender } => {
                lender.publish(Block::heap(bytes, fingerprint))
            }
            Repr::Shm(loan) => loan.publish(),
        }
    }
}

impl From<region::Loan> for Loan {
    fn from(loan: region::Loan) -> Self {
        Self { repr: Repr::Shm(loan) }
    }
}

impl Deref for Loan {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.repr {
            Repr::Heap { bytes, .. } => bytes,
            Repr::Shm(loan) => loan,
        }
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.repr {
            Repr::Heap { bytes, .. } => bytes,
            Repr::Shm(loan) => loan,
        }
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").field("len", &self.len()).finish_non_exhaustive()
    }
}
