"""Matryoshka BatchTopK: the first latents alone have to reconstruct too, at several sizes at once.

    loss = sum over levels m of |error_m|^2,     error_m = b_dec + sum over j < size_m of a_j dec_j - x

A latent of level l is in the reconstructions l, l + 1, ..., so that its gradient comes from the sum of their
errors. Each level is decoded once.

Source: Bussmann et al., Learning multi-level features with Matryoshka SAEs (arXiv 2503.17547).
"""

from __future__ import annotations

from itertools import pairwise

import torch

from multidir.sae.active import SparseActive
from multidir.sae.batchtopk import select
from multidir.sae.step import Found, Work, mean_square


def step(work: Work) -> Found:
    """Nested losses and their gradients."""
    active = select(work)
    if not isinstance(active, SparseActive):  # top_of_batch lists what it keeps
        raise TypeError(type(active))
    weights, edges = work.weights, list(pairwise((0, *work.spec.levels)))
    parts = [active.within(first, last) for first, last in edges]
    running, losses, ups = work.weights.dec_bias - work.x, [], []
    for (first, last), (part, _) in zip(edges, parts, strict=True):
        running = running + part.decode(weights.dec[first:last])
        loss, up = mean_square(work, running)
        losses.append(loss)
        ups.append(up)
    slopes, dec_grad = torch.empty_like(active.values), torch.empty_like(weights.dec)
    up = torch.zeros_like(work.x)
    for (first, last), (part, chosen), own in reversed(list(zip(edges, parts, ups, strict=True))):
        up = up + own
        slopes[chosen] = part.products(up, weights.dec[first:last]) * (part.values > 0)
        dec_grad[first:last] = part.outer(part.values, up)
    weights.dec.grad = dec_grad
    weights.enc.grad = active.outer(slopes, work.centred)
    weights.enc_bias.grad = active.sums(slopes)
    weights.dec_bias.grad = up.sum(0)
    return Found.of(torch.stack(losses).sum(), running, active)
