from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from multidir.stats.ladder import exponent, monotone, multiple, pair_exponent

RUNGS = np.array([0, 1, 2**0.5, 2, 2 * 2**0.5])
MANY = 1e7


def rates(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = np.full(np.shape(curve), MANY)
    return n * expit(curve), n


def hill(x: np.ndarray, h: float) -> np.ndarray:
    return -3 + 3 * x**h / (1 + x**h)


@given(st.lists(st.integers(0, 60), min_size=5, max_size=5))
def test_monotone_as_in_scikit_learn(y: list[int]) -> None:
    n = np.array([100.0, 50, 80, 120, 60])
    hits = np.minimum(y, n)
    theirs = IsotonicRegression().fit(np.arange(5), (hits + 1e-9) / n, sample_weight=n).predict(np.arange(5))
    ours = expit(monotone(1e6 * hits[None], 1e6 * n[None])[0])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.99))
def test_a_level_on_the_curve_is_found_again(seed: int, place: float) -> None:
    curve = np.sort(np.random.default_rng(seed).normal(size=(1, 5)), axis=1)
    level = curve[:, 0] + place * (curve[:, -1] - curve[:, 0])
    low, high = multiple(level, curve, RUNGS)
    assert low[0] == pytest.approx(high[0])
    knots = multiple(curve[0], np.repeat(curve, 5, axis=0), RUNGS)
    np.testing.assert_allclose(knots.low, RUNGS, atol=1e-6)
    more = multiple(np.minimum(level + 0.01, curve[:, -1]), curve, RUNGS)
    assert more.low[0] >= low[0]


def test_off_the_curve_there_are_bounds_only() -> None:
    curve = np.array([[-3.0, -2.5, -1.0, -1.0, -0.5]])
    assert [float(b[0]) for b in multiple(np.array([-4.0]), curve, RUNGS)] == [0, 0]
    assert [float(b[0]) for b in multiple(np.array([0.0]), curve, RUNGS)] == [RUNGS[-1], math.inf]
    flat = multiple(np.array([-1.0]), curve, RUNGS)
    assert (flat.low[0], flat.high[0]) == pytest.approx((2**0.5, 2))


@given(st.floats(0.15, 8))
def test_exponent_of_equal_multiples_is_log2(p: float) -> None:
    s = np.array([2 ** (1 / p)])
    assert exponent(s, s)[0] == pytest.approx(1 / p, rel=1e-8)


@given(st.floats(0.2, 6), st.floats(0.2, 5), st.floats(0.2, 5))
def test_exponent_solves_its_equation(p: float, u: float, v: float) -> None:
    whole = (u**p + v**p) ** (1 / p)  # the dose that one direction needs, of which the pair gives u and v
    assert exponent(np.array([whole / u]), np.array([whole / v]))[0] == pytest.approx(1 / p, rel=1e-6)


def test_exponent_at_its_edges() -> None:
    a = np.array([1.0, 0.5, 0.0, np.inf, np.inf, 2.0])
    b = np.array([3.0, 2.0, 2.0, np.inf, 1.5, 2.0])
    np.testing.assert_allclose(exponent(a, b), [0, -1, -np.inf, np.inf, np.inf, 1])


@pytest.mark.parametrize("steepness", [1, 2, 4, 8])
@pytest.mark.parametrize("weight", [1.0, 0.85, 1.15])
def test_a_shared_read_out_is_dose_additive_whatever_its_curve(steepness: float, weight: float) -> None:
    """A sham pair has 1/p = 1, also when one of its doses is 15 % off."""
    first = monotone(*rates(hill(0.75 * RUNGS, steepness)[None]))
    second = monotone(*rates(hill(0.75 * weight * RUNGS, steepness)[None]))
    level = np.atleast_1d(hill(np.array(0.75 * (1 + weight)), steepness))
    found = pair_exponent(level, first, second, RUNGS, RUNGS)
    assert found.low[0] == pytest.approx(1, abs=0.05)  # cubics between rungs
    if steepness >= 4:  # where the same pair would be called an interaction on log-odds
        zero, a, b = (float(v[0]) for v in (first[:, 0], first[:, 1], second[:, 1]))
        assert abs(level[0] - a - b + zero) > 0.1


@pytest.mark.parametrize("inverse", [0.25, 0.5, 0.8, 1.35])
def test_norms_of_doses_have_their_exponent(inverse: float) -> None:
    curve = monotone(*rates(hill(0.75 * RUNGS, 4)[None]))
    level = np.atleast_1d(hill(np.array(0.75 * 2**inverse), 4))
    found = pair_exponent(level, curve, curve, RUNGS, RUNGS)
    assert found.low[0] == found.high[0] == pytest.approx(inverse, abs=0.06)


def test_above_the_ladder_there_is_a_lower_bound() -> None:
    curve = monotone(*rates(hill(0.75 * RUNGS, 4)[None]))
    found = pair_exponent(curve[:, -1] + 0.5, curve, curve, RUNGS, RUNGS)
    assert (found.low[0], found.high[0]) == (pytest.approx(1.5), math.inf)


def test_a_level_just_above_one_ladder_still_has_an_exponent() -> None:
    steep, shallow = hill(0.75 * RUNGS, 4)[None], -3 + (hill(0.75 * RUNGS, 4)[None] + 3) * 0.8
    found = pair_exponent(shallow[:, -1] + 0.05, steep, shallow, RUNGS, RUNGS)
    assert 0.5 < found.low[0] < found.high[0] < 2
    far = pair_exponent(shallow[:, -1] + 0.5, steep, shallow, RUNGS, RUNGS)
    assert math.isinf(far.high[0])


def test_a_rate_of_zero_is_finite() -> None:
    curve = monotone(np.zeros((1, 5)), np.full((1, 5), 100.0))
    assert np.isfinite(curve).all()
    assert curve[0, 0] == pytest.approx(logit(0.5 / 501))
