"""A store with a planted direction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore, StoreSpec
from tests.methods.planted import ANNOTATOR, N_TOKENS, N_TRACES, OFFSETS, PLANTED, SITE, D, sentences


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    rng = np.random.default_rng(7)
    path: Path = tmp_path_factory.mktemp("planted") / "store"
    spec = StoreSpec(
        models={role: {"fingerprint": role} for role in PLANTED}, sites=(SITE,), d=D, dtype="float32", shard_rows=500
    )
    everything: list[Sentence] = []
    traces = [Trace(f"t{i}", f"p{i}", "verbal", tuple(range(N_TOKENS)), 5, "x" * N_TOKENS) for i in range(N_TRACES)]
    with ActivationStore.create(path, spec, traces) as writer:
        for trace in traces:
            own = sentences(trace.id, rng)
            offset = rng.normal(size=D)
            shared = rng.normal(size=(N_TOKENS, D))
            rows = {}
            for role, vector in PLANTED.items():
                x = (offset + shared + 0.3 * rng.normal(size=(N_TOKENS, D))).astype(np.float32)
                for sentence in own:
                    if sentence.label == "backtracking":
                        x[sentence.token_start + OFFSETS[0] : sentence.token_start + OFFSETS[1] + 1] += vector
                rows[role, SITE] = x
            writer.append(trace.id, rows)
            everything += own
    opened = ActivationStore.open(path)
    opened.put_labels(ANNOTATOR, everything)
    return opened
