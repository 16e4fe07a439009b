"""What every architecture does with a batch: pre-activations in, loss and all gradients out, without autograd.

pre = (x - dec_bias) enc^T + enc_bias            the one dense product
error = active decode + dec_bias - x
up = d loss / d reconstruction                   (b, d)
slopes = d loss / d pre                          at active latents only; everywhere else it is exactly zero
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from multidir.sae.active import Active
from multidir.sae.spec import DictionarySpec, Training
from multidir.sae.weights import Weights


@dataclass
class Work:
    """A batch with everything that a step needs of it."""

    weights: Weights
    spec: DictionarySpec
    training: Training
    x: Tensor
    """(b, d)"""
    centred: Tensor
    """(b, d): x minus the decoder bias."""
    pre: Tensor
    """(b, f) pre-activations, times the lengths where there are some."""
    k: int
    """Active latents per row at this step."""
    warm: float
    """How far the sparsity warm-up has come, from 0 to 1."""
    batch: int
    """Rows of the whole batch, by which losses are averaged; `x` may be a part of it."""
    rounded: bool = False
    """Whether pre-activations come from a product in a lower precision than the weights have."""
    lengths: Tensor | None = None
    """(f,) lengths of decoder rows: what latents are selected by is how much they move the reconstruction."""


@dataclass
class Found:
    """What a step found out."""

    loss: Tensor
    """Scalar: everything that was differentiated."""
    error: Tensor
    """(b, d): reconstruction minus x."""
    fired: Tensor
    """(f,) bool: latents that are active on some row."""
    count: Tensor
    """Scalar: active latents, summed over rows."""

    @classmethod
    def of(cls, loss: Tensor, error: Tensor, active: Active) -> Found:
        """What a selection led to."""
        return cls(loss, error, active.fired(), torch.count_nonzero(active.values > 0))

    @classmethod
    def together(cls, parts: Sequence[Found]) -> Found:
        """What the parts of a batch led to, in their order."""
        losses, errors, fired, counts = zip(*((p.loss, p.error, p.fired, p.count) for p in parts), strict=True)
        return cls(sum(losses), torch.cat(errors), torch.stack(fired).any(0), sum(counts))


Select = Callable[[Work], Active]
"""From pre-activations to active latents."""

Step = Callable[[Work], Found]
"""Sets the gradients of all weights, which have none before, and says what it found."""


def in_full(work: Work, active: Active) -> Active:
    """The same latents with activations as decoder rows take them, in the precision of the weights."""
    if work.rounded:  # few products, since few are active
        weights = work.weights
        exact = active.products(work.centred, weights.enc) + active.per_latent(weights.enc_bias)
        active.values = active.kept(exact)
    elif work.lengths is not None:
        active.values = active.values / active.per_latent(work.lengths)
    return active


def rectified(work: Work, active: Active) -> Active:
    """The same, with a ReLU; without rounding the selection has seen to that already."""
    active = in_full(work, active)
    if work.rounded:
        active.values = active.values.relu_()
    return active


def reconstruct(work: Work, active: Active) -> Tensor:
    """(b, d) error of the reconstruction: decoded plus bias minus x."""
    return active.decode(work.weights.dec).add_(work.weights.dec_bias).sub_(work.x)


def mean_square(work: Work, error: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error per row, summed over channels and averaged over the batch; and its gradient (b, d)."""
    return error.square().sum() / work.batch, error * (2 / work.batch)


def add_gradients(work: Work, active: Active, up: Tensor, slopes: Tensor) -> None:
    """Add gradients of a reconstruction from active latents; the encoder's share of the decoder bias comes last.

    Args:
        work: the batch.
        active: which latents, and their activations.
        up: (b, d) derivative of the loss by the reconstruction.
        slopes: derivative by the pre-activations, in the layout of the activations.
    """
    weights = work.weights
    weights.dec.grad = active.outer(active.values, up, weights.dec.grad)
    weights.enc.grad = active.outer(slopes, work.centred, weights.enc.grad)
    add_gradient(weights.enc_bias, active.sums(slopes))
    add_gradient(weights.dec_bias, up.sum(0))


def add_gradient(parameter: Tensor, part: Tensor) -> None:
    """Add to the gradient of a parameter; to zero when it has none."""
    parameter.grad = part if parameter.grad is None else parameter.grad.add_(part)


def finish_decoder_bias(weights: Weights) -> None:
    """Add what reaches the decoder bias through the encoder's input: minus the sum of slopes, times the encoder.

    One product with a vector, because the derivative of the loss by the encoder's input is needed summed
    over rows only.
    """
    if weights.dec_bias.grad is not None and weights.enc_bias.grad is not None:
        weights.dec_bias.grad -= weights.enc_bias.grad @ weights.enc


def by_selection(select: Select) -> Step:
    """The step of every architecture whose loss is the error of what a selection keeps."""

    def step(work: Work) -> Found:
        active = select(work)
        error = reconstruct(work, active)
        loss, up = mean_square(work, error)
        slopes = active.products(up, work.weights.dec).mul_(active.values > 0)
        add_gradients(work, active, up, slopes)
        return Found.of(loss, error, active)

    return step
