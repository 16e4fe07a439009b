"""Effects that differ between prompts: the mean over prompts comes out, and nothing changes where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from multidir.stats.factorial import design, model_matrix, terms
from multidir.stats.fixed_effect import LogitFit, fit_logit, intercepts
from multidir.stats.prompt_average import _drawn_together, inflation_of, prompt_average
from multidir.types import FloatArray

ON = design(2)
X = model_matrix(ON, terms(2, 2))
BETA = np.array([0.8, 1.0, 0.0])
KINDS = np.array([1, 1, 2])


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
    return fit, prompt_average(fit, y, n, X, np.ones(len(y)), KINDS)


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


def test_the_error_is_that_of_leaving_out_each_prompt_in_turn() -> None:
    rng, x, kinds = np.random.default_rng(3), model_matrix(design(3), terms(3, 2)), np.array([1, 1, 1, 2, 2, 2])
    own = np.array([0.8, 1.0, 0.6, 0.0, 0.0, 0.0]) + 0.5 * rng.standard_normal((60, 6))
    n = np.full((60, 8), 200.0)
    y = rng.binomial(200, 1 / (1 + np.exp(2.5 - rng.standard_normal((60, 1)) - own @ x.T))).astype(np.float64)

    def mean(keep: np.ndarray) -> LogitFit:
        fit = fit_logit(y[keep], n[keep], x)
        return prompt_average(fit, y[keep], n[keep], x, np.ones(len(keep)), kinds)

    found = mean(np.arange(60))
    left_out = np.array([mean(np.delete(np.arange(60), i)).beta for i in range(60)])
    jackknife = np.sqrt(59 / 60 * ((left_out - found.beta) ** 2).sum(axis=0))
    np.testing.assert_allclose(np.sqrt((found.spread**2).sum(axis=0)), jackknife, rtol=0.1)


def test_intercepts_at_the_fit_are_those_of_the_fit() -> None:
    y, n = expected(0.5, m=50)
    fit = fit_logit(y, n, X)
    np.testing.assert_allclose(intercepts(y, n, X, fit.beta, np.zeros(50)), fit.alpha, atol=1e-8)


def test_without_a_scale_of_noise_the_fit_stays() -> None:
    y, n = expected(0.5, m=50)
    fit = fit_logit(y, n, X)
    unknown = inflation_of(y, n, X, fit, y, n)
    assert np.isnan(unknown).all()
    assert prompt_average(fit, y, n, X, unknown, KINDS) is fit


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
    assert found.mean() == pytest.approx(1 + rho * (size - 1), rel=0.12)


def test_variances_of_one_kind_are_drawn_together_by_their_error_and_not_further() -> None:
    rng = np.random.default_rng(2)
    truth, noise = np.array([0.1, 0.3, 0.5, 9.0]), rng.standard_normal((100, 4))
    kinds = np.array([1, 1, 1, 2])
    sharp, blurred = noise * 1e-4, noise
    values, deviations = _drawn_together(truth, sharp, kinds)
    np.testing.assert_allclose(values, truth, atol=1e-3)
    np.testing.assert_allclose(deviations, sharp, atol=1e-6)
    values, deviations = _drawn_together(truth, blurred, kinds)
    np.testing.assert_allclose(values, [0.3, 0.3, 0.3, 9.0])
    np.testing.assert_allclose(deviations[:, 0], blurred[:, :3].mean(axis=1))
    np.testing.assert_allclose(deviations[:, 3], blurred[:, 3])
