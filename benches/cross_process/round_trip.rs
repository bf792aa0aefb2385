//! An object there and an object back, between two processes on two processors.
//!
//! Each side puts, sends the key, and evicts what it put before. Up to [`HIDDEN`] bytes it does so after sending the
//! next one, while the other side works; above, before it puts, so that the next object is written where the last one
//! was. The ideal slot is a warm buffer each way, and one word each way that says it was written. The same two processes
//! take turns with all kinds, because how far apart two processors are changes from one moment to the next.

use std::cell::Cell;
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use inplace::Key;
use inplace::connector::{Connector, ShmConnector};

use crate::harness::{Baseline, Case, Effort, Sampler, Trial, time_each};
use crate::one_process::{SIZES, region, source};
use crate::partner::{Mailbox, Partner};
use crate::shared::{Shared, spin_while, stay_on};

/// Up to this size an eviction after sending costs nothing that anybody waits for.
const HIDDEN: usize = 4 << 10;

pub(crate) fn cases(effort: &Effort) -> Vec<Case> {
    let sizes = || SIZES.into_iter().filter(|&bytes| bytes <= effort.largest);
    let kinds = [("rtt", Kind::Region), ("rtt_pipe", Kind::Pipe), ("rtt_unix", Kind::Unix)];
    kinds
        .into_iter()
        .flat_map(|(op, kind)| {
            sizes()
                .filter(move |&bytes| kind == Kind::Region || bytes <= 16 << 20)
                .map(move |bytes| Case::new((op, bytes), "ideal slot", move || trial(bytes, kind)))
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ideal,
    Region,
    Pipe,
    Unix,
}

impl Kind {
    fn number(self) -> u64 {
        self as u64
    }

    fn from_number(number: u64) -> Self {
        [Self::Ideal, Self::Region, Self::Pipe, Self::Unix][number as usize % 4]
    }
}

/// Everything both processes have; each uses its side of it.
struct Link {
    bytes: usize,
    exchanges: usize,
    source: Vec<u8>,
    region: ShmConnector,
    space: u64,
    there: Shared,
    back: Shared,
    pipes: [(File, File); 2],
    sockets: (UnixStream, UnixStream),
}

fn trial(bytes: usize, kind: Kind) -> Trial {
    let link = Rc::new(Link::new(bytes));
    let partner = Partner::spawn({
        let link = link.clone();
        let mut is_warm = false;
        move |mailbox, number| {
            if !std::mem::replace(&mut is_warm, true) {
                stay_on(1);
                link.there.fault_in();
                link.back.fault_in();
            }
            link.serve(mailbox, Kind::from_number(number));
        }
    });
    let partner = Rc::new(partner);
    let sampler = |kind| -> Sampler {
        let (link, partner) = (link.clone(), partner.clone());
        Box::new(move || {
            stay_on(0);
            partner.start(Kind::number(kind));
            let time = link.ask(partner.mailbox(), kind);
            crate::shared::roam();
            time
        })
    };
    Trial { subject: sampler(kind), baseline: Baseline::Of(sampler(Kind::Ideal)) }
}

fn pipe() -> (File, File) {
    let (read, write): (OwnedFd, OwnedFd) = nix::unistd::pipe().expect("pipes exist");
    (read.into(), write.into())
}

impl Link {
    fn new(bytes: usize) -> Self {
        let region = region(2 * bytes);
        Self {
            bytes,
            exchanges: (4 << 20 >> bytes.ilog2()).clamp(1, 200),
            source: source(bytes),
            space: region.region().expect("open").id(),
            region,
            there: Shared::new(bytes),
            back: Shared::new(bytes),
            pipes: [pipe(), pipe()],
            sockets: UnixStream::pair().expect("sockets exist"),
        }
    }

    /// The partner's half.
    fn serve(&self, mailbox: &Mailbox, kind: Kind) {
        let mut side = Side::new(self, (mailbox.there(), mailbox.back()));
        let (read, write) = (&self.pipes[0].0, &self.pipes[1].1);
        let mut buffer =
            vec![0; if matches!(kind, Kind::Pipe | Kind::Unix) { self.bytes } else { 0 }];
        mailbox.there().store(0, Ordering::Relaxed);
        // The asker waits for this before it sends: what it saw last is gone.
        mailbox.back().store(READY, Ordering::Release);
        side.sent.set(READY);
        for _ in 0..self.exchanges {
            match kind {
                Kind::Ideal => {
                    side.wait_for_slot(&self.there);
                    side.fill_slot(&self.back);
                }
                Kind::Region => {
                    side.wait_for_object();
                    side.put_object();
                }
                Kind::Pipe => exchange_back((read, write), &self.source, &mut buffer),
                Kind::Unix => {
                    exchange_back((&self.sockets.0, &self.sockets.0), &self.source, &mut buffer)
                }
            }
        }
        // The last answer has been used by the time the asker sends once more.
        if kind == Kind::Region {
            spin_while(side.inbox, side.received.get());
        }
        side.evict_last();
        mailbox.back().store(DONE, Ordering::Release);
    }

    /// The asker's half: nanoseconds of one exchange.
    fn ask(&self, mailbox: &Mailbox, kind: Kind) -> f64 {
        let mut side = Side::new(self, (mailbox.back(), mailbox.there()));
        let (read, write) = (&self.pipes[1].0, &self.pipes[0].1);
        let mut buffer =
            vec![0; if matches!(kind, Kind::Pipe | Kind::Unix) { self.bytes } else { 0 }];
        while mailbox.back().load(Ordering::Acquire) != READY {
            std::hint::spin_loop();
        }
        side.received.set(READY);
        let time = time_each(self.exchanges, |_| match kind {
            Kind::Ideal => {
                side.fill_slot(&self.there);
                side.wait_for_slot(&self.back);
            }
            Kind::Region => {
                side.put_object();
                side.wait_for_object();
            }
            Kind::Pipe => exchange((read, write), &self.source, &mut buffer),
            Kind::Unix => exchange((&self.sockets.1, &self.sockets.1), &self.source, &mut buffer),
        });
        if kind == Kind::Region {
            mailbox.there().store(DONE, Ordering::Release);
        }
        side.evict_last();
        while mailbox.back().load(Ordering::Acquire) != DONE {
            std::hint::spin_loop();
        }
        time
    }
}

/// Neither is an object, nor the number of a message.
const READY: u64 = u64::MAX;
const DONE: u64 = u64::MAX - 1;

fn exchange((mut read, mut write): (impl Read, impl Write), source: &[u8], buffer: &mut [u8]) {
    write.write_all(source).expect("the partner reads");
    read.read_exact(buffer).expect("the partner answers");
    black_box(buffer);
}

fn exchange_back((mut read, mut write): (impl Read, impl Write), source: &[u8], buffer: &mut [u8]) {
    read.read_exact(buffer).expect("the asker asks");
    black_box(buffer);
    write.write_all(source).expect("the asker listens");
}

/// One process's half of an exchange.
struct Side<'a> {
    link: &'a Link,
    inbox: &'a AtomicU64,
    outbox: &'a AtomicU64,
    received: Cell<u64>,
    sent: Cell<u64>,
    last: Option<Key>,
}

impl<'a> Side<'a> {
    fn new(link: &'a Link, (inbox, outbox): (&'a AtomicU64, &'a AtomicU64)) -> Self {
        Self { link, inbox, outbox, received: Cell::new(0), sent: Cell::new(0), last: None }
    }

    #[inline]
    fn receive(&self) -> u64 {
        let message = spin_while(self.inbox, self.received.get());
        self.received.set(message);
        message
    }

    #[inline]
    fn fill_slot(&self, slot: &Shared) {
        slot.copy_in(0, black_box(&self.link.source));
        let number = self.sent.get().wrapping_add(2);
        self.sent.set(number);
        self.outbox.store(number, Ordering::Release);
    }

    #[inline]
    fn wait_for_slot(&self, slot: &Shared) {
        self.receive();
        black_box((slot.byte(0), slot.byte(self.link.bytes - 1)));
    }

    #[inline]
    fn put_object(&mut self) {
        if self.link.bytes > HIDDEN {
            self.evict_last();
        }
        let key = self.link.region.put(black_box(&self.link.source)).expect("there is room");
        self.outbox.store(key.object(), Ordering::Release);
        self.evict_last();
        self.last = Some(key);
    }

    #[inline]
    fn wait_for_object(&self) {
        let key = Key::new(self.link.space, self.receive());
        let object = self.link.region.get(key).expect("attached").expect("not evicted yet");
        black_box((object[0], object[object.len() - 1]));
    }

    #[inline]
    fn evict_last(&mut self) {
        if let Some(last) = self.last.take() {
            assert!(self.link.region.evict(last).expect("attached"));
        }
    }
}
