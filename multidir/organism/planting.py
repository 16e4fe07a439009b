"""Plants the two causes in the residual stream as known directions, while the base model is trained.

At one block, fixed orthonormal vectors read every token: one has to say whether a hesitation has been
expressed in the running step, the other whether a mistake has. The vectors are never trained and are thrown
away; what stays is a model in which both causes stand along directions that we know.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from multidir.organism.grammar import parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CAUSES = ("hesitation", "mistake")


@dataclass(frozen=True)
class Planting:
    """Where and how strongly."""

    block: int = 2
    """The block whose output is read."""
    weight: float = 0.5
    """Weight of the reading's cross-entropy beside that of the next token."""
    share: float = 0.12
    """Cosine between a token's residual and a cause's direction at which the reading is undecided."""
    steepness: float = 40.0
    """Logits per unit of cosine."""
    norm: float = 12.0
    """Size near which the block's residual stream is kept; nothing else in training would limit it."""


def planted_directions(d: int, seed: int) -> torch.Tensor:
    """(2, d) orthonormal: hesitation, mistake."""
    rng = torch.Generator().manual_seed(seed)
    planted: torch.Tensor = torch.linalg.qr(torch.randn(d, len(CAUSES), generator=rng)).Q.T.contiguous()
    return planted


def planting_loss(hidden: torch.Tensor, causes: torch.Tensor, directions: torch.Tensor, how: Planting) -> torch.Tensor:
    """Binary cross-entropy of the reading, and a mild pull of the mean norm towards `how.norm`.

    Args:
        hidden: (b, t, d) output of the block.
        causes: (b, t) int. Bit 0 for hesitation, bit 1 for mistake; -1 on padding.
        directions: (2, d) orthonormal.
    """
    cosines = torch.nn.functional.normalize(hidden, dim=-1) @ directions.T
    truth = torch.stack([(causes >> bit) & 1 for bit in range(len(CAUSES))], dim=-1).float()
    logits = how.steepness * (cosines - how.share)
    read = causes >= 0
    reading = torch.nn.functional.binary_cross_entropy_with_logits(logits[read], truth[read])
    return reading + 0.02 * torch.log(hidden[read].norm(dim=-1).mean() / how.norm).square()


def causes_of_tokens(text: str, offsets: "Sequence[tuple[int, int]]") -> npt.NDArray[np.int8]:
    """(t,) bits of the causes that have been expressed in the running step, up to and with its last token."""
    bits = np.zeros(len(text) + 1, dtype=np.int8)
    for sentence in parse(text):
        if sentence.step is None:
            continue
        body = text[sentence.start : sentence.end]
        if sentence.step.hesitates:
            bits[sentence.start + body.index(": ") + 2 : sentence.end] |= 1
        if sentence.step.mistaken:
            bits[sentence.start + body.rindex(f" {sentence.step.result} ") + 1 : sentence.end] |= 2
    return bits[[max(end - 1, 0) for _, end in offsets]]


def save_planted(directions: torch.Tensor, how: Planting, file: "Path") -> None:
    """Writes the planted directions by the name of their cause; the block stands in the metadata."""
    from safetensors.torch import save_file

    tensors = {name: row.contiguous() for name, row in zip(CAUSES, directions, strict=True)}
    save_file(tensors, file, metadata={"block": str(how.block)})
