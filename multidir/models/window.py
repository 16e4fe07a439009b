"""Decoding steps of one shape at fixed addresses, so that a GPU can replay one that was recorded.

One step is many hundred small kernels, and a GPU waits for them where launching takes longer than running. In a window
the next column is a number on the device, and columns that are not written yet are masked; the first step runs as it
is, the second one is recorded, and from then on it is replayed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from multidir.models.cache import RoomyCache
from multidir.models.device import StepRecorder
from multidir.models.room import Room

STEPS = 16
"""Least length of a window, and steps after which what has ended is looked at: an ended row runs on until then."""


class Window:
    """Columns that are reserved at the right end of a batch, for as many steps."""

    def __init__(self, cache: RoomyCache, tokens: Room, recorder: StepRecorder) -> None:
        """Reserve what is left; rows may neither enter nor leave before it is closed."""
        self._cache, self._tokens, self._recorder = cache, tokens, recorder
        spare, device = cache.reserve(STEPS), recorder.device
        self._left = min(spare, tokens.reserve(STEPS))
        self._used = 0
        self._columns = torch.arange(cache.columns + spare, device=device)
        self._at = torch.tensor([cache.columns], device=device)
        self.at_token = torch.tensor([tokens.columns], device=device)
        """(1,) where the next token is written."""
        cache.write_at(self._at)

    @property
    def full(self) -> bool:
        """Whether no column is left."""
        return self._used == self._left

    @property
    def due(self) -> bool:
        """Whether it is time to look at what has ended."""
        return self.full or self._used % STEPS == 0

    def mask(self, own: Tensor) -> Tensor:
        """(b, t) bool: the last `own` (b,) columns up to the one that is written now."""
        return (self._columns <= self._at) & (self._columns > self._at - own[:, None])

    def advance(self, step: Callable[[], None]) -> None:
        """Do the same step once more."""

        def whole() -> None:
            step()
            self._at += 1
            self.at_token += 1

        if self._used == 0:
            self._recorder.warm_up(whole)
        elif self._used == 1:
            self._again = self._recorder.record(whole)
            self._again()
        else:
            self._again()
        self._used += 1

    def close(self) -> None:
        """Let the batch go on without a window."""
        self._cache.took(self._used)
        self._tokens.took(self._used)
