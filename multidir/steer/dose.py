"""From a dose in its unit to the length of the vector that is added, in residual-stream units."""

from __future__ import annotations

from multidir.errors import ConfigError
from multidir.records.direction import Direction
from multidir.records.intervention import Dose


def to_residual_units(dose: Dose, direction: Direction, mean_norm: float | None = None) -> float:
    """Signed coefficient of the direction's unit vector.

    Args:
        dose: value and unit.
        direction: what is added; its own length is the unit `activation`.
        mean_norm: mean norm of the residual stream at the direction's site, BOS left out; the unit `relative`.
    Raises:
        ConfigError: a relative dose without a usable mean norm, or a KL budget that is not calibrated.
    """
    if dose.unit == "residual":
        return dose.value
    if dose.unit == "activation":
        return dose.value * direction.length
    if dose.unit == "kl":
        raise ConfigError(
            f"dose {dose} of {direction.name!r} is a budget of KL divergence, which depends on the model and on the "
            "texts; calibrate it first with steer.calibrate"
        )
    if mean_norm is None or not 0 < mean_norm < float("inf"):
        raise ConfigError(
            f"dose {dose} of {direction.name!r} is relative to the mean residual norm at {direction.site}, "
            f"which is {'not given' if mean_norm is None else mean_norm}; measure it on stored activations, "
            "or give the dose in residual units"
        )
    return dose.value * mean_norm
