//! Stores of several processes, and words sent between them.

use std::future::IntoFuture;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};

use inplace::connector::ShmConnector;
use inplace::{RegionOptions, Registration, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A store over a region without a name, which forked children have, too.
pub fn store(name: &str) -> (Store, Registration) {
    let options = RegionOptions::new().capacity(32 << 20).max_objects(4000).max_participants(24);
    let region = options.anonymous().unwrap();
    let store = Store::builder(name).connector(ShmConnector::new(region)).open().unwrap();
    let registration = store.register().unwrap();
    (store, registration)
}

/// The region a store stands on.
pub fn region(store: &Store) -> inplace::Region {
    let key = store.put(&0_u8).unwrap();
    store.evict(key).unwrap();
    inplace::Region::attached(key.space()).unwrap().unwrap()
}

/// Everything is undone, and nothing is broken.
pub fn assert_clean(store: &Store) {
    let region = region(store);
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0, "{report}");
}

/// Messages from one process to others.
pub struct Pipe {
    from: PipeReader,
    to: PipeWriter,
}

impl Pipe {
    pub fn new() -> Self {
        let (from, to) = std::io::pipe().unwrap();
        Self { from, to }
    }

    pub fn send(&self, what: &impl Serialize) {
        let bytes = postcard::to_stdvec(what).unwrap();
        (&self.to).write_all(&[&[bytes.len() as u8], &bytes[..]].concat()).unwrap();
    }

    pub fn receive<T: DeserializeOwned>(&self) -> T {
        let mut len = [0];
        (&self.from).read_exact(&mut len).unwrap();
        let mut bytes = vec![0; len[0].into()];
        (&self.from).read_exact(&mut bytes).unwrap();
        postcard::from_bytes(&bytes).unwrap()
    }
}

/// How many threads of this process have that name.
pub fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The barest of executors.
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future.into_future());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Counts how often it was called.
#[derive(Default)]
pub struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counting {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// From now on this process's `futex_waitv` is a system call that does not exist.
pub fn forbid_futex_waitv() {
    let step = |code: u32, jump: (u8, u8), k: u32| libc::sock_filter {
        code: code as u16,
        jt: jump.0,
        jf: jump.1,
        k,
    };
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, (0, 0), 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, (0, 1), libc::SYS_futex_waitv as u32),
        step(libc::BPF_RET | libc::BPF_K, (0, 0), libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        step(libc::BPF_RET | libc::BPF_K, (0, 0), libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    let outcome = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}

/// The thread that listens for all that is awaited.
pub const WAITER: &str = "inplace-waiter";

/// A store for tests of what is awaited at channels, once the thread of other tests is over.
pub fn start_channel(name: &str) -> (std::sync::MutexGuard<'static, ()>, Store, Registration) {
    super::watch();
    let alone = super::alone();
    super::eventually("threads of other tests end", || threads_named(WAITER) == 0);
    let (store, registration) = store(name);
    (alone, store, registration)
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}
