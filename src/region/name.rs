//! What regions and their files may be called.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::sys::file;

const LONGEST: usize = 200;
const PREFIX: &str = "inplace.";
/// Of files that have not got their region's name yet.
const TEMPORARY: &str = ".inplace-new.";

/// A name that was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RegionName(String);

impl RegionName {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let reason = if name.is_empty() {
            "it is empty".to_owned()
        } else if name.len() > LONGEST {
            format!("it has {} bytes, at most {LONGEST} are allowed", name.len())
        } else if name.contains('/') {
            "it contains '/': region names are file names in /dev/shm, not paths".to_owned()
        } else if name.contains('\0') {
            "it contains a NUL byte".to_owned()
        } else if name == "." || name == ".." {
            "it is a directory's name".to_owned()
        } else {
            return Ok(Self(name.to_owned()));
        };
        Err(Error::InvalidName { what: "region", name: shortened(name), reason })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What `shm_open` calls it.
    pub(crate) fn segment(&self) -> String {
        format!("/{PREFIX}{}", self.0)
    }

    pub(crate) fn path(&self) -> PathBuf {
        file::path_of(&format!("{PREFIX}{}", self.0))
    }
}

/// A name for a file that is not a region yet.
pub(crate) fn temporary(number: u64) -> String {
    format!("{TEMPORARY}{number:016x}")
}

/// Names of all files that are not a region yet, or never became one.
pub(crate) fn temporaries() -> std::io::Result<Vec<String>> {
    file::names_with_prefix(TEMPORARY)
}

/// Names of all files that look like regions.
pub(crate) fn regions() -> std::io::Result<Vec<String>> {
    let names = file::names_with_prefix(PREFIX)?;
    Ok(names.iter().filter_map(|name| name.strip_prefix(PREFIX)).map(str::to_owned).collect())
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= 60 {
        return name.to_owned();
    }
    let start: String = name.chars().take(50).collect();
    format!("{start}… ({} bytes)", name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_file_names_are_refused_with_the_reason() {
        for (name, reason) in [
            ("", "empty"),
            ("a/b", "'/'"),
            ("a\0b", "NUL"),
            (".", "directory"),
            ("..", "directory"),
        ] {
            let error = RegionName::new(name).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(RegionName::new(&"x".repeat(LONGEST)).is_ok());
        assert!(RegionName::new("Größe 1 – ok").is_ok());
    }

    #[test]
    fn a_very_long_name_is_shortened_in_the_message() {
        let error = RegionName::new(&"ü".repeat(100_000)).unwrap_err().to_string();
        assert!(error.len() < 400 && error.contains("200000 bytes"), "{error}");
    }
}
