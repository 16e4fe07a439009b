"""Several processes that train one set of dictionaries on different rows (torchrun), or a single one.

Weights are the same in every process: they start the same, gradients are averaged, and which latents have
fired is shared, so that all agree on which are dead. A batch-top-k is taken over each process's own rows.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from multidir.models.device import named_device


@dataclass(frozen=True)
class Group:
    """The processes; by default just this one."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their mean over processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor /= self.size

    def anywhere(self, flags: Tensor) -> Tensor:
        """(f,) bool: true where it is true in any process."""
        if self.size == 1:
            return flags
        shared = flags.to(torch.uint8)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return shared.bool()

    def agreed(self, text: str) -> str:
        """The leading process's text, in every process."""
        found = [text]
        if self.size > 1:
            dist.broadcast_object_list(found, src=0)
        return found[0]

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


def process_device(name: str = "auto") -> str:
    """The device of this process: with several processes on one machine each has a GPU of its own.

    Args:
        name: `auto` is CUDA when there is one, otherwise the CPU.
    """
    device = str(named_device(name))
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and "LOCAL_RANK" in os.environ else device


@contextmanager
def process_group(device: str = "cpu") -> Iterator[Group]:
    """The processes that torchrun started, joined for the time of the `with`; just this one without torchrun.

    Args:
        device: with CUDA they talk by NCCL, otherwise by gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        size = dist.get_world_size() if dist.is_initialized() else 1
        yield Group(dist.get_rank() if size > 1 else 0, size)
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        group = Group(dist.get_rank(), dist.get_world_size())
        yield group
        group.wait()  # a process that leaves while another is still at work aborts at times
    finally:
        dist.destroy_process_group()
        gc.collect()  # what a group leaves behind aborts at times when the interpreter takes it down
