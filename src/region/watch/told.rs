//! A future at a channel: its last watch.

use std::task::{Poll, Waker};

use crate::error::{Error, Result};
use crate::key::Key;
use crate::region::watch::Watch;

/// Who waits at a channel is called when it is worth another look, until he is.
#[derive(Default)]
pub(crate) struct Told(Option<(Waker, Watch)>);

impl Told {
    /// The outcome of a look at the channel with a key, or has `waker` called when there is something to be had, which another
    /// may have before.
    pub(crate) fn poll<R>(
        &mut self,
        channel: Key,
        outcome: Result<R>,
        waker: &Waker,
        watch: impl FnOnce(&Waker) -> Result<Option<Watch>>,
    ) -> Poll<Result<R>> {
        // A codec may say the same of something else.
        let is_early = |error: &Error| match error {
            Error::TimedOut { key, .. } | Error::Full { key, .. } => *key == channel,
            _ => false,
        };
        if !outcome.as_ref().is_err_and(is_early) {
            self.0 = None;
            return Poll::Ready(outcome);
        }
        let is_told = |(told, watch): &(Waker, Watch)| told.will_wake(waker) && watch.is_pending();
        if self.0.as_ref().is_some_and(is_told) {
            return Poll::Pending;
        }
        // The old watch goes first: its waker is not to be called any more.
        self.0 = None;
        match watch(waker) {
            Ok(Some(watch)) => self.0 = Some((waker.clone(), watch)),
            Ok(None) => waker.wake_by_ref(),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Pending
    }
}
