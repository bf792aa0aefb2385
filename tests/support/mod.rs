//! What tests with several processes need: names of their own, programs that do what they are told, a watchdog.
#![allow(dead_code, reason = "every test program uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

pub mod futures;
pub mod owners;
pub mod payload;
pub mod pools;
pub mod random;
pub mod shared;
pub mod small_shm;
#[cfg(target_arch = "x86_64")]
pub mod steps;
pub mod topics;

const ROLE: &str = "INPLACE_TEST_ROLE";
const NAME: &str = "INPLACE_TEST_NAME";

/// A region name nobody else uses; its file is removed at the end, whatever happened.
pub struct Name(pub String);

impl Name {
    pub fn new(hint: &str) -> Self {
        watch();
        let nanos = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        Self(format!("test-{hint}-{}-{nanos:x}", std::process::id()))
    }

    pub fn path(&self) -> PathBuf {
        path_of(self)
    }

    pub fn exists(&self) -> bool {
        self.path().exists()
    }
}

/// Where a region's file lies.
pub fn path_of(name: &str) -> PathBuf {
    PathBuf::from(format!("/dev/shm/inplace.{name}"))
}

impl std::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

/// Ends the process when a test hangs.
pub fn watch() {
    watch_for(120);
}

/// Ends the process, with a word about it, unless it ends or watches again within so many seconds. Forked children are
/// not watched unless they say so themselves.
pub fn watch_for(seconds: u32) {
    extern "C" fn hung(_: libc::c_int) {
        let said = b"watchdog: the test hangs\n";
        // SAFETY: both calls are allowed in signal handlers.
        unsafe {
            libc::write(2, said.as_ptr().cast(), said.len());
            libc::abort();
        }
    }
    // SAFETY: installs a handler that only makes calls that are allowed in one, and sets the timer.
    unsafe {
        libc::signal(libc::SIGALRM, hung as extern "C" fn(libc::c_int) as libc::sighandler_t);
        libc::alarm(seconds);
    }
}

/// Forks duplicate what other tests of the process have open: such tests run one at a time.
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// This test binary, started once more to play a role.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    pub fn start(role: &str, name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "program", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(NAME, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { input: child.stdin.take(), child, output }
    }

    /// Starts a program and waits until it is where it should be.
    pub fn ready(role: &str, name: &str) -> (Self, String) {
        let mut program = Self::start(role, name);
        let said = program.says();
        (program, said)
    }

    /// The next thing it says.
    pub fn says(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                self.output.read_line(&mut line).unwrap(),
                0,
                "the program ended without a word"
            );
            if let Some((_, said)) = line.split_once("SAYS ") {
                return said.trim_end().to_owned();
            }
        }
    }

    pub fn tell(&mut self, what: &str) {
        writeln!(self.input.as_mut().unwrap(), "{what}").unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// Lets it go on to its end.
    pub fn finish(mut self) {
        drop(self.input.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the started program: its role and name.
pub fn role() -> Option<(String, String)> {
    watch();
    Some((std::env::var(ROLE).ok()?, std::env::var(NAME).ok()?))
}

/// Gives this process a /dev/shm of its own.
pub fn own_shared_memory(size: &str) -> std::io::Result<()> {
    let options = std::ffi::CString::new(format!("size={size}"))?;
    let (root, shm, kind) = (c"/".as_ptr(), c"/dev/shm".as_ptr(), c"tmpfs".as_ptr());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: strings that live until the calls return; they change only what this process sees.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(std::ptr::null(), root, std::ptr::null(), private, std::ptr::null()) == 0
            && libc::mount(kind, shm, kind, 0, options.as_ptr().cast()) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

pub fn say(what: impl std::fmt::Display) {
    println!("\nSAYS {what}");
    std::io::stdout().flush().unwrap();
}

/// Waits until told something, or until nobody can tell any more.
pub fn hear() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Tries to lock a byte of a file; 0 when that went well.
pub fn lock(file: &std::fs::File, kind: i32, byte: i64) -> i32 {
    let mut lock =
        libc::flock { l_type: kind as i16, l_whence: 0, l_start: byte, l_len: 1, l_pid: 0 };
    // SAFETY: a lock on a descriptor that is open.
    unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(file), libc::F_OFD_SETLK, &mut lock) }
}

/// Locks a region's door, says how that went, and keeps it until told something.
pub fn stand_in_the_door(name: &str, kind: i32) {
    let file = std::fs::File::options().read(true).write(true).open(path_of(name)).unwrap();
    say(lock(&file, kind, 0));
    hear();
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

/// Runs `f` in a forked child and returns its exit code; a panic is 101.
pub fn in_child(f: impl FnOnce() -> i32) -> i32 {
    match start_child(f).wait() {
        nix::sys::wait::WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

/// In a child: kills it when its parent ends, however.
pub fn end_with_parent() {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
}

/// A forked child.
pub struct Forked(pub Pid);

impl Forked {
    pub fn wait(self) -> nix::sys::wait::WaitStatus {
        nix::sys::wait::waitpid(self.0, None).unwrap()
    }

    pub fn kill(self) {
        nix::sys::signal::kill(self.0, Signal::SIGKILL).unwrap();
        self.wait();
    }
}

/// Forks a child that runs `f` and ends at once, without anything else of the test program.
pub fn start_child(f: impl FnOnce() -> i32) -> Forked {
    // SAFETY: the child runs f and ends; what it inherits of other threads it does not touch.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Parent { child } => Forked(child),
        nix::unistd::ForkResult::Child => {
            watch();
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(101);
            // SAFETY: ends the child.
            unsafe { libc::_exit(code) }
        }
    }
}
