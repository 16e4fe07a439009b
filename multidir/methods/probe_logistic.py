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
from multidir.methods.probe_solver import Problem, solve
from multidir.types import BoolArray, FloatArray


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
        flat = self.weight.reshape(len(self.weight), -1, self.weight.shape[-1])
        found: FloatArray = (cells @ flat.transpose(0, 2, 1)).reshape(*cells.shape[:2], *self.bias.shape[1:])
        found += self.bias[:, None]
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
    whole = replace(problem, ridge=spread * problem.ridge)
    return scaling.probes(*solve(whole, solver.tolerance, solver.max_iterations))


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
