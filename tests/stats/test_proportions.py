from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from multidir.errors import DesignError
from multidir.stats.proportions import ratio_of_ratios, ratio_of_sums, wilson
from tests.stats.bands import binomial_band


@given(st.integers(1, 500), st.data())
def test_wilson_equals_statsmodels(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    found = wilson(k, n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_covers_rare_events(rng: np.random.Generator) -> None:
    counts = rng.binomial(60, 0.03, 2000)
    covered = np.mean([(e := wilson(int(k), 60)).low <= 0.03 <= e.high for k in counts])
    low, _ = binomial_band(2000, 0.95, slack=0.03)
    assert covered >= low
    wald = counts / 60 + np.array([[-1.96], [1.96]]) * np.sqrt(counts / 60 * (1 - counts / 60) / 60)
    assert np.mean((wald[0] <= 0.03) & (wald[1] >= 0.03)) < 0.9, "the plain normal interval fails here"


def test_wilson_of_nothing_is_unknown() -> None:
    assert math.isnan(wilson(0, 0).value)
    assert not wilson(0, 0).has_interval
    with pytest.raises(DesignError, match="got 5 of 4"):
        wilson(5, 4)


def test_ratio_of_sums_is_pooled(rng: np.random.Generator) -> None:
    num, den = np.array([1.0, 0, 5, 2]), np.array([10.0, 30, 20, 5])
    found = ratio_of_sums(num, den, rng)
    assert found.value == pytest.approx(8 / 65)
    assert found.low < found.value < found.high
    assert found.n == 4


def test_ratio_of_sums_covers(rng: np.random.Generator) -> None:
    repeats, m, hits = 300, 60, 0
    for _ in range(repeats):
        den = rng.integers(5, 30, m)
        p = rng.beta(2, 18, m)
        found = ratio_of_sums(rng.binomial(den, p).astype(float), den.astype(float), rng, draws=300)
        hits += found.low <= 0.1 <= found.high
    low, high = binomial_band(repeats, 0.95, slack=0.02)
    assert low <= hits / repeats <= high


def test_no_event_gets_an_upper_end(rng: np.random.Generator) -> None:
    den = np.full(40, 20.0)
    safe, free, half = (ratio_of_sums(np.zeros(40), den, rng, icc=icc) for icc in (1.0, 0.0, 0.05))
    assert (safe.low, safe.high) == pytest.approx(proportion_confint(0, 40, method="wilson"), abs=1e-12)
    assert (free.low, free.high) == pytest.approx(proportion_confint(0, 800, method="wilson"), abs=1e-12)
    assert free.high < half.high < safe.high
    every = ratio_of_sums(den, den, rng)
    assert every.high == 1
    assert every.low < 1
    assert "Wilson" in safe.method
    with pytest.raises(DesignError, match="icc is an intraclass correlation"):
        ratio_of_sums(np.zeros(40), den, rng, icc=2)


def test_a_constant_share_has_no_interval(rng: np.random.Generator) -> None:
    assert not ratio_of_sums(np.full(9, 1.0), np.full(9, 2.0), rng).has_interval
    assert not ratio_of_sums(np.array([0.0]), np.array([7.0]), rng).has_interval


def test_bad_ratios_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DesignError, match="sum to zero"):
        ratio_of_sums(np.zeros(3), np.zeros(3), rng)
    with pytest.raises(DesignError, match=r"got \(3,\) and \(2,\)"):
        ratio_of_sums(np.zeros(3), np.ones(2), rng)
    with pytest.raises(DesignError, match="leave unscored clusters out"):
        ratio_of_sums(np.array([1.0, math.nan]), np.ones(2), rng)


def test_fold_change_uses_that_clusters_are_the_same(rng: np.random.Generator) -> None:
    m = 80
    easy = rng.gamma(2, 1, m)
    den = np.full(m, 50.0)
    num_0 = rng.poisson(easy).astype(float)
    num = num_0 * 3
    paired = ratio_of_ratios(num, den, num_0, den, rng)
    assert paired.value == pytest.approx(3)
    assert not paired.has_interval, "three times everywhere: no spread at all"
    noisy = ratio_of_ratios(num + rng.poisson(0.3, m), den, num_0, den, rng)
    order = rng.permutation(m)
    broken = ratio_of_ratios((num + rng.poisson(0.3, m))[order], den, num_0, den, rng)
    assert noisy.high - noisy.low < 0.7 * (broken.high - broken.low)


def test_fold_change_covers(rng: np.random.Generator) -> None:
    repeats, m, hits = 300, 60, 0
    for _ in range(repeats):
        easy, den = rng.gamma(2, 1, m), np.full(m, 50.0)
        found = ratio_of_ratios(
            rng.poisson(4 * easy).astype(float), den, rng.poisson(easy).astype(float), den, rng, draws=300
        )
        hits += found.low <= 4 <= found.high
    low, high = binomial_band(repeats, 0.95, slack=0.02)
    assert low <= hits / repeats <= high


def test_fold_over_nothing(rng: np.random.Generator) -> None:
    num, den, none = np.array([1.0, 2, 0]), np.ones(3), np.zeros(3)
    unbounded = ratio_of_ratios(num, den, none, den, rng)
    assert unbounded.value == math.inf
    assert not unbounded.has_interval
    assert math.isnan(ratio_of_ratios(none, den, none, den, rng).value)
    assert ratio_of_ratios(num, den, none, den, rng, pseudo=0.5).value == pytest.approx(7)
    with pytest.raises(DesignError, match="got 3 treated and 2 baseline"):
        ratio_of_ratios(num, den, none[:2], den[:2], rng)
