"""Kills a writer at random moments and checks what is left; run by test_faults, or by hand:

    python -m tests.store.killing --kills 100

Each time the store must open, hold whole verified shards only, and go on to the same bytes as an
uninterrupted one. The writer is forked from a process without threads, so that starting it costs nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from multidir.errors import FormatError
from multidir.store.activations import ActivationStore
from tests.store.stores import ANNOTATOR, activations_of, folder_bytes, make_sentences, make_traces, spec, values_of

TRACES = make_traces(np.random.default_rng(0).integers(1, 30, size=60).tolist())
SENTENCES = make_sentences(TRACES, np.random.default_rng(1))


def capture(path: Path) -> None:
    """What a capture does: continue where the folder stands, close, put the labels."""
    with ActivationStore.create(path, spec()) as writer:
        done = writer.done
        for trace in TRACES:
            if trace.id not in done:
                writer.append(trace, activations_of(trace, spec()))
    ActivationStore.open(path).put_labels(ANNOTATOR, SENTENCES, window=(-2, 1))


def killed(path: Path, after: float) -> bool:
    """Run `capture` in a process of its own and kill it after some seconds; whether it came to its end before."""
    child = os.fork()
    if child == 0:
        capture(path)
        os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def check(path: Path) -> int:
    """Traces in the store; fails when it is anything but whole, verified and right."""
    if not (path / "manifest.json").exists():
        return 0
    store = ActivationStore.open(path)
    problems = store.verify()
    if problems:
        raise FormatError("; ".join(problems))
    for trace, info in zip(TRACES, store.traces, strict=False):
        key = spec().keys[-1]
        if info.id != trace.id or not np.array_equal(
            store.rows(*key, store.trace_rows(info.id)), values_of(trace, key)
        ):
            raise FormatError(f"trace {trace.id} is not what was captured")
    return store.n_traces


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, kills, finished, partial = np.random.default_rng(args.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        capture(Path(folder) / "reference")
        whole = time.perf_counter() - start
        reference = folder_bytes(Path(folder) / "reference")
        while kills < args.kills:
            path = Path(folder) / "store"
            complete = False
            while not complete:
                complete = kills >= args.kills or killed(path, float(rng.uniform(0, whole / 2)))
                kills += not complete
                if not complete:
                    partial += 0 < check(path) < len(TRACES)
            capture(path)
            if folder_bytes(path) != reference:
                raise FormatError(f"after {kills} kills the finished store differs from an uninterrupted one")
            finished += 1
            shutil.rmtree(path)
    sys.stdout.write(
        f"{kills} kills, {partial} with a part of the traces stored, {finished} stores finished identical\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
