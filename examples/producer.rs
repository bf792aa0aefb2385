//! Makes measurements, binds each to a name, and waits until a consumer has taken them all.
//!
//! Start it and `consumer` in any order, in two terminals:
//!
//! ```text
//! cargo run --release --example producer [HOW MANY]
//! cargo run --release --example consumer
//! ```

use std::time::{Duration, Instant};

use inplace::connector::ShmConnector;
use inplace::{RegionOptions, Store, storable};

/// What travels. Producer and consumer each write the type down; its fingerprint tells whether they agree.
#[storable]
struct Measurement {
    number: u32,
    station: String,
    samples: Vec<f64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let many: u32 = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    // A region that stays while no process is attached would be `Lifespan::Persistent`; this one lasts as long as the
    // producer or the consumer runs.
    let region = RegionOptions::new().open_or_create("measurements")?;
    let store =
        Store::builder("measurements").connector(ShmConnector::new(region.clone())).open()?;

    for number in 0..many {
        let samples = (0..100_000).map(|i| f64::from(i * number).sin()).collect();
        let key =
            store.put(&Measurement { number, station: format!("station {number}"), samples })?;
        // A name is how somebody finds an object whose key nobody sent.
        region.bind(&format!("measurement {number}"), key)?;
        println!("put measurement {number} as {key}");
    }
    region.bind("last measurement", store.put(&many)?)?;

    println!("waiting for the consumer to take them (at most 60 s)");
    let patience = Instant::now();
    while region.lookup("last measurement")?.is_some()
        && patience.elapsed() < Duration::from_secs(60)
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    match region.lookup("last measurement")? {
        None => println!("all taken"),
        Some(_) => println!("nobody took them; the region goes away with this process"),
    }
    Ok(())
}
