//! The cast: the test process and the processes it tells what to do, one thing at a time.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::actor::{Actor, receive, send};
use super::orders::{Order, Reply};

/// Seats of processes. Who sits in seat 0 is not attached and only forks: those who arrive.
pub const SEATS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(20);

/// A process, by what poll can wait for and kill can not confuse with a later one.
struct Process {
    pid: Pid,
    descriptor: OwnedFd,
}

impl Process {
    fn of(pid: i32) -> Self {
        // SAFETY: a process that was just made and that nobody has waited for; the descriptor is new and owned here.
        let descriptor = unsafe {
            let descriptor = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            assert!(descriptor >= 0, "{}", std::io::Error::last_os_error());
            OwnedFd::from_raw_fd(descriptor as RawFd)
        };
        Self { pid: Pid::from_raw(pid), descriptor }
    }

    /// Waits until it has ended, with all its locks gone.
    fn end(self) -> Result<(), String> {
        let ended = readable(&[self.descriptor.as_raw_fd()])?;
        // Only of a child of this process, or of one whose parent is gone, there is something to wait for.
        let _status = waitpid(self.pid, None);
        if ended.is_some() { Ok(()) } else { Err(format!("{} does not end", self.pid)) }
    }
}

/// The first of these that is readable.
fn readable(descriptors: &[RawFd]) -> Result<Option<usize>, String> {
    let mut polled: Vec<_> = descriptors
        .iter()
        .map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
        .collect();
    let start = Instant::now();
    loop {
        // SAFETY: the array lives until the call returns.
        let count = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as u64, 1000) };
        let error = std::io::Error::last_os_error();
        match count {
            0 if start.elapsed() > PATIENCE => return Ok(None),
            -1 if error.raw_os_error() != Some(libc::EINTR) => return Err(error.to_string()),
            0 | -1 => {}
            _ => return Ok(polled.iter().position(|polled| polled.revents != 0)),
        }
    }
}

pub struct Cast {
    pub director: Actor,
    ends: Vec<UnixStream>,
    processes: Vec<Option<Process>>,
}

impl Cast {
    /// To be made before there is a region, by the thread that goes on using it.
    pub fn new() -> Self {
        crate::support::payload::prepare();
        // SAFETY: changes only whose children orphans become.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0);
        let pairs = (0..SEATS).map(|_| UnixStream::pair().unwrap());
        let (ends, seats): (Vec<_>, Vec<_>) = pairs.unzip();
        let director = Actor {
            region: None,
            views: Default::default(),
            loans: Default::default(),
            store: None,
            seats,
            directors: ends.iter().map(AsRawFd::as_raw_fd).collect(),
        };
        let mut cast = Self { director, ends, processes: Vec::new() };
        cast.processes.resize_with(SEATS, || None);
        let Reply::Forked(pid) = cast.director.obey(&Order::Fork { seat: 0 }) else {
            panic!("the first process can not be forked");
        };
        cast.processes[0] = Some(Process::of(pid));
        cast
    }

    /// A process that knows of no region takes the seat.
    pub fn arrive(&mut self, seat: usize) -> Result<(), String> {
        let reply = self.ask(0, &Order::Fork { seat })?;
        self.seated(seat, &reply)
    }

    /// The answer of the process in a seat; the director's in seat 0.
    pub fn tell(&mut self, seat: usize, order: &Order) -> Result<Reply, String> {
        let reply = match seat {
            0 => self.director.obey(order),
            seat => self.ask(seat, order)?,
        };
        if let Order::Fork { seat } = order {
            self.seated(*seat, &reply)?;
        }
        Ok(reply)
    }

    fn seated(&mut self, seat: usize, reply: &Reply) -> Result<(), String> {
        let Reply::Forked(pid) = reply else { return Err(format!("a fork: {reply:?}")) };
        self.processes[seat] = Some(Process::of(*pid));
        Ok(())
    }

    fn ask(&mut self, seat: usize, order: &Order) -> Result<Reply, String> {
        let failed = |error: std::io::Error| error.to_string();
        send(&mut self.ends[seat], order).map_err(failed)?;
        let process = self.processes[seat].as_ref().ok_or("an empty seat")?;
        let sources = [self.ends[seat].as_raw_fd(), process.descriptor.as_raw_fd()];
        match readable(&sources)? {
            Some(0) => receive(&mut self.ends[seat]).map_err(failed),
            Some(_) => Err(format!("process {seat} died of {order:?}")),
            None => Err(format!("process {seat} hangs in {order:?}")),
        }
    }

    /// A process ends; killed, unless an order makes it end.
    pub fn end(&mut self, seat: usize, order: Option<&Order>) -> Result<(), String> {
        let process = self.processes[seat].take().ok_or("an empty seat")?;
        match order {
            Some(order) => send(&mut self.ends[seat], order).map_err(|error| error.to_string())?,
            None => kill(process.pid, Signal::SIGKILL).map_err(|error| error.to_string())?,
        }
        process.end()
    }

    /// Kills everybody but the director and who forks those who arrive; the director lets everything go.
    pub fn clear(&mut self) {
        for seat in 1..SEATS {
            if self.processes[seat].is_some() {
                self.end(seat, None).unwrap();
            }
        }
        self.director.loans.clear();
        self.director.store = None;
        self.director.views.clear();
        self.director.region = None;
        // What a failed sequence left unread.
        let streams = self.ends.iter().chain(&self.director.seats).map(AsRawFd::as_raw_fd);
        for stream in streams {
            let mut rest = [0_u8; 4096];
            // SAFETY: reads into a local array.
            while unsafe {
                libc::recv(stream, rest.as_mut_ptr().cast(), rest.len(), libc::MSG_DONTWAIT)
            } > 0
            {}
        }
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        self.clear();
        let _ = self.end(0, None);
    }
}
