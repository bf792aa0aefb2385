//! Promises of the background reaper.

mod support;

use std::time::Duration;

use inplace::{Error, Fingerprint, Lifespan, RegionOptions};
use support::{Name, alone, eventually, in_child};

#[test]
fn a_reaper_in_the_background_returns_what_a_dead_process_held_and_nobody_missed() {
    let _alone = alone();
    let name = Name::new("reaper");
    let region = RegionOptions::new().capacity(1 << 20).open_or_create(&name).unwrap();
    let reaper = region.reap_every(Duration::from_millis(5)).unwrap();
    let status = in_child(|| {
        std::mem::forget(region.loan(300_000, Fingerprint::BYTES).unwrap());
        std::mem::forget(region.loan(100, Fingerprint::BYTES).unwrap());
        // SAFETY: ends the child at once, as a kill would.
        unsafe { libc::_exit(0) }
    });
    assert_eq!(status, 0);
    eventually("the dead one is reaped", || region.check().unwrap().participants == 1);
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0, "{report}");
    drop(reaper);
}

#[test]
fn a_reaper_does_not_keep_a_region_that_everybody_left() {
    let _alone = alone();
    let name = Name::new("weak");
    let region = RegionOptions::new().capacity(1 << 20).open_or_create(&name).unwrap();
    let _reaper = region.reap_every(Duration::from_millis(1)).unwrap();
    drop(region);
    eventually("the region is gone", || !name.exists());
}

#[test]
fn a_reaper_leaves_a_region_alone_of_which_only_views_are_left() {
    let _alone = alone();
    let name = Name::new("viewed");
    let options = RegionOptions::new().capacity(1 << 20);
    let region = options.open_or_create(&name).unwrap();
    let view = region.get(region.put(b"kept").unwrap()).unwrap().unwrap();
    let reapers = [(); 3].map(|()| region.reap_every(Duration::from_millis(1)).unwrap());
    drop(region);
    std::thread::sleep(Duration::from_millis(20));
    let region = options.open_or_create(&name).unwrap();
    assert_eq!((&*view, region.check().unwrap().pins), (&b"kept"[..], 1));
    drop((reapers, view, region));
    eventually("the region is gone", || !name.exists());
}

#[test]
fn an_interval_of_zero_is_refused() {
    let _alone = alone();
    let options = RegionOptions::new().capacity(1 << 20).lifespan(Lifespan::Anonymous);
    let region = options.create("zero").unwrap();
    assert!(matches!(region.reap_every(Duration::ZERO), Err(Error::InvalidConfig { .. })));
}
