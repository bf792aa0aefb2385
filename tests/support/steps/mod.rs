//! Operations taken apart into their instructions: at each of them a process is killed, or stopped.
//!
//! A *scene* is one kill or one stop: a process that makes a fresh region, forks a victim and leads it to one place of one
//! operation. All scenes are forked from one launcher that is attached to nothing, so the same code runs at the same
//! addresses in each of them, and what the first of them recorded tells the others how to get to a place quickly.
//!
//! x86-64 only: it counts on `int3` and debug registers.

pub mod kill;
pub mod never;
pub mod peek;
pub mod queues;
pub mod script;
pub mod stop;
pub mod sweep;
pub mod topics;
pub mod traced;
