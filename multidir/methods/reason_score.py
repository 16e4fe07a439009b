"""ReasonScore: latents that are on around many different words of a kind, and not elsewhere."""

from __future__ import annotations

import numpy as np

from multidir.errors import DesignError
from multidir.types import FloatArray, IntArray


def reason_scores(activations: FloatArray, word: IntArray, alpha: float = 0.7) -> FloatArray:
    """Share of what a latent does around the words, weighed by how evenly over the words, less its share elsewhere.

        score_i = (mu+_i / sum_j mu+_j) H_i^alpha - mu-_i / sum_j mu-_j

    mu+ and mu- are mean activations on tokens around the words and elsewhere, H the entropy of the mean activations by
    word over the logarithm of the number of words: a latent that knows one word only counts for little. With a single
    word that occurs, H is 1.

    Args:
        activations: (n, f) float, not negative.
        word: (n,) int. Which word a token belongs to, from 0; -1 elsewhere.
        alpha: exponent of the entropy.
    Returns:
        (f,) float64.
    Raises:
        DesignError: no token around a word, or none elsewhere.
    Source: Galichin et al., arXiv 2503.18878.
    """
    inside = word >= 0
    if not inside.any() or inside.all():
        raise DesignError(f"{int(inside.sum())} of {len(word)} tokens are around the words; both kinds are needed")
    there = np.unique(word[inside])
    by_word = np.stack([activations[word == each].mean(axis=0, dtype=np.float64) for each in there])
    total = by_word.sum(axis=0)
    p = by_word / np.where(total > 0, total, 1)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=0)
    evenness = entropy / np.log(len(there)) if len(there) > 1 else np.ones(len(total))
    plus, minus = (activations[part].mean(axis=0, dtype=np.float64) for part in (inside, ~inside))
    found: FloatArray = _shares(plus) * evenness**alpha - _shares(minus)
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
