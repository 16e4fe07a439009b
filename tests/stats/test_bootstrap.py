from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from multidir.errors import DesignError
from multidir.stats.bootstrap import (
    both_roles,
    draw_weights,
    percentile_estimate,
    split_halves,
    weighted_bootstrap,
)
from multidir.stats.estimate import Estimate
from tests.stats.bands import binomial_band, slow_interval


def clustered(rng: np.random.Generator, m: int, shared: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(n,) values with mean 0 and (n,) cluster numbers; rows of a cluster share an offset."""
    cluster = np.repeat(np.arange(m), rng.integers(2, 8, m))
    return rng.normal(size=cluster.size) + shared * rng.normal(size=m)[cluster], cluster


def test_weights_are_whole_samples(rng: np.random.Generator) -> None:
    weights = draw_weights(7, 50, rng)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert (weights == weights.round()).all()
    with pytest.raises(DesignError, match="at least one cluster"):
        draw_weights(0, 5, rng)


def test_weights_give_the_interval_of_resampled_rows(rng: np.random.Generator) -> None:
    x, cluster = clustered(rng, 30)
    sums, counts = np.bincount(cluster, weights=x), np.bincount(cluster)
    found = weighted_bootstrap(lambda w: (w @ sums) / (w @ counts), 30, np.random.default_rng(1), 4000)
    slow = slow_interval(lambda rows: x[rows].mean(), cluster, np.random.default_rng(2), 4000)
    assert (found.value, found.n) == (pytest.approx(x.mean()), 30)
    assert (found.low, found.high) == pytest.approx(slow, abs=0.06)


def test_single_rows_equal_scipy(rng: np.random.Generator) -> None:
    x = rng.normal(size=80)
    ours = weighted_bootstrap(lambda w: (w @ x) / w.sum(axis=1), 80, np.random.default_rng(0), 4000)
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def coverage(rng: np.random.Generator, by_cluster: bool, repeats: int = 400, m: int = 40) -> float:
    """How often the interval of a clustered mean holds the true mean, 0."""
    hits = 0
    for _ in range(repeats):
        x, cluster = clustered(rng, m)
        unit = cluster if by_cluster else np.arange(x.size)
        sums, counts = np.bincount(unit, weights=x), np.bincount(unit)
        found = weighted_bootstrap(lambda w, s=sums, c=counts: (w @ s) / (w @ c), counts.size, rng, 300)
        hits += found.low <= 0 <= found.high
    return hits / repeats


def test_coverage_is_nominal(rng: np.random.Generator) -> None:
    # with 40 clusters the percentile interval is a little narrow: normal instead of t, and the plug-in variance
    low, high = binomial_band(400, 0.95, slack=0.02)
    assert low <= coverage(rng, by_cluster=True) <= high


def test_resampling_rows_of_clusters_would_be_wrong(rng: np.random.Generator) -> None:
    low, _ = binomial_band(400, 0.95, slack=0.02)
    assert coverage(rng, by_cluster=False) < low - 0.1


@pytest.mark.parametrize("m", [1, 2])
def test_one_cluster_has_no_interval(m: int, rng: np.random.Generator) -> None:
    x = np.arange(float(m))
    found = weighted_bootstrap(lambda w: (w @ x) / w.sum(axis=1), m, rng)
    assert found.has_interval == (m > 1)
    assert "not estimable" in str(found) or m > 1


def test_no_spread_is_no_certainty(rng: np.random.Generator) -> None:
    constant = weighted_bootstrap(lambda w: w.sum(axis=1) / w.shape[1], 20, rng)
    assert constant.value == 1
    assert not constant.has_interval


def test_undefined_draws_are_counted() -> None:
    values = np.arange(100.0)
    values[:5] = np.nan
    assert percentile_estimate(50, values, 30).has_interval
    values[5] = np.nan
    assert not percentile_estimate(50, values, 30).has_interval
    infinite = percentile_estimate(1.0, np.r_[np.arange(90.0), [math.inf] * 10], 30)
    assert infinite.high == math.inf
    assert infinite.low == pytest.approx(2, abs=1)
    with pytest.raises(DesignError, match="between 0 and 1, got 95"):
        percentile_estimate(1.0, values, 30, level=95)


def test_halves_are_complements(rng: np.random.Generator) -> None:
    first, second = split_halves(7, 30, rng)
    assert (first.sum(axis=1) == 3).all()
    assert (first + second == 1).all()
    assert first.mean(axis=0).std() < 0.2
    with pytest.raises(DesignError, match="two halves"):
        split_halves(1, 3, rng)


def test_estimate_refuses_a_reversed_interval() -> None:
    with pytest.raises(DesignError, match="reversed"):
        Estimate(1.0, 2.0, 0.0, 5, "test")
    assert Estimate(1.0, 0.5, 2.0, 5, "test").excludes(0)
    assert not Estimate(1.0, math.nan, math.nan, 5, "test").excludes(0)


def test_an_interval_for_both_roles_is_wider_and_stays_possible() -> None:
    found = both_roles(Estimate(0.9, 0.8, 0.98, 50, "cluster bootstrap", "AUROC"), 0, 1)
    assert (found.value, found.low, found.high) == (0.9, pytest.approx(0.9 - 0.1 * 2**0.5), 1.0)
    unknown = Estimate(0.9, float("nan"), float("nan"), 1, "cluster bootstrap")
    assert both_roles(unknown) is unknown
