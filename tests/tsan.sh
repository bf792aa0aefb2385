#!/bin/sh
# Looks for data races among the threads of one process: unit tests, and tests/threads.rs. A race is a failure.
#
# The compiler of the stable toolchain has the sanitizer, but hides it. The standard library is not built with it, so what
# it orders by fences and futexes is not seen: tests/tsan.txt. Not seen either: races between processes, and between a block's
# writer and its readers, for they use two mappings, which the sanitizer takes for different memory.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
export CARGO_TARGET_DIR=target/tsan
export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.txt history_size=4 ${TSAN_OPTIONS:-}"
export INPLACE_THREAD_ROUNDS="${INPLACE_THREAD_ROUNDS:-200}"
cargo test --target "$host" --lib --test threads -- --test-threads=2
