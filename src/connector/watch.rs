//! Being told that a promise is kept or broken.

use std::fmt;
use std::task::Waker;
use std::time::Duration;

use crate::error::Result;
use crate::region::watch;

/// Has a waker called when a promise is kept, or never will be; dropped, it calls nobody any more.
///
/// What a connector keeps of it is dropped with it: something that takes the waker out of the connector's own list.
///
/// ```
/// use inplace::connector::Watch;
///
/// struct Listed(u64);
///
/// impl Drop for Listed {
///     fn drop(&mut self) {
///         // Takes waker number `self.0` out of the list.
///     }
/// }
///
/// drop(Watch::new(Listed(7)));
/// ```
#[must_use = "dropped, it calls nobody"]
pub struct Watch {
    _kept: Option<Box<dyn Send + Sync>>,
}

impl Watch {
    /// A watch that lasts until `kept` is dropped.
    pub fn new(kept: impl Send + Sync + 'static) -> Self {
        Self { _kept: Some(Box::new(kept)) }
    }

    /// Of a promise that is kept or broken already: `waker` has been called.
    pub fn over(waker: &Waker) -> Self {
        waker.wake_by_ref();
        Self { _kept: None }
    }

    /// Calls `waker` every `interval`, from the thread that waits for promises: for connectors that are told of nothing
    /// and have to look.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn every(interval: Duration, waker: &Waker) -> Result<Self> {
        watch::Watch::every(interval, waker).map(Self::new)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
