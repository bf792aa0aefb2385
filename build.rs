//! Refuses platforms the layout is not made for, and stamps the layout fingerprint and the version.

use std::path::Path;
use std::process::Command;

fn main() {
    let cfg = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let (os, width, endian) = (cfg("OS"), cfg("POINTER_WIDTH"), cfg("ENDIAN"));
    if os != "linux" || width != "64" || endian != "little" {
        println!(
            "cargo::error=inplace runs on 64-bit little-endian Linux only (OFD locks, futex, memfd, 64-bit offsets); \
             the target is {width}-bit {endian}-endian {os}"
        );
        return;
    }
    println!("cargo::rustc-env=INPLACE_LAYOUT_FINGERPRINT={}", layout_fingerprint());
    println!("cargo::rustc-env=INPLACE_BUILD={}", build_name());
}

/// FNV-1a over the sources that define the layout, comments and blank lines left out: two builds with other layouts
/// never open each other's regions.
fn layout_fingerprint() -> u64 {
    let dir = Path::new("src/layout");
    println!("cargo::rerun-if-changed={}", dir.display());
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display()))
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .filter(|path| !path.ends_with("tests.rs"))
        .collect();
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()));
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines =
            code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        for byte in lines.flat_map(|line| line.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

fn build_name() -> String {
    println!("cargo::rerun-if-changed=.git/HEAD");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .filter(|commit| !commit.is_empty());
    match commit {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    }
}
