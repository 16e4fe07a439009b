"""Latents that are active in a batch, and the four products that training needs of them.

    decode    (b, d)   sum_j values[b, j] dec[j]
    products  values   left[b] . right[j]                at active (b, j) only
    outer     (f, d)   sum_b values[b, j] left[b]
    sums      (f,)     sum_b values[b, j]

An encoder needs one dense product; everything after it concerns active latents only, a few in a thousand. Both
classes give the same numbers but for the order of summation; `cheaper` says which one costs less.
"""

from __future__ import annotations

import functools
import warnings
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from multidir.sae import triton_kernels

DENSE_FROM = {"cpu": 0.18, "cuda": 0.05}
"""Share of active latents from which dense products cost less; measured on one AVX512 core, assumed on a GPU."""


class Active(Protocol):
    """Activations of f latents on b rows, and products with them."""

    values: Tensor
    """Activations; `products` gives numbers in the same layout."""

    def decode(self, dec: Tensor) -> Tensor: ...  # noqa: D102
    def products(self, left: Tensor, right: Tensor) -> Tensor: ...  # noqa: D102
    def outer(self, values: Tensor, left: Tensor, onto: Tensor | None = None) -> Tensor: ...  # noqa: D102
    def sums(self, values: Tensor) -> Tensor: ...  # noqa: D102
    def kept(self, values: Tensor) -> Tensor: ...  # noqa: D102
    def per_row(self, values: Tensor) -> Tensor: ...  # noqa: D102
    def per_latent(self, values: Tensor) -> Tensor: ...  # noqa: D102
    def fired(self) -> Tensor: ...  # noqa: D102


def cheaper(share: float, device: torch.device) -> bool:
    """Whether dense products cost less than sparse ones at this share of active latents."""
    return share >= DENSE_FROM.get(device.type, 0.1)


class SparseActive:
    """Active latents listed row by row (CSR)."""

    def __init__(self, values: Tensor, columns: Tensor, starts: Tensor, width: int) -> None:
        """Take lists as they are.

        Args:
            values: (m,) float. Activations.
            columns: (m,) int64. Latents, ascending within a row.
            starts: (b + 1,) int64. Where each row begins in the lists.
            width: f, the number of latents.
        """
        self.values, self.columns, self.starts, self.width = values, columns, starts, width

    @classmethod
    def from_rows(cls, values: Tensor, columns: Tensor, width: int) -> SparseActive:
        """As many latents in every row: (b, k) values and (b, k) columns in any order."""
        b, k = columns.shape
        columns, order = columns.sort(dim=1)
        starts = torch.arange(0, b * k + 1, k, device=columns.device)
        return cls(values.gather(1, order).reshape(-1), columns.reshape(-1), starts, width)

    @classmethod
    def from_places(cls, places: Tensor, dense: Tensor) -> SparseActive:
        """Places in the flattened (b, f) `dense`, ascending; activations are the values there."""
        b, f = dense.shape
        rows = torch.div(places, f, rounding_mode="floor")
        starts = torch.zeros(b + 1, dtype=torch.int64, device=places.device)
        torch.cumsum(torch.bincount(rows, minlength=b), 0, out=starts[1:])
        return cls(dense.reshape(-1)[places], places - rows * f, starts, f)

    @functools.cached_property
    def rows(self) -> Tensor:
        """(m,) int64: row of each entry."""
        b = len(self.starts) - 1
        return torch.repeat_interleave(torch.arange(b, device=self.starts.device), self.starts.diff())

    def within(self, first: int, last: int) -> tuple[SparseActive, Tensor]:
        """The entries of latents `first` to `last` (not included), counted from `first`, and their places here."""
        chosen = ((self.columns >= first) & (self.columns < last)).nonzero().squeeze(1)
        starts = torch.searchsorted(chosen, self.starts)
        return SparseActive(self.values[chosen], self.columns[chosen] - first, starts, last - first), chosen

    def decode(self, dec: Tensor) -> Tensor:
        """(b, d): activations times decoder rows."""
        return _bags(self.columns, self.starts, self.values, dec)

    def products(self, left: Tensor, right: Tensor) -> Tensor:
        """(m,): left[row] . right[latent] for every entry, and for no other pair."""
        if triton_kernels.usable(left, right):
            return triton_kernels.products(self.rows, self.columns, left, right)
        _allow_csr()
        pattern = torch.sparse_csr_tensor(
            self.starts, self.columns, self.values.to(left.dtype), (len(left), len(right)), check_invariants=False
        )
        found: Tensor = torch.sparse.sampled_addmm(pattern, left, right.T, beta=0.0).values()
        return found

    @functools.cached_property
    def _by_latent(self) -> tuple[Tensor, Tensor, Tensor]:
        """Order of the entries by latent, their rows in that order, and where each latent begins (CSC)."""
        # a radix sort over two bytes costs a third of one over eight
        narrow = self.columns.to(torch.int16 if self.width <= torch.iinfo(torch.int16).max else torch.int32)
        order = torch.sort(narrow, stable=True).indices
        starts = torch.zeros(self.width + 1, dtype=torch.int64, device=order.device)
        torch.cumsum(torch.bincount(self.columns, minlength=self.width), 0, out=starts[1:])
        return order, self.rows[order], starts

    def outer(self, values: Tensor, left: Tensor, onto: Tensor | None = None) -> Tensor:
        """(f, d): sum over rows of values[row, latent] left[row], added to `onto`; no (m, d) tensor is made."""
        order, rows, starts = self._by_latent
        found = _bags(rows, starts, values[order], left)
        return found if onto is None else onto.add_(found)

    def sums(self, values: Tensor) -> Tensor:
        """(f,): sum over rows of values[row, latent]."""
        return torch.zeros(self.width, dtype=values.dtype, device=values.device).index_add_(0, self.columns, values)

    def kept(self, values: Tensor) -> Tensor:
        """Values with zero where no latent is listed: the values as they are."""
        return values

    def per_row(self, values: Tensor) -> Tensor:
        """A number per row, (b,), in the layout of the activations."""
        return values[self.rows]

    def per_latent(self, values: Tensor) -> Tensor:
        """A number per latent, (f,), in the layout of the activations."""
        return values[self.columns]

    def fired(self) -> Tensor:
        """(f,) bool: latents with a positive activation."""
        hit = torch.zeros(self.width, dtype=torch.bool, device=self.columns.device)
        hit[self.columns[self.values > 0]] = True
        return hit


class DenseActive:
    """Active latents as a (b, f) matrix that is zero elsewhere."""

    def __init__(self, values: Tensor, mask: Tensor) -> None:
        self.values, self.mask = values, mask

    def decode(self, dec: Tensor) -> Tensor:
        """(b, d): activations times decoder rows."""
        return self.values @ dec

    def products(self, left: Tensor, right: Tensor) -> Tensor:
        """(b, f): left[row] . right[latent] for every pair; `kept` leaves those of active latents."""
        return left @ right.T

    def outer(self, values: Tensor, left: Tensor, onto: Tensor | None = None) -> Tensor:
        """(f, d): sum over rows of values[row, latent] left[row], added to `onto`."""
        return values.T @ left if onto is None else onto.addmm_(values.T, left)

    def sums(self, values: Tensor) -> Tensor:
        """(f,): sum over rows of values[row, latent]."""
        return values.sum(0)

    def kept(self, values: Tensor) -> Tensor:
        """Values with zero where no latent is listed."""
        return values * self.mask

    def per_row(self, values: Tensor) -> Tensor:
        """A number per row, (b,), in the layout of the activations."""
        return values[:, None]

    def per_latent(self, values: Tensor) -> Tensor:
        """A number per latent, (f,), in the layout of the activations."""
        return values

    def fired(self) -> Tensor:
        """(f,) bool: latents with a positive activation."""
        return (self.values > 0).any(0)


def _bags(indices: Tensor, starts: Tensor, weights: Tensor, table: Tensor) -> Tensor:
    """(bags, d): for each stretch between two starts, the weighted sum of the table rows that are listed there."""
    if triton_kernels.usable(weights, table):
        return triton_kernels.bags(indices, starts, weights, table)
    return embedding_bag(
        indices, table, starts, mode="sum", per_sample_weights=weights.to(table.dtype), include_last_offset=True
    )


@functools.cache
def _allow_csr() -> None:
    """Let torch say once, unheard, that its CSR tensors are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        zero = torch.zeros(1, dtype=torch.int64)
        torch.sparse_csr_tensor(torch.tensor([0, 1]), zero, torch.zeros(1), (1, 1), check_invariants=False)
