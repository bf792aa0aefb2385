#!/bin/sh
# all models, quiet traces; about 5 minutes on two cores
cd "$(dirname "$0")" && cargo build --release -q
for m in m1_pins m2_arena m3_wait m4_cell m5_queue m6_fork m7_names m8_ids m9_bound m10_lease m11_topic m12_owned; do
    TRACE=0 ./target/release/$m
done
