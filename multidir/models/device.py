"""What a GPU can do beside computing: send rows home on a stream of their own, and run compiled blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from multidir.models.blocks import decoder_blocks


class Drain:
    """Copies rows to the CPU. From a GPU they leave through pinned memory while the next batch is computed."""

    def __init__(self, device: torch.device) -> None:
        new_stream: Any = torch.cuda.Stream
        self._stream = new_stream(device) if device.type == "cuda" else None

    def rows(self, hidden: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """The first rows of each sequence of a batch, each in memory of its own.

        Args:
            hidden: (b, t, d).
            lengths: b numbers of rows; 0 for a sequence that is not wanted.

        Returns:
            b tensors (length, d) on the CPU; from a GPU they are there after `wait` only.
        """
        if self._stream is None:
            return [hidden[row, :length].to("cpu", copy=True) for row, length in enumerate(lengths)]
        self._stream.wait_stream(torch.cuda.current_stream(hidden.device))
        with torch.cuda.stream(self._stream):
            found = [torch.empty((n, hidden.shape[2]), dtype=hidden.dtype, pin_memory=True) for n in lengths]
            for row, target in enumerate(found):
                target.copy_(hidden[row, : len(target)], non_blocking=True)
        hidden.record_stream(self._stream)  # its memory must not be used again before the copies are done
        return found

    def wait(self) -> None:
        """Return when everything has arrived."""
        if self._stream is not None:
            self._stream.synchronize()


@contextmanager
def compiled_blocks(model: nn.Module, upto_layer: int, backend: str = "inductor") -> Iterator[None]:
    """Run blocks 0 to `upto_layer` compiled inside the `with`, for batches of any shape; hooks are not compiled.

    Fused kernels round in another order: the last bits differ from those of the model as it stands.
    """
    blocks = list(decoder_blocks(model))[: upto_layer + 1]
    for block in blocks:
        block.forward = torch.compile(block.forward, dynamic=True, backend=backend)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # the method of the class shows again
