//! Every ordering that some model meets, weakened.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Tally;
use crate::models::{Models, two_at_a_time};

/// Models with one preemption less take a tenth of the time, and notice most mutants; those they miss and nothing
/// excuses are shown to the whole models.
const FEWER: (&str, &str) = ("INPLACE_PREEMPTIONS", "-1");

/// A place where a word is accessed, with the models that come by, the quickest first.
struct Place {
    site: String,
    access: String,
    ordering: String,
    models: Vec<String>,
}

/// Runs every model once and learns which places it meets.
fn places(models: &Models) -> Vec<Place> {
    let runs =
        two_at_a_time(&models.names, |name| models.run(name, &[("INPLACE_SITES", "1"), FEWER]));
    let mut by_time: Vec<_> = models.names.iter().zip(runs).collect();
    by_time.sort_by_key(|(_, run)| run.took);
    let mut found: BTreeMap<String, Place> = BTreeMap::new();
    for (name, run) in by_time {
        assert!(run.has_passed, "{name} fails without a mutant:\n{}", run.said);
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
    found.into_values().filter(|place| place.site.starts_with("src/")).collect()
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
    println!("{} models meet {} places", models.names.len(), places.len());
    let mutants: Vec<_> = places
        .iter()
        .filter(|place| place.site.contains(only))
        .flat_map(|place| {
            let hows: &[&str] = match place.ordering.as_str() {
                "Relaxed" => &[],
                "SeqCst" => &["unordered", "relaxed"],
                _ => &["relaxed"],
            };
            hows.iter().map(move |how| (place, *how))
        })
        .collect();
    let caught = two_at_a_time(&mutants, |(place, how)| {
        let weakened = format!("{}:{how}", place.site);
        let fails = |name: &&String, more: &[(&str, &str)]| {
            !models.run(name, &[&[("INPLACE_WEAKEN", weakened.as_str())], more].concat()).has_passed
        };
        let text = text_at(root, &place.site);
        let mutant = format!("{} {} {} → {how}", place.site, place.access, place.ordering);
        let excuse = excuses.find((&place.site, &text, how));
        let quickly = place.models.iter().find(|name| fails(name, &[FEWER]));
        let caught = match (quickly, excuse) {
            (None, None) => place.models.iter().find(|name| fails(name, &[])),
            (quickly, _) => quickly,
        };
        Tally::of(&mutant, caught.map(String::as_str), excuse)
    });
    caught.into_iter().fold(Tally::default(), Tally::and)
}
