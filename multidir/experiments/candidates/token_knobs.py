"""Words as tokens: which ids write one, and which directions write its logit directly instead of causing it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multidir.errors import ConfigError
from multidir.linalg.basis import random_units
from multidir.models.language_model import LanguageModel
from multidir.models.unembedding import unembedding
from multidir.types import FloatArray

KNOB = 4.0
"""Standard deviations of random directions beyond which a direction counts as a token knob."""
_DRAWN = 500


def word_tokens(lm: LanguageModel, words: Sequence[str]) -> tuple[int, ...]:
    """Ids of the tokens that are one of the words, in any case, spaces around it left out.

    Raises:
        ConfigError: a word that no token writes by itself.
    """
    texts = [text.strip().casefold() for text in unembedding(lm).tokens]
    lost = [word for word in words if word.casefold() not in texts]
    if lost or not words:
        raise ConfigError(
            f"no token of {lm.source or 'this model'} is {' or '.join(map(repr, lost)) or 'named'}; choose words that "
            "are single tokens"
        )
    wanted = {word.casefold() for word in words}
    return tuple(i for i, text in enumerate(texts) if text in wanted)


def knob_scores(lm: LanguageModel, units: FloatArray, tokens: Sequence[int], seed: int) -> FloatArray:
    """How much more a direction writes the tokens' logits than a random direction does.

        z = (mean logit of the tokens - mean logit of all tokens), in standard deviations of random unit vectors

    Args:
        lm: whose unembedding reads the directions.
        units: (k, d) unit vectors.
        tokens: ids.
        seed: of the random vectors.
    Returns:
        (k,) float64; above `KNOB` a latent turns a word on, whatever the model thinks.
    """
    reader = unembedding(lm)
    drawn = random_units(_DRAWN, units.shape[1], np.random.default_rng(seed))
    logits = reader.logits(np.concatenate([units, drawn])).astype(np.float64)
    score = logits[:, list(tokens)].mean(axis=1) - logits.mean(axis=1)
    null = score[len(units) :]
    found: FloatArray = (score[: len(units)] - null.mean()) / null.std()
    return found
