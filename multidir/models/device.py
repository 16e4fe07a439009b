"""Which device computes, and what a GPU can do beside: send rows home meanwhile, run compiled blocks, replay a step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from multidir.models.blocks import decoder_blocks

log = logging.getLogger(__name__)


def named_device(name: str) -> torch.device:
    """The device of a setting: `auto` is CUDA when there is one, otherwise the CPU."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


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


class StepRecorder:
    """Records a step in which nothing but the contents of tensors changes, as a CUDA graph: replayed in one launch."""

    def __init__(self, device: torch.device) -> None:
        new_stream: Any = torch.cuda.Stream
        self.works = True
        """False once a step could not be recorded."""
        self.device, self._stream, self._pool = device, new_stream(device), torch.cuda.graph_pool_handle()
        self._graph: torch.cuda.CUDAGraph | None = None

    def warm_up(self, step: Callable[[], None]) -> None:
        """Run it on the stream on which it will be recorded, so that libraries make what they make only once."""
        with self._aside():
            step()

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """What replays it, while its tensors live; recording itself runs nothing. The step itself if it cannot be."""
        try:
            graph = torch.cuda.CUDAGraph()
            with self._aside():
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    step()
                finally:
                    graph.capture_end()
        except RuntimeError as error:
            log.warning("cannot record a step (%s); all are run anew, which is slower", error.__context__ or error)
            self.works = False
            return step
        self._graph = graph  # the one before has kept their common memory until now
        return graph.replay

    @contextmanager
    def _aside(self) -> Iterator[None]:
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)


def step_recorder(device: torch.device) -> StepRecorder | None:
    """Where steps can be recorded, what records them."""
    return StepRecorder(device) if device.type == "cuda" else None
