from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_recall_fscore_support

from multidir.errors import DesignError
from multidir.stats.agreement import confusion, kappa, kappa_estimate, score_estimates, scores

LABELS = ("a", "b", "c")


def annotators(rng: np.random.Generator) -> tuple[list[str], list[str], np.ndarray]:
    truth = rng.choice(3, 400, p=[0.6, 0.3, 0.1])
    said = np.where(rng.random(400) < 0.7, truth, rng.integers(0, 3, 400))
    return [LABELS[i] for i in truth], [LABELS[i] for i in said], np.repeat(np.arange(40), 10)


@pytest.mark.parametrize(
    ("counts", "published"),
    [
        ((185, 107, 100), (63.36, 64.91, 64.12)),
        ((90, 54, 45), (62.50, 66.67, 64.52)),
        ((102, 110, 48), (48.11, 68.00, 56.35)),
        ((163, 179, 96), (47.66, 62.93, 54.24)),
    ],
)
def test_table_c1_of_the_paper_from_its_counts(counts, published) -> None:
    assert tuple(round(100 * value, 2) for value in scores(*counts)) == published


def test_all_as_in_scikit_learn(rng: np.random.Generator) -> None:
    truth, said, trace = annotators(rng)
    np.testing.assert_array_equal(confusion(truth, said, LABELS), confusion_matrix(truth, said, labels=LABELS))
    assert kappa(confusion(truth, said, LABELS)) == pytest.approx(cohen_kappa_score(truth, said))
    expected = precision_recall_fscore_support(truth, said, labels=["c"])
    found = score_estimates(truth, said, "c", trace, rng)
    for key, value in zip(("precision", "recall", "f1"), expected, strict=False):
        assert found[key].value == pytest.approx(value[0])
        assert found[key].low < value[0] < found[key].high
        assert found[key].n == 40
    estimate = kappa_estimate(truth, said, LABELS, trace, rng)
    assert estimate.value == pytest.approx(cohen_kappa_score(truth, said))
    assert estimate.low < estimate.value < estimate.high


def test_chance_alone_is_no_agreement(rng: np.random.Generator) -> None:
    truth, said, trace = annotators(rng)
    shuffled = [said[i] for i in rng.permutation(len(said))]
    assert not kappa_estimate(truth, shuffled, LABELS, trace, rng).low > 0.1
    assert kappa_estimate(truth, said, LABELS, trace, rng).low > 0.3


def test_undefined_is_nan(rng: np.random.Generator) -> None:
    assert math.isnan(scores(0, 0, 3).precision)
    assert scores(0, 0, 3).recall == 0
    assert math.isnan(kappa(np.diag([5, 0])))
    none = score_estimates(["a", "b"], ["b", "b"], "c", np.arange(2), rng)
    assert math.isnan(none["recall"].value)
    assert not none["recall"].has_interval


def test_strange_labels_and_lengths_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DesignError, match="outside the taxonomy: z"):
        confusion(["a", "z"], ["a", "a"], LABELS)
    with pytest.raises(DesignError, match="got 2 and 1 labels"):
        confusion(["a", "b"], ["a"], LABELS)
    with pytest.raises(DesignError, match="lengths differ"):
        score_estimates(["a"], ["a"], "a", np.arange(2), rng)
