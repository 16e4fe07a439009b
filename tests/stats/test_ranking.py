from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from multidir.errors import DesignError
from multidir.stats.ranking import auprc_estimate, auroc, auroc_estimate, weighted_auroc
from tests.stats.bands import binomial_band, slow_interval


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_ties_as_in_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    if labels.all() or not labels.any():
        with pytest.raises(DesignError, match="both classes"):
            auroc(scores, labels)
    else:
        assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.parametrize("name", ["smooth", "tied", "rare", "common"])
def test_both_equal_torchmetrics(name: str) -> None:
    with np.load(Path(__file__).with_name("ranking_golden.npz")) as golden:
        scores, labels, area, precision = (
            golden[f"{name}.{part}"] for part in ("scores", "labels", "auroc", "average_precision")
        )
    assert auroc(scores, labels) == pytest.approx(float(area), abs=1e-6)
    found = auprc_estimate(scores, labels, np.arange(len(labels)), np.random.default_rng(0), draws=2)
    assert found.value == pytest.approx(float(precision), abs=1e-6)


def test_order_is_all_that_counts(rng: np.random.Generator) -> None:
    scores, labels = rng.normal(size=50), rng.random(50) < 0.3
    assert auroc(np.exp(scores), labels) == auroc(scores, labels)
    assert auroc(-scores, labels) == pytest.approx(1 - auroc(scores, labels))
    assert auroc(labels.astype(float), labels) == 1
    assert auroc(np.zeros(50), labels) == 0.5


def test_the_fast_path_is_the_slow_one(rng: np.random.Generator) -> None:
    cluster = rng.integers(0, 25, 300)
    labels = rng.random(300) < 0.3
    scores = np.round(rng.normal(size=300) + labels, 1)
    fast = auroc_estimate(scores, labels, cluster, np.random.default_rng(0), 3000)
    slow = slow_interval(lambda i: auroc(scores[i], labels[i]), cluster, np.random.default_rng(1), 1500)
    assert fast.value == pytest.approx(roc_auc_score(labels, scores))
    assert (fast.low, fast.high) == pytest.approx(slow, abs=0.01)
    assert fast.n == 25


def test_coverage(rng: np.random.Generator) -> None:
    # positives N(1, 1), negatives N(0, 1), both plus an offset N(0, 1) per cluster; pairs within a cluster, one in 40,
    # are easier, which moves the truth by less than 0.002
    repeats, m, truth, hits = 300, 40, norm.cdf(1 / 2), 0
    cluster = np.repeat(np.arange(m), 12)
    for _ in range(repeats):
        labels = rng.random(cluster.size) < 0.25
        scores = rng.normal(size=cluster.size) + labels + rng.normal(size=m)[cluster]
        found = auroc_estimate(scores, labels, cluster, rng, 300)
        hits += found.low <= truth <= found.high
    low, high = binomial_band(repeats, 0.95, slack=0.03)
    assert low <= hits / repeats <= high


def test_what_cannot_be_ranked_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DesignError, match="1 of 3 scores are nan"):
        auroc(np.array([1, np.nan, 2]), np.array([True, False, True]))
    with pytest.raises(DesignError, match="one score and one label per row"):
        auroc(np.ones(3), np.ones(2, dtype=bool))
    with pytest.raises(DesignError, match="needs its cluster"):
        auroc_estimate(np.arange(3.0), np.array([True, False, True]), np.arange(2), rng)
    with pytest.raises(DesignError, match="got 3 positive of 3"):
        auroc_estimate(np.arange(3.0), np.ones(3, dtype=bool), np.arange(3), rng)


def test_one_cluster_has_a_value_but_no_interval(rng: np.random.Generator) -> None:
    found = auroc_estimate(np.arange(4.0), np.array([False, True, False, True]), np.zeros(4, dtype=int), rng)
    assert found.value == 0.75
    assert not found.has_interval


def test_strata_compare_within_themselves_only(rng: np.random.Generator) -> None:
    """A constant added to one stratum changes nothing, and the value is the mean of the strata by their pairs."""
    labels, strata, clusters = rng.random(300) < 0.3, np.arange(300) % 3, np.arange(300) // 6
    scores = labels + rng.normal(size=300)
    statistic, m = weighted_auroc(scores + 100 * strata, labels, clusters, strata)
    value = float(statistic(np.ones((1, m)))[0])
    parts = [(auroc(scores[strata == s], labels[strata == s]), labels[strata == s]) for s in range(3)]
    pairs = [y.sum() * (~y).sum() for _, y in parts]
    assert value == pytest.approx(np.average([a for a, _ in parts], weights=pairs))
    with pytest.raises(DesignError, match="shares a stratum"):
        weighted_auroc(scores, labels, clusters, labels.astype(int))


def test_average_precision_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    labels, clusters = rng.random(200) < 0.2, np.arange(200) // 5
    scores = (labels + rng.normal(size=200)).round(1)
    found = auprc_estimate(scores, labels, clusters, rng, draws=200)
    assert found.value == pytest.approx(average_precision_score(labels, scores))
    slow = slow_interval(
        lambda i: float(average_precision_score(labels[i], scores[i])), clusters, np.random.default_rng(1), 300
    )
    assert (found.low, found.high) == pytest.approx(slow, abs=0.06)
    assert found.low < found.value < found.high
