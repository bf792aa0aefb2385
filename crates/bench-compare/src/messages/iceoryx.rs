//! iceoryx2's publish-subscribe, with its events where somebody sleeps.

use std::hint::spin_loop;
use std::mem::MaybeUninit;
use std::process::id;

use iceoryx2::node::Node;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::sample_mut_uninit::SampleMutUninit;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory as Service;

use crate::payload::{SMALL, fill, read};
use crate::play::{End, Peer, Plan};
use crate::race::{Crowd, Many};

type Messages = Service<ipc::Service, [u64], ()>;

/// Where its files are, and how they begin; they go when this does, in the process that made it.
struct Files {
    prefix: String,
    root: String,
}

impl Files {
    fn new() -> Self {
        set_log_level(LogLevel::Error);
        let prefix = format!("inplace_messages_{}_", id());
        Self { root: format!("/tmp/{prefix}/"), prefix }
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.global.prefix = FileName::new(self.prefix.as_bytes()).expect("a file name");
        config.global.set_root_path(&Path::new(self.root.as_bytes()).expect("a path"));
        config
    }

    fn node(&self) -> Node<ipc::Service> {
        let builder = NodeBuilder::new().config(&self.config());
        builder.signal_handling_mode(SignalHandlingMode::Disabled).create().expect("a node")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
        let files = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        for file in
            files.filter(|file| file.file_name().to_string_lossy().starts_with(&self.prefix))
        {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

fn name(text: &str) -> ServiceName {
    text.try_into().expect("a name")
}

/// A service each way, as in iceoryx2's own benchmark.
pub struct Iceoryx {
    files: Files,
    plan: Plan,
}

type Loan = SampleMutUninit<ipc::Service, [MaybeUninit<u64>], ()>;

/// What is loaned goes before the ports, ports before the services, services before the node.
struct BothEnds {
    loaned: Option<Loan>,
    publisher: Publisher<ipc::Service, [u64], ()>,
    subscriber: Subscriber<ipc::Service, [u64], ()>,
    events: Option<(Notifier<ipc::Service>, Listener<ipc::Service>)>,
    buffer: Vec<u64>,
    in_place: bool,
    ahead: bool,
    _services: [Messages; 2],
    _node: Node<ipc::Service>,
}

impl Iceoryx {
    fn service(&self, node: &Node<ipc::Service>, way: &str) -> Messages {
        let builder = node.service_builder(&name(way)).publish_subscribe::<[u64]>();
        let builder = builder.max_publishers(1).max_subscribers(1).history_size(0);
        let builder = builder.subscriber_max_buffer_size(1).enable_safe_overflow(true);
        builder.open_or_create().expect("a service")
    }

    fn events(
        &self,
        node: &Node<ipc::Service>,
        ways: [&str; 2],
    ) -> (Notifier<ipc::Service>, Listener<ipc::Service>) {
        let [to, from] = ways.map(|way| {
            node.service_builder(&name(way)).event().open_or_create().expect("a service")
        });
        let notifier = to.notifier_builder().create().expect("a notifier");
        (notifier, from.listener_builder().create().expect("a listener"))
    }
}

impl Peer for Iceoryx {
    fn new(plan: &Plan) -> Self {
        Self { files: Files::new(), plan: *plan }
    }

    fn open(&self, is_first: bool) -> impl End {
        let node = self.files.node();
        let ways = if is_first { ["there", "back"] } else { ["back", "there"] };
        let services = ways.map(|way| self.service(&node, way));
        let words = self.plan.bytes / 8;
        let publisher = services[0].publisher_builder().initial_max_slice_len(words).create();
        BothEnds {
            publisher: publisher.expect("a publisher"),
            subscriber: services[1].subscriber_builder().create().expect("a subscriber"),
            events: self.plan.parked.then(|| self.events(&node, ways)),
            buffer: vec![0; words],
            in_place: self.plan.in_place,
            ahead: self.plan.ahead,
            loaned: None,
            _services: services,
            _node: node,
        }
    }
}

impl End for BothEnds {
    #[inline]
    fn send(&mut self, first: u64) {
        let loan = || self.publisher.loan_slice_uninit(self.buffer.len()).expect("memory");
        let mut sample = self.loaned.take().unwrap_or_else(loan);
        let sample = if self.in_place {
            for (at, word) in sample.payload_mut().iter_mut().enumerate() {
                word.write(first.wrapping_add(at as u64));
            }
            // SAFETY: every word of it was written.
            unsafe { sample.assume_init() }
        } else {
            fill(bytemuck::cast_slice_mut(&mut self.buffer), first);
            sample.write_from_slice(&self.buffer)
        };
        assert_eq!(sample.send().expect("it is sent"), 1);
        if let Some((notifier, _)) = &self.events {
            notifier.notify().expect("it is told of");
        }
        if self.ahead {
            self.loaned = self.publisher.loan_slice_uninit(self.buffer.len()).ok();
        }
    }

    #[inline]
    fn receive(&mut self) -> u64 {
        loop {
            if let Some(sample) = self.subscriber.receive().expect("it is there") {
                return read(bytemuck::cast_slice(sample.payload()));
            }
            match &self.events {
                Some((_, listener)) => {
                    listener.blocking_wait(|_| {}).expect("it is there");
                }
                None => spin_loop(),
            }
        }
    }
}

/// Publishers, and one subscriber: it would send each message to every one of several.
pub struct Crowded {
    files: Files,
    crowd: Crowd,
}

/// Looks for nothing after which the subscriber lets another process run.
const LOOKS: u32 = 64;

impl Crowded {
    /// A service that loses nothing.
    fn service(&self) -> (Node<ipc::Service>, Messages) {
        let node = self.files.node();
        let builder = node.service_builder(&name("crowd")).publish_subscribe::<[u64]>();
        let builder = builder.max_publishers(self.crowd.producers).max_subscribers(1);
        let builder = builder.history_size(0).subscriber_max_buffer_size(1024);
        let service = builder.enable_safe_overflow(false).open_or_create().expect("a service");
        (node, service)
    }
}

impl Many for Crowded {
    fn new(crowd: Crowd) -> Self {
        assert_eq!(crowd.consumers, 1);
        Self { files: Files::new(), crowd }
    }

    fn producer(&self) -> impl FnMut(&[u8; SMALL]) {
        let (node, service) = self.service();
        let builder = service.publisher_builder().initial_max_slice_len(SMALL / 8);
        let builder = builder.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered);
        let publisher = builder.create().expect("a publisher");
        let all = (publisher, service, node);
        move |bytes| {
            let words: [u64; SMALL / 8] = bytemuck::cast(*bytes);
            let sample = all.0.loan_slice_uninit(words.len()).expect("memory");
            assert_eq!(sample.write_from_slice(&words).send().expect("it is sent"), 1);
        }
    }

    fn consumer(&self) -> impl FnMut() -> u64 {
        let (node, service) = self.service();
        let subscriber = service.subscriber_builder().create().expect("a subscriber");
        let all = (subscriber, service, node);
        move || {
            let mut looks = 0;
            loop {
                if let Some(sample) = all.0.receive().expect("it is there") {
                    return read(bytemuck::cast_slice(sample.payload()));
                }
                looks += 1;
                if looks % LOOKS == 0 {
                    std::thread::yield_now();
                } else {
                    spin_loop();
                }
            }
        }
    }
}
