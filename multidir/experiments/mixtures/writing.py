"""Mixtures in whole texts: a search that sees nothing else, and the contest on other problems with other seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from multidir.experiments.mixtures.contenders import Contender, best_singles
from multidir.experiments.mixtures.contest import Contest, Measured, norms_at
from multidir.experiments.mixtures.inputs import Benches, Scene
from multidir.experiments.mixtures.learn import Texts
from multidir.experiments.mixtures.search import Found, search
from multidir.experiments.mixtures.whole import UNSTEERED, Matched, WholeContest, front_table, scores, write
from multidir.experiments.steering.bench import Bench
from multidir.records.intervention import Intervention
from multidir.records.outcome import Condition
from multidir.stats.bootstrap import draw_weights
from multidir.steer.steering import Mixture
from multidir.types import FloatArray

UNITS: dict[Matched, str] = {"KL": "kl", "norm": "relative"}
SEARCH_FILE, CONFIRM_FILE = "search-outcomes.jsonl", "outcomes.jsonl"


def sought(scene: Scene, bench: Bench, seen: Texts) -> Found:
    """Weights by CMA-ES on whole texts, every mixture at the budget before it writes."""
    whole, budget, sign = scene.science.whole, scene.science.learning.budget, scene.objective.sign

    def score(generation: int, asked: Sequence[FloatArray]) -> list[float]:
        tried = [Contender.mixed(f"search {generation}.{i}", "search", scene.bank, w) for i, w in enumerate(asked)]
        norms = norms_at(scene.lm, scene.space, [one.vector for one in tried], [budget] * len(tried), seen)
        cells = {
            Condition(bench.lm.role, one.name, budget, "kl"): scene.space.edits(one.name, one.vector, norm)
            for one, norm in zip(tried, norms, strict=True)
        }
        return scores(write(bench, cells, scene.file(SEARCH_FILE)), list(cells), sign, whole)

    k = len(scene.bank.rows)
    middle = sign * np.full(k, k**-0.5)
    parts = (whole.spread * k**-0.5, whole.generations, whole.population, scene.science.seed)
    return search(score, scene.bank.names, middle, *parts)


@dataclass(frozen=True)
class _Cell:
    """Where one contender writes."""

    one: Contender
    condition: Condition
    norm: float


def contest_in_texts(
    scene: Scene, contest: Contest, benches: Benches, seen: Texts, held: Texts
) -> tuple[Contest, pd.DataFrame]:
    """The contest with whole texts, and the front of effect, divergence and loops.

    Args:
        scene: The model and what is mixed.
        contest: On written texts.
        benches: Problems to search on, and others to confirm on.
        seen: Texts on which doses are found.
        held: Texts on which the divergence of a dose is measured.
    """
    role, budget = scene.lm.role, scene.science.learning.budget
    writers = _writers(scene, contest)
    plain = Condition(role, UNSTEERED, 0.0)
    own: dict[tuple[str, Matched], _Cell] = {}
    for one in writers:
        at = contest.place(one.name)
        for matched, unit in UNITS.items():
            norm = contest.norms[matched][at]
            dose = budget if matched == "KL" else norm
            own[one.name, matched] = _Cell(one, Condition(role, one.name, dose, unit), norm)
    more = _at_more_budgets(scene, writers, seen)
    confirmed = write(benches.confirm, _edits(scene, plain, [*own.values(), *more]), scene.file(CONFIRM_FILE))
    first = [cell for (_, matched), cell in own.items() if matched == "KL"]
    searched = write(benches.search, _edits(scene, plain, first), scene.file(SEARCH_FILE))
    weights = draw_weights(len(confirmed.prompts), scene.science.draws, np.random.default_rng(scene.science.seed))
    conditions = {key: cell.condition for key, cell in own.items()}
    shown = [*first, *more]
    p95 = Measured.of(scene.lm, [_edit(scene, c) for c in shown], held, scene.objective, scene.batch_tokens).p95
    rows = [
        (None, plain, 0.0, 0.0),
        *((c.one, c.condition, c.norm, float(kl)) for c, kl in zip(shown, p95, strict=True)),
    ]
    front = front_table(rows, confirmed, weights, scene.objective.sign)
    return replace(contest, whole=WholeContest(confirmed, searched, conditions, plain, weights)), front


def _writers(scene: Scene, contest: Contest) -> list[Contender]:
    """Everyone but the mixtures of the path, and the singles that did less well at both ways of matching."""
    most = scene.science.whole.singles
    singles = [
        one.name
        for measured in contest.seen.values()
        for one in best_singles(contest.contenders, measured.gains.mean(axis=0), most)
    ]
    return [one for one in contest.contenders if one.kind != "path" and (one.kind != "single" or one.name in singles)]


def _at_more_budgets(scene: Scene, writers: Sequence[Contender], seen: Texts) -> list[_Cell]:
    budgets = [scene.science.learning.budget * times for times in scene.science.whole.budgets if times != 1]
    pairs = [(one, budget) for budget in budgets for one in writers]
    norms = norms_at(scene.lm, scene.space, [one.vector for one, _ in pairs], [budget for _, budget in pairs], seen)
    return [
        _Cell(one, Condition(scene.lm.role, one.name, budget, "kl"), norm)
        for (one, budget), norm in zip(pairs, norms, strict=True)
    ]


def _edit(scene: Scene, cell: _Cell) -> tuple[Intervention, ...]:
    return scene.space.edits(cell.one.name, cell.one.vector, cell.norm)


def _edits(scene: Scene, plain: Condition, cells: Sequence[_Cell]) -> Mapping[Condition, Mixture]:
    return {plain: None, **{cell.condition: _edit(scene, cell) for cell in cells}}
