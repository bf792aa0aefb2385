//! Loans: blocks lent to a producer, who fills them in place.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::actor::Refusal;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::layout::block::BlockRef;
use crate::layout::slot::SlotWord;
use crate::protocol::write::Writing;
use crate::region::Region;

/// A block that only its holder sees until it is published; dropped unpublished, it goes back.
///
/// A token: a forked child does not inherit it. There its drop does nothing, [`publish`](Loan::publish) is
/// [`Error::NotOwner`], and touching its bytes panics.
#[must_use = "a loan that is not published goes back"]
pub struct Loan {
    region: Region,
    incarnation: u64,
    claim: (u32, SlotWord, BlockRef),
    len: usize,
    fingerprint: Fingerprint,
}

impl Region {
    /// Lends memory for an object of `len` bytes. Its content is whatever was there before.
    ///
    /// ```
    /// use inplace::{Fingerprint, RegionOptions};
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let mut loan = region.loan(4, Fingerprint::BYTES)?;
    /// loan.copy_from_slice(b"made");
    /// let key = loan.publish()?;
    /// assert_eq!(&*region.get(key)?.unwrap(), b"made");
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfSpace`], [`Error::OutOfSlots`].
    pub fn loan(&self, len: usize, fingerprint: Fingerprint) -> Result<Loan> {
        let claim = self.relieved(len as u64, |actor| {
            let writing = actor.start_writing(len as u64)?;
            actor.commit_block(writing.claimed.index, writing.block)?;
            Ok::<_, Refusal>(writing.into_claim())
        })?;
        let incarnation = self.attachment.identity.incarnation();
        Ok(Loan { region: self.clone(), incarnation, claim, len, fingerprint })
    }
}

impl Loan {
    /// The claim, if it is this process's.
    fn writing(&self) -> Option<Writing<'_>> {
        let attachment = self.region.attachment;
        let actor = attachment.actor().ok()?;
        let is_mine = self.claim.1.is_owned_by(actor.me)
            && attachment.identity.incarnation() == self.incarnation;
        if is_mine { Writing::from_claim(actor, self.claim) } else { None }
    }

    /// Makes the object readable by everyone who gets the key.
    ///
    /// # Errors
    /// [`Error::NotOwner`] in a forked child.
    pub fn publish(self) -> Result<Key> {
        self.publish_prefix(usize::MAX)
    }

    /// The same, but the object is only the first `len` bytes.
    ///
    /// # Errors
    /// [`Error::NotOwner`] in a forked child.
    pub fn publish_prefix(self, len: usize) -> Result<Key> {
        let id = match self.writing() {
            Some(writing) => writing.publish(len.min(self.len) as u64, self.fingerprint),
            None => return Err(Error::NotOwner { token: "loan" }),
        };
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so its handle is moved out once.
        let region = unsafe { std::ptr::read(&raw const this.region) };
        region.count_put(id);
        Ok(id.key(region.id()))
    }

    fn start(&self) -> *mut u8 {
        let Some(writing) = self.writing() else {
            panic!("{}", Error::NotOwner { token: "loan" });
        };
        // A pointer, made through no reference: several threads may be reading through the loan just now.
        let (_, _, block) = writing.into_claim();
        self.region.attachment.segment.claimed_start(block, self.len as u64)
    }
}

impl Deref for Loan {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block has `len` bytes, committed, and is written only through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the block has `len` bytes, committed, and nobody else knows it.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        drop(self.writing());
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan")
            .field("region", &self.region.name())
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
