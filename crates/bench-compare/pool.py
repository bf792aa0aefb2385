"""Arrays of 64 MiB mapped over two workers of Python's multiprocessing.Pool: what `cargo bench --bench pool` measures.

    python3 pool.py [ARRAYS [ROUNDS]]

Prints the time of each array and the most memory (PSS) of all processes, in the columns of the benchmark. Without numpy the
arrays are of the module `array`, whose sum is slow: then look at `to arrays`, which is copied only.
"""

import multiprocessing
import os
import statistics
import sys
import threading
import time

NUMBERS = 8 << 20
WORKERS = 2

try:
    import numpy

    ARRAY = numpy.full(NUMBERS, 0.5)

    def to_sum(numbers):
        return float(numbers.sum())

    def to_array(numbers):
        return numbers * 2.0 + 1.0

except ImportError:
    import array

    ARRAY = array.array("d", [0.5]) * NUMBERS

    def to_sum(numbers):
        return sum(numbers)

    def to_array(numbers):
        return numbers


def pss(process):
    try:
        with open(f"/proc/{process}/smaps_rollup") as rollup:
            for line in rollup:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def peak(processes, work):
    is_over = threading.Event()
    most = [0.0]

    def look():
        while not is_over.wait(0.01):
            most[0] = max(most[0], sum(map(pss, processes)))

    looking = threading.Thread(target=look)
    looking.start()
    work()
    is_over.set()
    looking.join()
    return most[0]


def main():
    arrays = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    context = multiprocessing.get_context("fork")
    print(f"arrays of 64 MiB over {WORKERS} workers: time of each, and the most memory of all processes")
    for work, name in [(to_sum, "to their sums"), (to_array, "to arrays")]:
        with context.Pool(WORKERS) as pool:

            def run():
                for _ in pool.imap_unordered(work, (ARRAY for _ in range(arrays))):
                    pass

            run()
            times = []
            for _ in range(rounds):
                start = time.perf_counter()
                run()
                times.append((time.perf_counter() - start) * 1e3 / arrays)
            family = [os.getpid()] + [child.pid for child in multiprocessing.active_children()]
            print(f"  {name:<14} Pool       {statistics.median(times):>8.1f} ms {peak(family, run):>7.0f} MiB")


if __name__ == "__main__":
    main()
