from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.methods.redundancy import groups, likeness, representatives, typicality


def test_twins_by_direction_or_by_firing_are_one(rng: np.random.Generator) -> None:
    units = np.eye(5)
    units[1] = [0.99, np.sqrt(1 - 0.99**2), 0, 0, 0]
    readings = rng.normal(size=(100, 5))
    readings[:, 3] = 2 * readings[:, 2] + 1
    found = groups(likeness(units, readings), 0.95)
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 2])


def test_opposites_are_two(rng: np.random.Generator) -> None:
    units = np.array([[1.0, 0], [-1, 0]])
    assert len(set(groups(likeness(units, rng.normal(size=(50, 2))), 0.9))) == 2


def test_a_mixture_does_not_join_its_parts() -> None:
    units = np.array([[1.0, 0], [0, 1], [np.sqrt(0.5), np.sqrt(0.5)]])
    alike = likeness(units, np.eye(3))
    found = groups(alike, 0.7)
    assert found[0] != found[1], "they are at right angles, though each is within 0.7 of the mixture"
    assert len(set(found)) == 2


def test_the_order_of_candidates_does_not_matter(rng: np.random.Generator) -> None:
    base = rng.normal(size=(4, 8))
    units = np.repeat(base, 3, axis=0) + 0.05 * rng.normal(size=(12, 8))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    alike, order = units @ units.T, rng.permutation(12)
    found, mixed = groups(alike, 0.9), groups(alike[np.ix_(order, order)], 0.9)
    np.testing.assert_array_equal(found[order][:, None] == found[order], mixed[:, None] == mixed)
    np.testing.assert_array_equal(found, np.repeat(np.arange(4), 3))


def test_the_most_typical_of_each_group_speaks_for_it_and_the_most_promising_of_equals() -> None:
    group, score = np.array([0, 1, 0, 1, 2]), np.array([0.1, np.nan, 0.4, -3, np.nan])
    np.testing.assert_array_equal(representatives(group, score, np.zeros(5)), [2, 3, 4])
    close = np.array([1.0, 1 + 1e-15, 0])
    np.testing.assert_array_equal(representatives(np.zeros(3), close, np.array([2.0, 1, 3])), [0])
    alike = np.array([[1, 0.9, 0.5, 0], [0.9, 1, 0.9, 0], [0.5, 0.9, 1, 0], [0, 0, 0, 1.0]])
    found = typicality(alike, np.array([0, 0, 0, 1]))
    assert found.argmax() == 3, "a group of its own"
    assert found[1] > max(found[0], found[2])


def test_a_silent_candidate_is_like_nobody() -> None:
    found = likeness(np.eye(2), np.column_stack([np.arange(5.0), np.zeros(5)]))
    np.testing.assert_array_equal(found, np.eye(2))
    np.testing.assert_array_equal(groups(np.ones((1, 1)), 0.5), [0])
    with pytest.raises(DesignError, match="3 directions"):
        likeness(np.eye(3), np.zeros((5, 2)))
