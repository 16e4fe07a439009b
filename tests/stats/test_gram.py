from __future__ import annotations

import math

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.stats.bootstrap import draw_weights
from multidir.stats.gram import denoised_cosine, denoised_norm
from tests.stats.bands import binomial_band

D, M = 60, 50
COSINE = 0.8


def two_means(rng: np.random.Generator, noise: float) -> np.ndarray:
    """(m, 2, d) rows whose means have norm 1 and cosine 0.8; the two share half of their noise."""
    truth = np.zeros((2, D))
    truth[0, 0], truth[1, :2] = 1, [COSINE, 0.6]
    shared = rng.normal(size=(M, 1, D))
    return truth + noise * (shared + rng.normal(size=(M, 2, D))) / np.sqrt(2)


def grams(rows: np.ndarray, rng: np.random.Generator, draws: int = 200) -> tuple[np.ndarray, np.ndarray]:
    weights = np.vstack([np.ones((1, M)), draw_weights(M, draws, rng)])
    vectors = np.einsum("wm,mkd->wkd", weights, rows) / M
    both = vectors @ vectors.transpose(0, 2, 1)
    return both[0], both[1:]


def test_coverage_where_the_plain_percentile_fails(rng: np.random.Generator) -> None:
    repeats, norm_hits, cosine_hits, plain_hits, values = 200, 0, 0, 0, []
    for _ in range(repeats):
        observed, draws = grams(two_means(rng, noise=0.5), rng)
        norm, cosine = denoised_norm(observed, draws, 0, M), denoised_cosine(observed, draws, 0, 1, M)
        norm_hits += norm.low <= 1 <= norm.high
        cosine_hits += cosine.low <= COSINE <= cosine.high
        plain = np.quantile(np.sqrt(draws[:, 0, 0]), [0.025, 0.975])
        plain_hits += plain[0] <= 1 <= plain[1]
        values.append((norm.value, cosine.value, math.sqrt(observed[0, 0])))
    low, _ = binomial_band(repeats, 0.95, slack=0.02)
    assert min(norm_hits, cosine_hits) / repeats >= low
    assert plain_hits / repeats < 0.5
    mean = np.mean(values, axis=0)
    assert mean[0] == pytest.approx(1, abs=0.01)
    assert mean[1] == pytest.approx(COSINE, abs=0.01)
    assert mean[2] > 1.1


def test_without_noise_nothing_is_taken_out(rng: np.random.Generator) -> None:
    observed, draws = grams(two_means(rng, noise=1e-6), rng)
    assert denoised_norm(observed, draws, 1, M).value == pytest.approx(1, abs=1e-5)
    assert denoised_cosine(observed, draws, 0, 1, M).value == pytest.approx(COSINE, abs=1e-5)


def test_pure_noise_has_no_norm_and_no_angle(rng: np.random.Generator) -> None:
    lows, shares = [], []
    for _ in range(20):
        observed, draws = grams(two_means(rng, noise=1) - two_means(rng, noise=0), rng)
        norm, cosine = denoised_norm(observed, draws, 0, M), denoised_cosine(observed, draws, 0, 1, M)
        lows.append(norm.low)
        shares.append(norm.value / math.sqrt(observed[0, 0]))
        assert math.isnan(cosine.value) or not cosine.has_interval or cosine.high - cosine.low > 0.5
    assert np.mean(np.array(lows) == 0) > 0.8
    assert np.mean(shares) < 0.5


def test_undefined_draws_and_shapes(rng: np.random.Generator) -> None:
    observed, draws = grams(two_means(rng, noise=0.5), rng)
    draws[:5] = np.nan
    assert denoised_norm(observed, draws, 0, M).has_interval
    draws[:] = np.nan
    assert not denoised_norm(observed, draws, 0, M).has_interval
    with pytest.raises(DesignError, match=r"\(k, k\) and \(w, k, k\)"):
        denoised_norm(observed, draws[0], 0, M)
