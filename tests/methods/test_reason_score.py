from __future__ import annotations

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.methods.reason_score import reason_scores, spread


def test_by_hand() -> None:
    """Two words and two latents, worked out on paper: 4 and 2 tokens around the words."""
    by_word, elsewhere = np.array([[3.0, 1], [0, 3]]), np.array([0.5, 1])
    plus, minus = np.array([2, 5 / 3]), elsewhere
    even = np.array([0.0, -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(2)])
    expected = plus / plus.sum() * even**0.7 - minus / minus.sum()
    np.testing.assert_allclose(reason_scores(by_word, np.array([4, 2]), elsewhere), expected, rtol=1e-12)


def test_many_words_count_for_more_than_one() -> None:
    general, single, always = np.ones(4), np.array([0, 0, 4.0, 0]), np.ones(4)
    by_word = np.column_stack([general, single, always])
    scores = reason_scores(by_word, np.full(4, 50), np.array([0, 0, 1.0]))
    assert scores[0] > scores[1] > scores[2]
    assert scores[1] == 0, "one word only"
    assert reason_scores(by_word, np.full(4, 50), np.array([0, 0, 1.0]), alpha=0)[1] == pytest.approx(1 / 3)


def test_with_one_word_it_is_a_difference_of_shares() -> None:
    found = reason_scores(np.array([[1.0, 3], [7, 7]]), np.array([2, 0]), np.array([2.0, 2]))
    np.testing.assert_allclose(found, [0.25 - 0.5, 0.75 - 0.5])


def test_silence_scores_nothing_and_absent_words_are_said() -> None:
    np.testing.assert_array_equal(reason_scores(np.zeros((2, 2)), np.ones(2, int), np.zeros(2)), [0, 0])
    with pytest.raises(DesignError, match="none of the words occurs"):
        reason_scores(np.zeros((1, 2)), np.zeros(1, int), np.ones(2))


def test_words_spread_to_their_neighbours_within_a_text() -> None:
    word = np.array([-1, -1, 5, -1, -1, -1, 7, -1, 5])
    text = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(spread(word, text, 1, 2), [-1, 5, 5, 5, 5, 7, 7, 5, 5])
    np.testing.assert_array_equal(spread(word, text, 0, 0), word)
