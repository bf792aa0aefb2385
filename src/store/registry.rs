//! The stores of this process by name, so that a proxy that comes from elsewhere finds its store.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::connector::hold_at_fork;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::proxy::StoreRef;
use crate::region::fork::Hook;
use crate::store::config::StoreConfig;
use crate::store::inner::Inner;
use crate::sys::latch::{Held, Latch};

static STORES: Latch<Stores> = Latch::new(BTreeMap::new());

type Stores = BTreeMap<String, Registered>;

/// Nothing that runs under the registry's lock is a user's: stores are dropped after it.
#[derive(Debug)]
struct Registered {
    inner: Arc<Inner>,
    /// How many registrations hold it.
    holders: usize,
}

/// Keeps a store registered until it is dropped; [`forever`](Registration::forever) keeps it for good.
#[derive(Debug)]
#[must_use = "dropped, the store is no longer registered"]
pub struct Registration {
    /// The registered store: none once it is kept for good.
    inner: Option<Arc<Inner>>,
}

impl Registration {
    /// Keeps the store registered for the rest of the process, or until it is closed.
    pub fn forever(mut self) {
        self.inner = None;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        let mut stores = lock();
        let Some(registered) = stores.get_mut(&inner.config.name) else { return };
        if !Arc::ptr_eq(&registered.inner, &inner) {
            return;
        }
        registered.holders -= 1;
        let last = if registered.holders == 0 { stores.remove(&inner.config.name) } else { None };
        drop(stores);
        drop(last);
    }
}

/// Registers a store. One of the same name and configuration may be registered already, which then stays.
pub(crate) fn register(inner: &Arc<Inner>) -> Result<Registration> {
    let mut stores = lock();
    let held = match stores.entry(inner.config.name.clone()) {
        Entry::Vacant(place) => {
            place.insert(Registered { inner: inner.clone(), holders: 1 }).inner.clone()
        }
        Entry::Occupied(mut found) => {
            let registered = found.get_mut();
            if registered.inner.config != inner.config {
                return Err(mismatch(&registered.inner, inner.config.to_toml()));
            }
            registered.holders += 1;
            registered.inner.clone()
        }
    };
    Ok(Registration { inner: Some(held) })
}

/// Forgets a store; whether it was registered.
pub(crate) fn unregister(inner: &Arc<Inner>) -> bool {
    let mut stores = lock();
    let is_this = stores
        .get(&inner.config.name)
        .is_some_and(|registered| Arc::ptr_eq(&registered.inner, inner));
    let removed = if is_this { stores.remove(&inner.config.name) } else { None };
    drop(stores);
    removed.is_some()
}

/// The registered store of a configuration, or a new one, which then is registered for good.
pub(crate) fn get_or_open(config: StoreConfig) -> Result<Arc<Inner>> {
    if let Some(found) = registered(&config.name) {
        return same(found, &config);
    }
    let opened = Arc::new(Inner::connect(config)?);
    let inner = admit(&opened);
    same(inner, &opened.config)
}

fn same(registered: Arc<Inner>, config: &StoreConfig) -> Result<Arc<Inner>> {
    if registered.config == *config {
        return Ok(registered);
    }
    Err(mismatch(&registered, config.to_toml()))
}

/// Registers a store for good, unless one of its name is registered; the one that then is.
fn admit(opened: &Arc<Inner>) -> Arc<Inner> {
    match lock().entry(opened.config.name.clone()) {
        Entry::Vacant(place) => {
            place.insert(Registered { inner: opened.clone(), holders: 1 }).inner.clone()
        }
        Entry::Occupied(first) => first.get().inner.clone(),
    }
}

/// The registered store of that name.
pub(crate) fn registered(name: &str) -> Option<Arc<Inner>> {
    lock().get(name).map(|registered| registered.inner.clone())
}

/// The store a proxy names: the registered one, or a new one, which then is.
pub(crate) fn resolve(reference: &StoreRef, key: Key) -> Result<Arc<Inner>> {
    let found = registered(reference.store());
    match found {
        Some(inner) => matching(inner, reference),
        None => open(reference, key),
    }
}

#[cold]
fn open(reference: &StoreRef, key: Key) -> Result<Arc<Inner>> {
    let opened = Arc::new(Inner::connect_to(reference.config()?, key)?);
    matching(admit(&opened), reference)
}

/// A proxy does not say how large its sender's cache was, or what the region would have been created with: it is
/// enough that both lead to the same objects.
fn matching(inner: Arc<Inner>, reference: &StoreRef) -> Result<Arc<Inner>> {
    if reference.leads_to(&inner.config)? {
        return Ok(inner);
    }
    Err(mismatch(&inner, reference.config()?.to_toml()))
}

fn mismatch(registered: &Inner, requested: String) -> Error {
    let one_line = |toml: String| toml.trim().replace("\n\n", "\n").replace('\n', "; ");
    Error::StoreMismatch {
        name: registered.config.name.clone(),
        registered: one_line(registered.config.to_toml()),
        requested: one_line(requested),
    }
}

/// The registry's lock, which a fork holds too. (The caches' locks are not held by it on purpose: one that cannot be had
/// is a miss.)
fn lock() -> Held<'static, Stores> {
    static HOOK: Hook =
        Hook::new(|| STORES.lock_unless_mine().map(Held::keep).is_some(), || drop(STORES.kept()));
    hold_at_fork(&HOOK);
    STORES.lock()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, alarm, fork};

    use super::*;
    use crate::codec::Serde;
    use crate::connector::LocalConnector;
    use crate::store::Store;
    use crate::sync::{AtomicBool, Ordering};

    #[test]
    fn a_forked_child_finds_no_lock_taken() {
        let connector = Arc::new(LocalConnector::new());
        let builder = Store::builder("forking").shared_connector(connector).codec(Serde);
        let store = builder.register().open().unwrap();
        let use_everything = || {
            let key = store.put(&vec![1_u64; 8]).unwrap();
            for _ in 0..3 {
                assert_eq!(*store.get::<Vec<u64>>(key).unwrap().unwrap(), [1; 8]);
            }
            assert!(store.evict(key).unwrap());
            assert!(registered("forking").is_some());
            drop(store.register().unwrap());
        };
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        use_everything();
                    }
                });
            }
            for _ in 0..30 {
                // SAFETY: the child uses memory that glibc keeps usable across a fork, and leaves by `_exit`.
                match unsafe { fork() }.unwrap() {
                    ForkResult::Child => {
                        alarm::set(10);
                        use_everything();
                        // SAFETY: ends the child at once.
                        unsafe { libc::_exit(0) }
                    }
                    ForkResult::Parent { child } => {
                        assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
                    }
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        store.close().unwrap();
    }
}
