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
    calibrate: IntArray
    """(m,) held-out rows on which thresholds are set."""
    report: IntArray
    """(m,) held-out rows on which results are measured; other units than those for calibration."""
    unit: IntArray
    """(n,) number of the prompt or trace of each row."""


def split_rows(store: ActivationStore, share: float, by: Unit, seed: int, most: int = 16_384) -> Split:
    """Hold out a share of the prompts or traces, half of them for calibration and half for the report.

    Args:
        store: where the rows are.
        share: of the units, at least two of them.
        by: the unit; with `prompt` all traces of a prompt go the same way.
        seed: decides which.
        most: rows at most in either half; more are thinned out at random.

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
    parts = [np.flatnonzero(np.isin(unit, chosen) & later) for chosen in (order[: held // 2], order[held // 2 : held])]
    thinned = [np.sort(rng.choice(part, min(most, len(part)), replace=False)) for part in parts]
    return Split(np.isin(unit, order[held:]) & later, thinned[0], thinned[1], unit)
