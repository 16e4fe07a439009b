"""Learned mixtures on a small random model: the gradient is right, more is learned than a single has, L1 is exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multidir.errors import DesignError
from multidir.experiments.mixture_study import Measured, at_budget, split_prompts_of
from multidir.experiments.mixtures import Learner, Objective, Texts, as_directions, contenders, texts_of
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace

SITE, TOKENS = Site(2), (50, 51, 52)


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load_model("shipped:tiny/reasoning-and", "reasoning", device="cpu")


def written(count: int = 8) -> tuple[list[Trace], list[Sentence]]:
    """Texts of random tokens with three sentences each, the second of the behaviour."""
    rng = np.random.default_rng(0)
    traces, sentences = [], []
    for i in range(count):
        ids = tuple(rng.integers(5, 400, 20).tolist())
        traces.append(Trace(f"t{i}", f"p{i // 2}", "x", ids, 4, ""))
        for j, start in enumerate((6, 11, 16)):
            label = "backtracking" if j == 1 else "deduction"
            sentences.append(Sentence(f"t{i}", j, 0, 1, start, start + 4, label, "test/1"))
    return traces, sentences


@pytest.fixture(scope="module")
def texts() -> Texts:
    return texts_of(*written())


@pytest.fixture(scope="module")
def directions() -> DirectionSet:
    rows = np.random.default_rng(3).standard_normal((3, 128))
    return DirectionSet(Direction.from_vector(f"d{i}", row, SITE) for i, row in enumerate(rows))


def learner(lm: LanguageModel, texts: Texts, price: float = 1.0, suppress: bool = False, tokens: int = 64) -> Learner:
    return Learner(lm, texts, SITE, Objective(TOKENS, price, suppress), tokens)


def test_the_gradient_is_that_of_the_objective(lm: LanguageModel, texts: Texts) -> None:
    made, rng = learner(lm, texts), np.random.default_rng(1)
    at, along = (torch.tensor(rng.standard_normal(128), dtype=torch.float32) for _ in range(2))
    value, gradient = made.value(at)
    step = 0.02
    up, down = (made.value(at + sign * step * along)[0] for sign in (1, -1))
    assert float(gradient @ along) == pytest.approx((up - down) / (2 * step), rel=0.05, abs=0.02)
    whole, _ = learner(lm, texts, tokens=100000).value(at)
    assert whole == pytest.approx(value, abs=1e-3)


def test_mixtures_beat_what_they_are_mixed_from_and_sparse_ones_are_sparse(
    lm: LanguageModel, texts: Texts, directions: DirectionSet
) -> None:
    made = learner(lm, texts)
    weights = made.mix(directions.matrix(), 5.0, 0.0, 6, 0.05)
    value = made.value(torch.tensor(5.0 * weights @ directions.matrix(), dtype=torch.float32))[0]
    assert value > made.value(torch.zeros(128))[0]
    assert not made.mix(directions.matrix(), 5.0, 50.0, 3, 0.05).any()
    less = learner(lm, texts, suppress=True).mix(directions.matrix(), 5.0, 0.0, 4, 0.05)
    assert less @ weights < 0


def test_contenders_meet_at_one_divergence(lm: LanguageModel, texts: Texts, directions: DirectionSet) -> None:
    found = contenders(learner(lm, texts), directions, 5.0, (0.0,), 4, 0.05, 0)
    assert {"mixture", "single d0", "sum", "mean", "first component", "linear read-out", "free vector"} <= set(found)
    items = as_directions(found, SITE)
    edits = at_budget(lm, items, texts, 0.3)
    measured = Measured.of(lm, edits, texts, Objective(TOKENS, 1.0), 4096)
    assert measured.p95 == pytest.approx(0.3, rel=0.1)
    assert measured.gains.shape == (4, len(items))


def test_prompts_are_learned_from_or_measured_on() -> None:
    seen, held = split_prompts_of(*written(), held_out=0.5, seed=0)
    assert set(seen.prompts) | set(held.prompts) == {"p0", "p1", "p2", "p3"}
    assert not set(seen.prompts) & set(held.prompts)
    with pytest.raises(DesignError, match="cannot be held out"):
        split_prompts_of(*written(2), held_out=0.2, seed=0)
    with pytest.raises(DesignError, match="of 24 sentences are 'musing'"):
        texts_of(*written(), label="musing")
