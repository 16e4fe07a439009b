"""ReasonScore: latents that are on around many different words of a kind, and not elsewhere."""

from __future__ import annotations

import numpy as np

from multidir.errors import DesignError
from multidir.types import FloatArray, IntArray


def reason_scores(by_word: FloatArray, counts: IntArray, elsewhere: FloatArray, alpha: float = 0.7) -> FloatArray:
    """Share of what a latent does around the words, weighed by how evenly over the words, less its share elsewhere.

        score_i = (mu+_i / sum_j mu+_j) H_i^alpha - mu-_i / sum_j mu-_j

    mu+ and mu- are mean activations on tokens around the words and elsewhere, H the entropy of the mean activations by
    word over the logarithm of the number of words: a latent that knows one word only counts for little. With a single
    word that occurs, H is 1.

    Args:
        by_word: (v, f) float, not negative. Mean activation of each latent around each word.
        counts: (v,) int. Tokens around each word; words without any are left out.
        elsewhere: (f,) float. Mean activation on all other tokens.
        alpha: exponent of the entropy.
    Returns:
        (f,) float64.
    Raises:
        DesignError: no token around any word.
    Source: Galichin et al., arXiv 2503.18878.
    """
    there = np.asarray(counts) > 0
    if not there.any():
        raise DesignError("none of the words occurs, so that no latent can be around them; name other words")
    means, rows = np.asarray(by_word, dtype=np.float64)[there], np.asarray(counts)[there]
    total = means.sum(axis=0)
    p = means / np.where(total > 0, total, 1)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=0)
    evenness = entropy / np.log(len(rows)) if len(rows) > 1 else np.ones(len(total))
    found: FloatArray = _shares(rows @ means / rows.sum()) * evenness**alpha - _shares(elsewhere)
    return found


def spread(word: IntArray, text: IntArray, left: int, right: int) -> IntArray:
    """Words with the tokens next to them: each token takes the word that is nearest, if it is near enough.

    Args:
        word: (n,) int. Which word a token belongs to, from 0; -1 for none.
        text: (n,) int. Text of each token; words do not reach into the next text.
        left: tokens before a word that count.
        right: tokens after it.
    """
    found = word.copy()
    for shift in range(1, max(left, right) + 1):
        same = text[shift:] == text[:-shift]
        if shift <= left:
            free = (found[:-shift] < 0) & same
            found[:-shift] = np.where(free, word[shift:], found[:-shift])
        if shift <= right:
            free = (found[shift:] < 0) & same
            found[shift:] = np.where(free, word[:-shift], found[shift:])
    return found


def _shares(values: FloatArray) -> FloatArray:
    total = float(values.sum())
    return values / total if total > 0 else np.zeros_like(values)
