from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from multidir.errors import DesignError
from multidir.stats.clustered import cluster_means, mean_differences


def rows(rng: np.random.Generator, n: int = 200, m: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cluster = rng.integers(0, m, n)
    positive = rng.random(n) < 0.3
    x = rng.normal(size=(n, 3)) + rng.normal(size=(m, 3))[cluster]
    x[:, 1] += positive
    return x, positive, cluster


def test_equals_the_clustered_regression_of_statsmodels(rng: np.random.Generator) -> None:
    x, positive, cluster = rows(rng)
    found = mean_differences(x, positive, cluster)
    design = sm.add_constant(positive.astype(float))
    for column in range(3):
        fit = sm.OLS(x[:, column], design).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
        assert found.value[column] == pytest.approx(fit.params[1], abs=1e-12)
        assert found.error[column] == pytest.approx(fit.bse[1], rel=1e-10)
        assert found.t[column] == pytest.approx(fit.tvalues[1], rel=1e-10)
        estimate = found.estimate(column)
        assert (estimate.low, estimate.high) == pytest.approx(tuple(fit.conf_int()[1]), rel=1e-8)
        assert estimate.n == np.unique(cluster).size


def test_copies_within_a_trace_say_nothing_new(rng: np.random.Generator) -> None:
    x, positive, cluster = rows(rng)
    once, twice = (
        mean_differences(x, positive, cluster),
        mean_differences(*(np.repeat(a, 9, 0) for a in (x, positive, cluster))),
    )
    np.testing.assert_allclose(twice.error, once.error, rtol=0.01)


def test_t_is_calibrated_where_rows_of_a_trace_are_alike() -> None:
    rng, claims = np.random.default_rng(5), []
    for _ in range(600):
        cluster = np.repeat(np.arange(40), 6)
        positive = np.repeat(rng.random(40) < 0.5, 6) ^ (rng.random(240) < 0.1)
        x = rng.normal(size=(40, 1))[cluster] + rng.normal(size=(240, 1))
        claims.append(mean_differences(x, positive, cluster).estimate(0).excludes(0))
    assert 0.03 < np.mean(claims) < 0.09


def test_a_constant_column_has_no_t(rng: np.random.Generator) -> None:
    x, positive, cluster = rows(rng)
    x[:, 2] = 0
    found = mean_differences(x, positive, cluster)
    assert np.isnan(found.t[2])
    assert not found.estimate(2).has_interval
    assert np.isfinite(found.t[:2]).all()


def test_what_cannot_be_compared_is_said(rng: np.random.Generator) -> None:
    x, positive, cluster = rows(rng)
    with pytest.raises(DesignError, match="0 of 200 rows"):
        mean_differences(x, np.zeros(200, bool), cluster)
    with pytest.raises(DesignError, match="1 clusters"):
        mean_differences(x, positive, np.zeros(200, int))
    x[[3, 7], 0] = np.nan
    with pytest.raises(DesignError, match="2 of 200 rows are not finite, the first is 3"):
        mean_differences(x, positive, cluster)
    with pytest.raises(DesignError, match="expected values"):
        mean_differences(x, positive[:5], cluster)


def test_means_have_the_clustered_error_of_statsmodels(rng: np.random.Generator) -> None:
    x, _, cluster = rows(rng)
    for column, found in enumerate(cluster_means(x, cluster)):
        fit = sm.OLS(x[:, column], np.ones(len(x))).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
        assert (found.value, found.low, found.high) == pytest.approx((fit.params[0], *fit.conf_int()[0]), rel=1e-8)
    assert not cluster_means(x, np.zeros(len(x), int))[0].has_interval, "one cluster says nothing of the spread"
    with pytest.raises(DesignError, match="a mean needs rows"):
        cluster_means(x[:0], cluster[:0])


def test_values_that_do_not_vary_have_no_interval_rather_than_one_of_no_width(rng: np.random.Generator) -> None:
    (constant, varied) = cluster_means(np.column_stack([np.ones(20), rng.normal(size=20)]), np.arange(20) // 2)
    assert constant.value == 1
    assert not constant.has_interval
    assert varied.low < varied.value < varied.high
