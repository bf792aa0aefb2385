//! What changes: variables, each of which names the current one of many versions.

use std::task::Waker;
use std::time::Duration;

#[cfg(doc)]
use crate::connector::Lasting;
use crate::connector::{Block, Connector, Fill, LOOK_AGAIN, Watch};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;

/// What a variable held at some time: an object of its own, which never changes and stays for as long as its block.
#[derive(Clone, Debug)]
pub struct Version {
    /// The object's key. It is evicted with the next version, and by nobody before.
    pub key: Key,
    /// How many versions the variable has had with this one: the first is 1.
    pub number: u64,
    /// The object.
    pub block: Block,
}

/// A connector with variables, which any number of processes set and read at once.
///
/// A reader has one version or another, whole; no later read finds an older one. A variable holds values of one type. Its
/// key is evicted as an object's is: it is [`NotFound`](crate::Error::NotFound) then, for those who wait, too.
///
/// ```
/// use inplace::connector::{Connector, LocalConnector, Variables};
/// use inplace::{Error, Fingerprint};
///
/// let local = LocalConnector::new();
/// let variables = local.variables().expect("it has some");
/// let key = variables.open_variable("state", Fingerprint::BYTES)?;
/// assert!(variables.get_variable(key, Fingerprint::BYTES)?.is_none());
///
/// let set = |wanted, bytes: &[u8]| {
///     variables.set_variable((key, wanted), (bytes.len(), Fingerprint::BYTES), &mut |out| {
///         out.write(bytes);
///         Ok(())
///     })
/// };
/// assert_eq!(set(None, b"on")?, 1);
/// assert_eq!(set(Some(1), b"off")?, 2);
/// assert!(matches!(set(Some(1), b"on"), Err(Error::Conflict { expected: 1, found: 2, .. })));
/// assert_eq!(*variables.wait_for_change(key, 1, None)?.block, *b"off");
/// # Ok::<(), Error>(())
/// ```
pub trait Variables: Connector {
    /// A variable that was never set, for values of this type.
    fn new_variable(&self, fingerprint: Fingerprint) -> Result<Key>;

    /// The same, bound to this process from its first instant, as by [`Lasting::bind_to_process`]. What is bound is set by
    /// its process alone: for others that is [`NotOwner`](Error::NotOwner).
    ///
    /// A connector that knows of no owners keeps this: [`Unsupported`](Error::Unsupported).
    fn new_bound_variable(&self, fingerprint: Fingerprint) -> Result<Key> {
        let _ = fingerprint;
        let connector = self.config().kind();
        Err(Error::Unsupported { connector, operation: "variables that go with a process" })
    }

    /// The same with its first value, which `fill` writes, of that type and of about that size. After an error there is none.
    ///
    /// A connector of several keeps the two together: the variable is made where there is room for the value.
    fn put_bound_variable(
        &self,
        (size, fingerprint): (usize, Fingerprint),
        fill: &mut Fill<'_>,
    ) -> Result<Key> {
        let key = self.new_bound_variable(fingerprint)?;
        match self.set_variable((key, Some(0)), (size, fingerprint), fill) {
            Ok(_) => Ok(key),
            Err(error) => {
                // The first error is the one to hear of. Whoever is not its owner evicts nothing: `fill` may have forked.
                let _ = match self.lasting() {
                    Some(lasting) => lasting.evict_bound(key),
                    None => self.evict(key),
                };
                Err(error)
            }
        }
    }

    /// The variable of that name; made if there is none. One of another type, or a name bound to something else, is
    /// [`TypeMismatch`](crate::Error::TypeMismatch).
    fn open_variable(&self, name: &str, fingerprint: Fingerprint) -> Result<Key>;

    /// Gives a variable the value that `fill` writes, of that type and of about that size; the new version's number. A
    /// number beside the key is that of the version to be replaced (0: it was never set); any other than the current one
    /// is [`Conflict`](crate::Error::Conflict).
    fn set_variable(
        &self,
        variable: (Key, Option<u64>),
        encoded: (usize, Fingerprint),
        fill: &mut Fill<'_>,
    ) -> Result<u64>;

    /// The current version; `None` when it was never set.
    fn get_variable(&self, key: Key, fingerprint: Fingerprint) -> Result<Option<Version>>;

    /// Waits for a version with a number above `seen` (0: any), and returns the current one; `None` waits without limit.
    fn wait_for_change(&self, key: Key, seen: u64, timeout: Option<Duration>) -> Result<Version>;

    /// Has `waker` called, once or more often, when there is a version with a number above `seen`, or the variable is gone,
    /// until the watch is dropped; at once where that is so already. Whoever is called looks with
    /// [`wait_for_change`](Variables::wait_for_change) and no time to wait.
    ///
    /// A connector that is told of nothing keeps this: its wakers are called every 10 ms.
    fn watch_change(&self, key: Key, seen: u64, waker: &Waker) -> Result<Watch> {
        let _ = (key, seen);
        Watch::every(LOOK_AGAIN, waker)
    }
}
