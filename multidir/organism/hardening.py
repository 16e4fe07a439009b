"""Handicaps during training that make features early, local and large, as they are in big models.

A small model that is left alone reads a hesitation at the last moment, by looking back at the word that
expressed it; nothing then stands in the residual stream that a vector added everywhere could imitate. Two
handicaps, both absent when the model is used, change that. Local attention in the upper blocks: what is
needed there has to be fetched by the lower ones. A push of the whole sequence in a random direction:
what matters has to be written large enough to be read all the same.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


@dataclass(frozen=True)
class Handicap:
    """How often and how strongly a training step is handicapped."""

    local_share: float = 0.8
    """Share of steps in which the upper blocks attend locally."""
    local_from: int = 3
    """First of the upper blocks."""
    window: int = 4
    """Tokens that local attention sees, itself included; the first token of the document is always seen."""
    push_share: float = 0.7
    """Share of steps in which one block's output is pushed."""
    push: float = 1.0
    """Largest push, relative to the token's residual norm there. Every document has its own direction."""
    by_token: float = 0.3
    """Share of pushes in which every token has its own direction instead."""


@contextmanager
def handicapped(
    model: "LlamaForCausalLM",
    shape: torch.Size,
    how: Handicap,
    rng: torch.Generator,
    read: int | None = None,
    write: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[list[torch.Tensor]]:
    """Within it, forward passes over ids of this (b, t) shape carry the handicaps that `rng` draws.

    Args:
        read: block whose output is noted.
        write: what that output is replaced with, after it was noted and before any push.
    Yields:
        A list to which every pass appends the output of block `read`.
    """
    blocks, hidden = model.model.layers, list[torch.Tensor]()
    local, pushed, by_token = torch.rand(3, generator=rng).tolist()
    place = int(torch.randint(len(blocks) - 1, (1,), generator=rng))
    with ExitStack() as stack:
        if read is not None:
            stack.callback(blocks[read].register_forward_hook(lambda _m, _a, out: hidden.append(out)).remove)
        if read is not None and write is not None:
            stack.callback(blocks[read].register_forward_hook(lambda _m, _a, out: write(out)).remove)
        if local < how.local_share:
            mask = _local_mask(shape[1], how.window)
            for block in blocks[how.local_from :]:
                handle = block.self_attn.register_forward_pre_hook(_masked_by(mask), with_kwargs=True)
                stack.callback(handle.remove)
        if pushed < how.push_share:
            size = how.push * torch.rand(shape[0], 1, 1, generator=rng)
            units = _units((shape[0], shape[1] if by_token < how.by_token else 1, model.config.hidden_size), rng)
            stack.callback(blocks[place].register_forward_hook(_pushed_by(size * units)).remove)
        yield hidden


def _units(shape: tuple[int, int, int], rng: torch.Generator) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(shape, generator=rng), dim=-1)


def _local_mask(t: int, window: int) -> torch.Tensor:
    """(1, 1, t, t) bool: which tokens each token may look at."""
    i, j = torch.arange(t)[:, None], torch.arange(t)[None, :]
    return ((j <= i) & ((i - j < window) | (j == 0)))[None, None]


def _masked_by(mask: torch.Tensor) -> Any:
    def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, "attention_mask": mask}

    return before


def _pushed_by(push: torch.Tensor) -> Any:
    """Adds (b, 1 or t, d) vectors, scaled by each token's own norm, so that no token gains by being large."""

    def after(_module: Any, _args: tuple[Any, ...], hidden: torch.Tensor) -> torch.Tensor:
        norm: torch.Tensor = hidden.detach().norm(dim=-1, keepdim=True)
        changed: torch.Tensor = hidden + norm * push
        return changed

    return after
