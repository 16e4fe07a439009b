"""A model with an intervention folded into its weights, held against the hooked model before anyone uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from multidir.errors import ConfigError, ModelError
from multidir.linalg.basis import orthonormal_basis
from multidir.models.blocks import check_site
from multidir.models.fold import Addition, Projection, Where, choose_writers
from multidir.models.language_model import LanguageModel
from multidir.records.direction import Direction
from multidir.records.intervention import Dose
from multidir.records.site import Site
from multidir.steer.dose import to_residual_units
from multidir.types import FloatArray

TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest difference of logits between the folded and the hooked model, over the logits themselves: rounding."""
_ROWS, _TOKENS = 4, 32


@dataclass(frozen=True)
class Agreement:
    """How well a folded model agrees with the hooked one, on random tokens."""

    equals: str
    """What the folded model is equal to, in words."""
    change: float
    """What the hooked edit does to the logits: root mean square of their change, over that of the logits."""
    difference: float
    """What folding does to them beyond that: folded minus hooked, over the logits."""

    def __str__(self) -> str:
        return (
            f"Equal to {self.equals}: logits differ by {self.difference:.1e} of their size, where the edit itself "
            f"changes them by {self.change:.1e}."
        )


def addition(
    lm: LanguageModel,
    directions: Sequence[Direction],
    dose: Dose,
    mean_norms: Mapping[Site, float] | None = None,
) -> Addition:
    """A dose of each direction at its own site; those of one site are summed.

    Raises:
        ConfigError: no direction, one of another width or beyond the model, or a dose without its unit.
    """
    _check(lm, directions)
    found: dict[Site, FloatArray] = {}
    for item in directions:
        check_site(lm.model, item.site)
        vector = item.unit * to_residual_units(dose, item, (mean_norms or {}).get(item.site))
        found[item.site] = found.get(item.site, np.zeros(lm.d)) + vector
    return Addition(found)


def projection(
    lm: LanguageModel, directions: Sequence[Direction], where: Where = "everywhere", site: Site | None = None
) -> Projection:
    """The span of directions, out of what some modules write; see `models.fold` for which and what that equals.

    Raises:
        ConfigError: no direction, one of another width, or a place that does not fit.
    """
    _check(lm, directions)
    return Projection(
        orthonormal_basis(np.stack([item.unit for item in directions])), choose_writers(lm.model, where, site)
    )


def _check(lm: LanguageModel, directions: Sequence[Direction]) -> None:
    misfits = [f"{item.name!r} has width {item.d}" for item in directions if item.d != lm.d]
    if misfits or not directions:
        raise ConfigError(
            f"cannot be folded into {lm.source or 'this model'} of width {lm.d}: {'; '.join(misfits) or 'no direction'}"
        )


@torch.no_grad()  # not inference_mode: the weights stay ordinary tensors
def fold(lm: LanguageModel, edit: Addition | Projection) -> Agreement:
    """Fold an edit into a loaded model, in place, and hold it against the hooked one.

    Raises:
        ConfigError: a family of models that the edit cannot be folded into; then nothing has changed.
        ModelError: the folded model is not the hooked one, or the edit changes nothing.
    """
    edit.check(lm.model)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(lm.vocab_size, (_ROWS, _TOKENS), generator=generator).to(lm.device)
    plain = _logits(lm, ids)
    with edit.hooked(lm.model):
        hooked = _logits(lm, ids)
    if torch.equal(plain, hooked):
        raise ModelError(f"{edit} changes nothing in {lm.source or 'this model'}, so there is nothing to fold")
    edit.fold(lm.model)
    size = _rms(hooked)
    found = Agreement(str(edit), _rms(hooked - plain) / size, _rms(_logits(lm, ids) - hooked) / size)
    rounding = TOLERANCE.get(lm.dtype, TOLERANCE[torch.float32])
    if not found.difference <= min(rounding, found.change / 2):
        raise ModelError(
            f"the folded model is not the one with {edit}: logits differ by {found.difference:.2g} of their size, the "
            f"edit itself changes them by {found.change:.2g}; rounding to {lm.dtype} explains {rounding:g} at "
            "most. Fold in float32, or hook it instead"
        )
    return found


def _logits(lm: LanguageModel, ids: Tensor) -> Tensor:
    logits: Tensor = cast(Any, lm.model)(input_ids=ids, use_cache=False).logits
    return logits.double()


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
