//! What only a server can do to its clients: be away, come back empty, be full, refuse, be many, speak TLS.
#![cfg(feature = "redis")]

#[path = "support/redis_server.rs"]
mod redis_server;

use std::process::Command;
use std::time::Duration;

use inplace::connector::{
    Connector, ConnectorConfig, LocalConnector, MultiConnector, Policy, RedisConfig, RedisConnector,
};
use inplace::{Deadline, Error, Fingerprint, Key, Term};
use redis_server::{RedisServer, free_port, is_installed};

fn config(server: &RedisServer) -> RedisConfig {
    RedisConfig { urls: vec![server.url()], ..RedisConfig::default() }
}

fn patient(error: &Error) -> String {
    assert!(matches!(error, Error::Server { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let told = patient(&RedisConnector::open(&url).unwrap_err());
    for part in [url.as_str(), "refused", "check that it runs"] {
        assert!(told.contains(part), "{told:?} does not say {part:?}");
    }
}

#[test]
fn what_may_be_asked_again_is_asked_on_a_new_connection() {
    if !is_installed() {
        return;
    }
    let server = RedisServer::start(&[]);
    let connector = RedisConnector::connect(&config(&server)).unwrap();
    let keys = connector.put_batch(&[b"one", b"two"]).unwrap();
    for _ in 0..3 {
        server.ask("CLIENT KILL TYPE normal SKIPME yes");
        assert_eq!(&*connector.get(keys[0]).unwrap().unwrap(), b"one");
        server.ask("CLIENT KILL TYPE normal SKIPME yes");
        let key = connector.put(b"more").unwrap();
        server.ask("CLIENT KILL TYPE normal SKIPME yes");
        assert!(connector.exists(key).unwrap());
    }
    // An evict whose answer may have been lost is not asked again, but one on a connection known to be good is.
    std::thread::sleep(Duration::from_millis(600));
    server.ask("CLIENT KILL TYPE normal SKIPME yes");
    assert!(connector.evict(keys[1]).unwrap());
}

#[test]
fn a_server_that_comes_back_empty_has_nothing_and_takes_new_objects() {
    if !is_installed() {
        return;
    }
    let mut server = RedisServer::start(&[]);
    let connector = RedisConnector::connect(&config(&server)).unwrap();
    let old = connector.put(b"old").unwrap();
    server.kill();
    patient(&connector.get(old).unwrap_err());
    patient(&connector.put(b"lost").unwrap_err());
    server.restart();
    assert!(connector.get(old).unwrap().is_none());
    let new = connector.put(b"new").unwrap();
    assert_ne!(new, old);
    let other = RedisConnector::connect(&config(&server)).unwrap();
    assert_eq!(&*other.get(new).unwrap().unwrap(), b"new", "the old space goes on");

    server.restart();
    let stranger = RedisConnector::connect(&config(&server)).unwrap();
    stranger.put(b"of another space").unwrap();
    let told = patient(&connector.get(new).unwrap_err());
    assert!(told.contains("open the connector anew"), "{told}");
}

#[test]
fn a_full_server_is_out_of_space_and_the_next_member_takes_the_object() {
    if !is_installed() {
        return;
    }
    let server = RedisServer::start(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let connector = RedisConnector::connect(&config(&server)).unwrap();
    let mut keys = Vec::new();
    let error = loop {
        match connector.put(&[7; 200_000]) {
            Ok(key) => keys.push(key),
            Err(error) => break error,
        }
        assert!(keys.len() < 100, "never full");
    };
    assert!(
        matches!(&error, Error::OutOfSpace { requested: 200_000, capacity, .. } if *capacity == 4 << 20),
        "{error}"
    );
    assert!(error.to_string().contains("maxmemory"), "{error}");
    let batch: Vec<&[u8]> = vec![&[1; 150_000]; 40];
    assert!(matches!(connector.put_batch(&batch), Err(Error::OutOfSpace { .. })));
    let first = Policy { priority: 1, ..Policy::default() };
    let both =
        MultiConnector::new().with(connector, first).with(LocalConnector::new(), Policy::default());
    let spilled = both.put(&[7; 200_000]).unwrap();
    assert_ne!(spilled.space(), keys[0].space());
    assert_eq!(both.evict_batch(&keys).unwrap(), keys.len());
    assert_eq!(both.put(&[7; 200_000]).unwrap().space(), keys[0].space());
}

#[test]
fn more_than_a_string_takes_is_refused_before_it_is_sent() {
    if !is_installed() {
        return;
    }
    let server = RedisServer::start(&[]);
    let connector = RedisConnector::connect(&config(&server)).unwrap();
    let mib = vec![0; 1 << 20];
    let error = connector
        .put_with(0, Fingerprint::BYTES, &mut |out| {
            (0..512).for_each(|_| out.write(&mib));
            Ok(())
        })
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { len, .. } if len == 512 << 20), "{error}");
    assert!(error.to_string().contains("536870896"), "{error}");
}

#[test]
fn a_password_comes_from_the_environment_and_a_wrong_one_is_refused() {
    if !is_installed() {
        return;
    }
    let server = RedisServer::start(&["--requirepass", "s3cret"]);
    let told = patient(&RedisConnector::connect(&config(&server)).unwrap_err());
    assert!(told.contains("NOAUTH") || told.to_lowercase().contains("auth"), "{told}");
    let with =
        |variable: &str| RedisConfig { password_env: Some(variable.to_owned()), ..config(&server) };
    let unset = RedisConnector::connect(&with("INPLACE_TEST_UNSET")).unwrap_err();
    assert!(matches!(&unset, Error::InvalidConfig { .. }) && unset.to_string().contains("UNSET"));
    // What every process has is a wrong password; the right one is tried by a process of its own.
    let wrong = patient(&RedisConnector::connect(&with("PATH")).unwrap_err());
    assert!(!wrong.contains(&std::env::var("PATH").unwrap()), "{wrong}");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_a_password", "--nocapture"])
        .env("INPLACE_TEST_PASSWORD", "s3cret")
        .env("INPLACE_TEST_CONFIG", ConnectorConfig::Redis(with("INPLACE_TEST_PASSWORD")).to_toml())
        .status();
    assert!(status.unwrap().success());
}

/// Not a test by itself: what the process with the password runs.
#[test]
fn with_a_password() {
    let Ok(config) = std::env::var("INPLACE_TEST_CONFIG") else { return };
    assert!(!config.contains("s3cret"));
    let connector = ConnectorConfig::from_toml(&config).unwrap().connect().unwrap();
    let key = connector.put(b"let in").unwrap();
    assert_eq!(&*connector.take(key).unwrap().unwrap(), b"let in");
}

#[test]
fn prefixes_keep_stores_apart_and_what_is_no_object_is_an_error() {
    if !is_installed() {
        return;
    }
    let server = RedisServer::start(&[]);
    let [one, other] = ["one", "other"].map(|prefix| {
        RedisConnector::connect(&RedisConfig { prefix: prefix.into(), ..config(&server) }).unwrap()
    });
    let key = one.put(b"mine").unwrap();
    assert!(matches!(other.get(key), Err(Error::WrongRegion { .. })));
    let place = format!("one:{:016x}:{:016x}", key.space(), key.object());
    for foreign in ["short", "0123456789abcdef-but-not-an-object"] {
        assert_eq!(server.ask(&format!("SET {place} {foreign}")), "+OK");
        let error = one.get(key).unwrap_err();
        assert!(
            matches!(&error, Error::Damaged { .. }) && error.to_string().contains(&place),
            "{error}"
        );
        assert!(one.take(key).is_err() && one.get_batch(&[key]).is_err());
    }
    assert!(one.evict(key).unwrap());
    assert_eq!(server.ask("SET one:space nonsense"), "+OK");
    let third = RedisConfig { prefix: "one".into(), ..config(&server) };
    assert!(patient(&RedisConnector::connect(&third).unwrap_err()).contains("one:space"));
}

/// Three servers that share the slots.
fn cluster() -> Vec<RedisServer> {
    let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"];
    // The bus of a node listens 10,000 ports higher.
    let port = || loop {
        let port = free_port();
        if port < 50_000 {
            return port;
        }
        let low = 20_000 + port % 20_000;
        if std::net::TcpListener::bind(("127.0.0.1", low)).is_ok()
            && std::net::TcpListener::bind(("127.0.0.1", low + 10_000)).is_ok()
        {
            return low;
        }
    };
    let nodes: Vec<_> = (0..3).map(|_| RedisServer::start_on(port(), &options)).collect();
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create", "--cluster-yes"]);
    create.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
    let created = create.output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
    for node in &nodes {
        for _ in 0..400 {
            if node.ask("CLUSTER KEYSLOT x").starts_with(':') && is_joined(node) {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }
    nodes
}

fn is_joined(node: &RedisServer) -> bool {
    let told =
        Command::new("redis-cli").args(["-p", &node.port.to_string(), "cluster", "info"]).output();
    String::from_utf8_lossy(&told.unwrap().stdout).contains("cluster_state:ok")
}

#[test]
fn a_cluster_is_one_place_whichever_node_is_named() {
    if !is_installed() {
        return;
    }
    let nodes = cluster();
    let config = |at: usize| RedisConfig {
        urls: vec![nodes[at].url()],
        cluster: true,
        ..RedisConfig::default()
    };
    let [one, other] = [0, 2].map(|at| RedisConnector::connect(&config(at)).unwrap());
    let items: Vec<Vec<u8>> = (0..60_usize).map(|n| vec![n as u8; n * 500]).collect();
    let keys = one.put_batch(&items.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    let spread = nodes.iter().map(|node| node.ask("DBSIZE")[1..].parse::<usize>().unwrap());
    assert!(spread.clone().all(|count| count > 5), "{:?}", spread.collect::<Vec<_>>());
    for (block, item) in other.get_batch(&keys).unwrap().iter().zip(&items) {
        assert_eq!(&**block.as_ref().unwrap(), item.as_slice());
    }
    assert_eq!(&*other.take(keys[5]).unwrap().unwrap(), items[5].as_slice());
    assert!(one.get(keys[5]).unwrap().is_none() && !one.evict(keys[5]).unwrap());
    let key: Key = other.put(b"single").unwrap();
    assert!(one.exists(key).unwrap() && one.evict(key).unwrap());
    assert_eq!(one.evict_batch(&keys).unwrap(), keys.len() - 1);
    assert!(one.get_batch(&keys).unwrap().iter().all(Option::is_none));
    let both = RedisConfig { urls: vec![nodes[0].url(), nodes[1].url()], ..config(0) };
    assert!(ConnectorConfig::Redis(both).is_same_place(&ConnectorConfig::Redis(config(0))));
}

#[cfg(feature = "redis-tls")]
#[test]
fn over_tls_the_server_is_checked_and_so_is_this_side() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    if !is_installed() {
        return;
    }
    let directory = std::env::temp_dir().join(format!("inplace-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, pem: &str| {
        let path = directory.join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_file = write("ca.pem", &authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::new(authority, authority_key);
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let files = [("crt", certificate.pem()), ("key", key.serialize_pem())];
        files.map(|(ending, pem)| write(&format!("{name}.{ending}"), &pem))
    };
    let ([certificate, key], client) = (issue("server"), issue("client"));
    let port = free_port().to_string();
    let options = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let server = RedisServer::start_on(
        port.parse().unwrap(),
        &[&options[..], &["--tls-ca-cert-file", &ca_file, "--tls-auth-clients", "yes"]].concat(),
    );
    let config = |ca_file: Option<&String>, client: Option<&[String; 2]>| RedisConfig {
        urls: vec![format!("rediss://127.0.0.1:{}", server.port)],
        ca_file: ca_file.cloned(),
        certificate_file: client.map(|files| files[0].clone()),
        key_file: client.map(|files| files[1].clone()),
        ..RedisConfig::default()
    };
    let connector = RedisConnector::connect(&config(Some(&ca_file), Some(&client))).unwrap();
    let key = connector.put(&[9; 300_000]).unwrap();
    assert_eq!(&*connector.get(key).unwrap().unwrap(), &[9; 300_000]);
    assert!(connector.evict(key).unwrap());
    patient(&RedisConnector::connect(&config(None, Some(&client))).unwrap_err());
    patient(&RedisConnector::connect(&config(Some(&ca_file), None)).unwrap_err());
    drop(connector);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_lease_is_the_servers_to_end_and_survives_broken_connections() {
    if !is_installed() {
        return;
    }
    let server = RedisServer::start(&[]);
    let connector = RedisConnector::connect(&config(&server)).unwrap();
    let lasting = connector.lasting().unwrap();
    let put = |deadline| {
        let kind = (Fingerprint::BYTES, Term::Until(deadline));
        lasting.put_for(0, kind, &mut |_| Ok(())).unwrap()
    };
    let left = |key: Key| {
        let place = format!("inplace:{:016x}:{:016x}", key.space(), key.object());
        server.ask(&format!("PTTL {place}"))[1..].parse::<i64>().unwrap()
    };
    let break_connections = || server.ask("CLIENT KILL TYPE normal SKIPME yes");
    let hour = Deadline::after(Duration::from_secs(3600));
    break_connections();
    let key = put(hour);
    assert!((1..=3_600_001).contains(&left(key)), "{}", left(key));
    break_connections();
    assert!(lasting.set_deadline(key, Some(hour.later_by(Duration::from_secs(3600)))).unwrap());
    assert!((3_600_001..=7_200_001).contains(&left(key)), "{}", left(key));
    break_connections();
    assert!(lasting.set_deadline(key, None).unwrap());
    assert_eq!(left(key), -1, "without end");
    let never = put(Deadline::after(Duration::MAX));
    assert!(left(never) > i64::from(i32::MAX), "{}", left(never));
    assert_eq!(left(put(Deadline::after(Duration::ZERO))), -2, "what is over is not stored");
}

#[test]
fn what_needs_to_know_who_lives_is_unsupported_by_a_server() {
    if !is_installed() {
        return;
    }
    let server = RedisServer::start(&[]);
    let connector = RedisConnector::connect(&config(&server)).unwrap();
    let lasting = connector.lasting().unwrap();
    let key = connector.put(b"everybody's").unwrap();
    let kind = (Fingerprint::BYTES, Term::Process);
    for outcome in [
        lasting.put_for(0, kind, &mut |_| Ok(())).map(drop),
        lasting.bind_to_process(key).map(drop),
        lasting.unbind_from_process(key),
        lasting.offer(key).map(drop),
        lasting.adopt(key, 1),
        lasting.evict_bound(key).map(drop),
        lasting.process().map(drop),
    ] {
        let told = outcome.unwrap_err().to_string();
        assert_eq!(
            told,
            "the redis connector has no objects that go with a process: a server does not know who lives"
        );
    }
    assert!(connector.exists(key).unwrap());
}

#[test]
fn batches_of_a_server_take_each_object_once() {
    if !is_installed() {
        return;
    }
    let server = RedisServer::start(&[]);
    let connector = RedisConnector::connect(&config(&server)).unwrap();
    let keys = connector.put_batch(&[b"one", b"two", b"three"]).unwrap();
    assert!(connector.evict(keys[1]).unwrap());
    assert_eq!(connector.exists_batch(&keys).unwrap(), [true, false, true]);
    let again = [keys[2], keys[0], keys[1], keys[2]];
    let taken = connector.take_batch(&again).unwrap();
    let taken: Vec<Option<&[u8]>> = taken.iter().map(Option::as_deref).collect();
    assert_eq!(taken, [Some(&b"three"[..]), Some(b"one"), None, None]);
    assert_eq!(connector.exists_batch(&keys).unwrap(), [false; 3]);
    assert!(connector.take_batch(&[]).unwrap().is_empty());
    let foreign = Key::new(keys[0].space() ^ 1, keys[0].object());
    assert!(matches!(connector.exists_batch(&[foreign]), Err(Error::WrongRegion { .. })));
}
