"""Rows made of known features: builders for the tests of this layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from multidir.records.site import Site
from multidir.records.text import Trace
from multidir.sae.dictionary import Dictionary
from multidir.sae.export import as_trained, finished
from multidir.sae.learner import Learner
from multidir.sae.spec import DictionarySpec, Training
from multidir.store.activations import ActivationStore
from multidir.store.spec import Key, StoreSpec

ARCHITECTURES = ("topk", "batchtopk", "jumprelu", "matryoshka", "standard", "crosscoder")


def features(count: int, d: int, seed: int = 0) -> Tensor:
    """(count, d) random unit rows."""
    return normalize(torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def sparse_rows(dictionary: Tensor, n: int, active: float, seed: int) -> Tensor:
    """(n, d) sums of a few features each, scaled to a mean square of 1 per channel."""
    rng = torch.Generator().manual_seed(seed)
    shape = (n, len(dictionary))
    on = torch.rand(shape, generator=rng, dtype=torch.float64) < active / len(dictionary)
    rows = (on * (1 + torch.rand(shape, generator=rng, dtype=torch.float64))) @ dictionary
    return rows / rows.square().mean().sqrt()


def spec_of(architecture: str, d: int = 16, width: int = 40, k: int = 4, **changes: object) -> DictionarySpec:
    nested = (width // 8, width // 2) if architecture == "matryoshka" else ()
    return DictionarySpec(**{"architecture": architecture, "d": d, "width": width, "k": k, "nested": nested, **changes})


def learner_of(spec: DictionarySpec, rows: Tensor, dtype: torch.dtype = torch.float64, **training: object) -> Learner:
    settings = {"steps": 100, "batch": len(rows), "l1_weight": 0.05, "l0_weight": 0.05, "bandwidth": 0.5, **training}
    sample = rows.to(dtype)
    return Learner(spec, Training(**settings), sample, sample.mean(0))


def dictionary_of(learner: Learner, scale: Tensor, rows: Tensor, facts: dict[str, Any]) -> Dictionary:
    """What training leaves: it reads rows as they are stored."""
    return finished(as_trained(learner, facts), scale, rows, learner.spec.k)


BASE: Key = ("base", Site(2))
REASONING: Key = ("reasoning", Site(2))
MODELS = {
    "base": {"source": "the/base", "fingerprint": "0"},
    "reasoning": {"id": "the/reasoning"},  # a store of another program need not tell more
}


def planted_store(
    path: Path, traces: int = 20, tokens: int = 40, d: int = 16, edit=lambda rows: rows
) -> ActivationStore:
    """A store of two models at one site whose rows are sums of known features; two traces to a prompt."""
    dictionary = features(2 * d, d)
    spec = StoreSpec(models=MODELS, sites=(Site(2),), d=d, dtype="float32", shard_rows=5 * tokens)
    ids = [tuple(np.random.default_rng(i).integers(50, size=tokens).tolist()) for i in range(traces)]
    written = [Trace(f"t{i}", f"p{i // 2}", "c", read, 2, "x" * tokens, "m") for i, read in enumerate(ids)]
    with ActivationStore.create(path, spec, written) as writer:
        for i, trace in enumerate(written):
            rows = edit((sparse_rows(dictionary, tokens, 3, seed=i) * 5).float().numpy())
            writer.append(trace.id, {BASE: rows, REASONING: 2 * rows})
    return ActivationStore.open(path)
