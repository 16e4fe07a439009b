"""Known answers on the model itself: biases of the behaviour's tokens, in place of directions.

Two knobs A and B of which it is known how they act together: their log-odds are added to those of the tokens with which
a sentence of the behaviour begins. What the pipeline says of them is what its verdict on real directions is worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from scipy.special import expit, logit

from multidir.experiments.combination.mechanisms import Shift, blocked, gate, linear, pooled
from multidir.experiments.protocol.cells import Doses, StudyCell
from multidir.experiments.protocol.design import protocol
from multidir.models.language_model import LanguageModel
from multidir.types import FloatArray

MECHANISMS: dict[str, Shift] = {
    "plant:additive": linear,
    "plant:and": gate,
    "plant:threshold": pooled,
    "plant:antagonist": blocked,
}
"""By the name of their rows; what each must be read as stands in `combination.PLANTS`."""


SIZES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""How many times larger than in simulated tables a known answer may be planted."""
SEEN = 4 / 3
"""Outer margins that the effect of one knob alone should have: at one margin half of all studies would not see it."""


def plant_size(log_odds: FloatArray, margin: float) -> float:
    """How large known answers have to be to be seen on this model: the smallest of `SIZES`.

    A push of the words' log-odds moves the share of sentences by less than itself where sentences differ: most begin
    so rarely with these words that no push is seen, and others nearly always do.

    Args:
        log_odds: (n,) float. Of the behaviour's words where unsteered sentences begin.
        margin: Log-odds within which an effect is ignored.
    """
    plain = logit(expit(log_odds).mean())
    for size in SIZES:
        if logit(expit(log_odds + size * shift("plant:additive", (1.0, 0.0))).mean()) - plain >= SEEN * margin:
            return size
    return SIZES[-1]


def plant_cells(k: int) -> list[StudyCell]:
    """Factorial and ladders of every plant, less the unsteered cell; the first two of k dose columns are its knobs."""
    doses = [tuple(map(float, row)) + (0.0,) * (k - 2) for row in protocol(2).doses if row.any()]
    return [StudyCell(name, row) for name in MECHANISMS for row in doses]


def shift(control: str, doses: Doses) -> float:
    """Log-odds that a plant adds to the behaviour's tokens in a cell; 0 for what is no plant."""
    if control not in MECHANISMS:
        return 0.0
    a, b = (np.array(dose) for dose in doses[:2])
    return float(MECHANISMS[control](a, b, np.array(0.0)))


@contextmanager
def biased(lm: LanguageModel, tokens: Sequence[int], size: float) -> Iterator[None]:
    """Inside the `with`, the logits of these tokens are larger by `size` at every position."""
    model: Any = lm.model
    index = torch.tensor(list(tokens), device=lm.device)

    def raise_them(_module: torch.nn.Module, _args: Any, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_add(-1, index, logits.new_full((*logits.shape[:-1], len(index)), size))

    handle = model.get_output_embeddings().register_forward_hook(raise_them)
    try:
        yield
    finally:
        handle.remove()
