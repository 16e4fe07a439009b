"""What is learned from the data before training: is it usable, in which unit, and where is its centre?

Rows are multiplied by sqrt(d) / mean norm, one number per set of activations, so that learning rates and weights of
losses mean the same for every model and layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.sae.source import Batch
from multidir.sae.spec import Training
from multidir.sae.weights import geometric_median
from multidir.store.spec import Key

SAMPLE_ROWS = 8192
"""Rows that scale and centre are estimated from."""

_NAMED = 8
"""Channels that a message names."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A sample of the data with what was learned from it."""

    scale: dict[Key, float]
    """What rows are multiplied by."""
    sample: Batch
    """Rows, already scaled."""
    centre: dict[Key, Tensor]
    """(d,) float64 each, in the unit of scaled rows."""

    def joined(self, batch: Batch, keys: Sequence[Key]) -> Tensor:
        """(b, d) scaled rows of one or two sets of activations side by side."""
        parts = [batch[key] * self.scale[key] for key in keys]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def scales(self, keys: Sequence[Key]) -> Tensor:
        """(d,) the scale of every channel of such rows."""
        return torch.cat([torch.full((self.sample[key].shape[1],), self.scale[key]) for key in keys])


def prepare(sample: Batch, training: Training) -> Prepared:
    """Look at a sample.

    Raises:
        DesignError: a channel is constant or holds values that are no numbers; the channels are named.
    """
    scale: dict[Key, float] = {}
    for key, rows in sample.items():
        check_channels(rows, key)
        scale[key] = float(rows.shape[1] ** 0.5 / rows.double().norm(dim=1).mean())
    scaled = {key: rows * scale[key] for key, rows in sample.items()}
    return Prepared(scale, scaled, {key: _centre(rows, training) for key, rows in scaled.items()})


def _centre(rows: Tensor, training: Training) -> Tensor:
    if training.centre == "median":
        return geometric_median(rows)
    mean = rows.double().mean(0)
    return mean if training.centre == "mean" else torch.zeros_like(mean)


def check_channels(rows: Tensor, key: Key, constant: bool = True) -> None:
    """Refuse rows with channels that are constant or not finite.

    Args:
        rows: (n, d) float.
        key: what they are, for the message.
        constant: whether constant channels are refused too.

    Raises:
        DesignError: names the channels.
    """
    broken = (~torch.isfinite(rows)).any(0).nonzero().squeeze(1).tolist()
    if broken:
        raise DesignError(
            f"{' '.join(map(str, key))}: {_listed(broken)} not finite (NaN or infinite) in {len(rows)} rows; "
            "capture again, in bfloat16 or float32 if it was float16"
        )
    flat = (rows == rows[0]).all(0).nonzero().squeeze(1).tolist() if constant else []
    if flat:
        raise DesignError(
            f"{' '.join(map(str, key))}: {_listed(flat)} constant over {len(rows)} rows; a residual stream has no "
            "such channel, so look at the capture"
        )


def _listed(channels: list[int]) -> str:
    names = ", ".join(map(str, channels[:_NAMED])) + (f" and {len(channels) - _NAMED} more" * (len(channels) > _NAMED))
    return f"channel {names} is" if len(channels) == 1 else f"channels {names} are"
