//! A fork in the middle of an operation: by what a caller has it run.

mod support;

use inplace::connector::{ShmConnector, Variables};
use inplace::{Error, Fingerprint, RegionOptions};
use nix::sys::wait::WaitStatus;

#[test]
fn a_child_forked_while_a_block_is_filled_comes_back_without_it() {
    support::watch();
    let options = RegionOptions::new().capacity(4 << 20).max_objects(500);
    let region = options.max_participants(4).anonymous().unwrap();
    for (len, fails) in [(100, false), (100, true), (300_000, false), (300_000, true)] {
        let (promise, mut forked) = (region.reserve().unwrap(), None);
        let mut fill = |out: &mut inplace::connector::BlockWriter<'_>| {
            // SAFETY: the child returns from here, and ends below.
            match unsafe { nix::unistd::fork() }.unwrap() {
                nix::unistd::ForkResult::Child => {
                    forked = None;
                    if fails { Err(Error::Broken { key: promise }) } else { Ok(()) }
                }
                nix::unistd::ForkResult::Parent { child } => {
                    forked = Some(nix::sys::wait::waitpid(child, None).unwrap());
                    out.write(&vec![6; len]);
                    Ok(())
                }
            }
        };
        let put = region.put_with(len, Fingerprint::BYTES, &mut fill);
        let end = |code| {
            // SAFETY: ends the child.
            unsafe { libc::_exit(code) }
        };
        let Ok(key) = put else { end(i32::from(region.put(b"works").is_err())) };
        assert!(matches!(forked, Some(WaitStatus::Exited(_, 0))), "{forked:?}");
        assert_eq!(region.get(key).unwrap().unwrap()[..], vec![6; len]);
        let set = region.set_with(promise, len, Fingerprint::BYTES, &mut |out| {
            // SAFETY: as above.
            match unsafe { nix::unistd::fork() }.unwrap() {
                nix::unistd::ForkResult::Child if fails => Err(Error::Broken { key: promise }),
                nix::unistd::ForkResult::Child => Ok(()),
                nix::unistd::ForkResult::Parent { child } => {
                    nix::sys::wait::waitpid(child, None).unwrap();
                    out.write(&vec![7; len]);
                    Ok(())
                }
            }
        });
        if set.is_err() {
            end(0);
        }
        assert_eq!(region.get(promise).unwrap().unwrap()[..], vec![7; len]);
        region.reap().unwrap();
        let report = region.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn a_child_forked_while_a_value_is_written_that_is_to_be_owned_leaves_it_to_its_parent() {
    support::watch();
    let region = RegionOptions::new().capacity(4 << 20).max_participants(4).anonymous().unwrap();
    let connector = ShmConnector::new(region.clone());
    let me = std::process::id();
    for fails in [false, true] {
        let made = connector.put_bound_variable((100, Fingerprint::BYTES), &mut |out| {
            // SAFETY: the child returns from here, and ends below.
            match unsafe { nix::unistd::fork() }.unwrap() {
                nix::unistd::ForkResult::Child if fails => Err(Error::Severed),
                nix::unistd::ForkResult::Child => Ok(()),
                nix::unistd::ForkResult::Parent { child } => {
                    nix::sys::wait::waitpid(child, None).unwrap();
                    out.write(&[6; 100]);
                    Ok(())
                }
            }
        });
        let key = match made {
            Ok(key) => key,
            // SAFETY: ends the child.
            Err(_) if std::process::id() != me => unsafe { libc::_exit(0) },
            Err(error) => panic!("{error}"),
        };
        let version = connector.get_variable(key, Fingerprint::BYTES).unwrap().unwrap();
        assert_eq!(version.block[..], [6; 100]);
    }
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
}
