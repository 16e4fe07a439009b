"""Standard: a ReLU, and a loss on the sum of activations.

    loss = |error|^2 + sparsity * sum_j a_j          (decoder rows have length 1, so this is the weighted L1 norm)

Source: Bricken et al., Towards monosemanticity (Transformer Circuits, 2023).
"""

from __future__ import annotations

from multidir.sae.active import Active
from multidir.sae.select import where
from multidir.sae.step import Found, Work, mean_square, reconstruct, rectified, set_gradients


def select(work: Work) -> Active:
    """All positive pre-activations."""
    return rectified(work, where(work.pre > 0, work.pre))


def step(work: Work) -> Found:
    """Reconstruction and L1 loss with their gradients."""
    active = select(work)
    error = reconstruct(work, active)
    loss, up = mean_square(error)
    weight = work.training.sparsity * work.warm / len(error)
    slopes = active.products(up, work.weights.dec).add_(weight).mul_(active.values > 0)
    set_gradients(work, active, up, slopes)
    return Found(loss + weight * active.values.sum(), error, active)
