"""Logistic probes with few channels (L1): proximal Newton steps, all training sets and penalties at once.

    min over w, b of   C * sum over training rows of [log(1 + exp(z)) - y z]  +  |s w|_1,     z = x w + b

Every step minimises the penalty plus a quadratic model of the loss, whose curvature all training sets share, so that
rows are read twice per step while the small problem is iterated on.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from multidir.methods.probe_logistic import LinearProbes, Solver, prepare
from multidir.methods.probe_solver import Problem
from multidir.types import BoolArray, FloatArray

_INNER = 200
"""Steps on the quadratic model, which cost no pass over rows."""


def fit_lasso(
    x: FloatArray, target: BoolArray, train: BoolArray, penalties: FloatArray, solver: Solver | None = None
) -> LinearProbes:
    """Fit one L1 logistic probe of one cell for every training set and penalty.

    Args:
        x: (n, d) float.
        target: (n,) bool, or (n, s).
        train: (n, s) bool.
        penalties: (c,) float. scikit-learn's C: larger is weaker.
        solver: how far and where to solve; the gradient that counts is the distance to the nearest subgradient.
    Raises:
        DesignError: a value is not finite, or a training set lacks one of the classes.
    """
    solver = solver or Solver()
    scaling, problem, spread = prepare(np.asarray(x)[None], target, train, penalties, solver)
    threshold = problem.ridge * spread.sqrt()
    smooth = replace(problem, ridge=torch.zeros_like(problem.ridge))
    return scaling.probes(*_minimise(smooth, smooth.start(), threshold, solver))


def _minimise(
    smooth: Problem, w: torch.Tensor, threshold: torch.Tensor, solver: Solver
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Proximal Newton steps until the nearest subgradient vanishes, or rounding stops the descent."""
    loss, gradient = smooth.evaluate(w)
    loss = loss + (threshold * w.abs()).sum(dim=1)
    curvature = smooth.thinned()
    for step in range(solver.max_iterations):
        gap = _subgradient(gradient, w, threshold)
        active = gap.abs().amax(dim=1) > solver.tolerance
        if not bool(active.any()):
            return w, gap, step
        if step in (0, 2, 5):
            hessian = curvature.hessian(w)
        move = (_model_minimum(hessian, w, gradient, threshold) - w) * active[:, None]
        found = _shorter_until_lower(smooth, w, move, loss, threshold)
        better = found[1] < loss
        if not bool(better.any()):
            return w, gap, step
        w = torch.where(better[:, None], found[0], w)
        gradient = torch.where(better[:, None], found[2], gradient)
        loss = torch.where(better, found[1], loss)
    return w, _subgradient(gradient, w, threshold), solver.max_iterations


def _subgradient(gradient: torch.Tensor, w: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """The smallest subgradient: what is left to gain at channels with and without weight."""
    at_zero = torch.sign(gradient) * (gradient.abs() - threshold).clamp_min(0)
    return torch.where(w == 0, at_zero, gradient + threshold * torch.sign(w))


def _model_minimum(
    hessian: torch.Tensor, w: torch.Tensor, gradient: torch.Tensor, threshold: torch.Tensor
) -> torch.Tensor:
    """Where gradient . (v - w) + (v - w) H (v - w) / 2 + threshold |v| is least, by accelerated proximal gradients."""
    stiffness = torch.linalg.eigvalsh(hessian)[:, -1, None, None]
    shape, flat, pull, cut = w.shape, w.flatten(2), gradient.flatten(2), threshold.flatten(2) / stiffness
    v = ahead = flat
    momentum = 1.0
    for _ in range(_INNER):
        stepped = ahead - (pull + hessian @ (ahead - flat)) / stiffness
        found = torch.sign(stepped) * (stepped.abs() - cut).clamp_min(0)
        further = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead, v, momentum = found + (momentum - 1) / further * (found - v), found, further
    return v.view(shape)


def _shorter_until_lower(
    smooth: Problem, w: torch.Tensor, move: torch.Tensor, loss: torch.Tensor, threshold: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Parameters, loss and gradient after a step that is halved wherever it does not lower the loss."""
    t = torch.ones_like(loss)
    for _ in range(10):
        tried = w + move * t[:, None]
        fit, gradient = smooth.evaluate(tried)
        value = fit + (threshold * tried.abs()).sum(dim=1)
        worse = (value >= loss) & (move != 0).any(dim=1)
        if not bool(worse.any()):
            break
        t = torch.where(worse, t / 2, t)
    return tried, value, gradient
