from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.methods.control import random_directions, shuffled_directions
from multidir.records.direction import DirectionSet
from multidir.store.activations import ActivationStore
from tests.methods.planted import ANNOTATOR, OFFSETS, SITE, diffmeans


def test_random_directions_differ_only_in_where_they_point(store: ActivationStore, rng: np.random.Generator) -> None:
    like = diffmeans(store, "base", "backtracking", OFFSETS)
    found = random_directions(200, like, rng)
    assert {item.length for item in found} == {like.length}
    assert {(item.site, item.method) for item in found} == {(SITE, "random")}
    cosines = np.array([item.unit @ like.unit for item in found])
    assert abs(cosines.mean()) < 4 / np.sqrt(200 * like.d)
    assert cosines.std() == pytest.approx(1 / np.sqrt(like.d), rel=0.25)
    assert len(DirectionSet([like, *found])) == 201
    again = random_directions(200, like, np.random.default_rng(3))
    np.testing.assert_array_equal(again[5].unit, random_directions(200, like, np.random.default_rng(3))[5].unit)


def test_random_directions_of_a_covariance(store: ActivationStore, rng: np.random.Generator) -> None:
    like = diffmeans(store, "base", "backtracking", OFFSETS)
    rows = np.zeros((3, like.d))
    rows[:, 4] = [1, -2, 1]
    (found,) = random_directions(1, like, rng, rows)
    assert abs(found.unit[4]) == pytest.approx(1)
    assert found.name == "random-cov-0"


def test_shuffled_labels_lose_the_planted_direction(store: ActivationStore, rng: np.random.Generator) -> None:
    real = diffmeans(store, "base", "backtracking", OFFSETS)
    null = shuffled_directions(60, store, "base", SITE, ANNOTATOR, "backtracking", OFFSETS, rng)
    lengths = np.array([item.length for item in null])
    assert real.length > 2 * lengths.max()
    assert abs(np.mean([item.unit @ real.unit for item in null])) < 0.3
    assert null[0].method == "shuffled"
    assert null[0].source["offsets"] == list(OFFSETS)


def test_where_nothing_was_planted_shuffling_changes_nothing(store: ActivationStore, rng: np.random.Generator) -> None:
    real = diffmeans(store, "base", "backtracking", (1, 1))
    null = shuffled_directions(60, store, "base", SITE, ANNOTATOR, "backtracking", (1, 1), rng)
    assert real.length < np.max([item.length for item in null])


@pytest.mark.parametrize("mean", ["token", "trace"])
@pytest.mark.parametrize("reference", ["all", "rest"])
def test_the_identity_permutation_gives_the_direction_itself(store, mean, reference, monkeypatch) -> None:
    monkeypatch.setattr("multidir.methods.control._permuted", lambda values, _: values)
    monkeypatch.setattr("multidir.methods.control._CHUNK_VALUES", 50)
    (found,) = shuffled_directions(
        1, store, "base", SITE, ANNOTATOR, "backtracking", OFFSETS, np.random.default_rng(0), mean, reference
    )
    real = diffmeans(store, "base", "backtracking", OFFSETS, mean, reference)
    np.testing.assert_allclose(found.vector, real.vector, rtol=1e-9, atol=1e-12)


def test_nothing_to_shuffle_is_refused(store: ActivationStore, rng: np.random.Generator) -> None:
    with pytest.raises(DesignError, match="no sentence labelled 'musing'"):
        shuffled_directions(1, store, "base", SITE, ANNOTATOR, "musing", OFFSETS, rng)
