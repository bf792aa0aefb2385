//! Promises and loans of the members that have them.

use std::task::Waker;
use std::time::Duration;

use super::MultiConnector;
use super::members::Part;
use crate::connector::{Block, Deferrable, Fill, Loan, Loaning, Offer, Watch};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;

impl MultiConnector {
    fn promising(&self, key: Key) -> Result<&dyn Deferrable> {
        let promising = self.members.of(key)?.deferrable();
        promising.ok_or(Error::Unsupported { connector: "key's", operation: "promises" })
    }
}

impl Deferrable for MultiConnector {
    fn reserve(&self) -> Result<Key> {
        self.make_somewhere(Part::Promises, None, |connector| match connector.deferrable() {
            Some(promising) => promising.reserve(),
            None => Err(Part::Promises.missing()),
        })
    }

    fn set_with(
        &self,
        key: Key,
        size: usize,
        fingerprint: Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        self.promising(key)?.set_with(key, size, fingerprint, fill)
    }

    fn fail(&self, key: Key) -> Result<()> {
        self.promising(key)?.fail(key)
    }

    fn wait(&self, key: Key, timeout: Option<Duration>) -> Result<Block> {
        let connector = self.members.of(key)?;
        match connector.deferrable() {
            Some(member) => member.wait(key, timeout),
            None => connector.get(key)?.ok_or(Error::NotFound { key }),
        }
    }

    fn fail_with(&self, key: Key, message: &str) -> Result<()> {
        self.promising(key)?.fail_with(key, message)
    }

    fn cancel(&self, key: Key) -> Result<()> {
        self.promising(key)?.cancel(key)
    }

    fn offer(&self, key: Key) -> Result<Offer> {
        self.promising(key)?.offer(key)
    }

    fn adopt(&self, key: Key, offer: Offer) -> Result<()> {
        self.promising(key)?.adopt(key, offer)
    }

    /// As its member does it. Where there are no promises there is nothing to wait for.
    fn watch(&self, key: Key, waker: &Waker) -> Result<Watch> {
        match self.members.of(key)?.deferrable() {
            Some(member) => member.watch(key, waker),
            None => Ok(Watch::over(waker)),
        }
    }
}

impl Loaning for MultiConnector {
    fn loan(&self, len: usize, fingerprint: Fingerprint) -> Result<Loan> {
        let size = Some(len as u64);
        self.make_somewhere(Part::Loans, size, |connector| match connector.loaning() {
            Some(lender) => lender.loan(len, fingerprint),
            None => Err(Part::Loans.missing()),
        })
    }
}
