"""Traces with a planted direction: rows before backtracking sentences are shifted by a known vector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from multidir.linalg.contrast import MeanRule, Reference
from multidir.methods.diffmeans import TraceSums
from multidir.methods.window_rules import Offsets
from multidir.records.direction import Direction
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore
from multidir.store.spec import StoreSpec
from multidir.types import Role

D, N_TRACES, N_TOKENS, STEP = 12, 40, 120, 10
SITE = Site(1)
ANNOTATOR = "planted/1"
OFFSETS = (-6, -4)
PLANTED = {"base": np.eye(D)[0] * 2, "reasoning": np.eye(D)[0] * 2 + np.eye(D)[1] * 2}
LABELS = ("backtracking", "deduction", "initializing")


def diffmeans(
    store: ActivationStore,
    role: Role,
    label: str,
    offsets: Offsets = OFFSETS,
    mean: MeanRule = "token",
    reference: Reference = "all",
) -> Direction:
    return TraceSums.read(store, role, SITE, ANNOTATOR, offsets).direction(label, mean, reference)


def sentences(trace_id: str, rng: np.random.Generator) -> list[Sentence]:
    """One sentence every STEP tokens, from the first; one is not labelled."""
    labels: list[str | None] = [str(rng.choice(LABELS[:2], p=[0.3, 0.7])) for _ in range(N_TOKENS // STEP)]
    labels[0], labels[1] = "initializing", None
    return [
        Sentence(trace_id, i, i * STEP, (i + 1) * STEP, max(i * STEP, 1), (i + 1) * STEP, label, ANNOTATOR)
        for i, label in enumerate(labels)
    ]


def planted_store(
    path: Path, sites: Sequence[Site] = (SITE,), categories: Sequence[str] = ("verbal",)
) -> ActivationStore:
    """A store of both models; at a second site and in a second category the vectors lie along other axes.

    The shift at the i-th site, in the j-th category, is the planted vector rolled by i + 2 j places.
    """
    rng = np.random.default_rng(7)
    spec = StoreSpec(
        models={role: {"fingerprint": role} for role in PLANTED},
        sites=tuple(sites),
        d=D,
        dtype="float32",
        shard_rows=500,
    )
    everything: list[Sentence] = []
    traces = [
        Trace(f"t{i}", f"p{i}", categories[i % len(categories)], (i, *range(1, N_TOKENS)), 5, "x" * N_TOKENS)
        for i in range(N_TRACES)
    ]
    with ActivationStore.create(path, spec, traces) as writer:
        for i, trace in enumerate(traces):
            j = i % len(categories)
            own = sentences(trace.id, rng)
            offset = rng.normal(size=D)
            shared = rng.normal(size=(N_TOKENS, D))
            rows = {}
            for place, site in enumerate(sites):
                for role, vector in PLANTED.items():
                    x = (offset + shared + 0.3 * rng.normal(size=(N_TOKENS, D))).astype(np.float32)
                    for sentence in own:
                        if sentence.label == "backtracking":
                            rolled = np.roll(vector, place + 2 * j)
                            x[sentence.token_start + OFFSETS[0] : sentence.token_start + OFFSETS[1] + 1] += rolled
                    rows[role, site] = x
            writer.append(trace.id, rows)
            everything += own
    opened = ActivationStore.open(path)
    opened.put_labels(ANNOTATOR, everything)
    return opened
