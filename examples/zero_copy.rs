//! A sibling resolves an array of 1 GiB: how long that takes, and how much memory it costs.
//!
//! ```text
//! cargo run --release --example zero_copy [MIB]
//! ```
//!
//! The child's resident memory grows only by the pages it reads, and those are the same pages the parent wrote.

use std::time::Instant;

use inplace::codec::{Array, Slice};
use inplace::{Proxy, Store};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

const MIB: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mib: usize = std::env::args().nth(1).map_or(Ok(1024), |text| text.parse())?;
    let store = Store::builder(format!("zero-copy-{}", std::process::id()))
        .codec(Slice::<f64>::default())
        .open()?;
    let (mut reader, mut writer) = std::io::pipe()?;

    // Forked before there is anything to inherit: the child learns of the array from a message alone.
    // SAFETY: this program has one thread, so the child may do anything.
    let child = match unsafe { fork()? } {
        ForkResult::Child => {
            drop(writer);
            let outcome = receive(&mut reader);
            if let Err(error) = &outcome {
                eprintln!("child: {error}");
            }
            std::process::exit(i32::from(outcome.is_err()));
        }
        ForkResult::Parent { child } => child,
    };
    drop(reader);

    let numbers: Vec<f64> = (0..mib * MIB / 8).map(|i| i as f64).collect();
    let started = Instant::now();
    let proxy: Proxy<Vec<f64>, Slice<f64>> = store.proxy(&numbers)?;
    let put = started.elapsed();
    println!(
        "parent: put {mib} MiB in {put:.1?} ({:.1} GiB/s)",
        mib as f64 / 1024.0 / put.as_secs_f64()
    );

    let message = postcard::to_stdvec(&proxy)?;
    println!("parent: sends a proxy of {} bytes", message.len());
    std::io::Write::write_all(&mut writer, &message)?;
    drop(writer);
    waitpid(child, None)?;
    store.evict(proxy.key())?;
    Ok(())
}

fn receive(reader: &mut impl std::io::Read) -> Result<(), Box<dyn std::error::Error>> {
    let mut message = Vec::new();
    reader.read_to_end(&mut message)?;
    let proxy: Proxy<Vec<f64>, Slice<f64>> = postcard::from_bytes(&message)?;

    let before = resident()?;
    let started = Instant::now();
    let numbers: &Array<f64> = proxy.resolve()?;
    let resolved = started.elapsed();
    println!(
        "child:  resolved {} numbers in {resolved:.1?}; memory {:+.1} MiB",
        numbers.len(),
        resident()? - before
    );

    let started = Instant::now();
    let percent = &numbers[numbers.len() / 2..][..numbers.len() / 100];
    let sum: f64 = percent.iter().sum();
    println!(
        "child:  read 1 % in {:.1?} (sum {sum:e}); memory {:+.1} MiB",
        started.elapsed(),
        resident()? - before
    );

    let started = Instant::now();
    let sum: f64 = numbers.iter().sum();
    println!(
        "child:  read all in {:.1?} (sum {sum:e}); memory {:+.1} MiB",
        started.elapsed(),
        resident()? - before
    );
    Ok(())
}

/// MiB of memory mapped into this process and present, shared pages included.
fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = statm.split(' ').nth(1).ok_or("statm has another form")?.parse()?;
    Ok(pages * 4096.0 / MIB as f64)
}
