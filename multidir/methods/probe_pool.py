"""Probes that look at a window of tokens through attention: a ceiling for what one linear read-out could miss.

    score = sum over tokens of softmax(x q + p)_t (x v)_t + b

One query, one value vector and one preference p for each place in the window per training set, learned together by
Adam on the mean logistic loss; rows are standardised, and a ridge on q and v keeps it finite where classes separate.
The search begins near the probe of the last token, so that a window is no handicap.
"""

from __future__ import annotations

import numpy as np
import torch

from multidir.methods.probe_logistic import Solver, check_finite, check_training
from multidir.types import BoolArray, FloatArray

_RATE = 0.02
_LAST = 2.0
"""Preference for the last token at the start: with eight tokens it then has half of the weight."""


def fit_pool(
    x: FloatArray,
    target: BoolArray,
    train: BoolArray,
    ridge: float,
    seed: int,
    steps: int = 150,
    solver: Solver | None = None,
) -> FloatArray:
    """Scores of all rows by an attention-pooled probe for every training set.

    Args:
        x: (n, t, d) float. Tokens of the window before every sentence.
        target: (n,) bool.
        train: (n, s) bool.
        ridge: weight of the squared parameters in the mean loss.
        seed: of the initial queries.
        steps: of Adam.
        solver: where to compute, and in which number format.
    Returns:
        (n, s, 1) float64.
    Raises:
        DesignError: a value is not finite, or a training set lacks one of the classes.
    """
    solver = solver or Solver()
    check_training(np.broadcast_to(target[:, None], train.shape), train)
    rows = torch.as_tensor(x, dtype=getattr(torch, solver.dtype), device=solver.device)
    check_finite(rows)
    flat = rows.reshape(-1, rows.shape[2])
    variance, mean = torch.var_mean(flat, dim=0, correction=0)
    flat = (flat - mean) / torch.where(variance > 0, variance, torch.ones_like(variance)).sqrt()
    y, weight = torch.as_tensor(target).to(flat)[:, None], torch.as_tensor(train).to(flat)
    weight = weight / weight.sum(dim=0)
    draw = torch.Generator().manual_seed(seed)
    start = 0.01 * torch.randn(flat.shape[1], 2 * train.shape[1], generator=draw, dtype=torch.float64).to(flat)
    place = torch.zeros(rows.shape[1], train.shape[1]).to(flat)
    place[-1] = _LAST
    bias = torch.logit((y * weight).sum(dim=0))
    learned = [each.requires_grad_() for each in (start, place, bias)]
    adam = torch.optim.Adam(learned, lr=_RATE)
    for _ in range(steps):
        adam.zero_grad()
        z = _pooled(flat, *learned)
        fit = ((torch.nn.functional.softplus(z) - y * z) * weight).sum()
        torch.autograd.backward(fit + ridge * start.square().sum())
        adam.step()
    with torch.inference_mode():
        scores: FloatArray = _pooled(flat, *learned).double().cpu().numpy()[:, :, None]
    return scores


def _pooled(flat: torch.Tensor, vectors: torch.Tensor, place: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """(n, s) values of the tokens of each row, averaged with the weights that queries and places give them."""
    query, value = (flat @ vectors).view(-1, len(place), 2, place.shape[1]).unbind(dim=2)
    return (torch.softmax(query + place, dim=1) * value).sum(dim=1) + bias
