"""Where the prompts of a batch end: as announced, or guessed where that is safe."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from multidir.errors import ModelError
from multidir.models.positions import Positions


class PromptEnds:
    """Prompt tokens of each batch row.

    Unless they are announced, the first pass of a sequence is its prompt, less the tokens that are only drafted.
    """

    drafted = 0
    """Tokens at the end of the current pass that are guesses to be verified, where that is known."""

    def __init__(self, announced: Sequence[int] | None, matter: bool) -> None:
        """Start with what is announced.

        Args:
            announced: one length per row, one for all rows, or None.
            matter: whether a wrong guess would move an edit; then a doubtful one is refused.
        """
        self._announced, self._matter = None if announced is None else list(announced), matter
        self.lengths = self._announced
        self._last: Tensor | None = None

    def see(self, positions: Positions) -> bool:
        """Look at a pass before it is edited; True when the lengths are others than before.

        Raises:
            ModelError: lengths matter, were not announced, and the first pass need not have been the whole prompt.
        """
        places = positions.current
        if self._announced is not None:
            if self.lengths is not None and len(self.lengths) == len(places):
                return False
            self.lengths = self._announced * len(places)  # one for all
            return True
        several = not positions.fresh and (self.lengths is None or places.shape[1] > 1 + self.drafted)
        if self._matter and (several or (positions.fresh and self._goes_on(positions.tokens))):
            raise ModelError(
                f"edits depend on where the prompt ends, and this pass of {places.shape[1]} tokens goes on with "
                "earlier ones that need not be all of it; say n_prompt"
            )
        if not positions.fresh and self.lengths is not None:
            return False
        self._last = positions.tokens
        self.lengths = [int(last) + 1 - self.drafted for last in places.amax(1)]
        return True

    def _goes_on(self, tokens: Tensor) -> bool:
        """Whether a pass repeats the last first pass and goes on, as generation without a cache does."""
        last = self._last
        longer = last is not None and len(last) == len(tokens) and last.shape[1] < tokens.shape[1]
        return longer and last is not None and torch.equal(tokens[:, : last.shape[1]], last)
