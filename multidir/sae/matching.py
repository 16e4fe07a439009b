"""How alike two dictionaries are: nearest decoder rows, and the best one-to-one matching (MCC)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from multidir.errors import DesignError
from multidir.types import FloatArray, IntArray

_SMALL = 1e-12


@dataclass(frozen=True, eq=False)
class Matching:
    """One partner for every direction of the smaller set."""

    mine: IntArray
    """(m,) rows of the first set, ascending."""
    theirs: IntArray
    """(m,) their partners in the second."""
    cosine: FloatArray
    """(m,) absolute cosine of each pair."""

    @property
    def mcc(self) -> float:
        """Mean correlation coefficient: the mean absolute cosine of the pairs."""
        return float(self.cosine.mean())


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """(k, m) cosines between rows; 0 where a row is zero."""
    if a.shape[1] != b.shape[1]:
        raise DesignError(f"dictionaries are compared at one width, got {a.shape[1]} and {b.shape[1]}")
    return normalize(a.float(), dim=1, eps=_SMALL) @ normalize(b.float(), dim=1, eps=_SMALL).T


def match(a: Tensor, b: Tensor) -> Matching:
    """The one-to-one matching with the largest summed absolute cosine (Hungarian algorithm).

    Args:
        a: (k, d) float.
        b: (m, d) float.

    Raises:
        DesignError: another width, or an empty set.
    Source: arXiv 2505.20254.
    """
    if not len(a) or not len(b):
        raise DesignError("a matching needs two sets of directions that are not empty")
    table = cosines(a, b).abs().cpu().numpy()
    mine, theirs = linear_sum_assignment(table, maximize=True)
    return Matching(mine, theirs, table[mine, theirs].astype(np.float64))


def nearest(a: Tensor, b: Tensor, piece: int = 4096) -> tuple[FloatArray, IntArray]:
    """For every row of `a`, the largest cosine with a row of `b`, and which one; in pieces, for any size."""
    best = [cosines(a[at : at + piece], b).max(dim=1) for at in range(0, len(a), piece)]
    values, places = torch.cat([each.values for each in best]), torch.cat([each.indices for each in best])
    return values.double().cpu().numpy(), places.cpu().numpy()
