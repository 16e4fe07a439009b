"""AuxK: dead latents are asked to explain what the living ones left over, so that they come back to life.

    loss = aux * min(1, dead / aux_k) * |sum over the aux_k largest dead latents of pre_j dec_j - residual|^2

Pre-activations enter without a ReLU: a dead latent's is often negative on every token, and behind a ReLU its
encoder row would never feel a gradient. The residual is a constant, and decoder rows of dead latents are held at
length 1: free ones would shrink, the fastest way to make negative ones harmless, and short ones would ask for more
negative ones.

Source: Gao et al. (arXiv 2406.04093), appendix A.2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from multidir.sae.active import Active, DenseActive, cheaper
from multidir.sae.select import top_of_rows
from multidir.sae.step import Work, mean_square
from multidir.sae.weights import without_length


def add_auxk(work: Work, error: Tensor, dead: Tensor) -> Tensor:
    """Add the gradients of the auxiliary loss to those already set.

    Args:
        work: the batch.
        error: (b, d) reconstruction minus x of the living latents.
        dead: (m,) int64 latents that count as dead; at least one.

    Returns:
        Scalar loss.
    """
    wanted = work.training.aux_k or max(1, work.spec.d // 2)
    weights, scale = work.weights, work.training.aux * min(1.0, len(dead) / wanted)
    active, dec = _largest(work.pre.index_select(1, dead), min(wanted, len(dead))), weights.dec[dead]
    if work.lengths is not None:
        active.values = active.values / active.per_latent(work.lengths[dead])
    loss, up = mean_square(work, active.decode(dec).add_(error))
    up *= scale
    slopes = active.kept(active.products(up, dec))
    if weights.dec.grad is not None and weights.enc.grad is not None and weights.enc_bias.grad is not None:
        grad = active.outer(active.values, up)
        weights.dec.grad.index_add_(0, dead, without_length(grad, normalize(dec, dim=1)))
        weights.enc.grad.index_add_(0, dead, active.outer(slopes, work.centred))
        weights.enc_bias.grad.index_add_(0, dead, active.sums(slopes))
    return scale * loss


def _largest(pre: Tensor, k: int) -> Active:
    """The k largest of each row, negative ones too."""
    if k == pre.shape[1]:
        return DenseActive(pre, torch.ones_like(pre, dtype=torch.bool))
    if not cheaper(k / pre.shape[1], pre.device):
        return top_of_rows(pre, k, rectified=False)
    places = torch.topk(pre, k, dim=1, sorted=False).indices
    mask = torch.zeros_like(pre, dtype=torch.bool).scatter_(1, places, True)
    return DenseActive(pre * mask, mask)
