//! Promised values: what is asked of a connector for them.

use std::task::{Poll, Waker};
use std::time::Duration;

use crate::codec::Codec;
use crate::connector::{Deferrable, Watch};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::store::inner::{Inner, WASTE_MIN};
use crate::view::View;

/// Who is told of a promise, or of a change, if anybody is.
#[derive(Default)]
pub(crate) struct Listening {
    told: Option<Told>,
}

struct Told {
    waker: Waker,
    /// A forked child is told of nothing.
    process: u32,
    _watch: Watch,
}

impl Listening {
    fn is_told(&self, waker: &Waker) -> bool {
        self.told
            .as_ref()
            .is_some_and(|told| told.waker.will_wake(waker) && told.process == std::process::id())
    }

    /// The outcome of a look, or has `waker` called when it is worth another one.
    pub(crate) fn poll<R>(
        &mut self,
        outcome: Result<R>,
        waker: &Waker,
        watch: impl FnOnce() -> Result<Watch>,
    ) -> Poll<Result<R>> {
        match outcome {
            Err(Error::TimedOut { .. }) => {}
            outcome => {
                self.told = None;
                return Poll::Ready(outcome);
            }
        }
        if self.is_told(waker) {
            return Poll::Pending;
        }
        // The old watch goes first: its waker is not to be called any more.
        self.told = None;
        match watch() {
            Ok(watch) => {
                let process = std::process::id();
                self.told = Some(Told { waker: waker.clone(), process, _watch: watch });
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Inner {
    /// The connector's promises.
    pub(crate) fn deferrable(&self) -> Result<&dyn Deferrable> {
        let none = || Error::Unsupported { connector: "store's", operation: "promises" };
        self.connector.deferrable().ok_or_else(none)
    }

    /// Gives a promised object its value.
    pub(crate) fn set<C: Codec<T>, T: ?Sized>(&self, codec: C, key: Key, value: &T) -> Result<()> {
        let deferrable = self.deferrable()?;
        let seen = self.meet::<C, T>();
        let hint = codec.size_hint(value);
        // A block that proves too large would stay so.
        let guess = seen.map_or(hint, |seen| seen.guess(hint).min(hint.max(WASTE_MIN)));
        let mut written = 0;
        deferrable.set_with(key, guess, C::FINGERPRINT, &mut |out| {
            codec.encode(value, out)?;
            written = out.position();
            Ok(())
        })?;
        if let Some(seen) = seen {
            seen.wrote(hint, written);
        }
        Ok(())
    }

    /// The value of a promise, or why there will be none; until then, has `waker` called when there is something to hear.
    pub(crate) fn poll_wait<C: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
        waker: &Waker,
        listening: &mut Listening,
    ) -> Poll<Result<View<C::Target>>> {
        let outcome = self.wait::<C, T>(key, Some(Duration::ZERO));
        listening.poll(outcome, waker, || self.deferrable()?.watch(key, waker))
    }
}
