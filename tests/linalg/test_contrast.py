from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import DesignError
from multidir.linalg.angles import effective_rank
from multidir.linalg.contrast import contrast, contrasts

T, G, D = 7, 4, 5


def ragged(rng: np.random.Generator) -> tuple[list[list[np.ndarray]], np.ndarray, np.ndarray]:
    """Rows per (trace, label), some of them none, and their sums and counts."""
    counts = rng.integers(0, 4, (T, G))
    counts[0], counts[1, 1:] = [3, 2, 0, 1], 0
    rows = [[rng.normal(size=(n, D)) + 3 * j for j, n in enumerate(trace)] for trace in counts]
    return rows, np.array([[r.sum(axis=0) for r in trace] for trace in rows]), counts


def by_hand(rows: list[list[np.ndarray]], label: int, mean: str, reference: str) -> np.ndarray:
    """The contrast straight from the definition."""
    sides = []
    for chosen in ([label], [j for j in range(G) if reference == "all" or j != label]):
        traces = [np.concatenate([trace[j] for j in chosen]) for trace in rows]
        filled = [x for x in traces if len(x)]
        sides.append(np.concatenate(filled).mean(0) if mean == "token" else np.mean([x.mean(0) for x in filled], 0))
    return sides[0] - sides[1]


@pytest.mark.parametrize("mean", ["token", "trace"])
@pytest.mark.parametrize("reference", ["all", "rest"])
def test_ragged_rows_by_the_definition(mean, reference, rng: np.random.Generator) -> None:
    rows, sums, counts = ragged(rng)
    for label in range(G):
        expected = by_hand(rows, label, mean, reference)
        np.testing.assert_allclose(contrast(sums, counts, label, mean, reference), expected, rtol=1e-10, atol=1e-12)
        on_torch = contrast(torch.from_numpy(sums), torch.from_numpy(counts), label, mean, reference)
        np.testing.assert_allclose(on_torch.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_the_two_mean_rules_differ_on_ragged_data(rng: np.random.Generator) -> None:
    _, sums, counts = ragged(rng)
    assert not np.allclose(contrast(sums, counts, 0, "token"), contrast(sums, counts, 0, "trace"))


@given(st.integers(0, 2**32 - 1))
def test_pooled_all_is_a_share_of_pooled_rest(seed: int) -> None:
    _, sums, counts = ragged(np.random.default_rng(seed))
    for label in range(G):
        if not counts[:, label].any():
            continue
        a = counts[:, label].sum() / counts.sum()
        rest = contrast(sums, counts, label, "token", "rest")
        np.testing.assert_allclose(contrast(sums, counts, label, "token", "all"), (1 - a) * rest, rtol=1e-9, atol=1e-12)


def test_per_trace_means_have_no_such_factor(rng: np.random.Generator) -> None:
    _, sums, counts = ragged(rng)
    a = counts[:, 0].sum() / counts.sum()
    assert not np.allclose(
        contrast(sums, counts, 0, "trace", "all"), (1 - a) * contrast(sums, counts, 0, "trace", "rest"), rtol=1e-3
    )


def test_count_weighted_label_vectors_cancel(rng: np.random.Generator) -> None:
    _, sums, counts = ragged(rng)
    vectors = np.array([contrast(sums, counts, label) for label in range(G)])
    np.testing.assert_allclose(counts.sum(axis=0) @ vectors, 0, atol=1e-10)
    assert np.linalg.matrix_rank(vectors) == G - 1
    assert effective_rank(vectors) < G
    apart = np.array([contrast(sums, counts, label, "trace") for label in range(G)])
    assert np.linalg.matrix_rank(apart) == G


def test_weights_are_repetitions_of_traces(rng: np.random.Generator) -> None:
    _, sums, counts = ragged(rng)
    picks = rng.integers(0, T, size=(6, T))
    weights = np.array([np.bincount(p, minlength=T) for p in picks], dtype=float)
    for mean in ("token", "trace"):
        found = contrasts(sums, counts, 0, weights, mean)
        expected = [contrast(sums[p], counts[p], 0, mean) for p in picks]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_draw_without_positives_is_nan_not_zero() -> None:
    sums, counts = np.ones((3, 2, 2)), np.array([[1, 1], [0, 1], [0, 1]])
    found = contrasts(sums, counts, 0, np.array([[0.0, 2, 1], [1, 1, 1]]))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_empty_classes_and_wrong_shapes_are_refused() -> None:
    sums, counts = np.ones((3, 2, 4)), np.array([[1, 0], [2, 0], [1, 0]])
    with pytest.raises(DesignError, match="label 1 has 0 rows against 4 reference rows in 3 traces"):
        contrast(sums, counts, 1)
    with pytest.raises(DesignError, match="label 0 has 4 rows against 0 reference"):
        contrast(sums, counts, 0, reference="rest")
    with pytest.raises(DesignError, match="outside the 2 labels"):
        contrast(sums, counts, 2)
    with pytest.raises(DesignError, match=r"sums \(t, g, d\)"):
        contrast(sums[0], counts, 0)
    with pytest.raises(DesignError, match="weights"):
        contrasts(sums, counts, 0, np.ones((1, 5)))
