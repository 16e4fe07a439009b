"""L1 probes, differences of means and LDA against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from multidir.methods.probe_lasso import fit_lasso
from multidir.methods.probe_logistic import Solver, fit_logistic
from multidir.methods.probe_means import fit_difference, fit_lda
from multidir.methods.probe_nested import column_aurocs
from multidir.methods.probe_pool import Pooling, fit_pool
from multidir.methods.probe_sparse import fit_sparse
from tests.methods.test_probe_logistic import cells, folds_of


def test_lasso_is_that_of_scikit_learn() -> None:
    x, y = cells(b=1)
    train, penalties = folds_of(len(y)), np.array([0.03, 0.3])
    probes = fit_lasso(x[0], y, train, penalties, Solver(tolerance=1e-7, dtype="float64"))
    assert np.abs(probes.gradient).max() <= 1e-7
    for s, c in ((0, 0), (4, 1)):
        model = LogisticRegression(C=penalties[c], l1_ratio=1, solver="saga", tol=1e-8, max_iter=20_000)
        mine = make_pipeline(StandardScaler(), model).fit(x[0, train[:, s]].astype(np.float64), y[train[:, s]])
        expected = mine[1].coef_[0] / mine[0].scale_
        assert np.allclose(probes.weight[0, s, c], expected, atol=1e-4 * np.abs(expected).max())
        assert np.array_equal(probes.weight[0, s, c] == 0, expected == 0)


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 1.0])
def test_lda_is_that_of_scikit_learn(shrinkage: float) -> None:
    x, y = cells(b=1)
    train = folds_of(len(y))
    probes = fit_lda(x[0], y, train, np.array([shrinkage, 0.5]))
    for s in (0, 4):
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
        mine = make_pipeline(StandardScaler(), model).fit(x[0, train[:, s]].astype(np.float64), y[train[:, s]])
        expected = mine[1].coef_[0] / mine[0].scale_
        cosine = probes.unit[0, s, 0] @ expected / np.linalg.norm(expected)
        assert cosine == pytest.approx(1, abs=1e-9)


def test_a_difference_of_means_is_one() -> None:
    x, y = cells(b=1)
    train = folds_of(len(y))
    probes = fit_difference(x[0], y, train)
    rows = x[0, train[:, 1]].astype(np.float64)
    gap = rows[y[train[:, 1]]].mean(axis=0) - rows[~y[train[:, 1]]].mean(axis=0)
    assert np.allclose(probes.weight[0, 1, 0], gap)
    middle = (rows[y[train[:, 1]]].mean(axis=0) + rows[~y[train[:, 1]]].mean(axis=0)) / 2
    assert middle @ gap + probes.bias[0, 1, 0] == pytest.approx(0, abs=1e-9)


def test_sparse_probes_find_the_latents_that_differ_and_look_at_training_rows_only() -> None:
    rng = np.random.default_rng(3)
    y = rng.random(600) < 0.2
    acts = np.maximum(rng.normal(size=(600, 40)), 0).astype(np.float32)
    acts[:, 7] += 2 * y
    acts[:, 30] = np.where(np.arange(600) < 300, 0, 5.0 * y)
    train = np.stack([np.arange(600) < 300, np.ones(600, bool)], axis=1)
    found = fit_sparse(acts, y, train, (1, 3), 1.0)
    assert found.latents[0][0].tolist() == [7]
    assert 30 not in found.latents[0][1]
    assert set(found.latents[1][1][:2].tolist()) == {7, 30}
    assert column_aurocs(found.scores[300:, 0], y[300:]).min() > 0.9


def linear(x: np.ndarray, y: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight, bias and scores of all rows by logistic probes of the last token."""
    probes = fit_logistic(x[None, :, -1], y, train, np.array([0.01]))
    return probes.weight[0, :, 0], probes.bias[0, :, 0], probes.scores(x[:, -1])[0, :, :, 0]


def test_attention_finds_a_token_that_moves_about_and_a_mean_does_not() -> None:
    """The sign of one channel decides, at the one token of the window that another channel marks."""
    rng = np.random.default_rng(4)
    n, t, d = 800, 6, 8
    x = rng.normal(size=(n, t, d)).astype(np.float32)
    where = rng.integers(0, t, n)
    x[np.arange(n), where, 0] += 6
    y = x[np.arange(n), where, 1] > 0.5
    train = np.tile((np.arange(n) < 500)[:, None], (1, 2))
    weight, bias, last = linear(x, y, train)
    scores = fit_pool(x, y, train, weight, bias, 1e-4, "attention", steps=80)
    pooled = column_aurocs(scores[500:, 0], y[500:])[0]
    mean = fit_logistic(x.mean(axis=1)[None], y, train[:, :1], np.array([1.0])).scores(x.mean(axis=1))[0, 500:, 0]
    assert pooled > max(column_aurocs(mean, y[500:])[0], column_aurocs(last[500:], y[500:])[0]) + 0.1
    mixed = rng.permutation(y)
    shuffled = fit_pool(x, mixed, train, *linear(x, mixed, train)[:2], 1e-4, "attention")
    assert column_aurocs(shuffled[500:, 0], y[500:])[0] < 0.65


def test_a_maximum_finds_one_loud_token_anywhere() -> None:
    rng = np.random.default_rng(5)
    n, t, d = 800, 6, 8
    x = rng.normal(size=(n, t, d)).astype(np.float32)
    y = rng.random(n) < 0.4
    x[y, rng.integers(0, t, y.sum()), 2] += 5
    train = (np.arange(n) < 500)[:, None]
    weight, bias, last = linear(x, y, train)
    scores = fit_pool(x, y, train, weight, bias, 1e-4, "maximum", steps=80)
    assert column_aurocs(scores[500:, 0], y[500:])[0] > 0.95
    assert column_aurocs(last[500:], y[500:])[0] < 0.8


@pytest.mark.parametrize("pooling", ["attention", "maximum"])
def test_where_the_window_is_no_help_it_stays_at_the_linear_probe(pooling: Pooling) -> None:
    """Wide rows, few of them, everything in the last token: the case in which a free search would overfit."""
    rng = np.random.default_rng(6)
    n, t, d = 400, 8, 200
    x = (rng.normal(size=(n, t, d)) * np.exp(rng.normal(size=d)) + rng.normal(size=d)).astype(np.float32)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * (x[:, -1, 3] - x[:, -1, 3].mean()) / x[:, -1, 3].std()))
    train = (np.arange(n) < 200)[:, None]
    weight, bias, last = linear(x, y, train)
    scores = fit_pool(x, y, train, weight, bias, 1.0, pooling)
    own = column_aurocs(last[200:], y[200:])[0]
    assert own > 0.65
    assert column_aurocs(scores[200:, 0], y[200:])[0] > own - 0.02
    np.testing.assert_array_equal(scores, fit_pool(x, y, train, weight, bias, 1.0, pooling))
