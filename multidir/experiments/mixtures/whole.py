"""Contenders write whole texts: how often they backtrack, how often they loop, and what a search on them finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from multidir.experiments.cells import backtrack_counts, by_condition
from multidir.experiments.mixtures.contenders import Contender
from multidir.experiments.mixtures.settings import Whole
from multidir.experiments.score import BACKTRACKING
from multidir.experiments.steering.bench import Bench, run_conditions
from multidir.records.outcome import Condition, Outcome
from multidir.stats.bootstrap import percentile_estimate
from multidir.stats.estimate import Estimate
from multidir.steer.steering import Mixture
from multidir.types import BoolArray, FloatArray

Matched = Literal["KL", "norm"]
UNSTEERED = "unsteered"
SCALE = f"share of sentences that are {BACKTRACKING}"


@dataclass(frozen=True, eq=False)
class Written:
    """What was written in every cell, by prompt."""

    conditions: tuple[Condition, ...]
    prompts: tuple[str, ...]
    backtracks: FloatArray
    """(c, p) sentences of the behaviour."""
    sentences: FloatArray
    """(c, p) all sentences that were labelled."""
    loops: FloatArray
    """(c,) share of texts that loop."""
    lost: FloatArray
    """(c,) share of texts that loop, or no sentence of which could be labelled."""
    unscored: tuple[int, ...]
    """(c,) texts no sentence of which could be labelled."""

    def place(self, condition: Condition) -> int:
        """Number of a cell."""
        return self.conditions.index(condition)

    def share(self, cell: int, weights: FloatArray, other: int | None = None) -> Estimate:
        """Share of backtracking sentences, or how much more it is than in another cell.

        Args:
            cell: Which one.
            weights: (draws, p) how often each prompt is in a resample.
            other: What it is compared with, on the same prompts.
        """
        drawn, all_of_them = self._share(cell, weights), self._share(cell, np.ones((1, len(self.prompts))))
        if other is not None:
            drawn = drawn - self._share(other, weights)
            all_of_them = all_of_them - self._share(other, np.ones((1, len(self.prompts))))
        return percentile_estimate(float(all_of_them[0]), drawn, len(self.prompts), scale=SCALE)

    def _share(self, cell: int, weights: FloatArray) -> FloatArray:
        n = weights @ self.sentences[cell]
        return np.asarray(np.divide(weights @ self.backtracks[cell], n, out=np.full(len(n), np.nan), where=n > 0))


def write(bench: Bench, cells: Mapping[Condition, Mixture], file: Path) -> Written:
    """Write and score what is not yet in `file`."""
    found = by_condition(run_conditions(bench, cells, file))
    prompts = tuple(name for name, _ in bench.prompts)
    counts = [backtrack_counts(found[cell], prompts) for cell in cells]
    return Written(
        conditions=tuple(cells),
        prompts=prompts,
        backtracks=np.stack([each[0] for each in counts]),
        sentences=np.stack([each[1] for each in counts]),
        loops=np.array([np.mean([_loops(bench, o) for o in found[cell]]) for cell in cells]),
        lost=np.array([np.mean([_loops(bench, o) or o.n_backtracks is None for o in found[cell]]) for cell in cells]),
        unscored=tuple(sum(o.n_backtracks is None for o in found[cell]) for cell in cells),
    )


def scores(written: Written, cells: Sequence[Condition], sign: float, whole: Whole) -> list[float]:
    """What a search sees of some cells: see `mixture_search`. Half a sentence is added to both classes."""
    found = []
    for cell in cells:
        at = written.place(cell)
        y, n = float(written.backtracks[at].sum()), float(written.sentences[at].sum())
        odds = float(np.log((y + 0.5) / (n - y + 0.5)))
        found.append(sign * odds - whole.loop_price * float(written.loops[at]))
    return found


def _loops(bench: Bench, outcome: Outcome) -> bool:
    return outcome.stopped == "loop" or outcome.longest_run > bench.scorer.scoring.gate.max_run


@dataclass(frozen=True, eq=False)
class WholeContest:
    """The whole texts of a contest."""

    confirm: Written
    search: Written
    cells: Mapping[tuple[str, Matched], Condition]
    """Of the contenders that write."""
    plain: Condition
    weights: FloatArray
    """(draws, p) how often each prompt is in a resample."""

    def table(self, contenders: Sequence[Contender]) -> pd.DataFrame:
        """One row per contender that writes and way of matching, and what the unsteered model writes."""
        kinds = {one.name: one.kind for one in contenders}
        rows = [
            {"contender": name, "kind": kinds[name], "matched": matched, **self.row(cell)}
            for (name, matched), cell in self.cells.items()
        ]
        plain = self.row(self.plain)
        rows += [{"contender": UNSTEERED, "kind": "none", "matched": matched, **plain} for matched in ("KL", "norm")]
        return pd.DataFrame(rows)

    def row(self, cell: Condition) -> dict[str, float]:
        """Share of a cell where it was searched (unknown where it did not write there) and confirmed, and its loops."""
        at, share = self.confirm.place(cell), self.confirm.share(self.confirm.place(cell), self.weights)
        seen = np.nan
        if cell in self.search.conditions:
            one = np.ones((1, len(self.search.prompts)))
            seen = self.search.share(self.search.place(cell), one).value
        facts = {"share_search": seen, "share": share.value, "share_low": share.low, "share_high": share.high}
        return {**facts, "loop_share": self.confirm.loops[at], "n_unscored": self.confirm.unscored[at]}

    def difference(self, name: str, other: str, matched: Matched) -> Estimate | None:
        """How much more often one backtracks than another, on the same prompts; None where one does not write."""
        pair = self.cells.get((name, matched)), self.cells.get((other, matched))
        if pair[0] is None or pair[1] is None:
            return None
        return self.confirm.share(self.confirm.place(pair[0]), self.weights, self.confirm.place(pair[1]))


def front_table(
    rows: Sequence[tuple[Contender | None, Condition, float, float]], written: Written, weights: FloatArray, sign: float
) -> pd.DataFrame:
    """Effect against divergence against texts that are lost, and which points no other one beats in all three.

    A text is lost that loops, or of which no sentence can be labelled. Who wrote nothing that could be scored is not on
    the front.

    Args:
        rows: contender (None: unsteered), its cell, its norm, and the p95 divergence elsewhere.
        written: whole texts of these cells.
        weights: (draws, p) resamples of prompts.
        sign: -1 where fewer sentences are better.
    """
    table = pd.DataFrame([_front_row(*row, written, weights) for row in rows])
    points = np.stack([sign * table["share"], -table["p95_kl"], -table["lost_share"]], axis=1)
    return table.assign(front=non_dominated(points))


def _front_row(
    one: Contender | None, cell: Condition, norm: float, p95: float, written: Written, weights: FloatArray
) -> dict[str, Any]:
    at = written.place(cell)
    share = written.share(at, weights)
    facts: dict[str, Any] = {
        "contender": UNSTEERED if one is None else one.name,
        "kind": "none" if one is None else one.kind,
    }
    facts |= {"budget": cell.dose, "norm": norm, "p95_kl": p95, "share": share.value, "share_low": share.low}
    return {**facts, "share_high": share.high, "loop_share": written.loops[at], "lost_share": written.lost[at]}


def non_dominated(points: FloatArray) -> list[bool]:
    """Which points (n, m) no other one beats: as good in every column and better in one, more being better.

    A point with an unknown is none of them.
    """
    as_good = (points[None] >= points[:, None]).all(axis=2)
    better = (points[None] > points[:, None]).any(axis=2)
    beaten: BoolArray = np.logical_or.reduce(as_good & better, axis=1)
    known = ~np.isnan(points).any(axis=1)
    return [bool(good) for good in known & ~beaten]
