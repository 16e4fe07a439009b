"""Adam in one fused pass: a clipped gradient, rows at length 1 where they are held, and its state as plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from multidir.sae.parallel import Group
from multidir.sae.weights import Weights

_BETAS = (0.9, 0.999)
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Optimiser:
    """Updates weights from the gradients that a step left in them."""

    def __init__(self, weights: Weights, clip: float) -> None:
        self.weights, self.clip = weights, clip
        self._adam = torch.optim.Adam(list(weights.named().values()), lr=0.0, betas=_BETAS, fused=True)

    @torch.no_grad()
    def step(self, lr: float, group: Group) -> None:
        """One update: average over processes, project, clip, move, renormalise, keep thresholds positive."""
        grads = [value.grad for value in self.weights.named().values() if value.grad is not None]
        group.average(grads)
        if self.weights.unit:
            self.weights.project()
        norms = torch.stack([grad.norm() for grad in grads])
        shrink = (self.clip / norms.norm().clamp_min(1e-12)).clamp_max(1.0)
        if grads[0].is_cuda or shrink < 1:  # on a GPU multiplying costs less than waiting for the answer
            torch._foreach_mul_(grads, shrink)
        for part in self._adam.param_groups:
            part["lr"] = lr
        self._adam.step()
        if self.weights.unit:
            self.weights.normalise()
        if self.weights.threshold is not None:
            self.weights.threshold.clamp_min_(0.0)

    def state(self) -> dict[str, Tensor]:
        """Moments and step count by parameter."""
        found: dict[str, Tensor] = {}
        for name, value in self.weights.named().items():
            for key, held in self._adam.state.get(value, {}).items():
                found[f"{key}.{name}"] = held
        return found

    @torch.no_grad()
    def resume(self, state: dict[str, Tensor]) -> None:
        """Take up a state that `state` gave; tensors are copied into memory of our own."""
        for name, value in self.weights.named().items():
            if f"step.{name}" in state:
                held = {key: torch.empty_like(value).copy_(state[f"{key}.{name}"]) for key in _MOMENTS}
                step = state[f"step.{name}"].to(value.device, torch.float32, copy=True)
                self._adam.state[value] = {"step": step, **held}
