//! Resolving ahead of the first use, in the background.

use std::fmt;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use crate::codec::{Archive, Codec};
use crate::error::Result;
use crate::proxy::{Proxy, pool};
use crate::store::Listening;

const PAGE: usize = 4096;

impl<T: ?Sized + 'static, C: Codec<T>> Proxy<T, C> {
    /// Starts resolving in the background: opens the store, finds the object, touches every page of it, checks it. A proxy
    /// that waits for a promise takes no thread while it does.
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
        let progress = Progress { stage: Stage::Waiting, waker: None };
        let work = Arc::new(Work {
            proxy: self,
            progress: Mutex::new(progress),
            finished: Condvar::new(),
            listening: Mutex::new(Listening::default()),
        });
        let resolving = Resolving { work, process: std::process::id() };
        Queued::enqueue(Arc::downgrade(&resolving.work));
        resolving
    }
}

/// A proxy that is being resolved in the background; waiting for it, or awaiting it, returns it resolved. Dropped, it is
/// resolved no further.
#[must_use = "the proxy is in here"]
pub struct Resolving<T: ?Sized, C: Codec<T> = Archive> {
    work: Arc<Work<T, C>>,
    /// The threads are of this process: a forked child has to resolve the proxy itself.
    process: u32,
}

struct Work<T: ?Sized, C: Codec<T>> {
    proxy: Proxy<T, C>,
    progress: Mutex<Progress>,
    finished: Condvar,
    /// Who is told of the promise: this work, to go on.
    listening: Mutex<Listening>,
}

struct Progress {
    stage: Stage,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// For a thread, or for a promise.
    Waiting,
    /// A thread is at it.
    Resolving,
    /// A thread is at it, and is to look once more.
    Called,
    /// Resolved, or failed: whoever waits tries again, and has the cause.
    Finished,
}

/// Work for the pool, unless nobody wants it any more.
struct Queued<T: ?Sized + 'static, C: Codec<T>>(Weak<Work<T, C>>);

impl<T: ?Sized + 'static, C: Codec<T>> Queued<T, C> {
    fn enqueue(work: Weak<Work<T, C>>) {
        let queued = Self(work);
        pool::run(move || queued.run());
    }

    fn run(mut self) {
        if let Some(work) = std::mem::take(&mut self.0).upgrade() {
            work.go_on();
        }
    }
}

impl<T: ?Sized + 'static, C: Codec<T>> Drop for Queued<T, C> {
    /// Where no thread can be had, the waiter resolves.
    fn drop(&mut self) {
        if let Some(work) = self.0.upgrade() {
            work.finish();
        }
    }
}

/// Called when a promise is kept or broken.
struct GoOn<T: ?Sized + 'static, C: Codec<T>>(Weak<Work<T, C>>);

impl<T: ?Sized + 'static, C: Codec<T>> Wake for GoOn<T, C> {
    fn wake(self: Arc<Self>) {
        Queued::enqueue(self.0.clone());
    }
}

/// Tells whoever waits, also when the thread panics.
struct Finish<'a, T: ?Sized + 'static, C: Codec<T>>(&'a Work<T, C>);

impl<T: ?Sized + 'static, C: Codec<T>> Drop for Finish<'_, T, C> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl<T: ?Sized, C: Codec<T>> Work<T, C> {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self) {
        let mut progress = self.progress();
        progress.stage = Stage::Finished;
        let waker = progress.waker.take();
        drop(progress);
        self.finished.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T: ?Sized + 'static, C: Codec<T>> Work<T, C> {
    fn go_on(self: Arc<Self>) {
        let mut progress = self.progress();
        match progress.stage {
            Stage::Waiting => progress.stage = Stage::Resolving,
            Stage::Resolving => return progress.stage = Stage::Called,
            Stage::Called | Stage::Finished => return,
        }
        drop(progress);
        let finish = Finish(&self);
        while self.resolve().is_pending() {
            let mut progress = self.progress();
            if progress.stage == Stage::Resolving {
                progress.stage = Stage::Waiting;
                self.finished.notify_all();
                return std::mem::forget(finish);
            }
            progress.stage = Stage::Resolving;
        }
    }

    /// `Pending`: the promise is, and this work is called when it is no more.
    fn resolve(self: &Arc<Self>) -> Poll<()> {
        let proxy = &self.proxy;
        if proxy.access().waits()
            && !proxy.is_resolved()
            && let Ok(store) = proxy.store()
            && store.deferrable().is_ok()
        {
            let waker = Waker::from(Arc::new(GoOn(Arc::downgrade(self))));
            let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
            match store.poll_wait::<C, T>(proxy.key(), &waker, &mut listening) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(found) => {
                    // Whoever waits has the cause.
                    if proxy.conclude(&store, found).is_err() {
                        return Poll::Ready(());
                    }
                }
            }
        }
        if let Ok(view) = proxy.view() {
            touch(view.block().map_or(&[], |block| block));
        }
        Poll::Ready(())
    }
}

impl<T: ?Sized, C: Codec<T>> Resolving<T, C> {
    /// Waits until the proxy is resolved, or returns why it cannot be.
    pub fn wait(self) -> Result<Proxy<T, C>> {
        if self.is_ours() {
            // Where no thread is at it, this one may as well be.
            let is_busy = |progress: &mut Progress| {
                matches!(progress.stage, Stage::Resolving | Stage::Called)
            };
            drop(self.work.finished.wait_while(self.work.progress(), is_busy));
        }
        self.resolved()
    }

    fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    fn resolved(&self) -> Result<Proxy<T, C>> {
        self.work.proxy.resolve()?;
        Ok(self.work.proxy.clone())
    }
}

impl<T: ?Sized, C: Codec<T>> Future for Resolving<T, C> {
    type Output = Result<Proxy<T, C>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_ours() {
            let waker = context.waker().clone();
            let mut progress = self.work.progress();
            if progress.stage != Stage::Finished {
                let replaced = progress.waker.replace(waker);
                drop(progress);
                drop(replaced);
                return Poll::Pending;
            }
        }
        Poll::Ready(self.resolved())
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Resolving<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolving").field("key", &self.work.proxy.key()).finish_non_exhaustive()
    }
}

/// Reads a byte of every page, so that the first use meets no page fault.
fn touch(bytes: &[u8]) {
    black_box(bytes.iter().step_by(PAGE).fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
}
