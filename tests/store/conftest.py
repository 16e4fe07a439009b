"""Small stores with known content: the fixtures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore
from multidir.store.spec import Key
from tests.store.stores import ANNOTATOR, LENGTHS, make_sentences, make_traces, spec, values_of, write


@dataclass
class Made:
    store: ActivationStore
    traces: list[Trace]
    sentences: list[Sentence]

    def all_rows(self, key: Key) -> np.ndarray:
        return np.concatenate([values_of(trace, key) for trace in self.traces])


@pytest.fixture
def made(tmp_path: Path, rng: np.random.Generator) -> Made:
    """A store of eight traces in several shards, labelled."""
    traces = make_traces(LENGTHS)
    store = write(tmp_path / "store", traces)
    sentences = make_sentences(traces, rng)
    store.put_labels(ANNOTATOR, sentences)
    return Made(store, traces, sentences)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., ActivationStore]:
    """Writes a store of given trace lengths under a name."""

    def make(name: str, lengths: Sequence[int] = LENGTHS, **changes: Any) -> ActivationStore:
        return write(tmp_path / name, make_traces(lengths), spec(**changes))

    return make
