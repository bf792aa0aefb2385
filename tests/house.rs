//! The house rules of CONTRIBUTING.md that a machine can see.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Code without comments, and without the unit tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().map(str::trim_start).filter(|line| !line.starts_with("//"))
}

fn module(path: &Path) -> String {
    let mut parts = path.strip_prefix("src").unwrap().components();
    let first = parts.next().unwrap().as_os_str().to_str().unwrap().to_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn no_file_is_longer_than_five_hundred_lines() {
    for folder in ["src", "tests", "benches", "examples", "crates"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn atomics_come_from_the_sync_module_alone() {
    for (path, text) in sources("src") {
        let direct =
            code(&text).any(|line| line.contains("sync::atomic") && !line.contains("crate::sync"));
        assert!(
            !direct || path.starts_with("src/sync"),
            "{} names std's or loom's atomics",
            path.display()
        );
    }
}

#[test]
fn unsafe_stands_only_where_the_rules_allow_it() {
    let allowed = ["src/sys/", "src/segment/", "src/codec/", "src/proxy", "src/view.rs"];
    let views = [
        "src/protocol/pin.rs",
        "src/region/pinned.rs",
        "src/region/loan.rs",
        "src/region/queues/loan.rs",
        "src/region/lifecycle/detach.rs",
        "src/arena/fill.rs",
        "src/cell/archived.rs",
        "src/connector/heap.rs",
    ];
    for (path, text) in sources("src") {
        let name = path.to_str().unwrap();
        let is_allowed =
            allowed.iter().any(|prefix| name.starts_with(prefix)) || views.contains(&name);
        let has_unsafe =
            code(&text).any(|line| line.contains("unsafe {") || line.contains("unsafe impl"));
        assert!(is_allowed || !has_unsafe, "{name} has unsafe code");
    }
}

/// The layers of docs/design.md, lowest first: a module imports only from layers below its own, or from itself.
const LAYERS: &[&[&str]] = &[
    &["sync"],
    &["fingerprint", "key", "error", "writer"],
    &["sys", "layout"],
    &["deadline"],
    &["segment", "metrics"],
    &["local", "pins"],
    &["actor", "participants"],
    &["index", "names"],
    &["arena"],
    &["protocol"],
    &["region"],
    &["connector"],
    &["codec"],
    &["view"],
    &["store", "proxy"],
    &["auto", "cell", "future", "lifetime", "owned", "queue", "topic"],
    &["stream"],
    &["pool"],
    &["cookbook", "models"],
];

#[test]
fn imports_go_down_the_layers() {
    let layer: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(depth, names)| names.iter().map(move |name| (*name, depth)))
        .collect();
    let mut upward = BTreeSet::new();
    for (path, text) in sources("src") {
        let module = module(&path);
        if module == "lib" {
            continue;
        }
        let own = *layer.get(module.as_str()).unwrap_or_else(|| panic!("{module} is in no layer"));
        for line in code(&text)
            .filter(|line| line.starts_with("use crate::") || line.starts_with("pub use crate::"))
        {
            let imported =
                line.split("crate::").nth(1).unwrap().split([':', ';', '{']).next().unwrap();
            let theirs = layer.get(imported).copied().unwrap_or(0);
            if theirs > own {
                upward.insert(format!("{} imports {imported}", path.display()));
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn every_change_of_the_mutants_finds_its_text_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    for block in read("crates/mutants/rechecks.txt").split("\n## ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let is_key = |line: &&str| {
            ["file: ", "try: ", "equivalent: "].iter().any(|key| line.starts_with(key))
        };
        let keys: Vec<_> = rest.lines().take_while(is_key).collect();
        let file = keys.iter().find_map(|line| line.strip_prefix("file: ")).unwrap();
        let body: String = rest.lines().skip(keys.len()).map(|line| format!("{line}\n")).collect();
        let (old, _) = body.split_once("=>\n").unwrap();
        assert_eq!(read(file).matches(old).count(), 1, "{name}: {file} has changed");
    }
}
