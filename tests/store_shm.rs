//! Stores and proxies between processes, over a region.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;

use inplace::codec::Serde;
use inplace::connector::ShmConnector;
use inplace::{Error, Proxy, Region, RegionOptions, Store};

const SENT: &str = "INPLACE_TEST_SENT";

/// A name that no other test run uses.
fn unique(name: &str) -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("test-{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}

/// What a process that never saw the store makes of a proxy: the sum, or the error.
fn elsewhere(proxy: &Proxy<Vec<u32>>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let sent = serde_json::to_string(proxy).unwrap();
    command.env(SENT, sent).args(["--exact", "child", "--nocapture"]).stdout(Stdio::piped());
    command
}

fn answer(output: &std::process::Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().find_map(|line| line.split_once("answer:")).map(|(_, answer)| answer);
    found.unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// Not a test by itself: what the other process runs.
#[test]
fn child() {
    let Ok(sent) = std::env::var(SENT) else { return };
    let proxy: Proxy<Vec<u32>> = serde_json::from_str(&sent).unwrap();
    match proxy.resolve() {
        Ok(numbers) => println!("\nanswer:{}", numbers.iter().map(|n| n.to_native()).sum::<u32>()),
        Err(Error::NotFound { .. }) => println!("\nanswer:gone"),
        Err(Error::TypeMismatch { found, .. }) => println!("\nanswer:{found}"),
        Err(error) => println!("\nanswer:{error}"),
    }
}

#[test]
fn a_proxy_is_used_in_a_process_that_never_saw_its_store() {
    let store = Store::open(&unique("proxy")).unwrap();
    let proxy = store.proxy(&vec![1_u32, 2, 3]).unwrap();
    assert_eq!(answer(&elsewhere(&proxy).output().unwrap()), "6");
    assert_eq!(proxy.len(), 3);
    store.evict(proxy.key()).unwrap();
    assert_eq!(answer(&elsewhere(&proxy).output().unwrap()), "gone");
    assert_eq!(proxy.len(), 3, "here it was resolved before");
}

#[test]
fn a_wrong_type_is_named_in_a_process_that_never_saw_it() {
    let store = Store::open(&unique("type")).unwrap();
    let key = store.put(&vec![0.5_f64]).unwrap();
    let wrong = store.proxy_from_key::<Vec<u32>>(key);
    assert!(answer(&elsewhere(&wrong).output().unwrap()).contains("f64"));
}

#[test]
fn of_many_processes_one_takes_the_object() {
    let store = Store::open(&unique("take")).unwrap();
    let proxy = store.proxy(&vec![4_u32, 5]).unwrap().evict_on_resolve().unwrap();
    let children: Vec<_> = (0..4).map(|_| elsewhere(&proxy).spawn().unwrap()).collect();
    let mut answers: Vec<_> =
        children.into_iter().map(|child| answer(&child.wait_with_output().unwrap())).collect();
    answers.sort();
    assert_eq!(answers, ["9", "gone", "gone", "gone"]);
    assert!(matches!(proxy.resolve(), Err(Error::NotFound { .. })));
}

#[test]
fn a_store_leaves_nothing_behind_and_its_region_is_whole() {
    let name = unique("clean");
    let store = Store::open(&name).unwrap();
    let keys = store.put_batch(&[vec![1_u8; 10], vec![2; 100_000]]).unwrap();
    let views = store.get_batch::<Vec<u8>>(&keys).unwrap();
    assert_eq!(store.evict_batch(&keys).unwrap(), 2);
    assert!(views.iter().flatten().all(|view| view.iter().all(|byte| *byte == view[0])));
    drop(views);
    let region = Region::open(&name).unwrap();
    let report = region.check().unwrap();
    assert!(
        report.violations.is_empty() && report.pins == 0 && report.bytes_in_use == 0,
        "{report:?}"
    );
    drop(region);
    store.close().unwrap();
    drop(store);
    assert!(!Region::list().unwrap().contains(&name));
}

#[test]
fn a_value_finds_the_room_left_for_its_size_though_a_first_guess_of_it_finds_none() {
    let region = RegionOptions::new().capacity(64 << 10).max_objects(50).anonymous().unwrap();
    let store = Store::builder("room").connector(ShmConnector::new(region.clone())).open().unwrap();
    // The only unit is cut into cells of 4 KiB: none as small as the guess is to be had.
    region.put(&[1; 4096]).unwrap();
    assert!(matches!(region.put(b"small"), Err(Error::OutOfSpace { .. })));
    let value = vec![7_u8; 4000];
    let key = store.put_as(Serde, &value).unwrap();
    assert_eq!(*store.get_as::<Serde, Vec<u8>>(key).unwrap().unwrap(), value);
    assert!(matches!(store.put_as(Serde, &vec![7_u8; 40_000]), Err(Error::OutOfSpace { .. })));
}
