//! Messages between processes: `inplace::Queue` beside iceoryx2, ipc-channel, a pipe and a Unix socket.
//!
//! ```text
//! cargo run --release --bin messages [ROUNDS] [--json FILE] [--only busy|large|rate|parked]
//! ```
//!
//! All contenders of a table are measured in each round, every other round backwards; what is printed are medians of the
//! rounds' medians, and of the ratios to another contender in the same round. Each measurement has new processes, which
//! open what they use themselves.

#[path = "messages/bare.rs"]
mod bare;
#[path = "messages/channel.rs"]
mod channel;
#[path = "messages/iceoryx.rs"]
mod iceoryx;
#[path = "messages/ours.rs"]
mod ours;
#[path = "messages/payload.rs"]
mod payload;
#[path = "messages/play.rs"]
mod play;
#[path = "messages/process.rs"]
mod process;
#[path = "messages/race.rs"]
mod race;
#[path = "messages/report.rs"]
mod report;
#[path = "messages/streams.rs"]
mod streams;

use std::path::PathBuf;

use serde_json::Value;

use bare::Bare;
use channel::{Bytes, ManyToOne, Memory};
use iceoryx::{Crowded, Iceoryx};
use ours::{Copied, InPlace, One};
use payload::LARGE;
use play::{Plan, ping_pong};
use race::{Crowd, rate};
use report::{Row, row, table};
use streams::{Pipe, Shared, Streams, Unix};

struct Arguments {
    rounds: usize,
    json: Option<PathBuf>,
    only: Option<String>,
}

impl Arguments {
    fn read() -> Self {
        let mut found = Self { rounds: 7, json: None, only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => found.json = Some(arguments.next().expect("a file").into()),
                "--only" => found.only = Some(arguments.next().expect("a table")),
                rounds => found.rounds = rounds.parse().expect("a number of rounds"),
            }
        }
        found
    }

    fn wants(&self, table: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == table)
    }
}

fn main() {
    let arguments = Arguments::read();
    let rounds = arguments.rounds;
    let mut values = Vec::new();
    if arguments.wants("busy") {
        values.extend(busy(rounds));
    }
    if arguments.wants("large") {
        values.extend(large(rounds));
    }
    if arguments.wants("rate") {
        values.extend(rates(rounds));
    }
    if arguments.wants("parked") {
        values.extend(parked("same core", 0, rounds));
        values.extend(parked("two cores", 1, rounds));
    }
    if let Some(path) = arguments.json {
        let text = serde_json::to_string_pretty(&values).expect("numbers and names");
        std::fs::write(path, text).expect("the file can be written");
    }
}

fn busy(rounds: usize) -> Vec<Value> {
    let plan = Plan::BUSY;
    let object = Plan { inline: false, ..plan };
    let ahead = Plan { ahead: true, ..plan };
    let asleep = Plan { turns: 2_000, ..plan };
    let rows = [
        row("iceoryx2, polling", Some(0), move || ping_pong::<Iceoryx>(&plan)),
        row("iceoryx2, polling, loaned ahead", Some(0), move || ping_pong::<Iceoryx>(&ahead)),
        row("`Queue`, spinning, inline", Some(0), move || ping_pong::<Copied>(&plan)),
        row("`Queue`, spinning, an object each", Some(0), move || ping_pong::<Copied>(&object)),
        row("bare shared memory, spinning", Some(0), move || ping_pong::<Bare>(&plan)),
        row("pipe", Some(0), move || ping_pong::<Streams<Pipe>>(&asleep)),
        row("Unix socket", Some(0), move || ping_pong::<Streams<Unix>>(&asleep)),
        row("ipc-channel, bytes", Some(0), move || ping_pong::<Bytes>(&asleep)),
    ];
    table("64 B there and back, two cores", "ns", rounds, &rows)
}

fn large(rounds: usize) -> Vec<Value> {
    let plan = Plan { bytes: LARGE, turns: 300, batch: 1, inline: false, ..Plan::BUSY };
    let made = Plan { in_place: true, ..plan };
    let few = Plan { turns: 60, ..plan };
    let rows = [
        row("iceoryx2, made in a buffer", Some(0), move || ping_pong::<Iceoryx>(&plan)),
        row("`Queue`, made in a buffer", Some(0), move || ping_pong::<Copied>(&plan)),
        row("iceoryx2, made in place", Some(2), move || ping_pong::<Iceoryx>(&made)),
        row("`Queue`, made in place", Some(2), move || ping_pong::<InPlace>(&made)),
        row("pipe", Some(0), move || ping_pong::<Streams<Pipe>>(&few)),
        row("Unix socket", Some(0), move || ping_pong::<Streams<Unix>>(&few)),
        row("ipc-channel, bytes", Some(0), move || ping_pong::<Bytes>(&few)),
        row("ipc-channel, shared memory", Some(0), move || ping_pong::<Memory>(&few)),
    ];
    table("1 MiB there and back, written and read, two cores", "ns", rounds, &rows)
}

fn rates(rounds: usize) -> Vec<Value> {
    let mut values = Vec::new();
    for (producers, consumers) in [(1, 1), (2, 1), (1, 2), (2, 2), (4, 4)] {
        let crowd = Crowd { producers, consumers };
        let mut rows: Vec<Row> = Vec::new();
        if consumers == 1 {
            rows.push(row("iceoryx2, polling", Some(0), move || rate::<Crowded>(crowd)));
            rows.push(row("ipc-channel, bytes", Some(0), move || rate::<ManyToOne>(crowd)));
        }
        rows.push(row("pipe", Some(0), move || rate::<Shared<Pipe>>(crowd)));
        rows.push(row("Unix socket", Some(0), move || rate::<Shared<Unix>>(crowd)));
        rows.push(row("`Queue`, inline", Some(0), move || rate::<One>(crowd)));
        let title = format!("64 B, {producers} to {consumers}");
        values.extend(table(&title, "messages/s", rounds, &rows));
    }
    values
}

fn parked(place: &str, processor: usize, rounds: usize) -> Vec<Value> {
    let processors = [0, processor];
    let plan = Plan { parked: true, processors, turns: 1_000, batch: 1, ..Plan::BUSY };
    let half = |time: f64| time / 2.0;
    let rows = [
        row("bare futex", Some(0), move || half(ping_pong::<Bare>(&plan))),
        row("`Queue`, parked", Some(0), move || half(ping_pong::<Copied>(&plan))),
        row("iceoryx2, with an event", Some(0), move || half(ping_pong::<Iceoryx>(&plan))),
        row("pipe", Some(0), move || half(ping_pong::<Streams<Pipe>>(&plan))),
        row("Unix socket", Some(0), move || half(ping_pong::<Streams<Unix>>(&plan))),
        row("ipc-channel, bytes", Some(0), move || half(ping_pong::<Bytes>(&plan))),
    ];
    table(&format!("wake-up by 64 B, {place}"), "ns", rounds, &rows)
}
