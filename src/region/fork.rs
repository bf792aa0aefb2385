//! What happens around a `fork()`, whoever calls it.
//!
//! ```text
//! prepare: locks of upper layers · table · flags · lock registry · close the gates
//!          per region: lock an entry byte on a descriptor · EMBRYO · copy the row · fork_epoch + 1
//! parent:  close the descriptors (never unlock) · open the gates · give the locks back
//! child:   per region: block the addresses of the parent's writable data area
//!          per region: map the data area elsewhere · map the lock · ACTIVE · assume the identity
//!          close every inherited lock descriptor · forget other threads' flags · open the gates · give the locks back
//! ```
//!
//! The gates are closed after the locks are taken: who waits at a gate holds none. Pins that race with the copy only
//! over-count the child. A child without an entry is severed. So is one of a signal handler that interrupted somebody who
//! holds one of these locks or is in flight: then nothing at all is done, and its wiped identity pages say it.

use crate::error::Result;
use crate::participants;
use crate::region::lifecycle::detach;
use crate::region::table::{self, Member, Table};
use crate::region::{flight, reap};
use crate::sync::Ordering;
pub(crate) use crate::sys::fork::Hook;
use crate::sys::fork::{Handlers, hooks};
use crate::sys::latch::Held;
use crate::sys::lock;

/// Has a lock of an upper layer taken around every fork, so that a child does not find it taken by a thread it has not. The
/// later it was added, the earlier it is taken.
pub(crate) fn hold_at_fork(hook: &'static Hook) {
    if !hook.is_added() {
        // Where handlers cannot be had, opening a region says so; nothing else needs them as much.
        let _ = install();
        // A fork that has not seen the hook has been, before anybody takes the hook's lock. (If this thread has the table,
        // it is in no fork.)
        let _no_fork = table::lock();
        hook.add();
    }
}

/// Has the handlers called from now on.
pub(crate) fn install() -> Result<()> {
    crate::sys::fork::install(Handlers { prepare, parent, child, exit: detach::leave_all_at_exit })
}

/// What a process does at its end that runs no exit handlers: the last to leave removes a region's name.
pub(crate) fn leave_all() {
    detach::leave_all_at_exit();
}

extern "C" fn prepare() {
    crate::sys::fork::are_installed();
    if flight::is_interrupted() {
        return;
    }
    let Some(mut table) = take_locks() else { return };
    for member in table.members.iter().filter(|member| !member.attachment().is_severed()) {
        let attachment = member.attachment();
        if !participants::has_vacancy(&attachment.segment) {
            let _none_left_then = reap::reap_dead(attachment);
        }
    }
    let is_held = flight::hold();
    if !is_held || !lock::hold_registry() {
        if is_held {
            flight::release();
        }
        drop(table);
        return give_back(&hooks(), usize::MAX);
    }
    table.members.iter_mut().for_each(conceive);
    table.keep();
}

/// Takes every lock above, and the table's. `None`: this thread holds one of them already, and nothing is taken.
fn take_locks() -> Option<Held<'static, Table>> {
    loop {
        let known = hooks();
        let refused = known.iter().flatten().rev().position(|hook| !(hook.lock)());
        if let Some(taken) = refused {
            give_back(&known, taken + 1);
            return None;
        }
        let Ok(table) = table::lock() else {
            give_back(&known, usize::MAX);
            return None;
        };
        // None is added while the table is held.
        if hooks().iter().flatten().count() == known.iter().flatten().count() {
            return Some(table);
        }
        drop(table);
        give_back(&known, usize::MAX);
    }
}

fn give_back(hooks: &[Option<&'static Hook>], taken: usize) {
    hooks.iter().flatten().rev().take(taken).for_each(|hook| (hook.unlock)());
}

/// Takes an entry for the child and copies this process's counts into it.
fn conceive(member: &mut Member) {
    let attachment = member.attachment();
    let Ok(me) = attachment.me() else { return };
    attachment.local.gate.close();
    // No entry, or no descriptor: the child will be severed.
    member.embryo =
        participants::conceive(&attachment.segment, &attachment.source()).unwrap_or_default();
    if let Some(embryo) = &member.embryo {
        attachment.actor_as(me).copy_pins_to(embryo.id);
    }
}

fn release(table: Held<'_, Table>) {
    lock::release_registry();
    flight::release();
    table.members.iter().for_each(|member| member.attachment().local.gate.open());
    drop(table);
    give_back(&hooks(), usize::MAX);
}

extern "C" fn parent() {
    let Some(mut table) = table::kept() else { return };
    for member in &mut table.members {
        if let Some(embryo) = member.embryo.take() {
            embryo.release();
        }
    }
    release(table);
}

extern "C" fn child() {
    let Some(mut table) = table::kept() else {
        lock::close_inherited();
        return;
    };
    for member in &mut table.members {
        if member.attachment().segment.block_parents_data().is_err() {
            // What is mapped there now is not ours to replace.
            member.embryo = None;
        }
    }
    let members = std::mem::take(&mut table.members);
    table.members = members.into_iter().filter_map(adopt).collect();
    lock::close_inherited();
    flight::forget_others();
    release(table);
}

/// Becomes the participant that was prepared; `None`: severed, and the region's addresses are inaccessible.
fn adopt(mut member: Member) -> Option<Member> {
    let attachment = member.attachment();
    let adopted = member.embryo.take().and_then(|embryo| {
        attachment.segment.remap_data_for_child().ok()?;
        embryo.adopt(&attachment.segment).ok()
    });
    attachment.local.gate.open();
    attachment.local.forks.fetch_add(1, Ordering::Relaxed);
    match adopted {
        Some(membership) => {
            attachment.identity.assume(membership.id.tag(), membership.incarnation);
            std::mem::replace(&mut member.membership, membership).life.forget();
            Some(member)
        }
        None => {
            let _best_effort = attachment.segment.block_for_severed_child();
            let (_leaked, parents) = member.into_parts();
            parents.life.forget();
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::region::{Region, RegionOptions};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    fn child_is_severed(region: &Region) -> bool {
        // SAFETY: the child reads private memory and ends.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let severed = matches!(region.put(b"x"), Err(Error::Severed));
                // SAFETY: ends the child.
                unsafe { libc::_exit(i32::from(severed)) }
            }
            ForkResult::Parent { child } => {
                waitpid(child, None) == Ok(WaitStatus::Exited(child, 1))
            }
        }
    }

    #[test]
    fn a_fork_from_inside_an_operation_severs_the_child_and_leaves_the_parent_as_it_was() {
        let region =
            RegionOptions::new().capacity(1 << 20).max_participants(4).anonymous().unwrap();
        assert!(!child_is_severed(&region));

        let table = table::lock().unwrap();
        assert!(child_is_severed(&region));
        drop(table);

        let in_flight = flight::enter();
        assert!(child_is_severed(&region));
        drop(in_flight);

        assert!(lock::hold_registry());
        assert!(child_is_severed(&region));
        lock::release_registry();

        assert!(!child_is_severed(&region));
        region.put(b"works").unwrap();
        assert_eq!(region.reap().unwrap(), 2);
    }
}
