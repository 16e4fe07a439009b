from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.methods.reason_score import reason_scores, spread


def test_by_hand() -> None:
    """Two words and two latents, worked out on paper."""
    word = np.array([0, 0, 1, -1, -1])
    acts = np.array([[4.0, 1], [2, 1], [0, 3], [0, 2], [1, 0]])
    plus, minus = np.array([2, 5 / 3]), np.array([0.5, 1])
    even = np.array([0.0, -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(2)])
    expected = plus / plus.sum() * even**0.7 - minus / minus.sum()
    np.testing.assert_allclose(reason_scores(acts, word), expected, rtol=1e-12)


def test_many_words_count_for_more_than_one(rng: np.random.Generator) -> None:
    word = np.repeat([-1, 0, 1, 2, 3], 50)
    general = (word >= 0).astype(float)
    single = 4.0 * (word == 2)
    scores = reason_scores(np.column_stack([general, single, np.ones(250)]), word)
    assert scores[0] > scores[1] > scores[2]
    assert reason_scores(np.column_stack([general, single]), word, alpha=0)[1] == pytest.approx(0.5)


def test_with_one_word_it_is_a_difference_of_shares() -> None:
    word = np.array([0, 0, -1, -1])
    acts = np.array([[1.0, 3], [1, 3], [2, 2], [2, 2]])
    np.testing.assert_allclose(reason_scores(acts, word), [0.25 - 0.5, 0.75 - 0.5])


def test_silence_scores_nothing() -> None:
    np.testing.assert_array_equal(reason_scores(np.zeros((4, 2)), np.array([0, 1, -1, -1])), [0, 0])
    with pytest.raises(DesignError, match="0 of 3 tokens"):
        reason_scores(np.zeros((3, 2)), np.array([-1, -1, -1]))


def test_words_spread_to_their_neighbours_within_a_text() -> None:
    word = np.array([-1, -1, 5, -1, -1, -1, 7, -1, 5])
    text = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(spread(word, text, 1, 2), [-1, 5, 5, 5, 5, 7, 7, 5, 5])
    np.testing.assert_array_equal(spread(word, text, 0, 0), word)
