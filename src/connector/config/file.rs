//! A directory of objects.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A directory of objects: see [`FileConnector`](crate::connector::FileConnector).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The directory's path from the root. It belongs to the connector alone.
    pub directory: String,
    /// Whether an object is there only when the disk has it: then it stays when the machine stops. Slow.
    #[serde(default)]
    pub fsync: bool,
    /// From so many bytes on an object is mapped rather than read, 65,536 by default. Mapped memory is the page cache's;
    /// but a mapped file that someone truncates, or a network that breaks down, is a SIGBUS.
    #[serde(default)]
    pub map_from: Option<u64>,
}

impl FileConfig {
    pub(in crate::connector) fn validate(&self) -> Result<()> {
        let path = Path::new(&self.directory);
        if path.is_absolute() && !self.directory.contains('\0') {
            return Ok(());
        }
        Err(Error::InvalidConfig {
            what: "file.directory".into(),
            found: format!("{:?}", self.directory),
            expected: "a path from the root (`/…`): other processes have other working directories"
                .into(),
        })
    }

    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        // By components: a slash more or less is the same place.
        Path::new(&self.directory) == Path::new(&other.directory)
    }
}
