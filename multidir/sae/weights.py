"""The parameters of a dictionary while it is trained: float32 master weights, decoder rows mostly of any length.

Both matrices are (f, d), a latent a row, so that the gradient of an active latent is one contiguous row; the
SAELens folder stores the encoder transposed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from multidir.errors import DesignError
from multidir.sae.spec import DictionarySpec


@dataclass
class Weights:
    """Parameters; their gradients stand in `.grad`, as an optimiser expects them."""

    enc: Tensor
    """(f, d)"""
    enc_bias: Tensor
    """(f,)"""
    dec: Tensor
    """(f, d)"""
    dec_bias: Tensor
    """(d,)"""
    threshold: Tensor | None = None
    """(f,) jumprelu only."""
    unit: bool = False
    """Whether decoder rows are held at length 1: where a loss looks at activations, so that rows would gain by growing.

    Elsewhere they are free. Short rows turn fast and settle as they grow; held rows leave more unexplained.
    """

    def named(self) -> dict[str, Tensor]:
        """Those that are there, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def lengths(self) -> Tensor:
        """(f,) lengths of decoder rows."""
        found: Tensor = self.dec.norm(dim=1).clamp_min(torch.finfo(self.dec.dtype).tiny)
        return found

    @torch.no_grad()
    def normalise(self, rows: Tensor | None = None) -> None:
        """Bring decoder rows to length 1: all of them, or those that are listed."""
        if rows is None:
            normalize(self.dec, dim=1, out=self.dec)
        else:
            self.dec[rows] = normalize(self.dec[rows], dim=1)

    def forget_gradients(self) -> None:
        """Leave no gradient of an earlier step."""
        for value in self.named().values():
            value.grad = None

    def project(self) -> None:
        """Take out of the decoder's gradient what would only change lengths."""
        if self.dec.grad is not None:
            without_length(self.dec.grad, self.dec)


def without_length(grad: Tensor, unit: Tensor) -> Tensor:
    """Take out of the gradient of rows, in place, what would change their lengths: (n, d) gradient and unit rows."""
    return grad.addcmul_(unit, (grad * unit).sum(1, keepdim=True), value=-1)


def initial_weights(spec: DictionarySpec, centre: Tensor, device: torch.device | str, dtype: torch.dtype) -> Weights:
    """Random unit decoder rows, the encoder their copy, the decoder bias at the centre of the data.

    The random numbers depend on the seed only, not on the device.
    """
    rng = torch.Generator().manual_seed(spec.seed)
    dec = normalize(torch.randn(spec.width, spec.d, generator=rng, dtype=torch.float64), dim=1)

    def parameter(values: Tensor) -> Tensor:
        return values.to(device, dtype, copy=True).contiguous().requires_grad_()

    zeros = torch.zeros(spec.width)
    threshold = parameter(zeros) if spec.architecture == "jumprelu" else None
    unit = spec.architecture == "standard"
    return Weights(parameter(dec), parameter(zeros), parameter(dec), parameter(centre), threshold, unit)


def geometric_median(rows: Tensor, tolerance: float = 1e-6, steps: int = 100) -> Tensor:
    """The point with the smallest summed distance to the rows; unlike the mean, hardly moved by outlier tokens.

    Weiszfeld's iteration from the mean, in float64.

    Args:
        rows: (n, d) float.
        tolerance: relative change below which it stops.
        steps: most iterations.

    Returns:
        (d,) float64.
    Raises:
        DesignError: no rows.
    """
    if not len(rows):
        raise DesignError("a geometric median needs at least one row")
    rows = rows.double()
    centre = rows.mean(0)
    for _ in range(steps):
        weight = 1 / (rows - centre).norm(dim=1).clamp_min(torch.finfo(torch.float64).eps)
        moved = (weight[:, None] * rows).sum(0) / weight.sum()
        change = (moved - centre).norm() / moved.norm().clamp_min(torch.finfo(torch.float64).tiny)
        centre = moved
        if change < tolerance:
            break
    return centre
