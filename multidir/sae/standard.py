"""Standard: a ReLU, and a loss on the sum of activations.

    loss = |error|^2 + l1_weight * sum_j a_j         (decoder rows have length 1, so this is the weighted L1 norm)

Source: Bricken et al., Towards monosemanticity (Transformer Circuits, 2023).
"""

from __future__ import annotations

from multidir.sae.active import Active
from multidir.sae.rowwise import by_rows
from multidir.sae.select import where
from multidir.sae.step import Found, Work, add_gradients, mean_square, reconstruct, rectified


def select(work: Work) -> Active:
    """All positive pre-activations."""
    return rectified(work, where(work.pre > 0, work.pre))


def _part(work: Work, positive: Active) -> Found:
    """Reconstruction and L1 loss with their gradients."""
    active = rectified(work, positive)
    error = reconstruct(work, active)
    loss, up = mean_square(work, error)
    weight = work.training.l1_weight * work.warm / work.batch
    slopes = active.products(up, work.weights.dec).add_(weight).mul_(active.values > 0)
    add_gradients(work, active, up, slopes)
    return Found.of(loss + weight * active.values.sum(), error, active)


step = by_rows(lambda _: 0.0, _part)
