"""Memory for batches: an array is used again once nobody holds the tensor that was made of it.

Fresh memory costs a page fault every 4 KiB, which is half the time of a batch; memory that was used before
costs nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from multidir.store.bf16 import RAW

if TYPE_CHECKING:
    import torch

_KEPT = 4
_FREE = 3
"""References to an array that only the list, the loop and the question itself hold."""


class BatchMemory:
    """Gives out (rows, d) tensors of a storage format, on the CPU; pinned ones where a GPU will read them."""

    def __init__(self, rows: int, d: int, dtype: str, pinned: bool) -> None:
        self._shape, self._dtype, self.pinned = (rows, d), dtype, pinned
        self._arrays: list[np.ndarray[Any, Any]] = []

    def take(self) -> tuple[np.ndarray[Any, Any], torch.Tensor]:
        """Raw values to fill, and the tensor that shows them; nobody else has this memory."""
        import torch

        kind = getattr(torch, self._dtype)
        if self.pinned:  # torch keeps and reuses pinned memory itself, once the copy to the GPU is done
            tensor = torch.empty(self._shape, dtype=kind, pin_memory=True)
            return (tensor.view(torch.uint16) if kind is torch.bfloat16 else tensor).numpy(), tensor
        raw = self._free()
        return raw, torch.from_numpy(raw).view(kind)

    def _free(self) -> np.ndarray[Any, Any]:
        for array in self._arrays:
            if sys.getrefcount(array) <= _FREE:
                return array
        made = np.empty(self._shape, RAW[self._dtype])
        if len(self._arrays) < _KEPT:
            self._arrays.append(made)
        return made
