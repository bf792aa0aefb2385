//! Prometheus's text format.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::metrics::Histogram;

/// Bounds of the buckets that are shown, as powers of two of nanoseconds: 32 ns to 17 s.
const BOUNDS: std::ops::RangeInclusive<u32> = 5..=34;

/// Figures of several stores and regions in Prometheus's text format, each family once, as the format demands.
///
/// ```
/// use inplace::RegionOptions;
/// use inplace::metrics::{Expose, Exposition, Family, Kind};
///
/// struct Jobs(u32);
///
/// impl Expose for Jobs {
///     fn expose(&self, to: &mut Exposition) {
///         let waiting = Family::new("jobs_waiting", Kind::Gauge, "Jobs nobody has begun.");
///         to.sample(waiting, &[("queue", "first \"in\"")], self.0.into());
///     }
/// }
///
/// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
/// let text = Exposition::new().with(&region.metrics()?).with(&Jobs(3)).to_string();
/// assert!(text.contains("# TYPE jobs_waiting gauge\njobs_waiting{queue=\"first \\\"in\\\"\"} 3\n"));
/// # Ok::<(), inplace::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    families: Vec<(Family, String)>,
}

/// Has figures to show.
pub trait Expose {
    /// Adds them.
    fn expose(&self, to: &mut Exposition);
}

/// What all figures of one name are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    name: &'static str,
    kind: Kind,
    text: &'static str,
}

/// How the figures of a family behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Family {
    /// A family of figures: `name` as Prometheus allows it, and what people are told about it.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, kind, text }
    }
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Exposition {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what `source` has to show. Two of one name would be the same figures twice, which Prometheus refuses:
    /// [merge](crate::metrics::StoreMetrics::merge) them first.
    #[must_use]
    pub fn with(mut self, source: &impl Expose) -> Self {
        source.expose(&mut self);
        self
    }

    /// Adds one figure.
    pub fn sample(&mut self, family: Family, labels: &[(&str, &str)], value: f64) {
        line(self.lines(family), family.name, labels, value);
    }

    /// Adds the buckets, the sum in seconds and the count of a histogram.
    pub fn histogram(&mut self, family: Family, labels: &[(&str, &str)], shown: &Histogram) {
        let lines = self.lines(family);
        let name = format!("{}_bucket", family.name);
        let count = shown.count() as f64;
        let mut bucket = |bound: &str, count| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            line(lines, &name, &labels, count);
        };
        for power in BOUNDS {
            let bound = Duration::from_nanos(1 << power);
            bucket(&bound.as_secs_f64().to_string(), shown.count_within(bound) as f64);
        }
        bucket("+Inf", count);
        line(lines, &format!("{}_sum", family.name), labels, shown.sum().as_secs_f64());
        line(lines, &format!("{}_count", family.name), labels, count);
    }

    fn lines(&mut self, family: Family) -> &mut String {
        let found = self.families.iter().position(|(known, _)| known.name == family.name);
        let at = found.unwrap_or_else(|| {
            self.families.push((family, String::new()));
            self.families.len() - 1
        });
        &mut self.families[at].1
    }
}

impl fmt::Display for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (Family { name, kind, text }, lines) in &self.families {
            let text = text.replace('\\', r"\\").replace('\n', r"\n");
            write!(f, "# HELP {name} {text}\n# TYPE {name} {}\n{lines}", kind.as_str())?;
        }
        Ok(())
    }
}

fn line(to: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    to.push_str(name);
    for (at, (label, value)) in labels.iter().enumerate() {
        let value = value.replace('\\', r"\\").replace('\n', r"\n").replace('"', "\\\"");
        // Writing to a string does not fail.
        let _ = write!(to, "{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
    }
    let _ = writeln!(to, "{} {value}", if labels.is_empty() { "" } else { "}" });
}
