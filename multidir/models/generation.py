"""What generating takes and gives: edits that can be hooked in, and a text with the reason why it ended."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from multidir.errors import ModelError
from multidir.models.language_model import LanguageModel
from multidir.models.positions import Positions
from multidir.records.outcome import Stop
from multidir.types import FloatArray, IntArray


@dataclass(frozen=True)
class Generation:
    """A prompt with what the model wrote after it."""

    token_ids: tuple[int, ...]
    """Prompt and new tokens; the token that ended the generation is the last one."""
    n_prompt: int
    stopped: Stop
    first_kl: float | None = field(default=None, compare=False)
    """KL divergence of the first new token's distribution from that of the reference row, in nats; None: not asked.
    Not compared: other rows in the batch change its last bits, never a token."""

    @property
    def new_ids(self) -> tuple[int, ...]:
        """What was written."""
        return self.token_ids[self.n_prompt :]

    @property
    def finished(self) -> bool:
        """True when the model ended by itself."""
        return self.stopped == "eos"


class RowError(ModelError):
    """One row of a batch cannot go on."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(f"row {row}: {message}")
        self.row = row


class Edits(Protocol):
    """What `generate` needs of edits; `steer.edit` makes them."""

    edited: IntArray
    """(b,) receipt: token positions edited so far, per row."""
    edit_norm_sum: FloatArray
    """(b,) float64 receipt: sum of the norms of those edits, per row."""
    replayable: bool
    """Whether a step's edits depend on nothing but what tensors on the device hold."""

    def __len__(self) -> int:
        """Number of rows they are for."""
        ...

    def attach(
        self, lm: LanguageModel, positions: Positions, rows: Sequence[int], n_prompt: Sequence[int] | None
    ) -> AbstractContextManager[object]:
        """Hook the edits of these rows into the model; batch row i gets the edits of `rows[i]`."""
        ...

    def prompt_state(self, row: int, prompt: Sequence[int]) -> tuple[int, Hashable]:
        """From which position on this row's prompt may differ from the unsteered one, and what its stream depends on.

        Returns:
            First absolute position of the prompt whose residual stream this row may change (the length of the
            prompt if none), and a key: rows with the same prompt and an equal key have identical streams over the
            whole prompt. A gate or noise counts as a change.
        """
        ...
