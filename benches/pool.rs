//! Arrays of 64 MiB mapped over worker processes: a `WorkerPool`, beside a pool that sends all bytes through sockets.
//!
//! ```text
//! cargo bench --bench pool -- [--quick] [--json FILE]
//! ```
//!
//! Both have two workers, forked before anything is measured. The pool keeps four inputs on their way; so its memory is four
//! inputs, and as many results, at most. The other pool is what one writes by hand: a socket to each worker, a thread of the
//! parent for each, which sends an input and reads the result. In a round both do the same; what is reported is the median of
//! the rounds, and of their ratios. The memory is the largest sum of the PSS of all processes, looked at every 10 ms in a round
//! of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use inplace::codec::Slice;
use inplace::connector::ShmConnector;
use inplace::{RegionOptions, Store, WorkerPool};
use nix::unistd::{ForkResult, Pid, fork};

const WORKERS: usize = 2;
const IN_FLIGHT: usize = 4;
const NUMBERS: usize = 8 << 20;

type Pool = WorkerPool<[f64], [f64], Slice<f64>>;

/// What is made of an array.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    Sum,
    Scale,
}

impl Work {
    fn of(self, numbers: &[f64]) -> Vec<f64> {
        match self {
            Self::Sum => vec![numbers.iter().sum()],
            Self::Scale => numbers.iter().map(|x| x * 2.0 + 1.0).collect(),
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut arrays, mut rounds, mut json) = (16, 5, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => (arrays, rounds) = (6, 2),
            "--json" => json = arguments.next().map(PathBuf::from),
            _ => {}
        }
    }
    let mut rows = Vec::new();
    println!(
        "arrays of 64 MiB over {WORKERS} workers: time of each, and the most memory of all processes"
    );
    for (work, name) in [(Work::Sum, "to their sums"), (Work::Scale, "to arrays")] {
        let (pool, others) = (pool(work), Sockets::start(work));
        let array = vec![0.5; NUMBERS];
        let (by_pool, by_socket) =
            (|| over_pool(&pool, &array, arrays), || others.map(&array, arrays));
        by_pool();
        by_socket();
        let times: Vec<(f64, f64)> =
            (0..rounds).map(|_| (timed(&by_pool), timed(&by_socket))).collect();
        let each = |seconds: Vec<f64>| median(seconds) * 1e3 / arrays as f64;
        let pool_ms = each(times.iter().map(|it| it.0).collect());
        let socket_ms = each(times.iter().map(|it| it.1).collect());
        let ratio = median(times.iter().map(|(pool, socket)| socket / pool).collect());
        let me = std::process::id();
        let nursery = pool.workers().first().map(|worker| parent_of(*worker));
        let family = pool.workers().into_iter().chain(nursery).chain([me]).collect::<Vec<_>>();
        let pool_mib = peak(&family, &by_pool);
        let sockets = others.workers.iter().map(|it| it.0.as_raw() as u32);
        let socket_mib = peak(&sockets.chain([me]).collect::<Vec<_>>(), &by_socket);
        println!("  {name:<14} WorkerPool {pool_ms:>8.1} ms {pool_mib:>7.0} MiB");
        println!(
            "  {:<14} sockets    {socket_ms:>8.1} ms {socket_mib:>7.0} MiB   {ratio:.2} times as long",
            ""
        );
        rows.push(serde_json::json!({
            "op": format!("64 MiB {name}"), "pool_ms": pool_ms, "sockets_ms": socket_ms, "sockets_by_pool": ratio,
            "pool_peak_mib": pool_mib, "sockets_peak_mib": socket_mib,
        }));
        pool.join().expect("all is done");
        others.stop();
    }
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&rows).expect("numbers and names");
        std::fs::write(path, text).expect("the file can be written");
    }
}

fn pool(work: Work) -> Pool {
    let region = RegionOptions::new().capacity(4 << 30).anonymous().expect("there is a region");
    let store = Store::builder("bench").connector(ShmConnector::new(region));
    let store = store.codec(Slice::default()).open().expect("there is a store");
    let handler = move |numbers: &<Slice<f64> as inplace::codec::Codec<[f64]>>::Target| {
        Ok::<_, String>(work.of(numbers))
    };
    Pool::fork(&store, WORKERS, handler).expect("workers can be forked")
}

fn over_pool(pool: &Pool, array: &[f64], arrays: usize) -> f64 {
    let inputs = std::iter::repeat_n(array, arrays);
    pool.map_unordered(inputs).in_flight(IN_FLIGHT).map(|it| it.expect("a result")[0]).sum()
}

/// Workers by hand.
struct Sockets {
    workers: Vec<(Pid, UnixStream)>,
}

impl Sockets {
    fn start(work: Work) -> Self {
        let start = |_| {
            let (mine, theirs) = UnixStream::pair().expect("a socket");
            // SAFETY: the child computes, and ends at once.
            match unsafe { fork() }.expect("a child") {
                ForkResult::Parent { child } => (child, mine),
                ForkResult::Child => {
                    drop(mine);
                    serve(theirs, work);
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(0) }
                }
            }
        };
        Self { workers: (0..WORKERS).map(start).collect() }
    }

    fn map(&self, array: &[f64], arrays: usize) -> f64 {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .workers
                .iter()
                .map(|(_, socket)| {
                    let next = &next;
                    scope.spawn(move || {
                        let mut sum = 0.0;
                        while next.fetch_add(1, Ordering::Relaxed) < arrays {
                            send(socket, array);
                            sum += receive(socket).expect("a result")[0];
                        }
                        sum
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
        })
    }

    fn stop(self) {
        for (child, socket) in self.workers {
            nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).expect("it is there");
            drop(socket);
            nix::sys::wait::waitpid(child, None).expect("it ends");
        }
    }
}

fn serve(socket: UnixStream, work: Work) {
    while let Some(numbers) = receive(&socket) {
        send(&socket, &work.of(&numbers));
    }
}

fn send(mut socket: &UnixStream, numbers: &[f64]) {
    let bytes: &[u8] = inplace::bytemuck::cast_slice(numbers);
    let sent = socket.write_all(&(bytes.len() as u64).to_le_bytes());
    sent.and_then(|()| socket.write_all(bytes)).expect("the other end is there");
}

fn receive(mut socket: &UnixStream) -> Option<Vec<f64>> {
    let mut len = [0; 8];
    socket.read_exact(&mut len).ok()?;
    let mut numbers = vec![0.0; u64::from_le_bytes(len) as usize / 8];
    socket.read_exact(inplace::bytemuck::cast_slice_mut(&mut numbers)).ok()?;
    Some(numbers)
}

fn timed(work: &impl Fn() -> f64) -> f64 {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed().as_secs_f64()
}

/// The largest sum of what processes have, in MiB, while something is done.
fn peak(processes: &[u32], work: &(impl Fn() -> f64 + Sync)) -> f64 {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut most = 0.0_f64;
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(processes.iter().map(|process| pss(*process)).sum());
                std::thread::sleep(Duration::from_millis(10));
            }
            most
        });
        std::hint::black_box(work());
        is_over.store(true, Ordering::Relaxed);
        looking.join().expect("it looks only")
    })
}

fn pss(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) / 1024.0
}

fn parent_of(process: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    fields.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
