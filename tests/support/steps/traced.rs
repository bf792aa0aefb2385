//! A process that goes one instruction at a time, or straight to a place.

use std::mem::offset_of;
use std::time::{Duration, Instant};

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::peek::Word;
use super::script::Script;
use crate::support::start_child;

/// Where the steps of an operation start.
#[inline(never)]
pub fn begin() {
    // SAFETY: stops for the tracer, and does nothing else.
    unsafe { std::arch::asm!("int3", "nop") }
}

/// Where they end.
#[inline(never)]
pub fn end() {
    // SAFETY: as in `begin`.
    unsafe { std::arch::asm!("int3", "nop", "nop") }
}

/// Whom to follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    Victim,
    /// The first child the victim forks after `begin`.
    ItsChild,
}

/// A child under ptrace, stopped unless something is done with it.
pub struct Traced {
    pub pid: Pid,
    /// Who forked it, let go.
    parent: Option<Pid>,
    signal: Option<Signal>,
}

/// How a way ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// Where the script says.
    There,
    /// Elsewhere: the operation went another way this time.
    Astray,
}

const ON_EXECUTION: i64 = 0;
const ON_WRITES_OF_8_BYTES: i64 = 0b1001;

fn register(n: usize) -> ptrace::AddressType {
    (offset_of!(libc::user, u_debugreg) + 8 * n) as ptrace::AddressType
}

fn sleeps(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().starts_with('S')
}

/// Waits until a process sleeps.
pub fn await_sleep(pid: Pid) {
    let start = Instant::now();
    while !sleeps(pid) {
        assert!(start.elapsed() < Duration::from_secs(20), "{pid} does not sleep");
        std::thread::yield_now();
    }
}

impl Traced {
    /// Starts a child that does its work between [`begin`] and [`end`], and stops it at its `begin`.
    pub fn start(whom: Whom, work: impl FnOnce()) -> Self {
        let child = start_child(|| {
            // SAFETY: only says what happens to this process when its parent ends.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            ptrace::traceme().unwrap();
            work();
            0
        });
        let mut traced = Self { pid: child.0, parent: None, signal: None };
        traced.wait();
        let mut options = Options::PTRACE_O_EXITKILL;
        options.set(Options::PTRACE_O_TRACEFORK, whom == Whom::ItsChild);
        ptrace::setoptions(traced.pid, options).unwrap();
        if whom == Whom::ItsChild {
            traced.follow_fork();
        }
        traced
    }

    fn follow_fork(&mut self) {
        ptrace::cont(self.pid, None).unwrap();
        match waitpid(self.pid, None).unwrap() {
            WaitStatus::PtraceEvent(..) => {}
            other => panic!("a victim did not fork: {other:?}"),
        }
        let child = Pid::from_raw(ptrace::getevent(self.pid).unwrap() as i32);
        waitpid(child, Some(WaitPidFlag::__WALL)).unwrap();
        ptrace::detach(self.pid, None).unwrap();
        self.parent = Some(std::mem::replace(&mut self.pid, child));
    }

    /// Waits until it has stopped; `false`: for a signal that it is to get.
    fn wait(&mut self) -> bool {
        self.signal = None;
        match waitpid(self.pid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => true,
            WaitStatus::Stopped(_, signal) if signal == Signal::SIGCHLD => {
                self.signal = Some(signal);
                false
            }
            other => panic!("a victim ended by itself: {other:?}"),
        }
    }

    pub fn address(&self) -> u64 {
        let place = offset_of!(libc::user, regs) + offset_of!(libc::user_regs_struct, rip);
        ptrace::read_user(self.pid, place as *mut _).unwrap() as u64
    }

    /// Goes one instruction on.
    pub fn step(&mut self) {
        loop {
            ptrace::step(self.pid, self.signal).unwrap();
            if self.wait() {
                return;
            }
        }
    }

    /// Goes on to the next breakpoint, or to the end.
    fn go_on(&mut self) {
        loop {
            ptrace::cont(self.pid, self.signal).unwrap();
            if self.wait() {
                return;
            }
        }
    }

    /// Whether it is past its operation.
    pub fn is_over(&self) -> bool {
        let (address, end) = (self.address(), end as *const () as u64);
        (end..end + 16).contains(&address)
    }

    /// Stops at an address, on what bits 16 to 19 of the control register say; `false`: this machine does not let us.
    fn set_breakpoint(&self, address: u64, on: i64) -> bool {
        ptrace::write_user(self.pid, register(0), address as i64).is_ok()
            && ptrace::write_user(self.pid, register(7), 1 | on << 16).is_ok()
    }

    fn clear_breakpoint(&self) {
        ptrace::write_user(self.pid, register(7), 0).unwrap();
    }

    /// Goes on until a word has been written so that `is_it`.
    pub fn go_until(&mut self, word: Word, is_it: impl Fn(Word) -> bool) {
        let is_watched = self.set_breakpoint(word.address(), ON_WRITES_OF_8_BYTES);
        while !is_it(word) {
            assert!(!self.is_over(), "the operation did not write this");
            if is_watched { self.go_on() } else { self.step() }
        }
        if is_watched {
            self.clear_breakpoint();
        }
    }

    /// The same, instruction by instruction: beside others that use debug registers a watched write may go unnoticed.
    pub fn step_until(&mut self, word: Word, is_it: impl Fn(Word) -> bool) {
        while !is_it(word) {
            assert!(!self.is_over(), "the operation did not write this");
            self.step();
        }
    }

    /// Whether the next instruction sleeps on a futex.
    fn is_about_to_sleep(&self) -> bool {
        let code = ptrace::read(self.pid, self.address() as *mut _).unwrap();
        if code & 0xffff != 0x050f {
            return false;
        }
        let registers = ptrace::getregs(self.pid).unwrap();
        registers.rax == libc::SYS_futex as u64 && registers.rsi & 0x7f == libc::FUTEX_WAIT as u64
    }

    /// Takes the step that sleeps; `wake` is called when it does. On a busy machine its time may be up before.
    fn sleep(&mut self, wake: &dyn Fn()) {
        ptrace::step(self.pid, self.signal).unwrap();
        while !sleeps(self.pid) && !self.has_stopped() {
            std::thread::yield_now();
        }
        wake();
        while !self.wait() {
            ptrace::step(self.pid, self.signal).unwrap();
        }
    }

    /// Whether it has stopped, which is left to be waited for.
    fn has_stopped(&self) -> bool {
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        waitid(Id::Pid(self.pid), flags).unwrap() != WaitStatus::StillAlive
    }

    /// Steps through the whole operation and writes it down.
    pub fn record(&mut self, script: &Script, wake: Option<&dyn Fn()>) {
        script.clear();
        loop {
            let address = self.address();
            if address == end as *const () as u64 {
                break;
            }
            match wake.filter(|_| self.is_about_to_sleep()) {
                Some(wake) => {
                    script.push(address, true);
                    self.sleep(wake);
                }
                None => {
                    script.push(address, false);
                    self.step();
                }
            }
        }
        script.finish();
        script.find_turns();
    }

    /// Goes to where so many instructions are done. `exactly`: counts every one of them.
    pub fn go_to(
        &mut self,
        script: &Script,
        (place, exactly): (usize, bool),
        wake: Option<&dyn Fn()>,
    ) -> Arrival {
        let mut at = 0;
        for sleep in script.sleeps_before(place) {
            self.go(script, (at, sleep), exactly);
            self.sleep(wake.expect("only who is woken sleeps"));
            at = sleep + 1;
        }
        self.go(script, (at, place), exactly);
        let expected =
            if place == script.len() { end as *const () as u64 } else { script.address(place) };
        if self.address() == expected { Arrival::There } else { Arrival::Astray }
    }

    fn go(&mut self, script: &Script, (from, to): (usize, usize), exactly: bool) {
        let mut at = from;
        if let Some((break_at, visits)) = script.way(from, to).filter(|_| !exactly) {
            let address = script.address(break_at);
            if self.set_breakpoint(address, ON_EXECUTION) {
                for _ in 0..visits {
                    self.go_on();
                    if self.address() != address {
                        return;
                    }
                }
                self.clear_breakpoint();
                at = break_at;
            }
        }
        for _ in at..to {
            if self.is_over() {
                return;
            }
            self.step();
        }
    }

    /// Goes on to its end.
    pub fn finish(&mut self) {
        while !self.is_over() {
            self.go_on();
        }
    }

    /// Kills it, and whoever forked it.
    pub fn kill(self) {
        for pid in [Some(self.pid), self.parent].into_iter().flatten() {
            kill(pid, Signal::SIGKILL).unwrap();
            waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
        }
    }
}

type Come<W, V> = fn(W) -> V;

/// Who comes to a world and does something there is killed as soon as it has written a word like that; what it leaves.
pub fn left_by<W, V>(
    world: W,
    (word, is_it): (Word, impl Fn(Word) -> bool),
    (come, work): (Come<W, V>, fn(&mut V)),
) -> W {
    let mut traced = Traced::start(Whom::Victim, || {
        // SAFETY: the victim ends without dropping the survivor's, which is a copy of its own, forked.
        let world = unsafe { std::ptr::read(&raw const world) };
        let mut mine = std::mem::ManuallyDrop::new(come(world));
        begin();
        work(&mut mine);
        end();
    });
    traced.step_until(word, is_it);
    traced.kill();
    world
}
