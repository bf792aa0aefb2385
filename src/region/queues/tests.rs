//! Those who await something at a queue, beside one who is stopped before it rings.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::{QueueOptions, WaitPolicy};
use crate::fingerprint::Fingerprint;
use crate::protocol::queue::Guess;
use crate::region::RegionOptions;
use crate::region::queues::Patience;
use crate::sync::unmodelled::{AtomicBool, Ordering::SeqCst};

#[derive(Default)]
struct Called(AtomicBool);

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Called {
    fn is_seen_within(&self, limit: Duration) -> bool {
        let start = Instant::now();
        while !self.0.load(SeqCst) && start.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.0.load(SeqCst)
    }
}

/// Many slices, for a machine that is busy.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_message_is_heard_of_though_its_sender_is_stopped_before_it_rings() {
    let region = RegionOptions::new().capacity(1 << 22).anonymous().unwrap();
    let bytes = Fingerprint::BYTES;
    let key = region.new_queue(bytes, &QueueOptions::new(2)).unwrap();
    let (sender, receiver) =
        (region.queue_sender(key, bytes).unwrap(), region.queue_receiver(key, bytes).unwrap());
    let called = Arc::new(Called::default());
    let watch = receiver.watch(&Waker::from(called.clone())).unwrap();
    assert!(watch.is_some(), "there is nothing yet");
    let queue = sender.handle.queue().unwrap();
    // P1 to P6, and no P7.
    queue.own_envelope(0).unwrap().send(0, &[], &Guess::default()).unwrap();
    assert!(called.is_seen_within(SOON), "a look does without the ring");
    let at_once = Patience { policy: WaitPolicy::default(), limit: Some(Duration::ZERO) };
    assert!(matches!(receiver.receive(&at_once), Ok(super::Received::Message(_))));
}
