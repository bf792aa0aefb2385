//! A file's bytes, mapped for reading.

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::{Mmap, MmapOptions};

/// The first bytes of a file that nobody writes any more, read-only. The file may lose its name; the bytes stay.
///
/// Whoever may write the file can still truncate it, and a touch behind its end is the kernel's SIGBUS.
#[derive(Debug)]
pub(crate) struct Mapping(Mmap);

impl Mapping {
    /// # Errors
    /// The system's; and `UnexpectedEof` when the file is shorter than that.
    pub(crate) fn new(file: &File, len: usize) -> io::Result<Self> {
        if file.metadata()?.len() < len as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: files of objects get their names when they are complete and are never written again; a file that is
        // truncated all the same faults, which `Trust` in docs/design.md says.
        unsafe { MmapOptions::new().len(len).map(file) }.map(Self)
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn bytes_outlive_the_name_and_the_descriptor_and_a_short_file_is_an_error() {
        let mut file = crate::sys::file::anonymous(0).unwrap();
        file.write_all(&[7; 5000]).unwrap();
        let short = Mapping::new(&file, 5001).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
        let mapping = Mapping::new(&file, 5000).unwrap();
        drop(file);
        assert_eq!(&*mapping, &[7; 5000]);
    }
}
