"""Known features in a dictionary: which latents stand for one, whether it is split over several, or absorbed.

A feature is a label per row, and a direction where one is known. Its *best* latent is the one whose firing agrees
best with the label (F1). It is *split* when further latents, added one by one, each raise F1 by a margin. A row is
*absorbed* when the feature is there and none of its latents fires, but another latent puts most of the feature's
direction into the reconstruction: then the best latent has exceptions that no threshold explains.

Source: Chanin et al., A is for absorption (arXiv 2409.14507), with the shares of SAEBench.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from multidir.errors import DesignError
from multidir.sae.dictionary import Coder

MARGIN = 0.03
"""F1 that a further latent has to add to count as part of a split feature."""
SHARE = 0.4
"""Share of a row's projection on the feature's direction that one latent has to supply to have absorbed it."""
ALIKE = 0.025
"""Least cosine between such a latent and the direction."""

_MOST = 10


@dataclass(frozen=True)
class KnownFeature:
    """One known feature, as a dictionary holds it."""

    name: str
    rows: int
    """Rows that have it."""
    best: int
    """Latent that agrees best."""
    f1: float
    """Its agreement."""
    latents: tuple[int, ...]
    """The best one and those that it is split over."""
    f1_together: float
    """Agreement of any of them firing."""
    cosine: float
    """Largest absolute cosine of a decoder row with the direction."""
    nearest: int
    """Latent of that row."""
    absorbed: float
    """Share of the rows with the feature that are absorbed."""


@torch.no_grad()
def find_known(name: str, coder: Coder, rows: Tensor, label: Tensor, direction: Tensor | None = None) -> KnownFeature:
    """Look for a feature.

    Args:
        name: for print.
        coder: a dictionary.
        rows: (n, d) float, as stored.
        label: (n,) bool. Rows that have the feature.
        direction: (d,) float; the difference of means when none.

    Raises:
        DesignError: no row has it, or all have.
    """
    if not label.any() or label.all():
        raise DesignError(f"feature {name!r} is on {int(label.sum())} of {len(label)} rows; both kinds are needed")
    acts = torch.cat([coder.encode(part) for part in rows.split(4096)])  # type: ignore[no-untyped-call]
    if direction is None:
        direction = rows[label].mean(0) - rows[~label].mean(0)
    unit = normalize(direction.to(rows), dim=0)
    on, latents, f1 = acts > 0, list[int](), [0.0]
    anywhere = torch.zeros_like(label)
    while len(latents) < _MOST:
        scores = _f1(anywhere[:, None] | on, label)
        best = int(scores.argmax())
        if latents and float(scores[best]) < f1[-1] + MARGIN:
            break
        latents.append(best)
        f1.append(float(scores[best]))
        anywhere = anywhere | on[:, best]
    alignment = normalize(coder.directions.to(rows), dim=1) @ unit
    nearest = int(alignment.abs().argmax())
    return KnownFeature(
        name=name,
        rows=int(label.sum()),
        best=latents[0],
        f1=f1[1],
        latents=tuple(latents),
        f1_together=f1[-1],
        cosine=float(alignment[nearest].abs()),
        nearest=nearest,
        absorbed=_absorbed(coder, rows, acts, label, latents, unit),
    )


def _f1(fires: Tensor, label: Tensor) -> Tensor:
    """(f,) agreement of each column with the label."""
    both = (fires & label[:, None]).sum(0)
    found: Tensor = 2 * both / (fires.sum(0) + label.sum()).clamp_min(1)
    return found


def _absorbed(coder: Coder, rows: Tensor, acts: Tensor, label: Tensor, latents: list[int], unit: Tensor) -> float:
    missed = label & ~(acts[:, latents] > 0).any(1)
    if not missed.any():
        return 0.0
    supplied = acts[missed] * (coder.directions.to(rows) @ unit)
    alike = normalize(coder.directions.to(rows), dim=1) @ unit > ALIKE
    centre = rows[~label].mean(0) @ unit
    wanted = rows[missed] @ unit - centre
    largest = torch.where(alike, supplied, torch.zeros_like(supplied)).max(1).values
    taken = (wanted > 0) & (largest >= SHARE * wanted)
    return float(taken.sum() / label.sum())
