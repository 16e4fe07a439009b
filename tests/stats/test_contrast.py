from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from multidir.errors import DesignError
from multidir.stats.contrast import Contrast, holm, omnibus


def mean_of(x: np.ndarray) -> Contrast:
    """The mean as a contrast: each value contributes its deviation."""
    m = len(x)
    return Contrast(float(x.mean()), (x - x.mean()) / math.sqrt(m * (m - 1)), m, "mean")


def test_a_mean_has_its_t_interval(rng: np.random.Generator) -> None:
    x = rng.normal(0.4, 1, 25)
    found = mean_of(x).estimate("units")
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 24, x.mean(), stats.sem(x)))
    assert found.n == 25


def test_a_difference_on_the_same_prompts_is_paired(rng: np.random.Generator) -> None:
    luck = rng.normal(0, 5, 30)
    a, b = luck + rng.normal(size=30) + 1, luck + rng.normal(size=30)
    gap = mean_of(a) - mean_of(b)
    assert gap.p_beyond(0) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    with pytest.raises(DesignError, match="same prompts"):
        mean_of(a) - mean_of(b[:20])


@given(st.floats(-1, 1), st.floats(0.01, 1), st.integers(3, 200))
def test_p_values_and_intervals_say_the_same(value: float, error: float, n: int) -> None:
    contrast = Contrast(value, np.array([error] + [0.0] * (n - 1)), n)
    wide, narrow = contrast.estimate(), contrast.estimate(level=0.90)
    assert (contrast.p_beyond(0.1) < 0.05) == (wide.low > 0.1 or wide.high < -0.1)
    assert (contrast.p_within(0.3) < 0.05) == (narrow.low > -0.3 and narrow.high < 0.3)


def test_a_difference_of_other_prompts_is_welch(rng: np.random.Generator) -> None:
    a, b = rng.normal(1, 3, 8), rng.normal(0, 1, 40)
    first, second = mean_of(a), mean_of(b)
    one = Contrast(first.value, np.r_[first.spread, np.zeros(40)], 8)
    two = Contrast(second.value, np.r_[np.zeros(8), second.spread], 40)
    theirs = stats.ttest_ind(a, b, equal_var=False)
    assert (one - two).error == pytest.approx(abs(theirs.statistic) ** -1 * abs(a.mean() - b.mean()))
    assert (one - two).p_beyond(0) == pytest.approx(theirs.pvalue, rel=0.1)


def test_an_unknown_error_gives_no_interval_and_no_claim() -> None:
    for contrast in (Contrast(1.0, np.zeros(4), 4), Contrast(1.0, np.ones(1), 1), Contrast(math.nan, np.ones(4), 4)):
        assert not contrast.estimate().has_interval
        assert not contrast.p_beyond(0.1) < 0.05
        assert not contrast.p_within(0.3) < 0.05


@pytest.mark.parametrize("h", [1, 2, 6, 15])
def test_holm_as_in_statsmodels(h: int, rng: np.random.Generator) -> None:
    p = rng.random(h).round(1) * 0.3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_tests_that_were_not_made_do_not_count() -> None:
    found = holm(np.array([0.01, np.nan, 0.04]))
    assert found[[0, 2]].tolist() == pytest.approx([0.02, 0.04])
    assert np.isnan(found[1])


def test_omnibus_keeps_its_error_with_few_prompts(rng: np.random.Generator) -> None:
    p = []
    for _ in range(2000):
        x = rng.normal(size=(20, 5))
        p.append(omnibus(x.mean(axis=0), (x - x.mean(axis=0)) / math.sqrt(20 * 19), 20))
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_omnibus_sees_an_effect_and_knows_when_it_cannot(rng: np.random.Generator) -> None:
    x = rng.normal(0.8, 1, size=(30, 3))
    spread = (x - x.mean(axis=0)) / math.sqrt(30 * 29)
    assert omnibus(x.mean(axis=0), spread, 30) < 1e-4
    assert omnibus(np.array([math.nan, x[:, 0].mean()]), spread[:, :2], 30) < 0.01
    assert math.isnan(omnibus(x.mean(axis=0), spread, 3))
    assert math.isnan(omnibus(np.array([math.nan]), spread[:, :1], 30))


def test_an_omnibus_test_of_what_has_no_errors_says_nothing() -> None:
    spread = np.full((20, 2), np.nan)
    assert np.isnan(omnibus(np.array([0.3, 0.1]), spread, 20))
    spread[:, 0] = np.random.default_rng(0).normal(0, 0.02, 20)
    assert omnibus(np.array([0.3, 0.1]), spread, 20) == omnibus(np.array([0.3]), spread[:, :1], 20)
