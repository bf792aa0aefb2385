//! A process stays attached as long as it has handles or views, and not longer.

mod support;

use inplace::{Error, Region, RegionOptions};
use support::Name;

fn options() -> RegionOptions {
    RegionOptions::new().capacity(8 << 20).max_objects(2000).max_participants(8)
}

fn mappings(name: &Name) -> usize {
    // Mappings go by the name the file had when it was created.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = std::os::linux::fs::MetadataExt::st_ino(&name.path().metadata().unwrap());
    maps.lines().filter(|line| line.split_whitespace().nth(4) == Some(&mapped.to_string())).count()
}

#[test]
fn a_view_keeps_the_region_attached_until_it_is_dropped() {
    let name = Name::new("view");
    let region = options().create(&name).unwrap();
    let key = region.put(b"still here").unwrap();
    let (first, second) = (region.get(key).unwrap().unwrap(), region.get(key).unwrap().unwrap());
    let other = region.get(region.put(b"another").unwrap()).unwrap().unwrap();
    drop(region);
    assert!(name.exists() && mappings(&name) > 0);
    drop(first);
    assert_eq!((&*second, &*other), (&b"still here"[..], &b"another"[..]));
    let third = second.clone();
    drop(second);
    drop(other);
    assert!(name.exists());
    assert_eq!(&*third, b"still here");
    drop(third);
    assert!(!name.exists());
}

#[test]
fn the_mappings_are_gone_after_the_last_view_also_where_the_name_stays() {
    let name = Name::new("maps");
    let persistent = options().lifespan(inplace::Lifespan::Persistent);
    for _ in 0..20 {
        let region = persistent.open_or_create(&name).unwrap();
        let view = region.get(region.put(b"x").unwrap()).unwrap().unwrap();
        drop(region);
        assert!(mappings(&name) > 0);
        drop(view);
        assert_eq!(mappings(&name), 0);
    }
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut targets = descriptors.filter_map(|entry| entry.ok()?.path().read_link().ok());
    assert!(!targets.any(|target| target == name.path()));
    Region::destroy(&name).unwrap();
}

#[test]
fn opening_again_while_views_live_goes_on_with_the_same_attachment() {
    let name = Name::new("revive");
    let options = options().max_participants(1);
    let region = options.create(&name).unwrap();
    let (id, key) = (region.id(), region.put(b"x").unwrap());
    let view = region.get(key).unwrap().unwrap();
    drop(region);
    let again = options.open(&name).unwrap();
    assert_eq!(again.id(), id);
    drop(view);
    assert!(name.exists());
    assert_eq!(&*again.get(key).unwrap().unwrap(), b"x");
    drop(again);
    assert!(!name.exists());
    assert!(matches!(options.open(&name), Err(Error::RegionNotFound { .. })));
}

#[test]
fn views_dropped_by_many_threads_after_the_last_handle_end_the_attachment_once() {
    for round in 0..30 {
        let name = Name::new("many");
        let region = options().create(&name).unwrap();
        let views: Vec<_> = (0..400)
            .map(|i| {
                let key = region.put(&[i as u8; 100]).unwrap();
                let view = region.get(key).unwrap().unwrap();
                if i % 3 == 0 {
                    region.evict(key).unwrap();
                }
                view
            })
            .collect();
        let mut shares: Vec<Vec<_>> = (0..4).map(|_| Vec::new()).collect();
        for (i, view) in views.into_iter().enumerate() {
            shares[i % 4].push(view);
        }
        std::thread::scope(|scope| {
            for mut share in shares {
                scope.spawn(move || {
                    if round % 2 == 0 {
                        share.reverse();
                    }
                    share.into_iter().for_each(|view| assert_eq!(view.len(), 100));
                });
            }
            scope.spawn(move || drop(region));
        });
        assert!(!name.exists());
    }
}

#[test]
fn opening_and_dropping_handles_and_views_in_many_threads_never_loses_a_byte() {
    let name = Name::new("churn");
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let name = &name;
            scope.spawn(move || {
                for _ in 0..200 {
                    let region = options().open_or_create(name).unwrap();
                    let key = region.put(&[thread; 300]).unwrap();
                    let view = region.get(key).unwrap().unwrap();
                    drop(region);
                    assert!(view.iter().all(|&byte| byte == thread));
                }
            });
        }
    });
    assert!(!name.exists());
}
