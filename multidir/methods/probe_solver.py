"""Many penalised logistic regressions over the same rows at once: L-BFGS whose every pass is two matrix products.

A Newton step that all of them share preconditions the search, so that passes are few. Problems that have converged
stand still, and penalties that are done are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

_MEMORY = 8
"""Steps that L-BFGS remembers."""
_BLOCK = 1 << 18
"""Logits that are computed at a time."""
_THINNED_ROWS = 16
"""Rows per channel, beside all positives, on which the first part of the way is gone."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Standardised rows with a column of ones, labels, weights and penalties of all training sets."""

    x: torch.Tensor
    """(b, n, d + 1)."""
    y: torch.Tensor
    """(n, s) 0 or 1."""
    weight: torch.Tensor
    """(n, s) of every row in every training set; 0 where it is held out."""
    ridge: torch.Tensor
    """(b, d + 1, s, c) of the squared parameters."""

    @property
    def rows(self) -> torch.Tensor:
        """(s, 1) weight of every training set: losses are means, so that gradients of training sets compare."""
        return self.weight.sum(dim=0)[:, None]

    def start(self) -> torch.Tensor:
        """(b, d + 1, s, c) parameters that say the share of positives."""
        w = torch.zeros_like(self.ridge)
        w[:, -1] = torch.logit((self.y * self.weight).sum(dim=0) / self.weight.sum(dim=0))[:, None]
        return w

    def evaluate(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean loss with penalty (b, s, c) and its gradient (b, d + 1, s, c); rows in blocks that stay in the cache."""
        loss, pulled = torch.zeros_like(w[:, 0]), torch.zeros_like(w).flatten(2).transpose(1, 2)
        flat, step = w.flatten(2), max(64, _BLOCK // w[:, 0].numel())
        for begin in range(0, self.x.shape[1], step):
            part = slice(begin, begin + step)
            x, y, weight = self.x[:, part], self.y[part, :, None], self.weight[part, :, None]
            z = (x @ flat).view(*x.shape[:2], *w.shape[2:])
            p = torch.sigmoid(z)
            loss += ((torch.nn.functional.softplus(z) - y * z) * weight).sum(dim=1)
            pulled += ((p - y) * weight).flatten(2).transpose(1, 2) @ x
        gradient = pulled.transpose(1, 2).reshape(w.shape) / self.rows + self.ridge * w
        return loss / self.rows + (self.ridge * w.square()).sum(dim=1) / 2, gradient

    def thinned(self) -> Problem:
        """All positives and some of the rest, weighted so that the loss has the same mean."""
        positive = self.y.any(dim=1)
        stride = max(1, int((~positive).sum()) // (_THINNED_ROWS * self.x.shape[2]))
        rest = torch.nonzero(~positive)[::stride, 0]
        rows = torch.cat([torch.nonzero(positive)[:, 0], rest])
        heavier = torch.where(positive[rows], 1.0, float(stride))[:, None]
        return Problem(self.x[:, rows], self.y[rows], self.weight[rows] * heavier, self.ridge)

    def hessian(self, w: torch.Tensor) -> torch.Tensor:
        """(b, d + 1, d + 1) of the loss, as one that all training sets and penalties share."""
        p = torch.sigmoid((self.x @ w.flatten(2)).view(*self.x.shape[:2], *w.shape[2:]))
        curvature = ((p * (1 - p)).mean(dim=3) * self.weight / self.rows[:, 0]).mean(dim=2)[:, :, None]
        found = (self.x * curvature).transpose(1, 2) @ self.x
        jitter = 1e-6 * found.diagonal(dim1=1, dim2=2).mean(dim=1)
        return found + jitter[:, None, None] * torch.eye(found.shape[1]).to(found)

    def preconditioner(self, w: torch.Tensor) -> torch.Tensor:
        """(b, c, d + 1, d + 1) Cholesky factors of the Hessian with every penalty."""
        ridge = torch.diag_embed(self.ridge.mean(dim=2).transpose(1, 2))
        factor: torch.Tensor = torch.linalg.cholesky(self.hessian(w)[:, None] + ridge)
        return factor


def solve(whole: Problem, tolerance: float, most: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Parameters of all problems: first on some of the rows, which is cheap and comes close, then on all of them.

    Args:
        whole: the problems.
        tolerance: largest component of the gradient that is left.
        most: iterations over all rows.
    Returns:
        (b, d + 1, s, c) parameters, their gradient, and the number of iterations over all rows.
    """
    some = whole.thinned()
    w = whole.start()
    w, _, _ = _minimise(some, w, some.preconditioner(w), 30 * tolerance, 3)
    w, _, _ = _minimise(some, w, some.preconditioner(w), 10 * tolerance, most)
    return _minimise(whole, w, some.preconditioner(w), tolerance, most)


_Memory = list[tuple[torch.Tensor, torch.Tensor]]
"""Steps of L-BFGS and the changes of the gradient that they made."""


def _minimise(
    problem: Problem, w: torch.Tensor, factor: torch.Tensor, tolerance: float, most: int, memory: _Memory | None = None
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """L-BFGS on all problems at once; those that have converged no longer move, finished penalties are dropped."""
    memory = memory or []
    loss, gradient = problem.evaluate(w)
    for iteration in range(most):
        active = gradient.abs().amax(dim=1) > tolerance
        left = active.flatten(0, 1).any(dim=0)
        if not bool(left.any()):
            return w, gradient, iteration
        if not bool(left.all()):
            steps = [(step[..., left], change[..., left]) for step, change in memory]
            rest = replace(problem, ridge=problem.ridge[..., left])
            found = _minimise(rest, w[..., left], factor[:, left], tolerance, most - iteration, steps)
            w[..., left], gradient[..., left] = found[0], found[1]
            return w, gradient, iteration + found[2]
        step = -_direction(gradient, memory, factor) * active[:, None]
        t, loss, pulled = _line_search(problem, w, step, loss, gradient, active)
        if not bool((t > 0).any()):
            return w, gradient, iteration
        step = step * t[:, None]
        memory = [*memory, (step, pulled - gradient)][-_MEMORY:]
        w, gradient = w + step, pulled
    return w, gradient, most


def _direction(gradient: torch.Tensor, memory: list[Any], factor: torch.Tensor) -> torch.Tensor:
    """The two-loop recursion, around a solve with the preconditioner."""
    q, stack = gradient, []
    for step, change in reversed(memory):
        product = (step * change).sum(dim=1, keepdim=True)
        rho = torch.where(product > 0, 1 / product, torch.zeros_like(product))
        alpha = rho * (step * q).sum(dim=1, keepdim=True)
        q = q - alpha * change
        stack.append((step, change, rho, alpha))
    q = torch.cholesky_solve(q.permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1)
    for step, change, rho, alpha in reversed(stack):
        q = q + step * (alpha - rho * (change * q).sum(dim=1, keepdim=True))
    return q


def _line_search(
    problem: Problem,
    w: torch.Tensor,
    step: torch.Tensor,
    loss: torch.Tensor,
    gradient: torch.Tensor,
    active: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Step lengths (b, s, c) that lower every loss enough, with loss and gradient there; 0 where nothing does."""
    slope = (gradient * step).sum(dim=1)
    slack = 8 * torch.finfo(loss.dtype).eps * loss.abs()
    pending, t = active & (slope < 0), torch.where(active, 1.0, 0.0).to(loss)
    taken, best, best_gradient = torch.zeros_like(t), loss, gradient
    for _ in range(12):
        tried, found = problem.evaluate(w + step * t[:, None])
        good = pending & (tried <= loss + 1e-4 * t * slope + slack)
        taken, best = torch.where(good, t, taken), torch.where(good, tried, best)
        best_gradient = torch.where(good[:, None], found, best_gradient)
        pending = pending & ~good
        if not bool(pending.any()):
            break
        t = torch.where(pending, t / 2, torch.zeros_like(t))
    return taken, best, best_gradient
