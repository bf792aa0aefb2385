//! Connectors of the program's own, so that their configuration can be sent and rebuilt like the others'.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connector::config::{CustomConfig, check_name};
use crate::connector::{Connector, hold_at_fork};
use crate::error::{Error, Result};
use crate::region::fork::Hook;
use crate::sys::latch::{Held, Latch};

/// Makes a connector from its options.
pub type Factory = fn(&BTreeMap<String, String>) -> Result<Arc<dyn Connector>>;

static KINDS: Latch<BTreeMap<String, Factory>> = Latch::new(BTreeMap::new());

/// Says how connectors of this kind are made in this process. The last one to say so holds.
///
/// A connector whose [`config`](Connector::config) is [`ConnectorConfig::Custom`](crate::connector::ConnectorConfig)
/// can then be rebuilt in every process that has registered the kind.
///
/// ```
/// use std::sync::Arc;
/// use inplace::connector::{ConnectorConfig, LocalConnector, register_kind};
///
/// register_kind("mine", |options| {
///     let name = options.get("name").map_or("unnamed", String::as_str);
///     Ok(Arc::new(LocalConnector::named(name)?))
/// })?;
/// let config = ConnectorConfig::from_toml("[custom]\nkind = \"mine\"\noptions = { name = \"here\" }\n")?;
/// assert_eq!(config.connect()?.config(), ConnectorConfig::local("here"));
/// # Ok::<(), inplace::Error>(())
/// ```
pub fn register_kind(kind: &str, factory: Factory) -> Result<()> {
    check_name("connector kind", kind)?;
    kinds().insert(kind.to_owned(), factory);
    Ok(())
}

pub(super) fn connect(config: &CustomConfig) -> Result<Arc<dyn Connector>> {
    let factory = kinds().get(&config.kind).copied();
    let unknown = || Error::InvalidConfig {
        what: "custom.kind".into(),
        found: format!("{:?}", config.kind),
        expected: "a kind that this process has registered with `register_kind`".into(),
    };
    factory.ok_or_else(unknown)?(&config.options)
}

fn kinds() -> Held<'static, BTreeMap<String, Factory>> {
    static HOOK: Hook =
        Hook::new(|| KINDS.lock_unless_mine().map(Held::keep).is_some(), || drop(KINDS.kept()));
    hold_at_fork(&HOOK);
    KINDS.lock()
}
