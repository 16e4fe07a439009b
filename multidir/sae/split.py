"""Rows held out from training, whole traces or prompts at a time: neighbours in a text are no independent test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from multidir.errors import DesignError
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray, IntArray

Unit = Literal["prompt", "trace"]


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows are for what; the first position of each text is in none of them."""

    train: BoolArray
    """(n,) rows to learn from."""
    held_out: IntArray
    """(m,) rows that nothing is learned from but the one number by which thresholds are calibrated."""
    unit: IntArray
    """(n,) number of the prompt or trace of each row."""


def split_rows(store: ActivationStore, share: float, by: Unit, seed: int, most: int = 16_384) -> Split:
    """Hold out a share of the prompts or traces.

    Args:
        store: where the rows are.
        share: of the units; at least two are held out, so that intervals over them exist.
        by: the unit; with `prompt` all traces of a prompt go the same way.
        seed: decides which.
        most: held-out rows at most; more are thinned out at random.

    Raises:
        DesignError: fewer than four units, or a share that leaves nothing to learn from.
    """
    names = [info.prompt_id if by == "prompt" else info.id for info in store.traces]
    unique, of_trace = np.unique(names, return_inverse=True)
    held = max(2, round(share * len(unique)))
    if not 0 < share < 1 or len(unique) < 4 or held > len(unique) - 1:
        raise DesignError(
            f"cannot hold out {share:g} of {len(unique)} {by}s: that takes a share between 0 and 1, at least four "
            f"{by}s, and one that stays; capture more, or split by {'trace' if by == 'prompt' else 'prompt'}"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(unique))
    unit = of_trace[store.trace_index]
    later = store.position > 0
    out = np.flatnonzero(np.isin(unit, order[:held]) & later)
    thinned = np.sort(rng.choice(out, min(most, len(out)), replace=False))
    return Split(np.isin(unit, order[held:]) & later, thinned, unit)
