from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit
from statsmodels.discrete.conditional_models import ConditionalLogit

from multidir.errors import DesignError
from multidir.stats.factorial import design, model_matrix, terms
from multidir.stats.fixed_effect import JACKKNIFE_BELOW, estimable, fit_logit, fit_many

X = model_matrix(design(3), terms(3, 2))
BETA = np.array([0.7, 0.9, 0.4, 0.6, 0.0, -0.3])


def counts(rng: np.random.Generator, m: int, sentences: int = 60, base: float = -2.0) -> tuple[np.ndarray, np.ndarray]:
    n = rng.poisson(sentences, (m, len(X))).astype(float)
    y = rng.binomial(n.astype(int), expit(base + rng.normal(size=(m, 1)) + X @ BETA)).astype(float)
    return y, n


def dummies(y: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and CR1 covariance of the same model with one dummy per prompt, by statsmodels."""
    m, c = y.shape
    columns = np.column_stack([np.tile(X, (m, 1)), np.kron(np.eye(m), np.ones((c, 1)))])
    run = n.ravel() > 0
    model = sm.GLM(np.column_stack([y.ravel(), (n - y).ravel()])[run], columns[run], family=sm.families.Binomial())
    groups = {"groups": np.repeat(np.arange(m), c)[run], "use_correction": False}
    fitted = model.fit(tol=1e-13, cov_type="cluster", cov_kwds=groups)
    return fitted.params[: X.shape[1]], fitted.cov_params()[: X.shape[1], : X.shape[1]] * m / (m - 1)


def test_equals_a_model_with_prompt_dummies(rng: np.random.Generator) -> None:
    y, n = counts(rng, 40)
    found = fit_logit(y, n, X)
    beta, covariance = dummies(y, n)
    np.testing.assert_allclose(found.beta, beta, atol=1e-9)
    np.testing.assert_allclose(found.spread.T @ found.spread, covariance, rtol=1e-6, atol=1e-12)
    assert (found.n_used, found.n_zero, found.n_full) == (40, 0, 0)
    assert "CR1" in found.method


def test_conditional_logit_is_near_and_nearer_with_longer_texts(rng: np.random.Generator) -> None:
    """The conditional likelihood has no intercepts to estimate; theirs differ by one part in the sentences of a prompt.

    Its recursion takes statsmodels minutes on a real table, so the tables here are tiny.
    """
    gaps = []
    for sentences in (2, 8):
        y, n = (part[:, :2] for part in counts(rng, 30, sentences, base=-0.5))
        told = (y.sum(axis=1) > 0) & (y.sum(axis=1) < n.sum(axis=1))
        parts = [
            (i, j, hit)
            for i in np.flatnonzero(told)
            for j in range(2)
            for hit in [1] * int(y[i, j]) + [0] * int(n[i, j] - y[i, j])
        ]
        group, x, hit = (np.array(part) for part in zip(*parts, strict=True))
        theirs = ConditionalLogit(hit, x[:, None], groups=group).fit(disp=False, method="newton", skip_hessian=True)
        gaps.append(abs(fit_logit(y, n, np.array([[0.0], [1.0]])).beta[0] / theirs.params[0] - 1))
    assert gaps[1] < 0.15
    assert gaps[1] < gaps[0]


def test_few_prompts_use_the_jackknife(rng: np.random.Generator) -> None:
    y, n = counts(rng, JACKKNIFE_BELOW - 10)
    found = fit_logit(y, n, X)
    m = len(y)
    left = np.array([fit_logit(np.delete(y, i, 0), np.delete(n, i, 0), X).beta for i in range(m)])
    deviations = left - found.beta
    np.testing.assert_allclose(found.spread.T @ found.spread, (m - 1) / m * deviations.T @ deviations, rtol=1e-6)
    assert found.method == "cluster jackknife"
    assert found.coefficient(0).error > fit_many(y[None], n[None], X)[1][0, 0]


def test_prompts_that_say_nothing_are_counted_and_change_nothing(rng: np.random.Generator) -> None:
    y, n = counts(rng, 45)
    plain = fit_logit(y, n, X)
    more_y = np.vstack([y, np.zeros((3, 8)), np.full((2, 8), 9.0), np.zeros((1, 8))])
    more_n = np.vstack([n, np.full((3, 8), 50.0), np.full((2, 8), 9.0), np.zeros((1, 8))])
    found = fit_logit(more_y, more_n, X)
    np.testing.assert_allclose(found.beta, plain.beta, atol=1e-10)
    np.testing.assert_allclose(found.coefficient(3).error, plain.coefficient(3).error)
    assert (found.n_used, found.n_zero, found.n_full) == (45, 3, 2)
    assert not found.spread[45:].any()
    assert (found.alpha[45:48] == -np.inf).all()
    assert np.isnan(found.alpha[-1])


def test_a_missing_cell_leaves_the_rest_estimable(rng: np.random.Generator) -> None:
    y, n = counts(rng, 40)
    gone = (design(3)[:, 0] == 1) & (design(3)[:, 1] == 1)
    y[:, gone], n[:, gone] = 0, 0
    found = fit_logit(y, n, X)
    assert np.isnan(found.beta).tolist() == [False, False, False, True, False, False]
    assert np.isnan(found.contrast(np.array([0, 0, 0, 1.0, 1.0, 0])).value)
    assert np.isnan(found.coefficient(3).error)


def test_some_prompts_lack_some_cells(rng: np.random.Generator) -> None:
    y, n = counts(rng, 60)
    lost = rng.random(n.shape) < 0.2
    y[lost], n[lost] = 0, 0
    np.testing.assert_allclose(fit_logit(y, n, X).beta, dummies(y, n)[0], atol=1e-8)


def test_a_cell_that_never_backtracks_is_not_estimable(rng: np.random.Generator) -> None:
    y, n = counts(rng, 40)
    square = model_matrix(design(2), terms(2, 2))
    y[:, 3] = 0
    found = fit_logit(y[:, :4], n[:, :4], square)
    assert np.isnan(found.beta).all()


def test_one_cell_per_prompt_says_nothing(rng: np.random.Generator) -> None:
    y, n = counts(rng, 40)
    only = np.eye(8)[np.arange(40) % 8]
    assert np.isnan(fit_logit(y * only, n * only, X).beta).all()


def test_aliased_columns_have_no_meaning() -> None:
    x = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 1.0]])
    kept, known = estimable(x)
    assert kept.tolist() == [True, True, False]
    assert known.tolist() == [False, True, False]


def test_many_tables_at_once_are_each_fitted(rng: np.random.Generator) -> None:
    tables = [counts(rng, 40) for _ in range(5)]
    tables.append((np.zeros_like(tables[0][0]), tables[0][1]))
    beta, error = fit_many(np.array([t[0] for t in tables]), np.array([t[1] for t in tables]), X)
    for (y, n), b, e in zip(tables[:5], beta, error, strict=False):
        found = fit_logit(y, n, X)
        np.testing.assert_allclose(b, found.beta, atol=1e-9)
        np.testing.assert_allclose(e, [found.coefficient(q).error for q in range(6)], rtol=1e-7)
    assert np.isnan(beta[5]).all()


@pytest.mark.parametrize(
    ("y", "n", "x", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 3)), np.ones((4, 1)), "got"),
        (np.ones((3, 4)), np.ones((3, 4)), np.ones((3, 1)), "got"),
        (np.full((3, 4), 2.0), np.ones((3, 4)), np.ones((4, 1)), "0 <= backtracks <= sentences"),
        (np.full((3, 4), np.nan), np.ones((3, 4)), np.ones((4, 1)), "finite"),
    ],
)
def test_impossible_counts_are_refused(y, n, x, message) -> None:
    with pytest.raises(DesignError, match=message):
        fit_logit(y, n, x)
