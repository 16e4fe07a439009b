from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.experiments.separation import WindowMeans, crossfitted_scores
from multidir.stats.ranking import auroc


def windows(rng: np.random.Generator, shift: float, n: int = 400, d: int = 40) -> WindowMeans:
    positive = rng.random(n) < 0.15
    x = rng.normal(size=(n, d))
    x[positive, 0] += shift
    return WindowMeans(x, positive, np.repeat(np.arange(n // 10), 10))


def test_a_planted_difference_is_found(rng: np.random.Generator) -> None:
    w = windows(rng, 3.0)
    assert auroc(crossfitted_scores(w, 5, rng), w.positive) > 0.9


def test_noise_stays_at_chance_because_scores_are_crossfitted(rng: np.random.Generator) -> None:
    w = windows(rng, 0.0, d=200)
    own = w.x @ (w.x[w.positive].mean(0) - w.x.mean(0))
    assert auroc(own, w.positive) > 0.8  # in-sample, the same data look separable
    assert abs(auroc(crossfitted_scores(w, 5, rng), w.positive) - 0.5) < 0.12


def test_more_folds_than_traces_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DesignError, match="folds"):
        crossfitted_scores(windows(rng, 1.0, n=30), 5, rng)
