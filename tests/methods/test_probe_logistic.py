"""The batched solver against scikit-learn, one probe at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from multidir.errors import DesignError
from multidir.methods.probe_lasso import fit_lasso
from multidir.methods.probe_logistic import LinearProbes, Solver, fit_logistic

PENALTIES = np.array([1e-3, 1e-1, 10.0])


def cells(n: int = 900, d: int = 20, b: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated rows with a loud channel and a large mean, and rare positives that depend on both cells."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(b, n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d)
    x[:, :, 0] = 50 * x[:, :, 0] + 300
    logits = x[:, :, 1:4].sum(axis=(0, 2)) + x[0, :, 0] / 50 - 9
    return x.astype(np.float32), rng.random(n) < 1 / (1 + np.exp(-logits))


def folds_of(n: int, k: int = 4) -> np.ndarray:
    """(n, k + 1): all but one fold, and all."""
    fold = np.arange(n) % k
    return np.stack([*(fold != f for f in range(k)), np.ones(n, bool)], axis=1)


@pytest.mark.parametrize(("dtype", "tolerance", "near"), [("float64", 1e-9, 2e-5), ("float32", 1e-5, 2e-3)])
def test_coefficients_equal_those_of_scikit_learn(dtype: str, tolerance: float, near: float) -> None:
    x, y = cells()
    train = folds_of(len(y))
    probes = fit_logistic(x, y, train, PENALTIES, Solver(tolerance=tolerance, dtype=dtype))
    assert probes.gradient.max() <= tolerance
    for b, s, c in np.ndindex(2, 5, 3):
        mine = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTIES[c], tol=1e-10, max_iter=5000))
        rows = x[b, train[:, s]].astype(np.float64)
        mine.fit(rows, y[train[:, s]])
        expected = mine[1].coef_[0] / mine[0].scale_
        assert np.linalg.norm(probes.weight[b, s, c] - expected) <= near * np.linalg.norm(expected)
        held_out = x[b].astype(np.float64)
        found = probes.scores(x)[b, :, s, c]
        assert roc_auc_score(y, found) == pytest.approx(roc_auc_score(y, mine.decision_function(held_out)), abs=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("fit", [fit_logistic, fit_lasso])
def test_a_gpu_finds_the_same_probes(fit: Callable[..., LinearProbes]) -> None:
    x, y = cells(b=1)
    train, rows = folds_of(len(y)), x if fit is fit_logistic else x[0]
    here, there = (
        fit(rows, y, train, PENALTIES, Solver(tolerance=1e-8, dtype="float64", device=device))
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(there.weight, here.weight, atol=1e-5 * np.abs(here.weight).max())
    for c in range(len(PENALTIES)):
        told = [roc_auc_score(y, found.scores(x)[0, :, -1, c]) for found in (here, there)]
        assert told[0] == pytest.approx(told[1], abs=1e-4)


def test_thinning_is_only_a_way_to_come_closer() -> None:
    """With far more rows than the first part of the way looks at, the answer is that of all rows."""
    x, y = cells(n=6000, d=6, b=1)
    probes = fit_logistic(x, y, np.ones((6000, 1), bool), np.array([1.0]), Solver(tolerance=1e-5))
    mine = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, tol=1e-10)).fit(x[0].astype(np.float64), y)
    assert np.allclose(probes.weight[0, 0, 0] * mine[0].scale_, mine[1].coef_[0], rtol=2e-3, atol=2e-4)


def test_training_sets_may_have_labels_of_their_own() -> None:
    x, y = cells()
    other = np.roll(y, 7)
    both = fit_logistic(x, np.stack([y, other], axis=1), np.ones((len(y), 2), bool), np.array([0.1]))
    alone = fit_logistic(x, other, np.ones((len(y), 1), bool), np.array([0.1]))
    assert np.allclose(both.weight[:, 1], alone.weight[:, 0], rtol=1e-2, atol=1e-3)
    assert not np.allclose(both.weight[:, 0], alone.weight[:, 0], rtol=1e-2, atol=1e-3)


def test_separable_labels_have_a_finite_probe() -> None:
    x, _ = cells()
    y = x[0, :, 3] > 0
    probes = fit_logistic(x[:1], y, np.ones((len(y), 1), bool), np.array([100.0]))
    assert np.isfinite(probes.weight).all()
    assert roc_auc_score(y, probes.scores(x[:1])[0, :, 0, 0]) > 0.999


def test_a_channel_that_never_changes_gets_no_weight() -> None:
    x, y = cells()
    x[:, :, 5] = 7.0
    probes = fit_logistic(x, y, folds_of(len(y)), PENALTIES)
    assert np.abs(probes.weight[..., 5]).max() == 0


def test_a_training_set_with_one_class_is_named() -> None:
    x, y = cells()
    train = folds_of(len(y))
    train[:, 2] &= ~y
    with pytest.raises(DesignError, match=r"set 2: 0 positive of \d+ rows"):
        fit_logistic(x, y, train, PENALTIES)


def test_rows_that_are_not_finite_are_counted() -> None:
    x, y = cells()
    x[1, [4, 9], 3] = np.nan
    with pytest.raises(DesignError, match=r"2 of 900 rows hold nan or infinities \(the first is row 4\)"):
        fit_logistic(x, y, folds_of(len(y)), PENALTIES)
