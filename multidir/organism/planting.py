"""Plants the two causes in the residual stream as known directions, while the two models are trained.

At the output of one block, two fixed orthonormal vectors stand for the causes. They are *read*: of every
token, one has to tell whether a hesitation has been expressed in the running step, the other whether a
mistake has. And they are *written*: in swapped texts, whose later words follow other causes than their
steps show, those other causes are put into the stream, so that the blocks above learn to go by it and not by
the words (interchange intervention training, arXiv 2112.00826). The vectors are never trained and are thrown
away; what stays are models in which both causes stand along directions that we know, and act through them.
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

    from multidir.organism.solutions import Mood

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
    written: tuple[float, float] = (0.1, 0.4)
    """Least and greatest size of a cause that is written, relative to the mean residual norm; one per document."""


def planted_directions(d: int, seed: int) -> torch.Tensor:
    """(2, d) orthonormal: hesitation, mistake."""
    rng = torch.Generator().manual_seed(seed)
    planted: torch.Tensor = torch.linalg.qr(torch.randn(d, len(CAUSES), generator=rng)).Q.T.contiguous()
    return planted


def planting_loss(hidden: torch.Tensor, causes: torch.Tensor, directions: torch.Tensor, how: Planting) -> torch.Tensor:
    """Binary cross-entropy of the reading, and a mild pull of the mean norm towards `how.norm`; 0 if nothing is read.

    Args:
        hidden: (b, t, d) output of the block.
        causes: (b, t) int. Bit 0 for hesitation, bit 1 for mistake; -1 on padding.
        directions: (2, d) orthonormal.
    """
    cosines = torch.nn.functional.normalize(hidden, dim=-1) @ directions.T
    truth = torch.stack([(causes >> bit) & 1 for bit in range(len(CAUSES))], dim=-1).float()
    logits = how.steepness * (cosines - how.share)
    read = causes >= 0
    if not read.any():
        return hidden.new_zeros(())
    reading = torch.nn.functional.binary_cross_entropy_with_logits(logits[read], truth[read])
    return reading + 0.02 * torch.log(hidden[read].norm(dim=-1).mean() / how.norm).square()


def written_into(
    hidden: torch.Tensor, causes: torch.Tensor, sizes: torch.Tensor, directions: torch.Tensor
) -> torch.Tensor:
    """The stream with its components along the directions replaced by the causes, in some rows.

    Args:
        hidden: (b, t, d) output of the block.
        causes: (b, t) int, as for `planting_loss`.
        sizes: (b,) size of a cause relative to the mean residual norm; 0 leaves the row as it is.
        directions: (2, d) orthonormal.
    """
    bits = torch.stack([(causes >> bit) & (causes >= 0) for bit in range(len(CAUSES))], dim=-1).to(hidden.dtype)
    wanted = bits * (sizes * hidden.detach().norm(dim=-1)[causes >= 0].mean())[:, None, None]
    changed: torch.Tensor = hidden + (wanted - hidden @ directions.T) @ directions
    return torch.where((sizes > 0)[:, None, None], changed, hidden)


def causes_of_tokens(
    text: str, offsets: "Sequence[tuple[int, int]]", moods: "Sequence[Mood]" = ()
) -> npt.NDArray[np.int8]:
    """(t,) bits of the causes that have been expressed in the running step, up to and with its last token.

    Args:
        text: a document.
        offsets: (t,) character spans of its tokens.
        moods: causes of the opening and of every step of a swapped solution, in place of those that the text shows;
            where all are equal they hold everywhere in it, as under steering.
    """
    bits = np.zeros(len(text) + 1, dtype=np.int8)
    if len(set(moods)) == 1:
        bits[:] = _bits(moods[0])
    steps = [sentence for sentence in parse(text) if sentence.step is not None]
    for number, sentence in enumerate(steps if len(set(moods)) != 1 else [], 1):
        body = text[sentence.start : sentence.end]
        said = sentence.start + body.index(": ") + 2
        if moods:
            bits[said : sentence.end] = _bits(moods[number])
            continue
        if sentence.step is not None and sentence.step.hesitates:
            bits[said : sentence.end] |= 1
        if sentence.step is not None and sentence.step.mistaken:
            bits[sentence.start + body.rindex(f" {sentence.step.result} ") + 1 : sentence.end] |= 2
    return bits[[max(end - 1, 0) for _, end in offsets]]


def _bits(mood: "Mood") -> int:
    return mood[0] + 2 * mood[1]


def save_planted(directions: torch.Tensor, how: Planting, file: "Path") -> None:
    """Writes the planted directions by the name of their cause; the block stands in the metadata."""
    from safetensors.torch import save_file

    tensors = {name: row.contiguous() for name, row in zip(CAUSES, directions, strict=True)}
    save_file(tensors, file, metadata={"block": str(how.block)})
