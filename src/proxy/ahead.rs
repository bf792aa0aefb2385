//! Resolving ahead of the first use, in the background.

use std::fmt;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::codec::{Archive, Codec};
use crate::error::Result;
use crate::proxy::Proxy;

const PAGE: usize = 4096;

impl<T: ?Sized + 'static, C: Codec<T>> Proxy<T, C> {
    /// Starts resolving in a thread of its own: opens the store, finds the object, touches every page of it, checks it.
    ///
    /// ```
    /// use inplace::Store;
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("ahead").connector(LocalConnector::new()).open()?;
    /// let coming = store.proxy("read while you do other things")?.resolve_async();
    /// // Other things. Then, or with `.await`:
    /// let text = coming.wait()?;
    /// assert!(text.is_resolved());
    /// # Ok::<(), inplace::Error>(())
    /// ```
    pub fn resolve_async(self) -> Resolving<T, C> {
        let resolving = Resolving {
            proxy: Arc::new(self),
            progress: Arc::new(Progress::default()),
            process: std::process::id(),
        };
        let (proxy, finish) = (resolving.proxy.clone(), Finish(resolving.progress.clone()));
        let work = move || {
            // Whoever waits tries again where this fails, and has the cause.
            if let Ok(view) = proxy.view() {
                touch(view.block().map_or(&[], |block| block));
            }
            // The waiter may want the proxy for itself.
            drop(proxy);
            drop(finish);
        };
        // Where no thread can be had, `finish` is dropped with the closure, and the waiter resolves.
        drop(std::thread::Builder::new().name("inplace-resolve".into()).spawn(work));
        resolving
    }
}

/// A proxy that is being resolved in the background; waiting for it, or awaiting it, returns it resolved.
#[must_use = "the proxy is in here"]
pub struct Resolving<T: ?Sized, C: Codec<T> = Archive> {
    proxy: Arc<Proxy<T, C>>,
    progress: Arc<Progress>,
    /// The thread is of this process: a forked child has to resolve the proxy itself.
    process: u32,
}

#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(Default)]
struct State {
    is_finished: bool,
    waker: Option<Waker>,
}

/// Tells whoever waits, also when the thread panics.
struct Finish(Arc<Progress>);

impl Drop for Finish {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_finished = true;
        let waker = state.waker.take();
        drop(state);
        self.0.finished.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized, C: Codec<T>> Resolving<T, C> {
    /// Waits until the proxy is resolved, or returns why it cannot be.
    pub fn wait(self) -> Result<Proxy<T, C>> {
        if self.is_ours() {
            let finished =
                self.progress.finished.wait_while(self.progress.lock(), |state| !state.is_finished);
            drop(finished);
        }
        self.finish()
    }

    fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    fn finish(&self) -> Result<Proxy<T, C>> {
        self.proxy.resolve()?;
        Ok((*self.proxy).clone())
    }
}

impl<T: ?Sized, C: Codec<T>> Future for Resolving<T, C> {
    type Output = Result<Proxy<T, C>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_ours() {
            let waker = context.waker().clone();
            let mut state = self.progress.lock();
            if !state.is_finished {
                let replaced = state.waker.replace(waker);
                drop(state);
                drop(replaced);
                return Poll::Pending;
            }
        }
        Poll::Ready(self.finish())
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Resolving<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolving").field("key", &self.proxy.key()).finish_non_exhaustive()
    }
}

/// Reads a byte of every page, so that the first use meets no page fault.
fn touch(bytes: &[u8]) {
    black_box(bytes.iter().step_by(PAGE).fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
}
