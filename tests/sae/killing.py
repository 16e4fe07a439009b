"""Kills training at random moments and checks that it goes on to the same bits; run by test_train, or by hand:

    python -m tests.sae.killing --kills 20

The training processes are forked, so that starting one costs nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from multidir.errors import FormatError
from multidir.sae.source import StoreSource
from multidir.sae.spec import Training
from multidir.sae.split import split_rows
from multidir.sae.train import Job, Pace, train
from multidir.store.activations import ActivationStore
from multidir.store.shuffle import Shuffle
from tests.sae.planted import BASE, REASONING, planted_store, spec_of

TRAINING = Training(steps=90, batch=64, lr=3e-3, l1_weight=0.05, l0_weight=0.05, bandwidth=0.5, dead_after=500)
CHECKPOINT = "checkpoint.safetensors"


def fit(folder: Path, store: ActivationStore) -> None:
    """What a training recipe does: go on from the checkpoint to the end."""
    torch.set_num_threads(1)
    jobs = [Job(spec_of(name), (BASE,)) for name in ("topk", "jumprelu")]
    jobs.append(Job(spec_of("crosscoder", d=32), (BASE, REASONING)))
    shuffle = Shuffle(batch_rows=64, seed=0, block_rows=4, buffer_rows=128)
    source = StoreSource(store, (BASE, REASONING), shuffle, split_rows(store, 0.2, "prompt", 0).train)
    train(jobs, source, TRAINING, checkpoint=folder / CHECKPOINT, pace=Pace(log=30, save=3))


def trained(folder: Path, store: ActivationStore, kill_after: float | None = None) -> bool:
    """Train in a process of its own, kill it after some seconds if asked to, and say whether it came to its end."""
    child = os.fork()
    if child == 0:
        fit(folder, store)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0


def paced(folder: Path, store: ActivationStore) -> tuple[float, float]:
    """Train undisturbed; seconds until the first checkpoint, and until the end."""
    start, child = time.perf_counter(), os.fork()
    if child == 0:
        fit(folder, store)
        os._exit(0)
    while not (folder / CHECKPOINT).exists() and not os.waitpid(child, os.WNOHANG)[0]:
        time.sleep(0.002)
    first = time.perf_counter() - start
    os.waitpid(child, 0)
    return first, time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, kills, partly, runs = np.random.default_rng(args.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = planted_store(folder / "store")
        reference = folder / "reference"
        reference.mkdir()
        first, whole = paced(reference, store)
        expected = (reference / CHECKPOINT).read_bytes()
        while kills < args.kills:
            path = folder / f"run-{runs}"
            path.mkdir()
            while kills < args.kills and not trained(path, store, float(rng.uniform(0.9 * first, whole))):
                kills += 1
                partly += (path / CHECKPOINT).exists()
            if not trained(path, store) or (path / CHECKPOINT).read_bytes() != expected:
                raise FormatError(f"after {kills} kills the weights differ from those of an uninterrupted run")
            runs += 1
    sys.stdout.write(f"{kills} kills, {partly} after a checkpoint, {runs} runs finished with the same bits\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
