"""JumpReLU: a threshold of its own for every latent, learned through a window around it.

    a_j = pre_j if pre_j > threshold_j, else 0
    loss = |error|^2 + l0_weight * 2 / k * (L0 - k)^2         L0 per token; the quadratic form holds it at k

That is one of the losses of SAELens, and from the same weights both come to the same weights: here and there nothing
holds decoder rows at a length, since a loss on counts rewards none. They get length 1 when the dictionary is saved.

The step has no derivative by its threshold; within half a bandwidth of the threshold a rectangle stands in for it.
So a batch's gradient needs active latents and those in the window just below their threshold, and no others.

Source: Rajamanoharan et al., Jumping ahead (arXiv 2407.14435); the quadratic loss is that of Gemma Scope 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from multidir.sae.active import Active
from multidir.sae.rowwise import by_rows
from multidir.sae.select import where
from multidir.sae.step import Found, Work, add_gradient, add_gradients, in_full, mean_square, reconstruct


def _threshold(work: Work) -> Tensor:
    if work.weights.threshold is None:
        raise TypeError("a jumprelu dictionary has thresholds")
    return work.weights.threshold


def select(work: Work) -> Active:
    """Pre-activations above their threshold."""
    return in_full(work, where(work.pre > _threshold(work), work.pre))


def _part(work: Work, near: Active) -> Found:
    """Reconstruction and L0 loss with their gradients, from latents that are active or just below their threshold."""
    threshold, width = _threshold(work), work.training.bandwidth
    near = in_full(work, near)
    above = near.values - near.per_latent(threshold)
    on = near.kept(above > 0)
    window = near.kept(above.abs() < width / 2)
    near.values = near.values * on
    error = reconstruct(work, near)
    loss, up = mean_square(work, error)
    l0 = _rows_of(near, on, len(error))
    weight, k = work.training.l0_weight * work.warm, work.k
    per_latent = weight * 4 / k * (l0 - k) / work.batch
    products = near.products(up, work.weights.dec)
    felt = (near.per_latent(threshold) * products).add_(near.per_row(per_latent)).mul_(window)
    add_gradient(threshold, near.sums(felt).div_(-width))
    add_gradients(work, near, up, products.mul_(on))
    return Found.of(loss + weight * 2 / k * (l0 - k).square().sum() / work.batch, error, near)


step = by_rows(lambda work: _threshold(work) - work.training.bandwidth / 2, _part)


def _rows_of(active: Active, on: Tensor, b: int) -> Tensor:
    """(b,) active latents of each row."""
    if on.ndim == 2:
        return on.sum(1).to(active.values.dtype)
    counts = torch.zeros(b, dtype=active.values.dtype, device=on.device)
    rows = active.per_row(torch.arange(b, device=on.device))
    return counts.index_add_(0, rows, on.to(counts.dtype))
