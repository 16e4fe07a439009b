from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.linalg.basis import project_out
from multidir.methods.inlp import inlp_directions
from multidir.methods.probe_logistic import fit_logistic
from multidir.stats.ranking import auroc


def rows(rng: np.random.Generator, n: int = 800, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    z = rng.random(n) < 0.4
    x = rng.normal(size=(n, d)) * np.linspace(1, 3, d)
    x[:, 0] += 3 * z
    x[:, 5] -= 4 * z
    return x, z


def readable(x: np.ndarray, z: np.ndarray, held: np.ndarray) -> float:
    probe = fit_logistic(x[None], z, ~held[:, None], np.array([0.1]))
    return auroc(probe.scores(x[None])[0, held, 0, 0], z[held])


def test_rung_after_rung_less_is_readable(rng: np.random.Generator) -> None:
    x, z = rows(rng)
    held = rng.random(len(x)) < 0.4
    basis = inlp_directions(x, z, 4, 0.1)
    np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-9)
    left = [readable(project_out(x, basis[:k]), z, held) for k in range(5)]
    assert left[0] > 0.95
    assert left[1] < left[0] - 0.1
    assert left[4] < 0.6


def test_the_first_rung_is_the_probe_and_rungs_nest(rng: np.random.Generator) -> None:
    x, z = rows(rng)
    first = inlp_directions(x, z, 1, 0.1)
    probe = fit_logistic((x - x.mean(axis=0))[None], z, np.ones((len(x), 1), bool), np.array([0.1])).unit[0, 0, 0]
    assert first[0] @ probe == pytest.approx(1)
    np.testing.assert_allclose(inlp_directions(x, z, 3, 0.1)[:2], inlp_directions(x, z, 2, 0.1), atol=1e-5)


def test_more_than_there_is_is_refused(rng: np.random.Generator) -> None:
    x, z = rng.normal(size=(50, 3)), rng.random(50) < 0.5
    with pytest.raises(DesignError, match="4 directions cannot be taken out of rows that span 3"):
        inlp_directions(x, z, 4, 0.1)
    with pytest.raises(DesignError, match="both classes"):
        inlp_directions(x, np.ones(50, bool), 1, 0.1)
