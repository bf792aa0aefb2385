//! What a pool's process, its nursery and the workers tell one another: datagrams in both directions, for the life of the
//! pool, whoever has the nursery's end just now.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

use serde::{Deserialize, Serialize};

use crate::sys::process::{End, signal_name};

/// Of a text, so many bytes are told.
const TEXT: usize = 2000;
const DATAGRAM: usize = 4096;

/// What the attendant hears.
#[derive(Serialize, Deserialize, Debug)]
pub(super) enum Report {
    /// A worker is dead.
    Died(Death),
    /// A worker can not get ready, and says why.
    Unready(String),
    /// The nursery starts no more.
    GaveUp(String),
    /// The nursery ends by its own decision.
    Leaving,
    /// Something has changed in its own process.
    Look,
}

/// A worker's, and the task it had.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Death {
    pub(super) pid: u32,
    pub(super) code: i32,
    pub(super) signal: i32,
    pub(super) task: u64,
}

impl Death {
    pub(super) fn new(pid: u32, end: End, task: u64) -> Self {
        let (code, signal) = match end {
            End::Code(code) => (code, 0),
            End::Signal(signal) => (0, signal),
            End::Unknown => (-1, 0),
        };
        Self { pid, code, signal, task }
    }

    pub(super) fn describe(&self) -> String {
        let Self { pid, code, signal, .. } = self;
        if *signal != 0 {
            format!("process {pid} was killed by signal {signal} ({})", signal_name(*signal))
        } else if *code >= 0 {
            format!("process {pid} ended with code {code}")
        } else {
            format!("process {pid} ended, and nobody knows how")
        }
    }
}

#[derive(Debug)]
pub(super) struct Wire {
    /// The pool's end.
    pool: UnixDatagram,
    /// The nursery's.
    nursery: UnixDatagram,
}

impl Wire {
    pub(super) fn new() -> io::Result<Self> {
        let (pool, nursery) = UnixDatagram::pair()?;
        pool.set_nonblocking(true)?;
        nursery.set_nonblocking(true)?;
        Ok(Self { pool, nursery })
    }

    /// Tells the attendant. Who does not listen for long misses some.
    pub(super) fn report(&self, report: &Report) {
        if let Ok(bytes) = postcard::to_stdvec(report) {
            let _ = self.nursery.send(&bytes);
        }
    }

    /// The next thing the attendant is told.
    pub(super) fn heard(&self) -> Option<Report> {
        let mut bytes = [0; DATAGRAM];
        loop {
            let len = self.pool.recv(&mut bytes).ok()?;
            if let Ok(report) = postcard::from_bytes(&bytes[..len]) {
                return Some(report);
            }
        }
    }

    /// Tells the nursery to kill all workers, and to end.
    pub(super) fn order_end(&self) {
        let _ = self.pool.send(&[0]);
    }

    /// In the nursery: whether it is told to end.
    pub(super) fn is_to_end(&self) -> bool {
        self.nursery.recv(&mut [0; DATAGRAM]).is_ok()
    }

    pub(super) fn pools_end(&self) -> BorrowedFd<'_> {
        self.pool.as_fd()
    }

    pub(super) fn nurserys_end(&self) -> BorrowedFd<'_> {
        self.nursery.as_fd()
    }
}

/// A text, cut to what can be told.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_and_orders_arrive_whole() {
        let wire = Wire::new().unwrap();
        assert!(wire.heard().is_none());
        wire.report(&Report::Unready(cut("x".repeat(5000))));
        wire.report(&Report::Died(Death::new(7, End::Signal(9), 3)));
        assert!(matches!(wire.heard(), Some(Report::Unready(text)) if text.len() == TEXT + 3));
        let Some(Report::Died(death)) = wire.heard() else { panic!("told in this order") };
        assert_eq!(death.describe(), "process 7 was killed by signal 9 (SIGKILL)");
        assert!(!wire.is_to_end());
        wire.order_end();
        assert!(wire.is_to_end());
    }
}
