"""Finding the decoder blocks of a transformers model and checking sites against them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from multidir.errors import ConfigError, ModelError
from multidir.records.site import Site

BLOCK_PATHS = (
    "model.layers",  # Llama, Qwen, Mistral, Gemma, OLMo, Phi
    "layers",  # the same without a language-model head
    "model.language_model.layers",  # models that also see
    "language_model.layers",
    "transformer.h",  # GPT-2, GPT-J, Falcon
    "h",
    "gpt_neox.layers",
    "model.decoder.layers",  # OPT
    "decoder.layers",
    "transformer.blocks",  # MPT
    "blocks",
    "backbone.layers",  # Mamba hybrids
)
"""Where known architectures keep their blocks, tried in this order."""

CACHE_NAMES = ("cache", "past_key_values")
"""What a forward pass calls its cache: the first since transformers 5.24, the second before."""


def cached(module: nn.Module, cache: Any) -> dict[str, Any]:
    """The argument that hands a cache to a model or its decoder, under the name that it has there."""
    return {_cache_name(type(module).forward): cache}


@functools.cache
def _cache_name(forward: Callable[..., Any]) -> str:
    known = inspect.signature(forward).parameters
    return next((name for name in CACHE_NAMES if name in known), CACHE_NAMES[-1])


def _find(model: nn.Module) -> tuple[nn.Module, nn.ModuleList]:
    for path in BLOCK_PATHS:
        owner_path, _, name = path.rpartition(".")
        try:
            owner = model.get_submodule(owner_path)
            blocks = owner.get_submodule(name)
        except AttributeError:
            continue
        if isinstance(blocks, nn.ModuleList) and len(blocks):
            return owner, blocks
    raise ModelError(
        f"cannot find the decoder blocks of {type(model).__name__}; tried {', '.join(BLOCK_PATHS)}: "
        "use a decoder-only model of transformers"
    )


def decoder_blocks(model: nn.Module) -> nn.ModuleList:
    """The decoder blocks in order: the model's own list, to read.

    Raises:
        ModelError: none of the known places holds them; the message lists what was tried.
    """
    return _find(model)[1]


def decoder(model: nn.Module) -> nn.Module:
    """The module that runs the blocks: it sees ids, mask and cache, and ends before the language-model head.

    Raises:
        ModelError: the blocks cannot be found.
    """
    return _find(model)[0]


def width(model: nn.Module) -> int:
    """Width d of the residual stream."""
    return int(cast(PreTrainedModel, model).config.get_text_config(decoder=True).hidden_size)


def check_site(model: nn.Module, site: Site) -> None:
    """Refuse a site that this model does not have.

    Raises:
        ConfigError: the layer lies beyond the last block.
        ModelError: the blocks cannot be found.
    """
    count = len(decoder_blocks(model))
    if site.layer >= count:
        raise ConfigError(
            f"{site} is beyond this model, whose {count} blocks are L0 to L{count - 1}; choose one of them"
        )
