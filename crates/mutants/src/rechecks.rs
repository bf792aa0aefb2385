//! Every change of `rechecks.txt`, each in a copy of the tree.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Tally;
use crate::models::{Models, two_at_a_time};

/// One change: in `file`, `old` becomes `new`.
struct Change {
    name: String,
    file: String,
    old: String,
    new: String,
    /// Models whose names contain one of these are tried first.
    first: Vec<String>,
    /// Why no model can notice.
    excuse: Option<String>,
}

/// Blocks of `## name`, `file:`, perhaps `try:` or `equivalent:`, then the old text, `=>`, the new text.
fn changes(root: &Path) -> Vec<Change> {
    let text = std::fs::read_to_string(root.join("crates/mutants/rechecks.txt"))
        .expect("rechecks.txt can be read");
    text.split("\n## ").skip(1).map(parse).collect()
}

fn parse(block: &str) -> Change {
    let (name, rest) = block.split_once('\n').expect("a name and a change");
    let is_key =
        |line: &&str| ["file: ", "try: ", "equivalent: "].iter().any(|key| line.starts_with(key));
    let keys: Vec<_> = rest.lines().take_while(is_key).collect();
    let value = |key: &str| keys.iter().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    let body: String = rest.lines().skip(keys.len()).map(|line| format!("{line}\n")).collect();
    let (old, new) = body.split_once("=>\n").unwrap_or_else(|| panic!("no change in {name}"));
    Change {
        name: name.trim().to_owned(),
        file: value("file: ").unwrap_or_else(|| panic!("no file in {name}")),
        old: old.to_owned(),
        new: new.trim_end_matches('\n').to_owned() + if new.trim().is_empty() { "" } else { "\n" },
        first: value("try: ").unwrap_or_default().split(' ').map(str::to_owned).collect(),
        excuse: value("equivalent: "),
    }
}

fn copy_tree(root: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git lists the tree");
    for file in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|file| !file.is_empty())
    {
        let (from, to) = (root.join(file), to.join(file));
        std::fs::create_dir_all(to.parent().expect("inside the tree")).expect("a folder");
        if from.is_file() {
            std::fs::copy(from, to).expect("a copy");
        }
    }
}

/// The first model that fails with a change; `Err` when it does not apply or compile.
fn try_change(change: &Change, tree: &Path) -> Result<Option<String>, String> {
    let path: PathBuf = tree.join(&change.file);
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    if text.matches(&change.old).count() != 1 {
        return Err("its old text is not there once".to_owned());
    }
    std::fs::write(&path, text.replace(&change.old, &change.new)).map_err(|e| e.to_string())?;
    let built = Models::build(tree, &tree.join("../build"));
    let caught = built.map(|models| {
        let is_first = |name: &&String| {
            change.first.iter().any(|part| !part.is_empty() && name.contains(part.as_str()))
        };
        let (mut order, rest): (Vec<_>, Vec<_>) = models.names.iter().partition(is_first);
        if std::env::var_os("INPLACE_QUICK").is_none() {
            order.extend(rest);
        }
        let pairs: Vec<_> = order.chunks(2).map(<[_]>::to_vec).collect();
        pairs.iter().find_map(|pair| {
            let failed = two_at_a_time(pair, |name| !models.run(name, &[]).has_passed);
            pair.iter().zip(failed).find(|(_, failed)| *failed).map(|(name, _)| (*name).clone())
        })
    });
    std::fs::write(&path, text).map_err(|error| error.to_string())?;
    caught.ok_or_else(|| "it does not compile".to_owned())
}

pub fn run(root: &Path, only: &str) -> Tally {
    let tree = root.join("target/mutants/tree");
    copy_tree(root, &tree);
    let mut tally = Tally::default();
    let trusts_excuses = std::env::var_os("INPLACE_TRUST").is_some();
    let is_chosen = |change: &&Change| {
        only.split(',').any(|each| change.name.contains(each) || change.file.contains(each))
    };
    for change in changes(root).iter().filter(is_chosen) {
        if trusts_excuses && change.excuse.is_some() {
            tally.note(&change.name, None, change.excuse.as_deref());
            continue;
        }
        match try_change(change, &tree) {
            Ok(caught) => tally.note(&change.name, caught.as_deref(), change.excuse.as_deref()),
            Err(why) => {
                tally.missed += 1;
                println!("MISSED      {}: {why}", change.name);
            }
        }
    }
    tally
}
