"""Which latents are active: exactly the k largest of each row, or of a whole batch, or all above a threshold."""

from __future__ import annotations

import torch
from torch import Tensor

from multidir.sae.active import Active, DenseActive, SparseActive, cheaper

_SAMPLE = 1 << 16
"""Values that estimate where the threshold of a whole batch lies."""
_MARGIN = 1.25
"""Candidates wanted, as a multiple of the values wanted: a sample is wrong by a few percent."""


def top_of_rows(pre: Tensor, k: int, rectified: bool = True) -> SparseActive:
    """The k largest of each row of (b, f) pre-activations, negative ones at zero unless told otherwise."""
    values, columns = torch.topk(pre, k, dim=1, sorted=False)
    return SparseActive.from_rows(values.relu_() if rectified else values, columns, pre.shape[1])


def top_of_batch(pre: Tensor, count: int) -> SparseActive:
    """The `count` largest positive values of a batch (all of them when there are fewer): (b, f) pre-activations.

    Exact: the values above a threshold that a sample suggests are candidates, and the largest are taken from
    them; when the sample was wrong and they are too few, from all positive values.
    """
    places = largest_places(pre, count)
    return SparseActive.from_places(places, pre)


def largest_places(scores: Tensor, count: int) -> Tensor:
    """(m,) ascending places in the flattened scores of the `count` largest positive ones; fewer when there are fewer.

    Of equal values at the limit the first ones are taken.
    """
    flat = scores.reshape(-1)
    places = places_above(scores, _guess(flat, count))
    if len(places) < count:
        places = places_above(scores, 0.0)
    if len(places) <= count:
        return places
    values = flat[places]
    limit = torch.topk(values, count, sorted=False).values.min()
    above = values > limit
    kept = above | ((values == limit) & (torch.cumsum(values == limit, 0) <= count - above.sum()))
    return places[kept]


def _guess(flat: Tensor, count: int) -> float:
    """A positive threshold that somewhat more than `count` values pass, by a sample at regular distances; else 0."""
    stride = max(1, flat.numel() // _SAMPLE)
    # an odd stride: widths are mostly powers of two, and a sample of every second latent would be biased
    sample = flat[:: stride + 1 - stride % 2]
    wanted = int(count * _MARGIN * sample.numel() / flat.numel()) + 8
    if wanted >= sample.numel():
        return 0.0
    return max(0.0, float(torch.topk(sample, wanted, sorted=False).values.min()))


def places_above(scores: Tensor, threshold: float | Tensor) -> Tensor:
    """(m,) ascending places in the flattened (b, f) scores of values above a number, or above one number per column."""
    return true_places(scores > threshold)


def true_places(mask: Tensor) -> Tensor:
    """(m,) ascending places of what is true in a flattened mask; fast where that is little."""
    flat = mask.reshape(-1)
    if flat.numel() % 8 or flat.device.type != "cpu" or not flat.is_contiguous():
        return flat.nonzero().squeeze(1)
    # eight flags are read as one number, so that a search through empty stretches is eight times shorter
    words = flat.view(torch.int64).nonzero().squeeze(1)
    within = flat.view(-1, 8).index_select(0, words).nonzero()
    return words[within[:, 0]] * 8 + within[:, 1]


def where(mask: Tensor, values: Tensor) -> Active:
    """Latents chosen by a mask, sparse or dense, whichever costs less: (b, f) mask and activations."""
    share = torch.count_nonzero(mask).item() / mask.numel()
    if cheaper(share, mask.device):
        return DenseActive(values * mask, mask)
    return SparseActive.from_places(true_places(mask), values)
