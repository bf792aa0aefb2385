//! What only a directory meets: damaged and foreign files, a full disk, those who die while they write.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use inplace::connector::{Connector, ConnectorConfig, FileConfig, FileConnector};
use inplace::{Error, Key, Proxy, Store};
use support::small_shm::with_shm_of;
use support::{Name, Program};

/// A directory that is removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(&*Name::new("files")))
    }

    fn open(&self) -> FileConnector {
        FileConnector::open(&self.0).unwrap()
    }

    fn names(&self, part: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join(part)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn object(&self, key: Key) -> PathBuf {
        self.0.join(format!("objects/{:016x}", key.object()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Not a test by itself: what the other processes run.
#[test]
fn program() {
    let Some((role, directory)) = support::role() else { return };
    match role.as_str() {
        "arrive" => {
            support::hear();
            let files = FileConnector::open(&directory).unwrap();
            (0..3).for_each(|_| support::say(files.put(b"first").unwrap()));
            support::hear();
        }
        "write" => {
            let files = FileConnector::open(&directory).unwrap();
            support::say("ready");
            loop {
                files.evict(files.put(&vec![1; 16 << 20]).unwrap()).unwrap();
            }
        }
        _ => panic!("{role}"),
    }
}

#[test]
fn damaged_files_are_errors_that_name_them_and_can_be_evicted() {
    let directory = Directory::new();
    let files = directory.open();
    for len in [0, 10, 100_000] {
        let value = vec![5; len];
        let whole = std::fs::read(directory.object(files.put(&value).unwrap())).unwrap();
        let mut damaged: Vec<Vec<u8>> = [0, 1, 63, 64, whole.len() - 1]
            .into_iter()
            .filter(|cut| *cut < whole.len())
            .map(|cut| whole[..cut].to_vec())
            .collect();
        damaged.push([&whole[..], &[0]].concat());
        damaged.push(vec![0; whole.len()]);
        damaged.push(whole.clone());
        for at in 0..64 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            damaged.push(flipped);
        }
        for bytes in damaged {
            let key = files.put(&value).unwrap();
            let path = directory.object(key);
            std::fs::write(&path, &bytes).unwrap();
            let error = files.get(key).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert!(files.take(key).is_err() && files.exists(key).is_err());
            assert!(files.evict(key).unwrap() && !path.exists());
        }
    }
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let directory = Directory::new();
    std::fs::create_dir_all(&directory.0).unwrap();
    for foreign in
        ["", "something else\n", "inplace directory 1, space 12\n", "inplace directory 2, space "]
    {
        std::fs::write(directory.0.join("space"), foreign).unwrap();
        let error = FileConnector::open(&directory.0).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
        assert_eq!(directory.names("."), ["space"]);
        assert_eq!(std::fs::read_to_string(directory.0.join("space")).unwrap(), foreign);
    }
    for path in ["", "relative/path", "nul\0"] {
        let error = ConnectorConfig::file(path).validate().unwrap_err();
        assert!(error.to_string().contains("file.directory"), "{error}");
    }
    let slashed = ConnectorConfig::file("/some//where/");
    assert!(slashed.is_same_place(&ConnectorConfig::file("/some/where")));
}

#[test]
fn who_arrive_first_at_once_agree_on_one_directory() {
    for _ in 0..4 {
        let directory = Directory::new();
        let name = directory.0.to_str().unwrap();
        let mut others: Vec<_> = (0..4).map(|_| Program::start("arrive", name)).collect();
        others.iter_mut().for_each(|other| other.tell("go"));
        let mut tell = |other: &mut Program| [(); 3].map(|()| other.says().parse::<Key>().unwrap());
        let keys: Vec<Key> = others.iter_mut().flat_map(&mut tell).collect();
        let spaces: BTreeSet<u64> = keys.iter().map(|key| key.space()).collect();
        assert_eq!((spaces.len(), keys.iter().collect::<BTreeSet<_>>().len()), (1, 12));
        let files = directory.open();
        let blocks = files.get_batch(&keys).unwrap();
        assert!(blocks.iter().flatten().filter(|block| &***block == b"first").count() == 12);
        others.into_iter().for_each(Program::finish);
        drop(files);
        drop(directory.open());
        let counters = directory.names(".").into_iter().filter(|name| name.starts_with("next-"));
        assert_eq!((counters.count(), directory.names("drafts").len()), (1, 0));
        assert!(directory.names("ranges").is_empty(), "nobody is there any more");
    }
}

#[test]
fn what_the_dead_were_writing_is_swept_by_who_arrives() {
    let directory = Directory::new();
    let living = directory.open();
    let kept = living.put(b"kept").unwrap();
    let (mut drafts, mut rounds) = (0, 0);
    // Until one was killed while it wrote.
    while rounds < 8 || drafts == 0 && rounds < 400 {
        let mut other = Program::start("write", directory.0.to_str().unwrap());
        other.says();
        std::thread::sleep(std::time::Duration::from_millis(5 + 3 * (rounds % 8)));
        other.kill();
        drafts += directory.names("drafts").len();
        drop(directory.open());
        assert!(directory.names("drafts").is_empty(), "{:?}", directory.names("drafts"));
        assert_eq!(directory.names("ranges").len(), 1, "of the living one");
        rounds += 1;
    }
    assert!(drafts > 0, "none was killed while it wrote");
    assert_eq!(&*living.get(kept).unwrap().unwrap(), b"kept");
    assert!(directory.names("objects").len() as u64 <= 1 + rounds);
}

#[test]
fn a_full_disk_is_an_error_that_says_where_and_leaves_nothing_half_written() {
    with_shm_of(3 << 20, || {
        let place = Path::new("/dev/shm/objects");
        let files = FileConnector::open(place).unwrap();
        let mut keys = Vec::new();
        let error = loop {
            match files.put(&[3; 200_000]) {
                Ok(key) => keys.push(key),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error, Error::OutOfSpace { requested: 200_000, capacity, in_use, .. }
                if capacity == 3 << 20 && in_use > 2 << 20),
            "{error}"
        );
        for part in ["/dev/shm/objects", "full", "another directory"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert_eq!(std::fs::read_dir(place.join("drafts")).unwrap().count(), 0);
        let items: Vec<&[u8]> = vec![&[1; 1000]; 3000];
        assert!(matches!(files.put_batch(&items), Err(Error::OutOfSpace { .. })));
        assert_eq!(std::fs::read_dir(place.join("objects")).unwrap().count(), keys.len());
        assert!(files.evict(keys[0]).unwrap());
        keys[0] = files.put(&[3; 200_000]).unwrap();
        assert!(
            keys.iter().all(|key| files.get(*key).unwrap().unwrap().iter().all(|byte| *byte == 3))
        );
        drop(files);
        std::fs::remove_dir_all(place).unwrap();
    });
}

#[test]
fn a_file_larger_than_the_process_may_make_is_an_error_and_no_signal() {
    let directory = Directory::new();
    let files = directory.open();
    let code = support::in_child(|| {
        let limit = nix::sys::resource::Resource::RLIMIT_FSIZE;
        nix::sys::resource::setrlimit(limit, 10_000, 10_000).unwrap();
        assert!(matches!(files.put(&[0; 10_000]), Err(Error::LimitTooLow { needed: 10_064, .. })));
        files.put(&[0; 9000]).unwrap();
        0
    });
    assert_eq!(code, 0);
}

#[test]
fn every_option_does_what_it_says_and_survives_text() {
    let directory = Directory::new();
    let config = FileConfig {
        directory: directory.0.to_str().unwrap().into(),
        fsync: true,
        map_from: Some(0),
    };
    let config = ConnectorConfig::File(config);
    assert_eq!(ConnectorConfig::from_toml(&config.to_toml()).unwrap(), config);
    assert!(ConnectorConfig::from_toml("[file]\ndirectory = \"/x\"\nsync = true\n").is_err());
    let files = config.connect().unwrap();
    let maps = |key| {
        let _block = files.get(key).unwrap().unwrap();
        let mapped = std::fs::read_to_string("/proc/self/maps").unwrap();
        mapped.contains(directory.object(key).to_str().unwrap())
    };
    let [nothing, small] = [&b""[..], b"small"].map(|bytes| files.put(bytes).unwrap());
    assert!(maps(small) && !maps(nothing));
    assert!(files.evict(small).unwrap());
    let never = FileConfig { map_from: Some(u64::MAX), ..FileConfig::default() };
    let never = FileConfig { directory: directory.0.to_str().unwrap().into(), ..never };
    let never = FileConnector::connect(&never).unwrap();
    let large = never.put(&[1; 1 << 20]).unwrap();
    let _block = never.get(large).unwrap().unwrap();
    let mapped = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!mapped.contains(directory.object(large).to_str().unwrap()));
    assert!(maps(large));
}

#[test]
fn a_proxy_of_a_directory_that_is_not_here_says_so_and_makes_none() {
    let directory = Directory::new();
    let store = Store::builder("elsewhere").connector(directory.open()).open().unwrap();
    let sent = postcard::to_stdvec(&store.proxy(&7_u8).unwrap()).unwrap();
    drop(store);
    std::fs::remove_dir_all(&directory.0).unwrap();
    let received: Proxy<u8> = postcard::from_bytes(&sent).unwrap();
    let error = received.resolve().unwrap_err();
    assert!(matches!(error, Error::DirectoryNotFound { .. }), "{error}");
    assert!(error.to_string().contains(directory.0.to_str().unwrap()), "{error}");
    assert!(!directory.0.exists());
}

#[test]
fn objects_stay_when_everybody_has_gone() {
    let directory = Directory::new();
    let key = directory.open().put(b"over the end").unwrap();
    assert_eq!(&*directory.open().take(key).unwrap().unwrap(), b"over the end");
    assert!(directory.open().get(key).unwrap().is_none());
}
