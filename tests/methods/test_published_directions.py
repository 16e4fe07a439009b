"""The published layer-10 vectors, against the statistics in the paper's data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multidir.linalg.angles import cosine, principal_angles, singular_shares
from multidir.linalg.basis import orthonormal_basis
from multidir.records.direction import DirectionSet
from multidir.records.site import Site
from multidir.store.directions import load_published

LABELS = (
    "initializing",
    "adding-knowledge",
    "deduction",
    "example-testing",
    "backtracking",
    "uncertainty-estimation",
)


@pytest.fixture(scope="module")
def published(reference: Path) -> DirectionSet:
    return load_published(reference / "directions_l10.safetensors", Site(10))


def vectors(published: DirectionSet, role: str) -> np.ndarray:
    return np.stack([published[f"{role}/{label}"].vector for label in LABELS])


def test_norms(published: DirectionSet) -> None:
    expected = {
        "base": [1.319, 0.393, 0.233, 0.412, 0.631, 0.403],
        "reasoning": [1.394, 0.402, 0.240, 0.446, 0.657, 0.424],
    }
    for role, norms in expected.items():
        found = [published[f"{role}/{label}"].length for label in LABELS]
        assert found == pytest.approx(norms, abs=0.0011)


def test_cosines_between_the_models(published: DirectionSet) -> None:
    found = [cosine(published[f"base/{label}"].unit, published[f"reasoning/{label}"].unit) for label in LABELS]
    assert found == pytest.approx([0.779, 0.726, 0.789, 0.777, 0.716, 0.802], abs=0.0006)


def test_cosines_between_the_labels(published: DirectionSet) -> None:
    backtracking = published["reasoning/backtracking"].unit
    expected = {
        "initializing": -0.358,
        "adding-knowledge": -0.183,
        "deduction": 0.122,
        "example-testing": 0.197,
        "uncertainty-estimation": 0.345,
    }
    found = {label: cosine(backtracking, published[f"reasoning/{label}"].unit) for label in expected}
    assert found == pytest.approx(expected, abs=0.0006)
    pair = published["reasoning/initializing"].unit, published["reasoning/deduction"].unit
    assert cosine(*pair) == pytest.approx(-0.748, abs=0.0006)


@pytest.mark.parametrize("role", ["base", "reasoning"])
def test_six_labels_span_five_dimensions(published: DirectionSet, role: str) -> None:
    stored = vectors(published, role).astype(np.float32)
    assert len(orthonormal_basis(stored)) == 5
    assert len(orthonormal_basis(stored[:5])) == 5


def test_singular_value_shares(published: DirectionSet) -> None:
    shares = 100 * singular_shares(vectors(published, "reasoning"))
    assert shares == pytest.approx([46, 19, 16, 10, 8, 0], abs=1.5)


def test_the_two_spans_are_near_but_not_the_same(published: DirectionSet) -> None:
    angles = principal_angles(vectors(published, "base"), vectors(published, "reasoning"), rtol=1e-5)
    assert len(angles) == 5
    assert 0 < angles[0] < angles[-1] < np.pi / 2
