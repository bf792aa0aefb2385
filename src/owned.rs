//! Objects with one owner, who evicts them when it is done.

mod token;

pub use token::OwnedToken;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::codec::{Archive, Codec};
use crate::connector::{Fill, Lasting};
use crate::deadline::Term;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::proxy::Proxy;
use crate::store::{Inner, Store};
use crate::view::{View, forward_to_target};

const TOKEN: &str = "owned object";

/// An object that this process owns, alone: dropped, it is evicted; and when the process is killed, it is evicted, too.
///
/// It derefs to the object in place. Others may look at it as long as they like: a [borrow](Owned::borrow), or what they
/// got by its key, stays valid when the owner is done. The owner may [update](Owned::update) it: its key is that of a
/// [cell](crate::Cell) which it alone sets, so that whoever has the key or a proxy finds the newest value, and
/// [`Store::cell_from_key`] follows the changes. The ownership goes to another process by a [token](Owned::into_token),
/// which that one [adopts](OwnedToken::adopt), or as a [message](crate::Sender::send_owned) of a queue, which owns it until
/// it is received.
///
/// A forked child inherits the view and not the ownership: there its drop evicts nothing, and the methods that need an owner
/// are [`Error::NotOwner`].
///
/// ```
/// use inplace::{RegionOptions, Store};
/// use inplace::connector::ShmConnector;
///
/// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
/// let store = Store::builder("owned").connector(ShmConnector::new(region)).open()?;
/// let mut weights = store.own(&vec![0.5, 1.5])?;
/// let (before, proxy) = (weights.borrow(), weights.proxy());
/// weights.update(&vec![2.5])?;
/// assert_eq!((before.len(), weights.len(), proxy.len()), (2, 1, 1));
///
/// let key = weights.key();
/// drop(weights);
/// assert!(!store.exists(key)?);
/// # Ok::<(), inplace::Error>(())
/// ```
#[must_use = "dropped, it is evicted"]
pub struct Owned<T: ?Sized, C: Codec<T> = Archive> {
    view: View<C::Target>,
    key: Key,
    store: Arc<Inner>,
    /// Whose it is: a forked child is another.
    process: u64,
    /// Whether the key is a cell's, and not an object's.
    is_cell: bool,
    /// Whether its drop evicts.
    is_armed: bool,
}

impl<C> Store<C> {
    /// Stores a value that this process owns.
    ///
    /// # Errors
    /// As [`put`](Store::put), for the value and the cell that it is in; [`Error::Unsupported`] when the connector knows of no
    /// owners.
    pub fn own<T: ?Sized>(&self, value: &T) -> Result<Owned<T, C>>
    where
        C: Codec<T>,
    {
        Owned::put(&self.inner, value)
    }
}

impl<T: ?Sized, C: Codec<T>> Proxy<T, C> {
    /// Makes this process the owner of the proxy's object, or cell. Of any number of processes and threads that try it one
    /// succeeds.
    ///
    /// # Errors
    /// [`Error::NotOwner`] when it is bound to another process, [`Error::AlreadyOwned`] when to this one,
    /// [`Error::EvictedOnResolve`] for a proxy that evicts when it is resolved, and as [`resolve`](Proxy::resolve).
    pub fn into_owned(self) -> Result<Owned<T, C>> {
        let (store, key) = (self.store()?, self.key());
        if self.access().takes() {
            return Err(Error::EvictedOnResolve { key });
        }
        let view = self.into_view()?;
        let lasting = store.lasting()?;
        let process = lasting.process()?;
        let current = store.current::<C, T>(key)?;
        if !lasting.bind_to_process(key)? {
            return Err(Error::AlreadyOwned { key });
        }
        Ok(Owned::of((store, key), process, (view, current)))
    }
}

impl<T: ?Sized, C: Codec<T>> Owned<T, C> {
    /// What this process has bound since it found that.
    fn of(
        (store, key): (Arc<Inner>, Key),
        process: u64,
        (view, current): (View<C::Target>, Option<View<C::Target>>),
    ) -> Self {
        let is_cell = current.is_some();
        let view = current.unwrap_or(view);
        let mut owned = Self { view, key, store, process, is_cell, is_armed: true };
        // Who had it may have set it until it was bound. What was found does as well where that can not be seen.
        let _ = owned.look_again();
        owned
    }

    fn put(store: &Arc<Inner>, value: &T) -> Result<Self> {
        Self::make(store, |put| store.put_by(C::default(), value, &put))
    }

    /// What `write` has `put` store, in a cell where the connector has such: bound to this process from its first instant.
    fn make(
        store: &Arc<Inner>,
        write: impl FnOnce(&dyn Fn(usize, &mut Fill<'_>) -> Result<Key>) -> Result<Key>,
    ) -> Result<Self> {
        let lasting = store.lasting()?;
        let process = lasting.process()?;
        let _ = store.meet::<C, T>();
        let is_cell = std::cell::Cell::new(true);
        let key = write(&|size, fill| {
            let variables = store.variables();
            match variables.and_then(|them| them.put_bound_variable((size, C::FINGERPRINT), fill)) {
                Err(Error::Unsupported { .. }) => {
                    is_cell.set(false);
                    lasting.put_for(size, (C::FINGERPRINT, Term::Process), fill)
                }
                key => key,
            }
        })?;
        let found = store.get::<C, T>(key).and_then(|view| view.ok_or(Error::NotFound { key }));
        let view = found.inspect_err(|_| {
            // The first error is the one to hear of.
            let _ = lasting.evict_bound(key);
        })?;
        let (store, is_cell) = (store.clone(), is_cell.get());
        Ok(Self { view, key, store, process, is_cell, is_armed: true })
    }

    /// The newest value, if it is in a cell that nobody evicted.
    fn look_again(&mut self) -> Result<()> {
        if self.is_cell
            && let Some(current) = self.store.current::<C, T>(self.key)?
        {
            self.view = current;
        }
        Ok(())
    }

    /// The connector, if this process is the owner.
    fn owner(&self) -> Result<&dyn Lasting> {
        let lasting = self.store.lasting()?;
        if lasting.process()? == self.process {
            Ok(lasting)
        } else {
            Err(Error::NotOwner { token: TOKEN })
        }
    }

    /// The object's key: whoever has it may get the object while it is owned.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// A proxy of the object, for others to look at while it is owned: it resolves to the newest value there is then.
    #[must_use]
    pub fn proxy(&self) -> Proxy<T, C> {
        Proxy::<T, C>::new(self.key, self.store.clone()).attached()
    }

    /// The object as a view that outlives the ownership: borrows last as long as they are needed.
    ///
    /// # Panics
    /// When this process has 32768 views of it.
    #[must_use]
    pub fn borrow(&self) -> View<C::Target> {
        self.view.clone()
    }

    /// Gives it a new value, in one step: whoever resolves a proxy of it, or gets it by its key, has the old value or the new
    /// one, whole. Views of the old value stay valid, also those that proxies have which were resolved before.
    ///
    /// What was [claimed](Proxy::into_owned) is an object, and those never change: its first update puts a cell in its place,
    /// under another [key](Owned::key).
    ///
    /// A cell stays where it is, which its key says. Among [several connectors](crate::connector::MultiConnector) an update goes to
    /// the one that it is in, whatever the policies say of its size; one that it has no room for is
    /// [`Error::OutOfSpace`], though another has. To go there, own it anew, under another key:
    /// `owned = store.own(&value)?`.
    ///
    /// # Errors
    /// As [`Store::put`]; the old value is owned as before then. [`Error::NotFound`] when somebody evicted it,
    /// [`Error::NotOwner`] in a forked child.
    pub fn update(&mut self, value: &T) -> Result<()> {
        self.owner()?;
        if !self.is_cell {
            let new = Self::put(&self.store, value)?;
            drop(std::mem::replace(self, new));
            return Ok(());
        }
        let (store, cell) = (self.store.clone(), (self.key, None));
        store.put_by(C::default(), value, &|size, fill: &mut Fill<'_>| {
            store.variables()?.set_variable(cell, (size, C::FINGERPRINT), fill).map(|_| cell.0)
        })?;
        self.look_again()
    }

    /// Another object with the same bytes, which is owned as well.
    ///
    /// # Errors
    /// As [`Store::own`]; [`Error::NotFound`] when somebody evicted this one; [`Error::NotOwner`] in a forked child.
    pub fn try_clone(&self) -> Result<Self> {
        let lasting = self.owner()?;
        let found = match self.view.block() {
            Some(block) => Some(block.clone()),
            None if self.is_cell => {
                let current = self.store.variables()?.get_variable(self.key, C::FINGERPRINT)?;
                current.map(|version| version.block)
            }
            None => lasting.get(self.key)?,
        };
        let block = found.ok_or(Error::NotFound { key: self.key })?;
        Self::of_bytes(&self.store, &block)
    }

    /// A new object with these bytes, which were checked.
    pub(crate) fn of_bytes(store: &Arc<Inner>, bytes: &[u8]) -> Result<Self> {
        Self::make(store, |put| {
            put(bytes.len(), &mut |out| {
                out.write(bytes);
                Ok(())
            })
        })
    }

    /// Gives it away by `send`, which gets its key; after an error it is owned as before.
    pub(crate) fn give_away(&mut self, send: impl FnOnce(Key) -> Result<()>) -> Result<()> {
        self.owner()?;
        send(self.key)?;
        self.is_armed = false;
        Ok(())
    }

    /// What `adopt` binds to this process, and was found to be that.
    pub(crate) fn adopted(
        (store, key): (&Arc<Inner>, Key),
        view: View<C::Target>,
        adopt: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        // Looked at first: what can not be used is not taken from whoever can.
        let (process, current) = (store.lasting()?.process()?, store.current::<C, T>(key)?);
        adopt()?;
        Ok(Self::of((store.clone(), key), process, (view, current)))
    }

    /// Makes the object everybody's: it stays until somebody evicts it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when somebody evicted it; [`Error::NotOwner`] in a forked child.
    pub fn into_shared(mut self) -> Result<Proxy<T, C>> {
        self.owner()?.unbind_from_process(self.key)?;
        self.is_armed = false;
        Ok(Proxy::new(self.key, self.store.clone()))
    }

    /// Gives the ownership up for whoever adopts the token; send it over whatever channel there is.
    ///
    /// Until it is adopted the object still ends with this process: a token that is lost, or whose receiver dies, leaves
    /// nothing behind. Of several who adopt a token one becomes the owner. This process may adopt it, too.
    ///
    /// ```
    /// use inplace::{OwnedToken, RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let store = Store::builder("hand-over").connector(ShmConnector::new(region)).register().open()?;
    /// let sent = postcard::to_stdvec(&store.own("goods")?.into_token()?)?;
    ///
    /// // In another process:
    /// let token: OwnedToken<str> = postcard::from_bytes(&sent)?;
    /// let goods = token.adopt()?;
    /// assert_eq!(goods.as_str(), "goods");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`into_shared`](Owned::into_shared).
    pub fn into_token(mut self) -> Result<OwnedToken<T, C>> {
        let offer = self.owner()?.offer(self.key)?;
        self.is_armed = false;
        Ok(OwnedToken::new(Proxy::new(self.key, self.store.clone()), offer))
    }

    /// Evicts the object; whether it was still there. What a drop does, with its errors.
    ///
    /// # Errors
    /// The connector's; [`Error::NotOwner`] in a forked child.
    pub fn evict(mut self) -> Result<bool> {
        self.is_armed = false;
        self.evict_now()
    }

    fn evict_now(&self) -> Result<bool> {
        let lasting = self.owner()?;
        self.store.forget(self.key);
        lasting.evict_bound(self.key)
    }
}

impl<T: ?Sized, C: Codec<T>> Drop for Owned<T, C> {
    fn drop(&mut self) {
        if self.is_armed {
            // A drop has nobody to tell; what it leaves goes with the process.
            let _ = self.evict_now();
        }
    }
}

impl<T: ?Sized, C: Codec<T>> Deref for Owned<T, C> {
    type Target = C::Target;

    #[inline]
    fn deref(&self) -> &C::Target {
        &self.view
    }
}

impl<T: ?Sized, C: Codec<T>> AsRef<C::Target> for Owned<T, C> {
    fn as_ref(&self) -> &C::Target {
        self
    }
}

forward_to_target!([T: ?Sized, C: Codec<T>] Owned<T, C>, C::Target);

impl<T: ?Sized, C: Codec<T, Target: fmt::Debug>> fmt::Debug for Owned<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view.fmt(f)
    }
}

impl<T: ?Sized, C: Codec<T, Target: fmt::Display>> fmt::Display for Owned<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view.fmt(f)
    }
}
