"""A pool of processes that sums arrays of 64 MiB: `multiprocessing.Pool`, which pickles each into a pipe.

    python3 src/pool.py [ARRAYS] [PROCESSES]

Prints the time per array, and the most memory that all processes had at once: the sum of their shares (PSS).
"""

import multiprocessing
import sys
import threading
import time
from pathlib import Path

BYTES = 64 << 20

try:
    import numpy

    KIND = "NumPy array"

    def make(first):
        return numpy.arange(first, first + BYTES // 8, dtype=numpy.int64)

    def total(numbers):
        return int(numbers.sum())

except ImportError:
    import array

    KIND = "array.array"

    def make(first):
        return array.array("q", range(first, first + BYTES // 8))

    def total(numbers):
        return sum(numbers)


def pss(process):
    """Bytes of a process, shared ones by how many share them; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


class Watch(threading.Thread):
    """Looks at the memory of some processes every 20 ms."""

    def __init__(self, processes):
        super().__init__(daemon=True)
        self.processes, self.most, self.is_over = processes, 0, threading.Event()

    def run(self):
        while not self.is_over.wait(0.02):
            self.most = max(self.most, sum(map(pss, self.processes)))


def main():
    count, processes = (int(given) for given in (sys.argv[1:] + ["8", "2"][len(sys.argv) - 1 :])[:2])
    arrays = [make(first) for first in range(count)]
    with multiprocessing.Pool(processes) as pool:
        children = [child.pid for child in multiprocessing.active_children()]
        watch = Watch([multiprocessing.process.current_process().pid, *children])
        before = sum(map(pss, watch.processes))
        watch.start()
        start = time.perf_counter()
        totals = pool.map(total, arrays, chunksize=1)
        elapsed = time.perf_counter() - start
        watch.is_over.set()
        watch.join()
    length = BYTES // 8
    assert totals == [first * length + length * (length - 1) // 2 for first in range(count)]
    mine = time.perf_counter()
    total(arrays[0])
    mine = time.perf_counter() - mine
    print(f"{count} × 64 MiB, {KIND}, {processes} processes")
    print(f"  per array {elapsed / count * 1e3:.0f} ms; summed by one process itself {mine * 1e3:.0f} ms")
    print(f"  memory of all before {before >> 20} MiB, at most {watch.most >> 20} MiB")


if __name__ == "__main__":
    main()
