"""Logistic probes by the thousand: all cells, folds and penalties at once, by L-BFGS over shared matrix products.

    min over w, b of   C * sum over training rows of [log(1 + exp(z)) - y z]  +  |s w|^2 / 2,     z = x w + b

Here s are the standard deviations of the training rows, so that a probe equals scikit-learn's
`make_pipeline(StandardScaler(), LogisticRegression(C))` fitted on them. Probes that share rows share the two matrix
products of every iteration; a Newton step on some rows preconditions them, so that iterations are few.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from multidir.errors import DesignError
from multidir.types import BoolArray, FloatArray

_MEMORY = 8
_BLOCK = 1 << 18
"""Logits that are computed at a time."""
_THINNED_ROWS = 16
"""Rows per channel, beside all positives, on which the first part of the way is gone."""


@dataclass(frozen=True)
class Solver:
    """How far and where to solve."""

    tolerance: float = 1e-4
    """Largest component of the gradient of the mean loss on standardised channels; scikit-learn's default."""
    max_iterations: int = 200
    """Passes over all rows."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    dtype: str = "float32"
    """`float32`, or `float64` for coefficients to more than four digits."""


@dataclass(frozen=True, eq=False)
class LinearProbes:
    """Linear probes of b cells, s training sets and c penalties: score = x @ weight + bias."""

    weight: FloatArray
    """(b, s, c, d) float64, in residual-stream coordinates."""
    bias: FloatArray
    """(b, s, c) float64."""
    gradient: FloatArray
    """(b, s, c) largest component of the gradient where the solver stopped."""
    iterations: int = 0

    @property
    def unit(self) -> FloatArray:
        """(b, s, c, d) float64: probe normals at length 1."""
        length = np.linalg.norm(self.weight, axis=-1, keepdims=True)
        units: FloatArray = self.weight / length
        return units

    def scores(self, x: FloatArray) -> FloatArray:
        """(b, n, s, c) float64 log-odds of rows (b, n, d), or of one cell's (n, d)."""
        cells = np.asarray(x, dtype=np.float64).reshape(-1, *np.shape(x)[-2:])
        found: FloatArray = np.einsum("bnd,bscd->bnsc", cells, self.weight, optimize=True) + self.bias[:, None]
        return found


def fit_logistic(
    x: Any, target: BoolArray, train: BoolArray, penalties: FloatArray, solver: Solver | None = None
) -> LinearProbes:
    """Fit one L2 logistic probe for every cell, training set and penalty.

    Args:
        x: (b, n, d) float. The same n rows (sentences) seen in b cells (sites and offsets).
        target: (n,) bool, or (n, s) where training sets have labels of their own (control tasks).
        train: (n, s) bool. Rows of each training set.
        penalties: (c,) float. scikit-learn's C: larger is weaker.
        solver: how far and where to solve.
    Raises:
        DesignError: a value is not finite, or a training set lacks one of the classes.
    """
    solver = solver or Solver()
    scaling, problem, spread = prepare(x, target, train, penalties, solver)
    return scaling.probes(*_solve(replace(problem, ridge=spread * problem.ridge), solver))


def prepare(
    x: Any, target: BoolArray, train: BoolArray, penalties: FloatArray, solver: Solver
) -> tuple[Scaling, Problem, torch.Tensor]:
    """Standardised rows and weights on their device, arguments as of `fit_logistic`.

    Returns:
        The coordinates; the problem with ridge 1 / (C rows) in every channel and 0 for the intercept; and
        (b, d + 1, s, 1) the variance of every channel in every training set, in these coordinates.
    """
    y = np.array(np.broadcast_to(np.asarray(target, dtype=bool).reshape(len(train), -1), train.shape))
    check_training(y, train)
    cells = torch.as_tensor(x, dtype=getattr(torch, solver.dtype), device=solver.device)
    check_finite(cells)
    scaling = Scaling.of(cells)
    rows = scaling.apply(cells)
    weight = torch.as_tensor(train).to(rows)
    share = weight / weight.sum(dim=0)
    channels = rows.transpose(1, 2)
    spread = (channels.square() @ share - (channels @ share).square()).clamp_min(1e-12)[:, :, :, None]
    strength = 1 / (torch.as_tensor(np.asarray(penalties)).to(rows) * weight.sum(dim=0)[:, None])
    ridge = strength.expand(*rows.shape[::2], *strength.shape).clone()
    ridge[:, -1] = 0
    return scaling, Problem(rows, torch.as_tensor(y).to(rows), weight, ridge), spread


def _solve(whole: Problem, solver: Solver) -> tuple[torch.Tensor, torch.Tensor, int]:
    """First on some of the rows, which is cheap and comes close, then on all of them."""
    some = whole.thinned()
    w = whole.start()
    w, _, _ = _minimise(some, w, some.preconditioner(w), 30 * solver.tolerance, 3)
    w, _, _ = _minimise(some, w, some.preconditioner(w), 10 * solver.tolerance, solver.max_iterations)
    return _minimise(whole, w, some.preconditioner(w), solver.tolerance, solver.max_iterations)


def check_training(target: BoolArray, train: BoolArray) -> None:
    """Refuse training sets without both classes, by name.

    Raises:
        DesignError: one or more lack a class.
    """
    positive, rows = (target & train).sum(axis=0), train.sum(axis=0)
    bad = np.flatnonzero((positive == 0) | (positive == rows))
    if bad.size:
        found = ", ".join(f"set {i}: {positive[i]} positive of {rows[i]} rows" for i in bad[:5])
        raise DesignError(f"a probe needs both classes in every training set; {found}. Use fewer folds")


def check_finite(x: torch.Tensor) -> None:
    """Refuse rows with nan or infinities, counted.

    Raises:
        DesignError: there are some.
    """
    bad = ~torch.isfinite(x).all(dim=2).all(dim=0)
    if bool(bad.any()):
        first = int(torch.nonzero(bad)[0, 0])
        raise DesignError(
            f"{int(bad.sum())} of {x.shape[1]} rows hold nan or infinities (the first is row {first}); leave them out"
        )


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


@dataclass(frozen=True)
class Scaling:
    """Centre and scale of the channels of every cell: coordinates in which float32 suffices."""

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor) -> Scaling:
        """Over all rows: a choice of coordinates, which no probe depends on."""
        variance, mean = torch.var_mean(x, dim=1, correction=0)
        return cls(mean, torch.where(variance > 0, variance, torch.ones_like(variance)).sqrt())

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Standardised rows with a column of ones."""
        z = x.new_empty((*x.shape[:2], x.shape[2] + 1))
        torch.sub(x, self.mean[:, None], out=z[:, :, :-1])
        z[:, :, :-1] /= self.scale[:, None]
        z[:, :, -1] = 1
        return z

    def probes(self, w: torch.Tensor, gradient: torch.Tensor, iterations: int) -> LinearProbes:
        """Parameters back in residual-stream coordinates."""
        slopes = w[:, :-1].double() / self.scale.double()[:, :, None, None]
        bias = w[:, -1].double() - (slopes * self.mean.double()[:, :, None, None]).sum(dim=1)
        largest = gradient.abs().amax(dim=1).double()
        weight = slopes.permute(0, 2, 3, 1).contiguous()
        return LinearProbes(weight.cpu().numpy(), bias.cpu().numpy(), largest.cpu().numpy(), iterations)


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
