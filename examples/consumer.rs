//! Takes what `producer` puts, in place, and evicts it. Start both in any order.

use std::time::{Duration, Instant};

use inplace::connector::ShmConnector;
use inplace::{Key, Region, RegionOptions, Store, storable};

#[storable]
struct Measurement {
    number: u32,
    station: String,
    samples: Vec<f64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Whoever comes first makes the region.
    let region = RegionOptions::new().open_or_create("measurements")?;
    let store =
        Store::builder("measurements").connector(ShmConnector::new(region.clone())).open()?;

    for number in 0.. {
        let Some(key) = next(&region, number)? else { break };
        // `take` evicts and returns: of any number of consumers, one gets it. The memory goes back when the view does.
        let Some(measurement) = store.take::<Measurement>(key)? else { continue };
        let mean = measurement.samples.iter().map(|sample| sample.to_native()).sum::<f64>()
            / measurement.samples.len() as f64;
        println!(
            "{}: {} samples, mean {mean:+.6}",
            measurement.station.as_str(),
            measurement.samples.len()
        );
        region.unbind(&format!("measurement {number}"))?;
    }
    if let Some(last) = region.unbind("last measurement")? {
        store.evict(last)?;
    }
    println!("done; {}", region.check()?);
    Ok(())
}

/// Waits for a measurement; `None` when there will be no more.
fn next(region: &Region, number: u32) -> Result<Option<Key>, Box<dyn std::error::Error>> {
    let patience = Instant::now();
    loop {
        if let Some(key) = region.lookup(&format!("measurement {number}"))? {
            return Ok(Some(key));
        }
        // The producer binds this name after every measurement, so a second look decides.
        if region.lookup("last measurement")?.is_some() {
            return Ok(region.lookup(&format!("measurement {number}"))?);
        }
        if patience.elapsed() > Duration::from_secs(60) {
            return Err("no producer within 60 s".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
