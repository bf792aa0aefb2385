//! Every ordering that some model meets, weakened.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Tally;
use crate::models::{Models, two_at_a_time};

/// A quick run leaves out models that take longer, in seconds.
const QUICK: f64 = 3.0;

/// A place where a word is accessed, with the models that come by, the quickest first.
struct Place {
    site: String,
    access: String,
    ordering: String,
    models: Vec<String>,
}

/// Runs every model once and learns which places it meets.
fn places(models: &Models) -> Vec<Place> {
    let is_quick = std::env::var_os("INPLACE_QUICK").is_some();
    // A death is explored with fences on one side only, and shows steps rather than orderings.
    let names: Vec<_> = models.names.iter().filter(|name| !name.contains("killed_")).collect();
    let runs = two_at_a_time(&names, |name| models.run(name, &[("INPLACE_SITES", "1")]));
    let mut by_time: Vec<_> = names.into_iter().zip(runs).collect();
    by_time.sort_by_key(|(_, run)| run.took);
    let mut found: BTreeMap<String, Place> = BTreeMap::new();
    for (name, run) in by_time {
        assert!(run.has_passed, "{name} fails without a mutant:\n{}", run.said);
        if is_quick && run.took.as_secs_f64() > QUICK {
            continue;
        }
        for line in run.said.lines().filter_map(|line| line.split_once("SITE ")) {
            let mut parts = line.1.split(' ').map(str::to_owned);
            let (Some(site), Some(access), Some(ordering)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let place = found.entry(site.clone()).or_insert_with(|| Place {
                site,
                access,
                ordering,
                models: Vec::new(),
            });
            if !place.models.contains(name) {
                place.models.push(name.clone());
            }
        }
    }
    // What only looks, after everything, is no protocol.
    let is_protocol = |place: &Place| {
        place.site.starts_with("src/")
            && !place.site.starts_with("src/models")
            && !place.site.starts_with("src/protocol/check")
    };
    found.into_values().filter(is_protocol).collect()
}

/// Reasons of `equivalent.txt`: `file | text of the line | how | reason`.
struct Excuses(Vec<[String; 4]>);

impl Excuses {
    fn read(root: &Path) -> Self {
        let text = std::fs::read_to_string(root.join("crates/mutants/equivalent.txt"));
        let lines = text.unwrap_or_default();
        let parts = |line: &str| {
            let parts: Vec<_> = line.split(" | ").map(|part| part.trim().to_owned()).collect();
            <[String; 4]>::try_from(parts).ok()
        };
        let entries = lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(entries.map(|line| parts(line).unwrap_or_else(|| panic!("unclear: {line}"))).collect())
    }

    fn find(&self, (site, text, how): (&str, &str, &str)) -> Option<&str> {
        let fits = |[file, line, weakened, _]: &&[String; 4]| {
            site.starts_with(file.as_str())
                && (line == "*" || text.contains(line.as_str()))
                && weakened.split(' ').any(|each| each == how)
        };
        self.0.iter().find(fits).map(|[.., reason]| reason.as_str())
    }
}

/// The statement that begins at a place: three lines of it, in one.
fn text_at(root: &Path, site: &str) -> String {
    let mut parts = site.split(':');
    let (Some(file), Some(line)) = (parts.next(), parts.next()) else { return String::new() };
    let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
    let line: usize = line.parse().unwrap_or(1);
    let around = text.lines().skip(line.saturating_sub(3)).take(4).map(str::trim);
    around.collect::<Vec<_>>().join(" ")
}

pub fn run(root: &Path, only: &str) -> Tally {
    let models = Models::build(root, &root.join("target/loom")).expect("the models compile");
    let places = places(&models);
    let excuses = Excuses::read(root);
    println!("{} places of the protocols are met", places.len());
    let chosen: Vec<_> = places
        .iter()
        .filter(|place| {
            only.split(',').any(|each| place.site.contains(each)) && place.ordering != "Relaxed"
        })
        .collect();
    let trusts_excuses = std::env::var_os("INPLACE_TRUST").is_some();
    let tallies = two_at_a_time(&chosen, |place| {
        let text = text_at(root, &place.site);
        let try_out = |how: &str| {
            let weakened = format!("{}:{how}", place.site);
            let environment = [("INPLACE_WEAKEN", weakened.as_str())];
            let excuse = excuses.find((&place.site, &text, how));
            let is_caught = |name: &&String| !models.run(name, &environment).has_passed;
            let is_tried = excuse.is_none() || !trusts_excuses;
            let caught = if is_tried { place.models.iter().find(is_caught) } else { None };
            let mutant = format!("{} {} {} → {how}", place.site, place.access, place.ordering);
            (caught.is_some(), Tally::of(&mutant, caught.map(String::as_str), excuse))
        };
        let (is_caught, relaxed) = try_out("relaxed");
        // Where Relaxed will do, anything does.
        let is_finer = is_caught && place.ordering == "SeqCst";
        if is_finer { relaxed.and(try_out("unordered").1) } else { relaxed }
    });
    tallies.into_iter().fold(Tally::default(), Tally::and)
}
