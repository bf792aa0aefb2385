//! The connectors that are held to the same promises.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use inplace::connector::{
    Block, Connector, ConnectorConfig, CustomConfig, FileConnector, Fill, MemberConfig, Policy,
    ShmConfig, register_kind,
};
use inplace::{Fingerprint, Key, Result};

use crate::support::Name;

/// A connector, and where it keeps its objects for as long as this lives.
pub struct Subject {
    pub connector: Arc<dyn Connector>,
    pub config: ConnectorConfig,
    /// Whether other processes reach its objects.
    pub reaches_processes: bool,
    /// How many objects there are, where that can be seen from outside.
    pub count: Option<Box<dyn Fn() -> usize>>,
    _place: Box<dyn Any>,
}

impl Subject {
    fn of(config: ConnectorConfig, place: impl Any) -> Self {
        let connector = config.connect().unwrap();
        let (count, _place) = (None, Box::new(place));
        Self { connector, config, reaches_processes: true, count, _place }
    }

    /// The connector as another process makes it, from what was sent.
    pub fn second(&self) -> Arc<dyn Connector> {
        let sent = postcard::to_stdvec(&self.connector.config()).unwrap();
        postcard::from_bytes::<ConnectorConfig>(&sent).unwrap().connect().unwrap()
    }
}

pub fn shm() -> Option<Subject> {
    let name = Name::new("conformance");
    let config = shm_config(&name, 64 << 20);
    let subject = Subject::of(config, name);
    let region = subject.connector.as_shm().unwrap().region().unwrap().clone();
    Some(Subject { count: Some(Box::new(move || region.keys().unwrap().len())), ..subject })
}

pub fn shm_config(name: &str, capacity: u64) -> ConnectorConfig {
    let (region, capacity) = (name.to_owned(), Some(capacity));
    ConnectorConfig::Shm(ShmConfig { region, capacity, ..ShmConfig::default() })
}

pub fn local() -> Option<Subject> {
    let name = Name::new("conformance");
    let subject = Subject::of(ConnectorConfig::local(&*name), ());
    Some(Subject { reaches_processes: false, ..subject })
}

/// A directory that is removed in the end.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        let name = Name::new("directory");
        Self(std::env::temp_dir().join(&*name))
    }

    pub fn config(&self) -> ConnectorConfig {
        ConnectorConfig::file(self.0.to_str().unwrap())
    }

    pub fn counter(&self) -> Box<dyn Fn() -> usize> {
        let objects = self.0.join("objects");
        Box::new(move || std::fs::read_dir(&objects).unwrap().count())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn file() -> Option<Subject> {
    let directory = Directory::new();
    let count = Some(directory.counter());
    Some(Subject { count, ..Subject::of(directory.config(), directory) })
}

/// A little shared memory first, then a directory.
pub fn multi() -> Option<Subject> {
    let (name, directory) = (Name::new("conformance"), Directory::new());
    let first = Policy { priority: 1, ..Policy::default() };
    let small = MemberConfig { connector: shm_config(&name, 1 << 20), policy: first };
    let config = ConnectorConfig::multi([small, directory.config().into()]);
    Some(Subject::of(config, (name, directory)))
}

/// A directory that does only what a connector must.
#[derive(Debug)]
struct Least(FileConnector);

impl Connector for Least {
    fn put_with(&self, size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Key> {
        self.0.put_with(size, fingerprint, fill)
    }

    fn get(&self, key: Key) -> Result<Option<Block>> {
        self.0.get(key)
    }

    fn take(&self, key: Key) -> Result<Option<Block>> {
        self.0.take(key)
    }

    fn exists(&self, key: Key) -> Result<bool> {
        self.0.exists(key)
    }

    fn evict(&self, key: Key) -> Result<bool> {
        self.0.evict(key)
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }

    fn config(&self) -> ConnectorConfig {
        let ConnectorConfig::File(file) = self.0.config() else {
            unreachable!("it is a directory")
        };
        let options = BTreeMap::from([("directory".to_owned(), file.directory)]);
        ConnectorConfig::Custom(CustomConfig { kind: "least".into(), options })
    }
}

/// What every process of these tests has to know.
pub fn register_kinds() {
    register_kind("least", |options| {
        Ok(Arc::new(Least(FileConnector::open(&options["directory"])?)))
    })
    .unwrap();
}

pub fn custom() -> Option<Subject> {
    register_kinds();
    let directory = Directory::new();
    let options =
        BTreeMap::from([("directory".to_owned(), directory.0.to_str().unwrap().to_owned())]);
    let config = ConnectorConfig::Custom(CustomConfig { kind: "least".into(), options });
    let count = Some(directory.counter());
    Some(Subject { count, ..Subject::of(config, directory) })
}

/// Members of other kinds, one of them of the program's own; a key may be of any of them.
pub fn multi_of_others() -> Option<Subject> {
    register_kinds();
    let (own, file) = (Directory::new(), Directory::new());
    let options = BTreeMap::from([("directory".to_owned(), own.0.to_str().unwrap().to_owned())]);
    let custom = ConnectorConfig::Custom(CustomConfig { kind: "least".into(), options });
    let odd = Policy { priority: 1, max_size: Some(64), ..Policy::default() };
    let members = [MemberConfig { connector: custom, policy: odd }, file.config().into()];
    Some(Subject::of(ConnectorConfig::multi(members), (own, file)))
}

#[cfg(feature = "redis")]
pub fn redis() -> Option<Subject> {
    use crate::redis_server::{RedisServer, is_installed};

    if !is_installed() {
        return None;
    }
    let server = RedisServer::start(&[]);
    let (url, port) = (server.url(), server.port);
    // Besides objects there are the number of the space and the counter of ranges.
    let count = move || count_objects(port);
    Some(Subject {
        count: Some(Box::new(count)),
        ..Subject::of(ConnectorConfig::redis(url), server)
    })
}

#[cfg(feature = "redis")]
fn count_objects(port: u16) -> usize {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let mut connection = client.get_connection().unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let is_object =
        |key: &&String| key.rsplit(':').next().unwrap().len() == 16 && !key.contains("type");
    keys.iter().filter(is_object).count()
}
