"""How fast the activation store is against raw memory maps and plain HDF5, and whether its memory stays flat.

    python -m tests.benchmarks.store [--quick] [--json] [--folder DIR]

Every comparison is interleaved (A B A B) in one run, on the same bytes; a value is the median of the ratios.
Files lie in a temporary folder below DIR and are removed. Needs 4 GB of disk, 17 GB without --quick.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from multidir.linalg.contrast import contrast
from multidir.store.activations import ActivationStore
from multidir.store.shuffle import Shuffle, pair_rate
from multidir.store.stream import RowStream
from tests.benchmarks.measure import Row, note, show
from tests.benchmarks.store_work import (
    ROW_BYTES,
    SITE,
    D,
    bits,
    constant,
    fill_map,
    folder,
    forget,
    lengths_of_traces,
    read_through,
    sentences_of,
    write_store,
)
from tests.store.stores import planned_batches


@dataclass(frozen=True)
class Sizes:
    """How much is read and written."""

    gather_rows: int
    stream_rows: int
    write_rows: int
    memory_gb: tuple[float, float]
    repeats: int

    @classmethod
    def of(cls, quick: bool) -> Sizes:
        if quick:
            return cls(32_768, 262_144, 262_144, (1.5, 3.0), 5)
        return cls(131_072, 393_216, 524_288, (1.0, 16.0), 7)


def ratios(ours: Callable[[], float], theirs: Callable[[], float], repeats: int) -> tuple[float, int]:
    """Median of theirs/ours in seconds over interleaved pairs, after one pair that is not counted."""
    found = []
    for turn in range(repeats + 1):
        if turn % 2:
            mine, other = ours(), theirs()
        else:
            other, mine = theirs(), ours()
        found.append(other / mine)
    return statistics.median(found[1:]), repeats


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


def cpu_seconds(work: Callable[[], object]) -> float:
    """For work in memory on one thread: steadier than the clock on a machine that others use too."""
    return seconds(work, time.process_time)


def gather_rows(sizes: Sizes, base: Path) -> list[Row]:
    """Warm random rows against a raw memory map and against chunked HDF5."""
    source = bits(sizes.gather_rows, 0)
    write_store(base / "store", source, constant(2048), len(source), shard_rows=len(source))
    store = ActivationStore.open(base / "store")
    source.tofile(base / "raw")
    raw = np.memmap(base / "raw", np.uint16, "r", shape=source.shape)
    with h5py.File(base / "chunked.h5", "w") as file:
        file.create_dataset("acts", data=source, chunks=(64, D))
    chosen = np.random.default_rng(1).choice(len(source), 2048, replace=False)
    ordered = np.sort(chosen)
    assert np.array_equal(store.raw_rows("base", SITE, chosen), raw[chosen])
    for rows in (store.raw_rows("base", SITE, slice(None)), raw):
        rows.max()  # every page is in memory

    def ours() -> float:
        return cpu_seconds(lambda: [store.raw_rows("base", SITE, chosen) for _ in range(10)]) / 10

    def mapped() -> float:
        return cpu_seconds(lambda: [raw[chosen] for _ in range(10)]) / 10

    against_map, n = ratios(ours, mapped, 3 * sizes.repeats)
    with h5py.File(base / "chunked.h5") as file:
        against_h5py, m = ratios(ours, lambda: cpu_seconds(lambda: file["acts"][ordered]), sizes.repeats)
    return [
        Row("store.warm_gather.memory_map", against_map, "x", "np.memmap of raw bytes", n, at_least=0.9),
        Row("store.warm_gather.h5py_chunked", against_h5py, "x", "h5py fancy index, chunks of 64 rows", m, at_least=50),
    ]


def stream_rows(sizes: Sizes, base: Path) -> list[Row]:
    """A cold shuffled pass against a cold sequential read, and how well the pass mixes."""
    write_store(base / "store", bits(16_384, 2), lengths_of_traces(3), sizes.stream_rows)
    store = ActivationStore.open(base / "store")
    stream = RowStream(store, "base", SITE, Shuffle(batch_rows=4096, seed=0))
    files = [shard.path for shard in store.shards]

    def cold(work: Callable[[], object]) -> float:
        for file in files:
            forget(file)
        return seconds(work)

    def shuffled() -> None:
        for _ in stream.batches(epochs=stream.epoch + 1):
            pass

    speed, n = ratios(lambda: cold(shuffled), lambda: cold(lambda: [read_through(f) for f in files]), sizes.repeats)
    batches = [store.trace_index[rows] for rows in planned_batches(stream.plan, 0) if len(rows) == 4096]
    measured = float(np.mean([pair_rate(b) for b in batches])) / pair_rate(store.trace_index[stream.plan.keep])
    return [
        Row("store.cold_stream.sequential_read", speed, "x", "read() of the same files", n, at_least=0.8),
        Row("store.cold_stream.collisions", measured, "x", "full permutation", len(batches), at_most=1.2),
    ]


def write_rows(sizes: Sizes, base: Path) -> list[Row]:
    """Writing to durable, hashed shards against filling and flushing a memory map."""
    source, step = bits(16_384, 4), 2048

    def ours() -> float:
        took = seconds(lambda: write_store(base / "store", source, constant(step), sizes.write_rows))
        shutil.rmtree(base / "store")
        return took

    def theirs() -> float:
        took = seconds(lambda: fill_map(base / "raw", source, step, sizes.write_rows))
        (base / "raw").unlink()
        return took

    value, n = ratios(ours, theirs, sizes.repeats)
    return [Row("store.write.memory_map", value, "x", "np.memmap, flushed to disk", n, at_least=0.9)]


def exactness(base: Path) -> list[Row]:
    """Difference of means from stored sums against all rows in float64, for several sharding sizes."""
    source, worst = bits(8192, 5), 0.0
    for number, shard_rows in enumerate((500, 3000, 100_000)):
        path = base / f"store{number}"
        write_store(path, source, constant(512), len(source), shard_rows)
        store = ActivationStore.open(path)
        store.put_labels("rule/1", sentences_of(store, 8), window=(-4, 3))
        stored, windows = store.label_sums("base", SITE, "rule/1"), store.windows("rule/1", (-4, 3))
        rows = store.rows("base", SITE, slice(None)).astype(np.float64)
        reference = rows[windows.rows().reshape(-1)].mean(axis=0)
        for label in range(3):
            direct = rows[windows.rows()[windows.label == label].reshape(-1)].mean(axis=0) - reference
            error = np.linalg.norm(contrast(stored.sums, stored.counts, label) - direct) / np.linalg.norm(direct)
            worst = max(worst, float(error))
    return [Row("store.difference_of_means.error", worst, "relative", "all rows in float64", 9, at_most=1e-12)]


PASSES = "write, hash, a shuffled pass, labels with window sums, norms"


def memory(sizes: Sizes, base: Path) -> list[Row]:
    """Peak memory of writing and streaming a large store against a small one, each in its own process."""
    small, large = (peak_memory(gigabytes, base) for gigabytes in sizes.memory_gb)
    name = f"store.peak_memory.{sizes.memory_gb[1]:g}GB_vs_{sizes.memory_gb[0]:g}GB"
    return [
        Row(name, large / small, "x", f"the smaller store: {PASSES}", 1, at_most=1.1),
        Row("store.peak_memory.large_store", large, "MB", "resident, torch and two 512 MiB fills included", 1),
    ]


def peak_memory(gigabytes: float, base: Path) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.store", "--child", str(gigabytes), "--folder", str(base)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def child(gigabytes: float, base: Path) -> None:
    """Write a store, stream it, label it, sum windows and measure norms; print the peak resident memory in MB."""
    with folder(base) as path:
        write_store(path / "store", bits(16_384, 7), lengths_of_traces(8), int(gigabytes * 1e9 / ROW_BYTES))
        store = ActivationStore.open(path / "store", verify=True)
        for _ in RowStream(store, "base", SITE, Shuffle(batch_rows=4096, seed=0)).batches():
            pass
        store.put_labels("rule/1", sentences_of(store, 100), window=(-13, -8))
        store.window_sums("base", SITE, "rule/1", (-13, -8))
        store.norms("base", SITE)
    print(peak_of_this_process())


def peak_of_this_process() -> float:
    """Peak resident memory in MB; getrusage would count that of the parent process at the moment of the fork."""
    status = Path("/proc/self/status")
    if status.exists():
        return float(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


PARTS: dict[str, Callable[[Sizes, Path], list[Row]]] = {
    "gather": gather_rows,
    "stream": stream_rows,
    "write": write_rows,
    "exactness": lambda _, base: exactness(base),
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, about two minutes")
    parser.add_argument("--json", action="store_true", help="one JSON object per row on stdout")
    parser.add_argument("--folder", type=Path, default=None, help="where the files go; measure the disk that you use")
    parser.add_argument("--only", choices=PARTS, nargs="*", default=list(PARTS), help="some of the parts")
    parser.add_argument("--child", type=float, default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.child is not None:
        child(args.child, args.folder)
        return
    rows: list[Row] = []
    for part in args.only:
        with folder(args.folder) as base:
            rows += PARTS[part](Sizes.of(args.quick), base)
        note(f"  {part}: done")
    show("activation store, ratios of speed unless said otherwise", rows, args.json)


if __name__ == "__main__":
    main()
