"""Random treatments crossed with prompts: closed forms, and what the intervals cover."""

from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.stats.crossed import RandomTreatments, Ratio


def world(rng: np.random.Generator, k: int, m: int, tau: float, seen: float = 1.0) -> tuple[np.ndarray, ...]:
    """Hits and trials of k treatments, of nothing, and of one treatment more that is like the k; mean effect -0.1."""
    base = np.clip(rng.normal(0.7, 0.15, m), 0.02, 0.98)
    effect = np.append(rng.normal(-0.1, tau, k + 1), 0.0)
    trials = rng.poisson(1.5, (k + 2, m)).astype(float)
    trials[:k] *= rng.random((k, m)) < seen
    hits = rng.binomial(trials.astype(int), np.clip(base + effect[:, None], 0, 1)).astype(float)
    return hits[:k], trials[:k], hits[k + 1], trials[k + 1], hits[k], trials[k]


def test_without_differences_between_treatments_it_is_the_error_over_prompts(rng: np.random.Generator) -> None:
    """Treatments that do the same on every prompt: their number does not matter."""
    hits, trials = np.tile([3.0, 0, 1, 2], (5, 1)), np.tile([4.0, 2, 1, 3], (5, 1))
    found, plain = RandomTreatments.of(hits, trials), Ratio.of(np.array([4.0, 1, 1, 1]), trials[0])
    assert found.between() == 0
    assert found.value == pytest.approx(0.6)
    one = Ratio.of(hits[0], trials[0])
    np.testing.assert_allclose(found.cells.sum(axis=0), one.influence)
    change = found.change(plain)
    error = np.sqrt(4 / 3 * ((one.influence - plain.influence) ** 2).sum())
    assert change.value == pytest.approx(0.6 - 0.7)
    assert change.high - change.value == pytest.approx(3.182446 * error, rel=1e-5)


def test_differences_between_treatments_are_their_variance(rng: np.random.Generator) -> None:
    """With very many trials nothing but the treatments differs: the error of a mean of k, and a new one beside it."""
    rate = np.array([0.5, 0.6, 0.4, 0.7])
    trials = np.full((4, 300), 1000.0)
    found = RandomTreatments.of(rate[:, None] * trials, trials)
    assert found.between() == pytest.approx(rate.var(ddof=1) / 4, rel=0.02)
    flat = Ratio.of(0.2 * trials[0], trials[0])
    beyond = found.beyond(flat)
    assert beyond.value == pytest.approx(0.2 - 0.55)
    raised = np.sqrt((1 + 1 / 4) * (1 + np.sqrt(2 / 3)))
    assert beyond.high - beyond.value == pytest.approx(3.182446 * rate.std(ddof=1) * raised, rel=0.02)


@pytest.mark.parametrize(("m", "tau", "seen"), [(60, 0.0, 1.0), (60, 0.08, 1.0), (60, 0.08, 0.25), (100, 0.08, 0.2)])
def test_intervals_cover_the_mean_effect_and_another_treatment(m: int, tau: float, seen: float) -> None:
    """With the estimated spread as it is, the last world covers another treatment in 89 %."""
    rng = np.random.default_rng(3)
    mean, new = [], []
    for _ in range(400):
        hits, trials, h0, t0, h1, t1 = world(rng, 20, m, tau, seen)
        found = RandomTreatments.of(hits, trials)
        mean.append(not found.change(Ratio.of(h0, t0)).excludes(-0.1))
        new.append(not found.beyond(Ratio.of(h1, t1)).excludes(0.0))
    assert 0.92 <= np.mean(mean) <= 0.985
    assert 0.93 <= np.mean(new) <= 0.99


def test_prompts_alone_would_promise_too_much() -> None:
    """The negative twin: an interval over prompts only misses the mean effect too often where treatments differ."""
    rng = np.random.default_rng(4)
    missed = []
    for _ in range(200):
        hits, trials, h0, t0, _, _ = world(rng, 5, 200, 0.15)
        found, plain = RandomTreatments.of(hits, trials), Ratio.of(h0, t0)
        error = np.sqrt(((found.cells.sum(axis=0) - plain.influence) ** 2).sum())
        missed.append(abs(found.value - plain.value + 0.1) > 1.96 * error)
    assert np.mean(missed) > 0.2


def test_what_cannot_be_known() -> None:
    with pytest.raises(DesignError, match="at least two of them, got 1"):
        RandomTreatments.of(np.ones((1, 4)), np.ones((1, 4)))
    found = RandomTreatments.of(np.ones((3, 4)), np.ones((3, 4)))
    nothing = Ratio.of(np.zeros(4), np.zeros(4))
    assert np.isnan(nothing.value)
    assert not found.change(nothing).has_interval
    assert not found.change(Ratio.of(np.ones(4), np.ones(4))).has_interval, "nothing varies: no zero-width interval"
