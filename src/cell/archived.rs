//! A cell's handle inside an archived value.

use std::fmt;
use std::marker::PhantomData;

use rkyv::rancor::Fallible;

use crate::cell::Cell;
use crate::codec::{Codec, Storable};
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::proxy::ProxyRef;

/// What is sent of a cell, with its type, so that a cell inside an archive is a cell again.
#[derive(rkyv::Archive, rkyv::Serialize)]
#[rkyv(archived = ArchivedCell)]
pub struct TypedRef<T: ?Sized, C> {
    reference: ProxyRef,
    marker: PhantomData<fn(*const T) -> C>,
}

impl<T: ?Sized, C: Codec<T>> ArchivedCell<T, C> {
    /// The cell.
    ///
    /// ```
    /// use inplace::connector::LocalConnector;
    /// use inplace::{Cell, Store};
    ///
    /// #[inplace::storable]
    /// struct Job {
    ///     input: String,
    ///     progress: Cell<u8>,
    /// }
    ///
    /// let store = Store::builder("reporting").connector(LocalConnector::new()).register().open()?;
    /// let progress = store.cell_new::<u8>()?;
    /// let job = store.proxy(&Job { input: "numbers".into(), progress: progress.clone() })?;
    /// job.progress.to_cell().set(&100)?;
    /// assert_eq!(*progress.get()?.unwrap(), 100);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    #[must_use]
    pub fn to_cell(&self) -> Cell<T, C> {
        Cell::from_ref(ProxyRef::from(&self.reference))
    }
}

impl<T: ?Sized, C> ArchivedCell<T, C> {
    /// The cell's key.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::from(&self.reference.key)
    }
}

impl<T: ?Sized, C> fmt::Debug for ArchivedCell<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("key", &self.key()).finish_non_exhaustive()
    }
}

impl<T: ?Sized, C: Codec<T>> rkyv::Archive for Cell<T, C> {
    type Archived = ArchivedCell<T, C>;
    type Resolver = (TypedRef<T, C>, <TypedRef<T, C> as rkyv::Archive>::Resolver);

    fn resolve(&self, (wire, resolver): Self::Resolver, out: rkyv::Place<Self::Archived>) {
        wire.resolve(resolver, out);
    }
}

impl<T: ?Sized, C: Codec<T>, S: Fallible + ?Sized> rkyv::Serialize<S> for Cell<T, C>
where
    TypedRef<T, C>: rkyv::Serialize<S>,
{
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        let wire = TypedRef { reference: self.handle.to_ref(), marker: PhantomData };
        let resolver = rkyv::Serialize::serialize(&wire, serializer)?;
        Ok((wire, resolver))
    }
}

impl<T: ?Sized, C: Codec<T>, D: Fallible + ?Sized> rkyv::Deserialize<Cell<T, C>, D>
    for ArchivedCell<T, C>
{
    fn deserialize(&self, _: &mut D) -> Result<Cell<T, C>, D::Error> {
        Ok(self.to_cell())
    }
}

// SAFETY: every `ArchivedCell` has the same layout and the same valid bytes, whatever its type parameters, which therefore
// take no part. (The type of the values is compared when they are read; and a type may hold a cell of itself.)
unsafe impl<T: ?Sized + 'static, C: Codec<T>> Storable for Cell<T, C> {
    const FINGERPRINT: Fingerprint =
        Fingerprint::of_archived::<ArchivedCell<T, C>>("inplace::Cell").with(ProxyRef::ARCHIVED);

    fn type_name() -> String {
        format!("Cell<{}>", C::type_name())
    }
}
