//! Typed, pinned, read-only references to objects.

use std::fmt;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::Decoded;
use crate::connector::Block;
use crate::sync::{AtomicPtr, Ordering};

/// An object in use: derefs to it, and keeps it alive and in place.
///
/// `Send`, `Sync` and `'static`, and it stays valid when the object is evicted. Cloning holds the object once more.
/// It compares, hashes and prints as what it derefs to.
///
/// ```
/// use inplace::Store;
/// use inplace::codec::Raw;
/// use inplace::connector::LocalConnector;
///
/// let store = Store::builder("views").connector(LocalConnector::new()).codec(Raw).open()?;
/// let key = store.put(b"in place".as_slice())?;
/// let view = store.get::<[u8]>(key)?.unwrap();
/// store.evict(key)?;
/// assert_eq!(*view, *b"in place");
/// let bytes = bytes::Bytes::from(view);
/// assert_eq!(bytes.slice(3..), "place");
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct View<V: ?Sized>(Decoded<V>);

impl<V: ?Sized> View<V> {
    #[inline]
    pub(crate) fn new(value: Decoded<V>) -> Self {
        Self(value)
    }

    /// Drops it; inlined where there is nothing to drop.
    #[inline(always)]
    pub(crate) fn end(self) {
        if self.block().is_some_and(Block::is_lent) {
            std::mem::forget(self);
        }
    }

    /// How many bytes the value takes beside the object, where it was made anew.
    pub(crate) fn made_bytes(&self) -> usize {
        self.0.made_bytes()
    }

    /// The object's bytes; `None` when its codec makes values anew instead of using them in place.
    #[must_use]
    pub fn block(&self) -> Option<&Block> {
        self.0.block()
    }
}

impl<V: ?Sized> Deref for View<V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        &self.0
    }
}

impl<V: ?Sized> AsRef<V> for View<V> {
    fn as_ref(&self) -> &V {
        self
    }
}

impl<V: ?Sized> Clone for View<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl From<View<[u8]>> for Bytes {
    /// The same bytes, still in place.
    fn from(view: View<[u8]>) -> Self {
        Self::from_owner(view)
    }
}

/// Lets a wrapper print, compare and hash as what it derefs to.
macro_rules! forward_to_target {
    ([$($generics:tt)*] $wrapper:ty, $target:ty) => {
        impl<$($generics)*> PartialEq for $wrapper where $target: PartialEq {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl<$($generics)*> Eq for $wrapper where $target: Eq {}

        impl<$($generics)*> PartialOrd for $wrapper where $target: PartialOrd {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                (**self).partial_cmp(&**other)
            }
        }

        impl<$($generics)*> Ord for $wrapper where $target: Ord {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                (**self).cmp(&**other)
            }
        }

        impl<$($generics)*> std::hash::Hash for $wrapper where $target: std::hash::Hash {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }
    };
}
pub(crate) use forward_to_target;

forward_to_target!([V: ?Sized] View<V>, V);

impl<V: ?Sized + fmt::Debug> fmt::Debug for View<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<V: ?Sized + fmt::Display> fmt::Display for View<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A place for a view that threads race to fill: the first to install wins, the others drop theirs. Nobody waits, so a
/// process forked in the middle of it finds nothing half done.
pub(crate) struct Resolved<V: ?Sized> {
    /// Null, or from `Arc::into_raw`; never changes again once it is not null.
    view: AtomicPtr<View<V>>,
}

// SAFETY: it hands out `&View<V>` and shared clones of it to any thread, and any thread may drop the last one: what
// `View<V>: Send + Sync` allows.
unsafe impl<V: ?Sized + Send + Sync> Send for Resolved<V> {}
// SAFETY: as for `Send`.
unsafe impl<V: ?Sized + Send + Sync> Sync for Resolved<V> {}

impl<V: ?Sized> Resolved<V> {
    pub(crate) fn none() -> Self {
        Self { view: AtomicPtr::new(ptr::null_mut()) }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&View<V>> {
        // Pairs with the Release of `install`.
        let view = self.view.load(Ordering::Acquire);
        // SAFETY: not null, it is from `Arc::into_raw` and stays until `self` is dropped or taken by value.
        unsafe { view.as_ref() }
    }

    /// Installs `view`, or drops it if another thread was first.
    pub(crate) fn install(&self, view: View<V>) -> &View<V> {
        let mine = Arc::into_raw(Arc::new(view)).cast_mut();
        // Release: who sees the pointer sees the view (pairs with the Acquire of `get`, and of this when it fails).
        match self.view.compare_exchange(ptr::null_mut(), mine, Ordering::AcqRel, Ordering::Acquire)
        {
            // SAFETY: `mine` is installed and stays as long as `self`.
            Ok(_) => unsafe { &*mine },
            Err(first) => {
                // SAFETY: `mine` is from `Arc::into_raw` above and nobody else saw it; `first` is installed.
                unsafe {
                    drop(Arc::from_raw(mine));
                    &*first
                }
            }
        }
    }

    pub(crate) fn into_view(self) -> Option<View<V>> {
        let view = self.view.swap(ptr::null_mut(), Ordering::Acquire);
        if view.is_null() {
            return None;
        }
        // SAFETY: from `Arc::into_raw`, and `self`, which gave it up, was its only user.
        Some(Arc::unwrap_or_clone(unsafe { Arc::from_raw(view) }))
    }
}

impl<V: ?Sized> Clone for Resolved<V> {
    fn clone(&self) -> Self {
        let view = self.view.load(Ordering::Acquire);
        if !view.is_null() {
            // SAFETY: from `Arc::into_raw`; the clone owns the count added here.
            unsafe { Arc::increment_strong_count(view) };
        }
        Self { view: AtomicPtr::new(view) }
    }
}

impl<V: ?Sized> Drop for Resolved<V> {
    fn drop(&mut self) {
        let view = self.view.load(Ordering::Acquire);
        if !view.is_null() {
            // SAFETY: from `Arc::into_raw`, whose count this cell owns.
            drop(unsafe { Arc::from_raw(view) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counted(Arc<()>);

    #[test]
    fn of_many_racing_views_one_is_installed_and_every_other_dropped() {
        let count = Arc::new(());
        let cell = Resolved::none();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mine = View::new(Decoded::owned(Arc::new(Counted(count.clone()))));
                    let installed = cell.install(mine);
                    assert!(ptr::eq(installed, cell.get().unwrap()));
                });
            }
        });
        assert_eq!(Arc::strong_count(&count), 2);
        let copy = cell.clone();
        assert!(ptr::eq(&**copy.get().unwrap(), &**cell.get().unwrap()));
        drop(cell);
        assert!(Arc::ptr_eq(&copy.into_view().unwrap().0.0, &count));
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn an_empty_cell_clones_and_drops() {
        let cell = Resolved::<u8>::none();
        assert!(cell.clone().into_view().is_none());
        assert!(cell.get().is_none());
    }
}
