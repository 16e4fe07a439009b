"""Small stores with known content: the builders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore
from multidir.store.bf16 import decode, to_bits
from multidir.store.shuffle import ShufflePlan
from multidir.store.spec import Key, StoreSpec

D = 6
SITES = (Site(2), Site(3, "resid_pre"))
ANNOTATOR = "grammar/1"
LENGTHS = (17, 20, 5, 60, 1, 30, 9, 25)


def spec(**changes: Any) -> StoreSpec:
    """A spec of two models and two sites, 40 rows to a shard."""
    models = {"base": {"id": "b", "fingerprint": "0"}, "reasoning": {"id": "r", "fingerprint": "1"}}
    facts = {"models": models, "sites": SITES, "d": D, "shard_rows": 40, "provenance": {"prompts": "abc"}}
    return StoreSpec(**{**facts, **changes})


def make_traces(lengths: Sequence[int], first: int = 0) -> list[Trace]:
    """Traces of given lengths, with a text of one character per token."""
    return [
        Trace(
            f"t{i}",
            f"p{i // 2}",
            "cät",
            tuple(range(i, i + n)),
            min(2, n),
            "é" * n,
            "m",
            {"seed": i},
            finished=i % 2 == 0,
        )
        for i, n in enumerate(lengths, start=first)
    ]


def values_of(trace: Trace, key: Key) -> np.ndarray:
    """(t, d) float32 activations of a trace at a key, exact in bfloat16, always the same."""
    seed = [*trace.id.encode(), *str(key).encode()]
    raw = np.random.default_rng(seed).normal(size=(len(trace.token_ids), D)).astype(np.float32)
    return decode(to_bits(raw), "bfloat16")


def activations_of(trace: Trace, store_spec: StoreSpec) -> dict[Key, np.ndarray]:
    return {key: values_of(trace, key) for key in store_spec.keys}


def write(path: Path, traces: Sequence[Trace], store_spec: StoreSpec | None = None) -> ActivationStore:
    """A store of traces, closed and opened again."""
    store_spec = store_spec or spec()
    with ActivationStore.create(path, store_spec, traces) as writer:
        for trace in writer.missing:
            writer.append(trace.id, activations_of(trace, store_spec))
    return ActivationStore.open(path)


def make_sentences(traces: Sequence[Trace], rng: np.random.Generator, annotator: str = ANNOTATOR) -> list[Sentence]:
    """Sentences of two to five tokens with labels a, b, c, or none."""
    found = []
    for trace in traces:
        start, index = 0, 0
        while start < len(trace.token_ids):
            end = min(len(trace.token_ids), start + int(rng.integers(2, 6)))
            label = [None, "a", "b", "c"][int(rng.integers(4))]
            found.append(Sentence(trace.id, index, start, end, start, end, label, annotator))
            start, index = end, index + 1
    return found


def folder_bytes(path: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def planned_batches(plan: ShufflePlan, epoch: int) -> Iterator[np.ndarray]:
    """Row numbers of every batch of an epoch; the last one may be short."""
    size, left = plan.settings.batch_rows, np.zeros(0, np.int64)
    for number, blocks in enumerate(plan.fills(epoch)):
        left = np.concatenate([left, plan.rows(blocks)[plan.order(epoch, number)]])
        whole = len(left) // size * size
        yield from left[:whole].reshape(-1, size)
        left = left[whole:]
    if len(left):
        yield left
