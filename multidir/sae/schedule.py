"""What changes over training: the learning rate, the number of active latents, the weight of a sparsity loss."""

from __future__ import annotations

from multidir.sae.spec import Training

_START = 4
"""Multiple of k at which the number of active latents starts when sparsity warms up."""


def rate(training: Training, step: int) -> float:
    """Learning rate of a step, counted from 0: linear up, flat, linear down to zero after the last step."""
    up = min(1.0, (step + 1) / training.warmup) if training.warmup else 1.0
    falling = training.decay * training.steps
    down = min(1.0, (training.steps - step) / falling) if falling else 1.0
    return training.lr * min(up, down)


def warm(training: Training, step: int) -> float:
    """How far the sparsity warm-up has come, from 0 to 1."""
    return min(1.0, step / training.sparsity_warmup) if training.sparsity_warmup else 1.0


def active_latents(training: Training, step: int, k: int, width: int) -> int:
    """Latents kept per row at a step."""
    start = min(_START * k, width)
    return round(start + (k - start) * warm(training, step))
