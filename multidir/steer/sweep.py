"""Prompts x conditions x rollouts in one running batch: every row has its own prompt, edit and seed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from multidir.errors import ConfigError
from multidir.models.capture import check_sequences
from multidir.models.generate import stream
from multidir.models.generation import Generation, RowError
from multidir.models.language_model import LanguageModel
from multidir.models.sampling import Sampling
from multidir.records.site import Site
from multidir.records.stopping import NO_LOOPS, LoopRule
from multidir.steer.edit import RowEdits, check_edits
from multidir.steer.receipt import check_row, mean_edit_norms
from multidir.steer.steering import Mixture, row_edits

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
    edit_norm: float | None = field(default=None, compare=False)
    """Receipt: mean norm of those edits, in residual-stream units; None without any. Its last bits are the batch's."""

    @property
    def cell(self) -> Cell:
        """What names it, to skip it next time."""
        return self.key, self.prompt_id, self.rollout


@dataclass(frozen=True)
class _Row:
    cell: Cell | None
    ids: tuple[int, ...]
    mixture: Mixture
    seed: int
    plain: bool
    """True when nothing is done to it."""


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
    rows_per_batch: int | None = None,
    seed: int = 0,
    mean_norms: Mapping[Site, float] | None = None,
    skip: Collection[Cell] = frozenset(),
    loops: LoopRule = NO_LOOPS,
    share: bool = True,
    replay: bool = True,
) -> Iterator[Swept]:
    """Generate every prompt under every condition, `rollouts` times; rows that end leave, and others enter.

    Args:
        prompts: id and token ids.
        conditions: key and what is done; None for nothing.
        rows_per_batch: most rows at a time; None for as many as fit into free memory.
        mean_norms: mean residual norm by site, for relative doses.
        skip: cells that are done already.
        loops: when a text is cut off because it repeats itself.
        share: False to run every prompt for every row, for comparison.
        replay: False to run every step anew on a GPU too, for comparison.
    Yields:
        One `Swept` per cell, as it ends. The KL divergence of its first step is from the unsteered model.
    Raises:
        ConfigError: repeated ids or keys, an intervention that does not fit the model, a prompt too long; all of
            this before anything is generated.
        ModelError: logits that are not finite, or an edit that did not reach exactly the positions it should.
    """
    _check_unique("prompt ids", [name for name, _ in prompts])
    _check_unique("condition keys", [key for key, _ in conditions])
    if rollouts < 1 or (rows_per_batch is not None and rows_per_batch < 1):
        raise ConfigError(f"a sweep needs rollouts >= 1 and rows_per_batch >= 1; got {rollouts} and {rows_per_batch}")
    check_sequences(lm, [ids for _, ids in prompts], sampling.max_new_tokens)
    edits = row_edits(lm, [mixture for _, mixture in conditions], mean_norms, [seed] * len(conditions))
    for edit in edits:
        check_edits(edit, lm.model)
    rows = [
        _Row((key, name, rollout), tuple(ids), mixture, row_seed(seed, name, rollout), not _steers(edits, index))
        for name, ids in prompts
        for rollout in range(rollouts)
        for index, (key, mixture) in enumerate(conditions)
        if (key, name, rollout) not in skip
    ]
    return _sweep(lm, rows, sampling, rows_per_batch, mean_norms, loops, share, replay)


def _steers(edits: Sequence[RowEdits], row: int) -> bool:
    """Whether anything at all is done to a row; at dose zero nothing is."""
    return any(term.pick[row] >= 0 for edit in edits for term in edit.terms)


def _check_unique(what: str, names: Sequence[str]) -> None:
    again = sorted({name for name in names if names.count(name) > 1})
    if again or not names:
        raise ConfigError(
            f"{what} of a sweep must be there and differ; got " + (f"{', '.join(again)} twice" if again else "none")
        )


def _sweep(
    lm: LanguageModel,
    cells: Sequence[_Row],
    sampling: Sampling,
    most: int | None,
    mean_norms: Mapping[Site, float] | None,
    loops: LoopRule,
    share: bool,
    replay: bool,
) -> Iterator[Swept]:
    rows, references = _with_references(cells)
    limits = {row: 1 for row, each in enumerate(rows) if each.cell is None}
    prompts, seeds = [row.ids for row in rows], [row.seed for row in rows]
    edits = row_edits(lm, [row.mixture for row in rows], mean_norms, seeds)
    try:
        for row, made in stream(lm, prompts, seeds, sampling, edits, most, loops, share, references, limits, replay):
            check_row(edits, row, made.token_ids[:-1], made.n_prompt)
            cell = rows[row].cell
            if cell is not None:
                count = sum(int(edit.edited[row]) for edit in edits)
                norm = float(mean_edit_norms(edits)[row]) if count else None
                yield Swept(*cell, rows[row].seed, made, count, norm)
    except RowError as error:
        cell = rows[error.row].cell
        error.add_note(f"that is {' of '.join(map(str, cell))}" if cell else "that row is not steered at all")
        raise


def _with_references(cells: Sequence[_Row]) -> tuple[list[_Row], dict[int, int]]:
    """Before the rows of each prompt one that is not steered, from which their first step is measured.

    It is a row of the sweep where there is one, and otherwise (the sweep has none, or goes on with the rest) a row
    more, without a cell, that writes one token.
    """
    by_prompt: dict[tuple[int, ...], list[_Row]] = {}
    for row in cells:
        by_prompt.setdefault(row.ids, []).append(row)
    rows: list[_Row] = []
    references: dict[int, int] = {}
    for ids, group in by_prompt.items():
        group.sort(key=lambda row: not row.plain)
        if not group[0].plain:
            group.insert(0, _Row(None, ids, None, group[0].seed, plain=True))
        references |= {len(rows) + place: len(rows) for place in range(len(group))}
        rows += group
    return rows, references
