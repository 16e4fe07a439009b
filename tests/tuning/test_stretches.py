"""Stretches of traces: what is learnt, how often the behaviour is in them, and that a step depends on its number."""

from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import ConfigError, DesignError
from multidir.records.text import Sentence, Trace
from multidir.tuning.settings import Drawing
from multidir.tuning.stretches import NO_TARGET, Stretches

LENGTH, PROMPT = 100, 10


def trace(name: str, length: int = LENGTH) -> Trace:
    return Trace(name, name, "math_logic", tuple(range(1000, 1000 + length)), PROMPT, "text")


def sentence(name: str, token: int, label: str = "backtracking") -> Sentence:
    return Sentence(name, 0, 0, 1, token, token + 5, label, "test/1")


def made(share: float = 0.5, rows: int = 8, window: int = 20, seed: int = 0) -> Stretches:
    drawing = Drawing(window, rows, share, seed)
    return Stretches(
        [trace("a"), trace("b")], [sentence("b", 60), sentence("a", 40, "deduction")], "backtracking", drawing
    )


def test_a_step_depends_on_its_number_and_seed_alone() -> None:
    one, other = made(), made()
    other.step(3)
    for a, b in zip(one.step(7), other.step(7), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(one.step(7)[0], one.step(8)[0])
    assert not np.array_equal(one.step(7)[0], made(seed=1).step(7)[0])


def test_the_prompt_is_read_and_not_learnt() -> None:
    ids, targets = made(0.0, rows=200).step(0)
    learnt = targets != NO_TARGET
    assert (ids[learnt] == targets[learnt]).all()
    assert ids[learnt].min() == 1000 + PROMPT
    assert ids[~learnt & (ids > 0)].max() == 1000 + PROMPT - 1


def test_evenly_laid_stretches_reach_every_token_after_the_prompt() -> None:
    _, targets = made(0.0, rows=400).step(0)
    assert set(targets[targets != NO_TARGET]) == set(range(1000 + PROMPT, 1000 + LENGTH))


def test_the_behaviour_is_drawn_as_often_as_asked_with_context_around_it() -> None:
    ids, _ = made(1.0, rows=500).step(0)
    places = (ids == 1060).argmax(axis=1)
    assert (ids == 1060).any(axis=1).all()
    assert places.min() == 20 // 4
    assert places.max() == 20 - 20 // 4
    ids, _ = made(0.5, rows=2000).step(0)
    starts = ids[:, 0] - 1000
    assert 0.45 < np.mean(starts % 20 != 0) < 0.55  # the even grid begins at multiples of the window


def test_a_trace_shorter_than_the_window_is_filled_up() -> None:
    stretches = Stretches([trace("a", 15)], [], "backtracking", Drawing(64, 2, 0.0))
    ids, targets = stretches.step(0)
    assert ids.shape == targets.shape == (2, 15)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DesignError, match="has a backtracking sentence"):
        Stretches([trace("a")], [sentence("a", 20, "deduction")], "backtracking", Drawing())
    with pytest.raises(DesignError, match="nothing to learn"):
        Stretches([trace("a", PROMPT)], [], "backtracking", Drawing(behaviour_share=0.0))
    with pytest.raises(ConfigError, match="--behaviour-share"):
        Drawing(behaviour_share=1.2)
