"""Prompts x conditions x rollouts in full batches: every row has its own prompt, edit and seed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from multidir.errors import ConfigError, ModelError
from multidir.models.capture import check_sequences
from multidir.models.generate import Generation, generate
from multidir.models.language_model import LanguageModel
from multidir.models.logprobs import mean_logprobs
from multidir.models.sampling import Sampling
from multidir.records.site import Site
from multidir.steer.edit import check_edits
from multidir.steer.receipt import check_receipts
from multidir.steer.steering import Mixture, row_edits

__all__ = ["Swept", "mean_logprobs", "row_seed", "sweep"]

Cell = tuple[str, str, int]
"""Condition key, prompt id, rollout: what names one generation."""


@dataclass(frozen=True)
class Swept:
    """One generation of a sweep."""

    key: str
    """Key of the condition."""
    prompt_id: str
    rollout: int
    seed: int
    generation: Generation
    positions_edited: int
    """Receipt: token positions whose residual stream was edited, over all sites."""

    @property
    def cell(self) -> Cell:
        """What names it, to skip it next time."""
        return self.key, self.prompt_id, self.rollout


@dataclass(frozen=True)
class _Row:
    cell: Cell
    ids: tuple[int, ...]
    mixture: Mixture
    seed: int


def row_seed(seed: int, prompt_id: str, rollout: int) -> int:
    """Seed of one row: 53 bits that depend on nothing else.

    Not on the condition: all conditions see a prompt's rollout with the same random numbers, so that
    their difference is the intervention's.
    """
    digest = hashlib.sha256(f"{seed}|{prompt_id}|{rollout}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def sweep(
    lm: LanguageModel,
    prompts: Sequence[tuple[str, Sequence[int]]],
    conditions: Sequence[tuple[str, Mixture]],
    rollouts: int,
    sampling: Sampling,
    rows_per_batch: int = 64,
    seed: int = 0,
    mean_norms: Mapping[Site, float] | None = None,
    skip: Collection[Cell] = frozenset(),
) -> Iterator[Swept]:
    """Generate every prompt under every condition, `rollouts` times, batch by batch.

    Args:
        prompts: id and token ids.
        conditions: key and what is done; None for nothing.
        mean_norms: mean residual norm by site, for relative doses.
        skip: cells that are done already.
    Yields:
        One `Swept` per cell, as its batch finishes.
    Raises:
        ConfigError: repeated ids or keys, an intervention that does not fit the model, a prompt too long; all of
            this before anything is generated.
        ModelError: logits that are not finite, or an edit that did not reach exactly the positions it should.
    """
    _check_unique("prompt ids", [name for name, _ in prompts])
    _check_unique("condition keys", [key for key, _ in conditions])
    if rollouts < 1 or rows_per_batch < 1:
        raise ConfigError(f"a sweep needs rollouts >= 1 and rows_per_batch >= 1; got {rollouts} and {rows_per_batch}")
    check_sequences(lm, [ids for _, ids in prompts], sampling.max_new_tokens)
    for edit in row_edits(lm, [mixture for _, mixture in conditions], mean_norms, [seed] * len(conditions)):
        check_edits(edit, lm.model)
    rows = [
        _Row((key, name, rollout), tuple(ids), mixture, row_seed(seed, name, rollout))
        for name, ids in sorted(prompts, key=lambda prompt: -len(prompt[1]))
        for rollout in range(rollouts)
        for key, mixture in conditions
        if (key, name, rollout) not in skip
    ]
    return _sweep(lm, rows, sampling, rows_per_batch, mean_norms)


def _check_unique(what: str, names: Sequence[str]) -> None:
    again = sorted({name for name in names if names.count(name) > 1})
    if again or not names:
        raise ConfigError(
            f"{what} of a sweep must be there and differ; got " + (f"{', '.join(again)} twice" if again else "none")
        )


def _sweep(
    lm: LanguageModel, rows: list[_Row], sampling: Sampling, batch: int, mean_norms: Mapping[Site, float] | None
) -> Iterator[Swept]:
    for first in range(0, len(rows), batch):
        chunk = rows[first : first + batch]
        edits = row_edits(lm, [row.mixture for row in chunk], mean_norms, [row.seed for row in chunk])
        try:
            found = generate(lm, [row.ids for row in chunk], [row.seed for row in chunk], sampling, edits, batch)
        except ModelError as error:
            error.add_note(f"in a batch of the sweep with {', '.join(sorted({row.cell[0] for row in chunk}))}")
            raise
        check_receipts(edits, found)
        counts = sum((edit.edited for edit in edits), np.zeros(len(chunk), dtype=np.int64))
        for row, generation, count in zip(chunk, found, counts, strict=True):
            yield Swept(*row.cell, row.seed, generation, int(count))
