"""What stands in the text without any model: tokens, position and sentence number, as features of baselines."""

from __future__ import annotations

import numpy as np

from multidir.methods.probe_rows import ProbeRows
from multidir.store.activations import ActivationStore
from multidir.types import FloatArray, IntArray

_RARE = 5
"""A token that fewer sentences have gets no feature of its own."""


def surface_features(store: ActivationStore, rows: ProbeRows, offset: int, tokens: int = 3) -> dict[str, FloatArray]:
    """Features of every baseline by name, (n, f) float32 each.

    Args:
        store: whose tokens.
        rows: sentences.
        offset: the last token that is looked at, where the probe looks.
        tokens: how many tokens up to there are known by identity.
    """
    before = [store.token_ids[rows.start + offset - back] for back in range(tokens) if offset - back >= rows.offsets[0]]
    words = np.concatenate([one_hot(ids) for ids in before], axis=1)
    position, index = curves(rows.position + offset), curves(rows.index)
    return {
        "tokens": words,
        "position": position,
        "sentence number": index,
        "all of these": np.concatenate([words, position, index], axis=1),
    }


def one_hot(ids: IntArray) -> FloatArray:
    """(n, f) float32: one column per token id that is not rare."""
    names, place, often = np.unique(ids, return_inverse=True, return_counts=True)
    found = (place[:, None] == np.flatnonzero(often >= min(_RARE, often.max()))[None]).astype(np.float32)
    return found if names.size else np.zeros((len(ids), 1), np.float32)


def curves(number: IntArray) -> FloatArray:
    """(n, 3) float32: a count, its root and its logarithm, so that a linear probe can bend."""
    x = np.maximum(number, 0).astype(np.float64)
    return np.stack([x, np.sqrt(x), np.log1p(x)], axis=1).astype(np.float32)
