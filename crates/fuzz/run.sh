#!/usr/bin/env bash
# Builds every fuzz target with libFuzzer and coverage, and runs each for some seconds: run.sh [SECONDS [TARGET…]].
# Stable Rust and a C++ compiler. What is found is left in target/fuzz/found; make a test of it in tests/hostile_*.rs.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-10}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(file control payload wire names)

if ! command -v "${CXX:-c++}" >/dev/null 2>&1; then
  echo 'libFuzzer is built from C++: no compiler found; trying to install one' >&2
  apt-get install -y g++ || { echo 'install a C++ compiler, or name one in CXX' >&2; exit 1; }
fi

# What cargo-fuzz would set. Every edge has a counter, and comparisons with constants are seen.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --target "$host"
built=target/$host/release

work=target/fuzz
mkdir -p "$work/found"
"$built/seeds" "$work/corpus"
for target in "${targets[@]}"; do
  printf '\n== %s, %s seconds\n' "$target" "$seconds"
  mkdir -p "$work/corpus/$target"
  "$built/$target" "$work/corpus/$target" -max_total_time="$seconds" -max_len=2000 -len_control=0 -timeout=20 -rss_limit_mb=2048 \
    -artifact_prefix="$work/found/$target-" -print_final_stats=1 -verbosity=1 2>&1 |
    grep -vE '^(#[0-9]+\s+(NEW|REDUCE|pulse|RELOAD)|INFO: (seed corpus|Loaded|found|-max))' || status=${PIPESTATUS[0]}
  rm -f /dev/shm/inplace.fuzz-*
  [ "${status:-0}" -eq 0 ] || exit "$status"
done
