"""Linear maps with their weights laid out once as the matrix kernels of the CPU want them.

    y = x W^T + b          the same map, up to rounding

torch lays a weight out anew in every product. Texts are written with the same weights at every step, so one copy per
run pays: with AVX-512, products of 48 rows take about half the time. The operators are those to which torch's
own compiler lowers linear maps whose weights are frozen; where they are missing, nothing is changed.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from multidir.models.memory import free_bytes

PAYS = 600_000
"""Products of a call (rows x inputs x outputs) from which on the fixed cost of the other kernel is paid back."""
SHARE = 0.25
"""Of the free memory, at most, for the copies of the weights."""
_ROWS = 48
"""Rows for which the layout is chosen; it serves every number of rows."""


class PackedLinears:
    """A model's linear maps, packed when this is made; weights that change afterwards do not change the copies."""

    def __init__(self, model: nn.Module) -> None:
        """Pack what can be: float32 on the CPU, not packed already by somebody around us, if memory is there."""
        modules = [each for each in map(_plain, model.modules()) if each is not None] if _available() else []
        size = sum(each.weight.numel() * each.weight.element_size() for each in modules)
        if size > SHARE * free_bytes(torch.device("cpu")):
            modules = []
        self._forwards = [(each, partial(_forward, each, _packed(each))) for each in modules]

    @contextmanager
    def used(self) -> Iterator[None]:
        """Multiply by the copies inside the `with`; where gradients are asked for, by the weights themselves."""
        try:
            for module, forward in self._forwards:
                module.__dict__["forward"] = forward
            yield
        finally:
            for module, _ in self._forwards:
                module.__dict__.pop("forward", None)


def _available() -> bool:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    kernels = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return x86 and kernels and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _plain(module: nn.Module) -> nn.Linear | None:
    """The module, if it is a plain linear map on the CPU whose method nobody has replaced."""
    if type(module) is not nn.Linear or "forward" in module.__dict__:
        return None
    weight = module.weight
    return module if weight.device.type == "cpu" and weight.dtype == torch.float32 else None


def _packed(module: nn.Linear) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), _ROWS)
    return packed


def _forward(module: nn.Linear, packed: Tensor, x: Tensor) -> Tensor:
    """What `module` gives, up to rounding."""
    rows = x.numel() // module.in_features
    if rows * module.weight.numel() < PAYS or torch.is_grad_enabled():
        return linear(x, module.weight, module.bias)
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, module.bias, "none", [], "")
    return y
