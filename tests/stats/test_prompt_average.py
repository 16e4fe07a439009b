"""Effects that differ between prompts: the mean over prompts comes out, and nothing changes where they do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from multidir.stats.factorial import design, model_matrix, terms
from multidir.stats.fixed_effect import LogitFit, fit_logit
from multidir.stats.prompt_average import inflation_of, prompt_average
from multidir.types import FloatArray

ON = design(2)
X = model_matrix(ON, terms(2, 2))
BETA = np.array([0.8, 1.0, 0.0])


def expected(tau: float, m: int = 4000, n: float = 1e4) -> tuple[FloatArray, FloatArray]:
    """Counts without sampling noise of prompts whose effects differ by tau."""
    rng = np.random.default_rng(1)
    own = BETA + tau * rng.standard_normal((m, 3)) * [1, 1, 0]
    alpha = -2.5 + rng.standard_normal((m, 1))
    trials = np.full((m, 4), n)
    return trials / (1 + np.exp(-(alpha + own @ X.T))), trials


def both(tau: float) -> tuple[LogitFit, LogitFit]:
    y, n = expected(tau)
    fit = fit_logit(y, n, X)
    return fit, prompt_average(fit, y, n, X, 1.0)


def test_the_mean_over_prompts_is_nearer_than_the_common_effect() -> None:
    common, mean = both(0.5)
    assert common.beta[2] < -0.02
    assert abs(mean.beta[2]) < abs(common.beta[2]) / 2
    assert np.abs(mean.beta - BETA).max() < np.abs(common.beta - BETA).max()
    assert mean.method.endswith("mean over prompts")


def test_prompts_that_do_not_differ_change_nothing() -> None:
    common, mean = both(0.0)
    assert mean.beta == pytest.approx(common.beta, abs=1e-3)
    assert mean.beta == pytest.approx(BETA, abs=1e-3)


def test_without_a_scale_of_noise_the_fit_stays() -> None:
    y, n = expected(0.5, m=50)
    fit = fit_logit(y, n, X)
    assert prompt_average(fit, y, n, X, math.nan) is fit
    assert math.isnan(inflation_of(y, n, X, fit, y, n))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("rho", [0.0, 0.2])
def test_the_scale_of_noise_comes_from_spare_cells_or_from_halves(k: int, rho: float) -> None:
    rng = np.random.default_rng(5)
    x = model_matrix(design(k), terms(k, 2))
    shape, size = (600, len(x), 2), 20
    p = np.full(shape, 0.3)
    drawn = rng.beta(0.3 * (1 - rho) / rho, 0.7 * (1 - rho) / rho, shape) if rho else p
    halves = rng.binomial(size, drawn).astype(np.float64)
    y, n = halves.sum(axis=2), np.full(shape[:2], 2.0 * size)
    fit = fit_logit(y, n, x)
    found = inflation_of(y, n, x, fit, halves[..., 0], n / 2)
    assert found == pytest.approx(1 + rho * (size - 1), rel=0.12)
