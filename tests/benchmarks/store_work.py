"""What the store's benchmark works on: synthetic activations, stores of them, and the peers it is measured against."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore
from multidir.store.spec import StoreSpec

D = 4096
ROW_BYTES = D * 2
SITE = Site(10)
IDS = tuple(range(16_384))


def bits(n: int, seed: int) -> np.ndarray:
    """(n, D) bfloat16 bits of normal values with a few loud channels."""
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(rng.standard_normal((n, D), dtype=np.float32))
    values[:, :8] *= 60
    return values.to(torch.bfloat16).view(torch.uint16).numpy()


def trace_of(number: int, n: int) -> Trace:
    return Trace(f"trace_{number:05d}", f"p{number}", "math", IDS[:n], 10, "x" * 10)


def spec_of(shard_rows: int = 0) -> StoreSpec:
    return StoreSpec({"base": {"id": "synthetic"}}, (SITE,), D, shard_rows=shard_rows)


def write_store(path: Path, source: np.ndarray, lengths: Iterator[int], total: int, shard_rows: int = 0) -> None:
    """Append traces of the given lengths, taking their rows from `source` over and over."""
    tensor, traces, done = torch.from_numpy(source).view(torch.bfloat16), [], 0
    while done < total:
        n = min(next(lengths), total - done)
        traces.append(trace_of(len(traces), n))
        done += n
    at = 0
    with ActivationStore.create(path, spec_of(shard_rows), traces) as writer:
        for trace in traces:
            n = len(trace.token_ids)
            at %= len(source) - n + 1
            writer.append(trace.id, {("base", SITE): tensor[at : at + n]})
            at += n


def lengths_of_traces(seed: int) -> Iterator[int]:
    """Lengths as reasoning traces have them: median about 2000 tokens, long tail."""
    rng = np.random.default_rng(seed)
    while True:
        yield int(np.clip(rng.lognormal(7.5, 0.6), 200, 8000))


def sentences_of(store: ActivationStore, length: int) -> list[Sentence]:
    """Sentences of equal length with random labels over every trace."""
    rng = np.random.default_rng(6)
    return [
        Sentence(info.id, i, 10 * i, 10 * i + 10, at, at + length, "abc"[rng.integers(3)], "rule/1")
        for info in store.traces
        for i, at in enumerate(range(0, info.n_tokens - length + 1, length))
    ]


def constant(n: int) -> Iterator[int]:
    while True:
        yield n


@contextmanager
def folder(base: Path | None) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="multidir-bench-", dir=base))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def forget(path: Path) -> None:
    """Drop the pages of a file from the page cache."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def read_through(path: Path, size: int = 8 << 20) -> None:
    buffer = bytearray(size)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def fill_map(path: Path, source: np.ndarray, step: int, total: int) -> None:
    target = np.memmap(path, np.uint16, "w+", shape=(total, D))
    for start in range(0, total, step):
        at = start % (len(source) - step + 1)
        target[start : start + step] = source[at : at + step]
    target.flush()
    with path.open("rb+") as file:
        os.fsync(file.fileno())
