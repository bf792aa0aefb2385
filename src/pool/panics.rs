//! What a panic said, and where: for those who are not there.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use crate::sync::unmodelled::{AtomicBool, Ordering};

thread_local! {
    /// Whether what panics in this thread is caught here.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static IS_LISTENING: AtomicBool = AtomicBool::new(false);

/// Has this process, and those it forks from now on, remember where work panicked, instead of printing it; other panics are
/// printed as ever. Where another hook is set later, the place is left out.
pub(super) fn listen() {
    // Who panics has no say in hooks.
    if std::thread::panicking() || IS_LISTENING.swap(true, Ordering::SeqCst) {
        return;
    }
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        if IS_CAUGHT.get() {
            PLACE.set(info.location().map(ToString::to_string));
        } else {
            before(info);
        }
    }));
}

/// Does work, or says what it said when it panicked.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = IS_CAUGHT.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(outer);
    outcome.map_err(|payload| {
        let place = PLACE.take().map_or_else(String::new, |place| format!(" at {place}"));
        let text = format!("panicked{place}: {}", text_of(&*payload));
        // What is thrown may panic when it is dropped.
        std::mem::forget(payload);
        text
    })
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("something without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_heard_with_its_text_and_place() {
        listen();
        assert_eq!(catch(|| 7), Ok(7));
        let said = catch(|| panic!("of {}", 7)).unwrap_err();
        assert!(said.starts_with("panicked at src/pool/panics.rs:"), "{said}");
        assert!(said.ends_with(": of 7"), "{said}");
        assert!(catch(|| std::panic::panic_any(7_u8)).unwrap_err().ends_with("without words"));
    }
}
