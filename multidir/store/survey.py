"""A quick look at activations: token norms and channel sizes, from evenly spaced stretches of a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from multidir.errors import DesignError
from multidir.records.site import Site
from multidir.store.activations import ActivationStore
from multidir.store.statistics import measure
from multidir.types import FloatArray, IntArray, Role

_STRETCH = 64
_AT_ONCE = 1024
_FIRST_TOKENS = 256


@dataclass(frozen=True, eq=False)
class Survey:
    """What one set of activations looks like."""

    role: Role
    site: Site
    norms: FloatArray
    """(n,) Euclidean norms of tokens after the first one of their trace."""
    first_norms: FloatArray
    """(k,) norms of first tokens, which are huge in many models."""
    mean: FloatArray
    """(d,) float64 mean of each channel over the tokens of `norms`."""
    rms: FloatArray
    """(d,) float64 root mean square of each channel over the same."""

    def loudness(self) -> FloatArray:
        """(d,) root mean square of each channel against that of the median channel."""
        middle = float(np.median(self.rms))
        return self.rms / (middle if middle > 0 else 1.0)


def survey(store: ActivationStore, role: Role, site: Site, rows: int = 65_536) -> Survey:
    """Measure about `rows` tokens, or all when there are fewer.

    Raises:
        DesignError: the store holds no token after a first one.
    """
    chosen = _spread(store.n_rows, rows)
    later = chosen[store.position[chosen] > 0]
    if not len(later):
        raise DesignError(f"{store.path} holds no token after the first one of a trace: nothing to measure")
    pieces = (store.raw_rows(role, site, piece) for piece in _pieces(later))
    norms, moments = measure(pieces, store.spec.dtype, np.ones(len(later), bool), store.d)
    first = np.array([info.row_start for info in store.traces[:_FIRST_TOKENS]])
    first_norms = np.linalg.norm(store.rows(role, site, first).astype(np.float64), axis=1)
    rms = np.sqrt(moments.variance(ddof=0) + moments.mean**2)
    return Survey(role, site, norms, first_norms, moments.mean, rms)


def _spread(n: int, wanted: int) -> IntArray:
    """Rows of stretches that lie evenly over all n rows."""
    if n <= wanted:
        return np.arange(n)
    starts = np.linspace(0, n - _STRETCH, max(1, wanted // _STRETCH)).astype(np.int64)
    return np.unique(starts[:, None] + np.arange(_STRETCH))


def _pieces(rows: IntArray) -> Iterator[IntArray]:
    for start in range(0, len(rows), _AT_ONCE):
        yield rows[start : start + _AT_ONCE]
