"""Do directions decode to the words that announce backtracking? The logit lens, by the paper's formula and by its code.

    mean    s(v) = (W_U v) . a / |a|_1,   a_i = 1 if token i contains one of the words (Eq. 2): a mean of logits
    top     sum of those logits among the k largest whose token contains one of the words (the code behind Fig. 5)

v is a unit vector. Neither number means anything by itself, so both stand beside the scores of random unit vectors.
Source: arXiv 2507.12638, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.settings import Lens
from multidir.linalg.basis import random_units
from multidir.models.unembedding import Unembedding
from multidir.records.direction import Direction, DirectionSet
from multidir.types import BoolArray, FloatArray

TOKENS_SHOWN = 10
"""Tokens per direction in the table of top tokens."""


def lens_scores(lens: Lens, logits: FloatArray, mask: BoolArray) -> FloatArray:
    """(k,) float64 score of each row of (k, vocabulary) logits, the words given as a (vocabulary,) mask."""
    if lens.rule == "mean":
        means: FloatArray = logits[:, mask].mean(axis=1, dtype=np.float64)
        return means
    k = min(lens.top_k, logits.shape[1])
    top = np.argpartition(logits, -k, axis=1)[:, -k:]
    values = np.take_along_axis(logits, top, axis=1).astype(np.float64)
    sums: FloatArray = np.where(mask[top], values, 0.0).sum(axis=1)
    return sums


def word_mask(tokens: Sequence[str], words: Sequence[str]) -> BoolArray:
    """(vocabulary,) whether the text of a token contains one of the words, in any case.

    Raises:
        DesignError: no token does.
    """
    wanted = [word.casefold() for word in words]
    mask = np.array([any(word in token.casefold() for word in wanted) for token in tokens], dtype=bool)
    if not mask.any():
        raise DesignError(f"no token of this vocabulary contains {' or '.join(words)}; choose other words")
    return mask


def lens_tables(
    directions: DirectionSet, readers: Sequence[Unembedding], lens: Lens, n_random: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and top tokens of every direction under every unembedding.

    Args:
        directions: as found; their length plays no part.
        readers: unembeddings of the width of the directions.
        lens: how they are read.
        n_random: random unit vectors behind the null.
        seed: of those.
    Returns:
        Scores: direction, role, label, site, layer, offset_lo, offset_hi, unembedding, score, null_low and null_high
        (central 95 % of random vectors), null_above (share of random vectors that score at least as much), n_words.
        Tokens: direction, unembedding, place, token, logit, is_word.
    Raises:
        DesignError: no token contains one of the words, or widths differ.
    """
    scores: list[dict[str, Any]] = []
    tokens: list[dict[str, Any]] = []
    for reader in readers:
        if reader.weight.shape[1] != directions.d:
            raise DesignError(
                f"directions of width {directions.d} cannot be read by the {reader.role} model's unembedding of "
                f"width {reader.weight.shape[1]}"
            )
        mask = word_mask(reader.tokens, lens.words)
        random = random_units(n_random, directions.d, np.random.default_rng(seed))
        null = lens_scores(lens, reader.logits(random, lens.final_norm), mask)
        logits = reader.logits(directions.matrix(), lens.final_norm)
        for item, value, row in zip(directions, lens_scores(lens, logits, mask), logits, strict=True):
            scores.append(_score(item, reader, float(value), null, int(mask.sum())))
            tokens += _tokens(item, reader, row, mask)
    return pd.DataFrame(scores), pd.DataFrame(tokens)


def _score(item: Direction, reader: Unembedding, value: float, null: FloatArray, n_words: int) -> dict[str, Any]:
    low, high = np.quantile(null, [0.025, 0.975])
    offsets = item.source.get("offsets", [np.nan, np.nan])
    return {
        "direction": item.name,
        "role": item.source.get("role", item.method),
        "label": item.source.get("label", ""),
        "site": str(item.site),
        "layer": item.site.layer,
        "offset_lo": offsets[0],
        "offset_hi": offsets[1],
        "unembedding": str(reader.role),
        "score": value,
        "null_low": float(low),
        "null_high": float(high),
        "null_above": float((null >= value).mean()),
        "n_words": n_words,
    }


def _tokens(item: Direction, reader: Unembedding, logits: FloatArray, mask: BoolArray) -> Iterator[dict[str, Any]]:
    for place, index in enumerate(np.argsort(-logits, kind="stable")[:TOKENS_SHOWN]):
        yield {
            "direction": item.name,
            "unembedding": str(reader.role),
            "place": place + 1,
            "token": reader.tokens[index],
            "logit": float(logits[index]),
            "is_word": bool(mask[index]),
        }


def lens_headline(scores: pd.DataFrame, label: str) -> str:
    """How many of the behaviour's directions decode to the words more than random vectors do."""
    mine = scores[scores["label"] == label] if (scores["label"] == label).any() else scores
    parts = []
    for role, some in mine.groupby("role"):
        above = int((some["score"] > some["null_high"]).sum())
        parts.append(f"{above} of {len(some)} readings of {role}-derived directions lie above random vectors")
    return "; ".join(parts)
