//! What arrives as text or in postcard's form: keys, proxies, configurations. An error, or a value that can be sent again.
#![allow(dead_code, reason = "every program uses a part of it")]

use inplace::connector::ConnectorConfig;
use inplace::proxy::ProxyRef;
use inplace::{Key, Proxy, Region, StoreConfig};

/// A key that was read is written as it was, but for the case of its digits.
fn key(text: &str) {
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string(), text.to_lowercase());
    }
}

fn proxy(bytes: &[u8]) {
    let Ok(wire) = postcard::from_bytes::<ProxyRef>(bytes) else { return };
    let sent = postcard::to_stdvec(&wire).unwrap();
    assert_eq!(postcard::from_bytes::<ProxyRef>(&sent).unwrap(), wire);
    let proxy = Proxy::<Vec<u32>>::from_ref(wire);
    // A store that does not exist, or a region that is not there: an error. Regions of tests are no target of guesses.
    if proxy.store_ref().store().len() < 4 {
        assert!(proxy.resolve().is_err());
    }
}

fn configuration(text: &str) {
    if let Ok(config) = ConnectorConfig::from_toml(text) {
        assert_eq!(ConnectorConfig::from_toml(&config.to_toml()).unwrap(), config);
    }
    if let Ok(config) = StoreConfig::from_toml(text) {
        assert_eq!(StoreConfig::from_toml(&config.to_toml()).unwrap(), config);
    }
}

/// Everything that reads bytes or text that came from somewhere.
pub fn all(bytes: &[u8]) {
    proxy(bytes);
    if let Ok(config) = postcard::from_bytes::<ConnectorConfig>(bytes) {
        let _refused = config.validate();
    }
    let text = String::from_utf8_lossy(bytes);
    key(&text);
    configuration(&text);
    if text.len() < 4 || text.contains(['/', '\0']) {
        assert!(Region::open(&text).is_err());
    }
}

/// Texts and bytes that are right, to start from.
pub fn right() -> Vec<Vec<u8>> {
    let toml = "name = \"s\"\ncache_size = 3\n[connector.shm]\nregion = \"r\"\ncapacity = 65536\nmode = 384\n";
    let region = ProxyRef {
        key: Key::new(1, 2),
        access: inplace::proxy::Access::Take,
        store: inplace::proxy::StoreRef::Region("xy".into()),
    };
    let connector = ProxyRef {
        store: inplace::proxy::StoreRef::Connector {
            store: "s".into(),
            connector: ConnectorConfig::local("d").to_toml(),
        },
        ..region.clone()
    };
    vec![
        Key::new(0x1234, 0xabcd).to_string().into_bytes(),
        toml.into(),
        ConnectorConfig::shm("r").to_toml().into_bytes(),
        ConnectorConfig::local("d").to_toml().into_bytes(),
        b"[custom]\nkind = \"k\"\noptions = { a = \"b\" }\n".to_vec(),
        postcard::to_stdvec(&region).unwrap(),
        postcard::to_stdvec(&connector).unwrap(),
        postcard::to_stdvec(&ConnectorConfig::shm("r")).unwrap(),
    ]
}
