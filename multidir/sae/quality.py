"""How good a dictionary is on rows it has not seen: unexplained variance, active latents, densities, silent latents.

    FVU = sum of squared errors / sum of squared distances from the mean row         (fraction of variance UNexplained)

Numerator and denominator are summed over all rows and channels before they are divided. The mean over tokens of a
ratio per token, which is also in use, gives tokens near the mean a weight without limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.sae.dictionary import Coder, pieces
from multidir.stats.estimate import Estimate
from multidir.stats.proportions import ratio_of_sums
from multidir.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Quality:
    """Sums over rows, by cluster of rows (trace or prompt)."""

    rows: FloatArray
    """(m,) rows of each cluster."""
    squared_error: FloatArray
    """(m,) summed over rows and channels."""
    spread: FloatArray
    """(m,) squared distance from the mean row, summed likewise."""
    active: FloatArray
    """(m,) active latents, summed over rows."""
    fired: FloatArray
    """(f,) rows on which each latent is active."""
    strength: FloatArray
    """(f,) summed activation of each latent."""

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.rows.sum())

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained."""
        return float(self.squared_error.sum() / self.spread.sum())

    @property
    def l0(self) -> float:
        """Active latents per row."""
        return float(self.active.sum() / self.rows.sum())

    @property
    def silent(self) -> float:
        """Share of latents that are active on none of these rows; rare ones are silent on few rows, not dead."""
        return float((self.fired == 0).mean())

    @property
    def density(self) -> FloatArray:
        """(f,) share of rows on which each latent is active."""
        found: FloatArray = self.fired / self.n
        return found

    def estimates(self, rng: np.random.Generator, draws: int = 1000) -> dict[str, Estimate]:
        """FVU and L0 with intervals that resample clusters."""
        return {
            "fvu": ratio_of_sums(self.squared_error, self.spread, rng, draws, scale="share of variance"),
            "l0": ratio_of_sums(self.active, self.rows, rng, draws, scale="latents per token"),
        }


@torch.no_grad()
def measure_quality(coder: Coder, rows: Tensor, cluster: IntArray | None = None) -> Quality:
    """Encode and decode rows, and sum up.

    Args:
        coder: a dictionary.
        rows: (n, d) float, as stored.
        cluster: (n,) int from 0: trace or prompt of each row; every row its own when none.

    Raises:
        DesignError: no rows, or rows that are all the same.
    """
    n = len(rows)
    groups = np.arange(n) if cluster is None else np.asarray(cluster)
    m = int(groups.max()) + 1 if n else 0
    if n == 0:
        raise DesignError("a dictionary is measured on at least one row")
    mean = rows.double().mean(0).to(rows.dtype)
    errors, spreads, actives = (np.zeros(n) for _ in range(3))
    fired = torch.zeros(coder.width, dtype=torch.float64, device=rows.device)
    strength = torch.zeros_like(fired)
    for part in pieces(n, coder.width):
        x = rows[part]
        acts = coder.encode(x)
        errors[part] = _row_sums(coder.decode(acts) - x)
        spreads[part] = _row_sums(x - mean)
        on = acts > 0
        actives[part] = on.sum(1).cpu().numpy()
        fired += on.sum(0)
        strength += acts.sum(0, dtype=torch.float64)
    if not spreads.any():
        raise DesignError(f"all {n} rows are the same, so that there is no variance to explain")

    def per_cluster(each: FloatArray) -> FloatArray:
        return np.bincount(groups, each, m).astype(np.float64)

    sums = [per_cluster(each) for each in (np.ones(n), errors, spreads, actives)]
    return Quality(sums[0], sums[1], sums[2], sums[3], fired.cpu().numpy(), strength.cpu().numpy())


def _row_sums(difference: Tensor) -> FloatArray:
    found: FloatArray = difference.double().square().sum(1).cpu().numpy()
    return found


@torch.no_grad()
def mean_l0(coder: Coder, rows: Tensor) -> float:
    """Active latents per row."""
    counts: Iterable[Tensor] = (
        torch.count_nonzero(coder.encode(rows[part])) for part in pieces(len(rows), coder.width)
    )
    return float(sum(int(count) for count in counts) / len(rows))
