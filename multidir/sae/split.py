"""Rows held out from training, whole traces or prompts at a time: neighbours in a text are no independent test."""

from __future__ import annotations

from collections.abc import Sequence
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
    held, of_trace = choose_held_out(names, share, by, seed)
    unit, held_row, later = of_trace[store.trace_index], held[store.trace_index], store.position > 0
    out = np.flatnonzero(held_row & later)
    thinned = np.sort(np.random.default_rng([seed, 1]).choice(out, min(most, len(out)), replace=False))
    return Split(~held_row & later, thinned, unit)


def choose_held_out(names: Sequence[str], share: float, by: Unit, seed: int) -> tuple[BoolArray, IntArray]:
    """Which texts are held out, and the number of the prompt or trace of each; texts of one name go the same way.

    Args:
        names: prompt or trace of each text.
        share: as in `split_rows`.
        by: what the names are, for the message.
        seed: decides which.

    Raises:
        DesignError: fewer than four units, or a share that leaves nothing to learn from.
    """
    unique, unit = np.unique(names, return_inverse=True)
    held = max(2, round(share * len(unique)))
    if not 0 < share < 1 or len(unique) < 4 or held > len(unique) - 1:
        raise DesignError(
            f"cannot hold out {share:g} of {len(unique)} {by}s: that takes a share between 0 and 1, at least four "
            f"{by}s, and one that stays; capture more, or split by {'trace' if by == 'prompt' else 'prompt'}"
        )
    order = np.random.default_rng(seed).permutation(len(unique))
    return np.isin(unit, order[:held]), unit
