"""Probes that look at a window of tokens: a ceiling for what one linear read-out of the last token could miss.

    attention   score = sum over tokens of softmax(x q + p)_t (x v)_t + b
    maximum     score = log sum over tokens of exp((x v)_t + p_t) + b

One query q, one value vector v and one preference p for each place in the window per training set, learned together
on the mean logistic loss with a ridge on q and on what v departs from a linear probe of the last token. The search
(L-BFGS) begins at that probe: a window can only be no help, not a handicap. The maximum is a smooth one, so that every
token has a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from multidir.methods.probe_logistic import Solver, check_finite, check_training
from multidir.types import BoolArray, FloatArray

Pooling = Literal["attention", "maximum"]

_LAST = 4.0
"""Preference for the last token at the start: of eight tokens it then has 0.9 of the weight."""


def fit_pool(
    x: FloatArray,
    target: BoolArray,
    train: BoolArray,
    weight: FloatArray,
    bias: FloatArray,
    ridge: float,
    pooling: Pooling,
    steps: int = 40,
    solver: Solver | None = None,
) -> FloatArray:
    """Scores of all rows by a pooled probe for every training set.

    Args:
        x: (n, t, d) float. Tokens of the window before every sentence.
        target: (n,) bool.
        train: (n, s) bool.
        weight: (s, d) of linear probes of the last token, where the search begins.
        bias: (s,) of them.
        ridge: weight of the squared parameters in the mean loss, on standardised channels.
        pooling: how tokens come together.
        steps: of L-BFGS.
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
    pool = _Pool.at_linear(rows, torch.as_tensor(weight).to(rows), torch.as_tensor(bias).to(rows), pooling)
    y, share = torch.as_tensor(target).to(rows)[:, None], torch.as_tensor(train).to(rows)
    share = share / share.sum(dim=0)

    def loss() -> torch.Tensor:
        z = pool.score()
        fit = ((torch.nn.functional.softplus(z) - y * z) * share).sum()
        return fit + ridge * (pool.query.square().sum() + pool.moved.square().sum())

    _minimise(loss, [pool.query, pool.moved, pool.place, pool.level], steps)
    with torch.inference_mode():
        scores: FloatArray = pool.score().double().cpu().numpy()[:, :, None]
    return scores


@dataclass(frozen=True, eq=False)
class _Pool:
    """What is learned, and the standardised rows that it is learned on."""

    flat: torch.Tensor
    """(n t, d)."""
    window: int
    """t."""
    pooling: Pooling
    value: torch.Tensor
    """(d, s) of the linear probes; `moved` is what is added to it."""
    moved: torch.Tensor
    query: torch.Tensor
    """(d, s)."""
    place: torch.Tensor
    """(t, s) preferences."""
    level: torch.Tensor
    """(s,)."""

    @classmethod
    def at_linear(cls, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, pooling: Pooling) -> _Pool:
        """A pool that scores as linear probes (s, d) of the last token do, nearly."""
        flat = rows.reshape(-1, rows.shape[2])
        mean, scale = _moments(flat)
        value, level = (weight * scale).T.contiguous(), bias + weight @ mean
        place = torch.zeros(rows.shape[1], len(weight)).to(flat)
        place[-1] = _LAST
        if pooling == "maximum":
            place -= _LAST
        zeros = torch.zeros_like(value), torch.zeros_like(value)
        return cls((flat - mean) / scale, rows.shape[1], pooling, value, *zeros, place, level)

    def score(self) -> torch.Tensor:
        """(n, s) logits."""
        z = (self.flat @ (self.value + self.moved)).view(-1, self.window, len(self.level))
        if self.pooling == "maximum":
            return torch.logsumexp(z + self.place, dim=1) + self.level
        chosen = torch.softmax((self.flat @ self.query).view_as(z) + self.place, dim=1)
        return (chosen * z).sum(dim=1) + self.level


def _moments(flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of every channel; 1 for one that is constant."""
    variance, mean = torch.var_mean(flat, dim=0, correction=0)
    return mean, torch.where(variance > 0, variance, torch.ones_like(variance)).sqrt()


def _minimise(loss: Callable[[], torch.Tensor], learned: list[torch.Tensor], steps: int) -> None:
    search = torch.optim.LBFGS(
        [each.requires_grad_() for each in learned], max_iter=steps, history_size=8, line_search_fn="strong_wolfe"
    )

    def evaluated() -> torch.Tensor:
        search.zero_grad()
        value = loss()
        torch.autograd.backward(value)
        return value.detach()

    search.step(evaluated)  # type: ignore[no-untyped-call]
