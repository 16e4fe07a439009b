from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.methods.crossfit import crossfit
from multidir.methods.diffmeans import TraceSums
from multidir.records.site import Site
from multidir.stats.ranking import auroc

LABELS = ("backtracking", "other")


def sentences(rng: np.random.Generator, shift: float, n: int = 400, d: int = 40):
    """One row per sentence, ten sentences a trace: rows, which are positive, their trace, and their sums."""
    positive = rng.random(n) < 0.15
    x = rng.normal(size=(n, d))
    x[positive, 0] += shift
    trace = np.repeat(np.arange(n // 10), 10)
    sums, counts = np.zeros((n // 10, 2, d)), np.zeros((n // 10, 2), dtype=int)
    np.add.at(sums, (trace, (~positive).astype(int)), x)
    np.add.at(counts, (trace, (~positive).astype(int)), 1)
    return x, positive, trace, TraceSums("base", Site(1), "a/1", (-1, -1), sums, counts, LABELS)


def test_a_planted_difference_is_found(rng: np.random.Generator) -> None:
    x, positive, trace, sums = sentences(rng, 3.0)
    found = crossfit(sums, "backtracking", 5, rng)
    assert auroc(found.project(x, trace), positive) > 0.9
    assert np.linalg.norm(found.units, axis=1) == pytest.approx(np.ones(5))


def test_noise_stays_at_chance_because_no_trace_sees_itself(rng: np.random.Generator) -> None:
    x, positive, trace, sums = sentences(rng, 0.0, d=200)
    own = x @ sums.direction("backtracking").unit
    assert auroc(own, positive) > 0.8  # in-sample, the same data look separable
    scores = crossfit(sums, "backtracking", 5, rng).project(x, trace)
    assert abs(auroc(scores, positive) - 0.5) < 0.12


def test_each_fold_is_the_direction_of_the_other_traces(rng: np.random.Generator) -> None:
    x, _, trace, sums = sentences(rng, 1.0)
    found = crossfit(sums, "backtracking", 4, rng, "trace", "rest")
    assert sorted(np.bincount(found.fold)) == [10, 10, 10, 10]
    for f in range(4):
        others = found.fold != f
        part = TraceSums("base", Site(1), "a/1", (-1, -1), sums.sums[others], sums.counts[others], LABELS)
        np.testing.assert_allclose(found.units[f], part.direction("backtracking", "trace", "rest").unit, atol=1e-12)
        np.testing.assert_allclose(found.centres[f], x[others[trace]].mean(axis=0), atol=1e-12)
    mine = found.fold[trace] == 2
    expected = (x[mine] - found.centres[2]) @ found.units[2]
    np.testing.assert_allclose(found.project(x, trace)[mine], expected, atol=1e-12)
    assert not np.allclose(found.units[0], found.units[1])


def test_what_cannot_be_split_is_refused(rng: np.random.Generator) -> None:
    *_, sums = sentences(rng, 1.0, n=30)
    with pytest.raises(DesignError, match="5 folds need as many traces, and there are 3"):
        crossfit(sums, "backtracking", 5, rng)
    counts = np.ones((4, 2), dtype=int)
    counts[1:, 0] = 0
    single = TraceSums("base", Site(1), "a/1", (-1, -1), rng.normal(size=(4, 2, 3)) * counts[..., None], counts, LABELS)
    with pytest.raises(DesignError, match="a fold leaves no 'backtracking' sentence"):
        crossfit(single, "backtracking", 2, rng)
