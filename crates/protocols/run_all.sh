#!/bin/sh
# all models, quiet traces; about 4 minutes on two cores
cd "$(dirname "$0")" && cargo build --release -q
for m in m1_pins m2_arena m3_wait m4_cell m6_fork m7_names; do TRACE=0 ./target/release/$m; done
