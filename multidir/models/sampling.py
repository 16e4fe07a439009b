"""Choosing the next token of every row at once, each row with its own random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidir.errors import ConfigError
from multidir.models.language_model import LanguageModel


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen."""

    do_sample: bool = True
    """False: always the most probable token."""
    temperature: float = 1.0
    top_p: float = 1.0
    """Smallest set of tokens with this much probability; 1 keeps all."""
    top_k: int = 0
    """Number of most probable tokens; 0 keeps all."""
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        """Refuse settings that choose nothing."""
        if not (self.temperature > 0 and 0 < self.top_p <= 1 and self.top_k >= 0 and self.max_new_tokens >= 1):
            raise ConfigError(
                "sampling needs temperature > 0, 0 < top_p <= 1, top_k >= 0 and max_new_tokens >= 1; "
                f"got {asdict(self)}"
            )

    @classmethod
    def of(cls, lm: LanguageModel, max_new_tokens: int | None = None) -> Sampling:
        """The model's own defaults, of its generation config; what it does not state is not restricted.

        (`generate` of transformers would add top_k 50 of its own where the config is silent.)

        Raises:
            ConfigError: neither the model nor the caller says how many tokens to generate.
        """
        return cls.of_config(lm.model.generation_config, lm.source, max_new_tokens)

    @classmethod
    def of_config(cls, config: Any, source: str, max_new_tokens: int | None = None) -> Sampling:
        """The defaults that a generation config states; None for a model without one. Otherwise as `of`."""
        length = max_new_tokens if max_new_tokens is not None else getattr(config, "max_new_tokens", None)
        if length is None:
            raise ConfigError(f"{source} names no max_new_tokens in its generation config; give one")
        return cls(
            do_sample=bool(getattr(config, "do_sample", None)),
            temperature=_or(getattr(config, "temperature", None), 1.0),
            top_p=_or(getattr(config, "top_p", None), 1.0),
            top_k=int(_or(getattr(config, "top_k", None), 0)),
            max_new_tokens=int(length),
        )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def draws(seeds: Sequence[int], count: int) -> Tensor:
    """(b, count) float64 uniforms: row i is the stream of seed i, whatever else is in the batch.

    Drawn on the CPU so that every device sees the same numbers.
    """
    rows = [torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in seeds]
    return torch.stack(rows)


def choose(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
    """The next token (b,) of each row: inverse of the distribution function, in vocabulary order.

    Temperature, then top_k, then top_p, as in transformers; tokens exactly as probable as the last one
    kept are kept too, so that no tie is broken by chance.

    Args:
        logits: (b, v).
        uniforms: (b,) float64 in [0, 1).
    """
    if not sampling.do_sample:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / sampling.temperature, -1)
    if 0 < sampling.top_k < probabilities.shape[-1]:
        least = probabilities.topk(sampling.top_k, -1).values[:, -1:]
        probabilities = torch.where(probabilities >= least, probabilities, 0)
    if sampling.top_p < 1:
        probabilities = torch.where(probabilities >= _least_kept(probabilities, sampling.top_p), probabilities, 0)
    mass = probabilities.cumsum(-1, dtype=torch.float64)
    found = torch.searchsorted(mass, uniforms[:, None] * mass[:, -1:], right=True)
    return found.squeeze(-1).clamp(max=mass.shape[-1] - 1)


def _least_kept(probabilities: Tensor, top_p: float) -> Tensor:
    """(b, 1) probability of the least probable token that belongs to the top_p share."""
    ranked = _ascending(probabilities)
    mass = ranked.cumsum(-1, dtype=torch.float64)
    dropped = (mass <= (1 - top_p) * mass[:, -1:]).sum(-1, keepdim=True)
    return ranked.gather(-1, dropped.clamp(max=ranked.shape[-1] - 1))


def _ascending(values: Tensor) -> Tensor:
    if values.device.type == "cpu":  # numpy sorts on a CPU twenty times as fast, once per generated token
        return torch.from_numpy(np.sort(values.numpy(), -1))
    return values.sort(dim=-1).values
