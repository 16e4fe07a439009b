"""Absolute token positions of a forward pass, whatever part of the sequence it runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from multidir.models.blocks import CACHE_NAMES, decoder

PAD = -1
"""Position of a token that is padding."""


class Positions:
    """Where the tokens of the current forward pass stand in their sequences.

    Prefill, one-token decoding, chunked prefill, a reused cache and verification of drafted tokens all
    differ in how many tokens they run; only the absolute position says which token is which.
    """

    def __init__(self) -> None:
        self.current: Tensor = torch.empty(0, 0, dtype=torch.long)
        """(b, t) int64: 0 is the first token of a row that is not padding; padding is -1."""
        self.tokens: Tensor = torch.empty(0, 0, dtype=torch.long)
        """(b, n) int64: all token ids of each row so far, right-aligned, -1 where there is none or it is not known;
        the last t columns are the tokens of the current pass."""
        self.fresh = True
        """True while the pass starts its sequences, with nothing cached."""


@contextmanager
def track_positions(model: nn.Module) -> Iterator[Positions]:
    """Keep a `Positions` up to date with every forward pass inside the `with`."""
    positions, module = Positions(), decoder(model)
    names = inspect.signature(module.forward)

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        arguments = names.bind_partial(*args, **kwargs).arguments if args else kwargs
        positions.current, positions.fresh = absolute_positions(arguments)
        positions.tokens = _tokens(arguments, positions)

    handle = module.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield positions
    finally:
        handle.remove()


def absolute_positions(arguments: Mapping[str, Any]) -> tuple[Tensor, bool]:
    """Positions (b, t) of the tokens a decoder is called with, and whether nothing is cached yet.

    From the attention mask where there is one (it alone tells padding from tokens), otherwise from
    explicit position ids, otherwise from the length of the cache.
    """
    tokens = arguments.get("input_ids")
    if tokens is None:
        tokens = arguments["inputs_embeds"][..., 0]
    rows, count = tokens.shape
    past = _cached(arguments)
    mask, explicit = arguments.get("attention_mask"), arguments.get("position_ids")
    if isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[1] >= past + count:
        seen = mask[:, : past + count] != 0
        places = (seen.cumsum(1) - 1).masked_fill(~seen, PAD)[:, past:]
    elif explicit is not None:
        places = explicit.expand(rows, count)
    else:
        places = torch.arange(past, past + count, device=tokens.device).expand(rows, count)
    return places.to(tokens.device), past == 0


def _cached(arguments: Mapping[str, Any]) -> int:
    cache = next((arguments[name] for name in CACHE_NAMES if arguments.get(name) is not None), None)
    return int(cache.get_seq_length()) if cache is not None else 0


def _tokens(arguments: Mapping[str, Any], positions: Positions) -> Tensor:
    """What was seen before, cut back to what the cache still holds, with the tokens of the current pass."""
    ids, current, past = arguments.get("input_ids"), positions.current, _cached(arguments)
    ids = torch.full_like(current, PAD) if ids is None else ids.masked_fill(current < 0, PAD)
    seen = positions.tokens[:, :past].to(ids.device)
    if seen.shape != (len(ids), past):  # a cache that was filled before the tracking began
        seen = ids.new_full((len(ids), past), PAD)
    return torch.cat([seen, ids], 1)
