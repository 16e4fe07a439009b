"""From a dose in its unit to what an operator takes: residual-stream units, or the subject's own."""

from __future__ import annotations

from multidir.errors import ConfigError
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.site import Site
from multidir.steer.operators.base import Amount


def to_residual_units(dose: Dose, subject: Direction | Noise | Site, mean_norm: float | None = None) -> float:
    """Signed length of what is added, in residual-stream units.

    Args:
        dose: value and unit.
        subject: what is added; a direction's own length is the unit `activation`.
        mean_norm: mean norm of the residual stream at the subject's site, BOS left out; the unit `relative`.
    Raises:
        ConfigError: a relative dose without a usable mean norm, or a KL budget that is not calibrated.
    """
    if dose.unit == "residual":
        return dose.value
    if dose.unit == "activation" and isinstance(subject, Direction):
        return dose.value * subject.length
    site = subject if isinstance(subject, Site) else subject.site
    name = getattr(subject, "name", str(subject))
    if dose.unit != "relative":
        raise ConfigError(
            f"dose {dose} of {name!r} is a budget of KL divergence, which depends on the model and on the texts; "
            "calibrate it first with steer.calibrate"
        )
    if mean_norm is None or not 0 < mean_norm < float("inf"):
        raise ConfigError(
            f"dose {dose} of {name!r} is relative to the mean residual norm at {site}, "
            f"which is {'not given' if mean_norm is None else mean_norm}; measure it on stored activations, "
            "or give the dose in residual units"
        )
    return dose.value * mean_norm


def amount(item: Intervention, mean_norm: float | None = None) -> Amount:
    """The subject with its dose as the operator takes it.

    Raises:
        ConfigError: as `to_residual_units`.
    """
    if isinstance(item.subject, Direction | Noise | Site) and not (
        isinstance(item.subject, Site) and item.dose.unit == "activation"
    ):
        return Amount(item.subject, to_residual_units(item.dose, item.subject, mean_norm), "residual")
    return Amount(item.subject, item.dose.value, item.dose.unit)
