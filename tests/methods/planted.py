"""Traces with a planted direction: rows before backtracking sentences are shifted by a known vector."""

from __future__ import annotations

import numpy as np

from multidir.records.site import Site
from multidir.records.text import Sentence

D, N_TRACES, N_TOKENS, STEP = 12, 40, 120, 10
SITE = Site(1)
ANNOTATOR = "planted/1"
OFFSETS = (-6, -4)
PLANTED = {"base": np.eye(D)[0] * 2, "reasoning": np.eye(D)[0] * 2 + np.eye(D)[1] * 2}
LABELS = ("backtracking", "deduction", "initializing")


def sentences(trace_id: str, rng: np.random.Generator) -> list[Sentence]:
    """One sentence every STEP tokens, from the first; one is not labelled."""
    labels: list[str | None] = [str(rng.choice(LABELS[:2], p=[0.3, 0.7])) for _ in range(N_TOKENS // STEP)]
    labels[0], labels[1] = "initializing", None
    return [
        Sentence(trace_id, i, i * STEP, (i + 1) * STEP, max(i * STEP, 1), (i + 1) * STEP, label, ANNOTATOR)
        for i, label in enumerate(labels)
    ]
