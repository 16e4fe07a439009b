"""Kills a writer or a whole capture at random moments and checks what is left; run by test_faults, or by hand:

    python -m tests.store.killing --kills 100 --what capture

Each time the store must open, hold whole verified shards only, have lost the shard in progress and no more,
and go on to the same bytes as an uninterrupted one. The work is forked from a process without threads, so
that starting it costs nothing.
"""

from __future__ import annotations

import argparse
import mmap
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from multidir.errors import FormatError
from multidir.store.activations import ActivationStore
from multidir.store.portions import portions
from multidir.store.writer import StoreWriter
from tests.store.stores import ANNOTATOR, activations_of, folder_bytes, make_sentences, make_traces, spec

LENGTHS = np.random.default_rng(0).integers(1, 30, size=60).tolist()
TRACES = make_traces(LENGTHS)
SENTENCES = make_sentences(TRACES, np.random.default_rng(1))
SHARD_ROWS = spec().shard_rows
ENDS = [0, *(portion[-1] + 1 for portion in portions(LENGTHS, SHARD_ROWS))]
"""Traces up to the end of each shard."""

Work = Callable[[Path], None]
"""Continue where the folder stands, close, put the labels."""


def write(path: Path) -> None:
    """The store alone."""
    with ActivationStore.create(path, spec(), TRACES) as writer:
        for trace in writer.missing:
            writer.append(trace.id, activations_of(trace, spec()))
    ActivationStore.open(path).put_labels(ANNOTATOR, SENTENCES, window=(-2, 1))


def capture(folder: Path) -> Work:
    """Both models of a pair, at two sites, from their checkpoints to the labels."""
    from tqdm import tqdm

    from tests.experiments.tiny_store import capture_tiny, save_pair

    tqdm.set_lock(threading.RLock())  # its own lock is shared by forked processes, and stays locked when one is killed
    pair = save_pair(folder)
    return lambda path: capture_tiny(path, pair, TRACES, SENTENCES, SHARD_ROWS)


class Child(NamedTuple):
    """Work in a process of its own, and how many traces it has appended."""

    pid: int
    appended: mmap.mmap


def start(work: Work, path: Path) -> Child:
    appended = mmap.mmap(-1, 1)  # shared with the child
    pid = os.fork()
    if pid == 0:
        real = StoreWriter.append

        def counted(writer: StoreWriter, *arguments: object) -> None:
            real(writer, *arguments)  # type: ignore[arg-type]
            appended[0] += 1

        StoreWriter.append = counted  # type: ignore[assignment]
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work(path)
        os._exit(0)
    return Child(pid, appended)


def finish(child: Child) -> bool:
    """Wait for its end; whether it was a good one."""
    return os.waitpid(child.pid, 0)[1] == 0


def check(path: Path, before: int, appended: int) -> int:
    """Traces in the store; fails when it is anything but whole and verified, or has lost more than one shard."""
    if not (path / "manifest.json").exists():
        return 0
    store = ActivationStore.open(path, verify=True)
    if [info.id for info in store.traces] != [trace.id for trace in TRACES[: store.n_traces]]:
        raise FormatError("the traces are not those that were captured, in their order")
    kept = max(end for end in ENDS if end <= before + appended)
    if store.n_traces not in ENDS or store.n_traces < kept:
        raise FormatError(f"{before + appended} traces were appended, {kept} had to be kept, {store.n_traces} are left")
    return store.n_traces


def kill_often(work: Work, folder: Path, wanted: int, rng: np.random.Generator) -> tuple[int, int]:
    """Kill as often as wanted; how many kills left a part of the traces, and how many stores were finished."""
    begin = time.perf_counter()
    if not finish(start(work, folder / "reference")):
        raise FormatError("the work does not come to its end without a kill either")
    whole, reference = time.perf_counter() - begin, folder_bytes(folder / "reference")
    kills = partial = finished = stored = 0
    while kills < wanted or stored:
        child = start(work, folder / "store")
        if kills < wanted:
            time.sleep(float(rng.uniform(0, whole / 2)))
            os.kill(child.pid, signal.SIGKILL)
        if finish(child):
            if folder_bytes(folder / "store") != reference:
                raise FormatError(f"after {kills} kills the finished store differs from an uninterrupted one")
            finished, stored = finished + 1, 0
            shutil.rmtree(folder / "store")
        else:
            kills, stored = kills + 1, check(folder / "store", stored, child.appended[0])
            partial += 0 < stored < len(TRACES)
    return partial, finished


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--what", choices=("writer", "capture"), default="writer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = write if args.what == "writer" else capture(Path(folder))
        partial, finished = kill_often(work, Path(folder), args.kills, np.random.default_rng(args.seed))
    sys.stdout.write(
        f"{args.kills} kills, {partial} with a part of the traces stored, {finished} stores finished identical\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
