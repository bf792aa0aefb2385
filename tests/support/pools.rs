//! What tests of worker pools have in common: a world, counts that children share, and what must be left in the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use inplace::connector::ShmConnector;
use inplace::{Error, Region, RegionOptions, Store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::shared::{Atomics, Shared};
use super::{eventually, watch};

pub const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

/// A region, and its store.
pub fn world() -> (Region, Store) {
    watch();
    let options = RegionOptions::new().capacity(1 << 26).max_objects(1 << 14).max_participants(40);
    let region = options.anonymous().unwrap();
    let store =
        Store::builder("pools").connector(ShmConnector::new(region.clone())).open().unwrap();
    (region, store)
}

/// Counts that children share.
#[derive(Default)]
pub struct Counts([AtomicU64; 8]);

// SAFETY: made of atomics only.
unsafe impl Atomics for Counts {}

pub fn counts() -> &'static Counts {
    Shared::<Counts>::new().get()
}

impl Counts {
    pub fn add(&self, at: usize) -> u64 {
        self.0[at].fetch_add(1, Ordering::SeqCst)
    }

    pub fn set(&self, at: usize, to: u64) {
        self.0[at].store(to, Ordering::SeqCst);
    }

    pub fn get(&self, at: usize) -> u64 {
        self.0[at].load(Ordering::SeqCst)
    }
}

pub fn signal(process: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(process as i32), signal);
}

pub fn kill_me() -> ! {
    signal(std::process::id(), Signal::SIGKILL);
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

pub fn nap() {
    std::thread::sleep(Duration::from_millis(1));
}

pub fn for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Everybody else has gone, and nothing of what was done is left.
pub fn assert_nothing_left(region: &Region) {
    eventually("the region is empty", || {
        region.reap().unwrap();
        let report = region.check().unwrap();
        assert!(report.is_clean(), "{report}");
        let left = [report.objects, report.queues, report.retired, report.pending];
        left == [0; 4] && report.in_progress == 0 && report.participants == 1
    });
    region.trim().unwrap();
    let report = region.check().unwrap();
    assert_eq!((report.pins, report.bytes_in_use), (0, 0), "{report}");
}

pub fn failed(error: Error) -> String {
    match error {
        Error::Failed { message, .. } => message,
        other => panic!("another error: {other}"),
    }
}
