"""What is done to the residual stream: operator, subject, dose and scope, as a description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from multidir.errors import ConfigError
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.records.latent import Latent
from multidir.records.scope import EVERYWHERE, Scope
from multidir.records.site import Site
from multidir.types import FloatArray

DoseUnit = Literal["residual", "relative", "activation", "kl", "share"]
UNITS: tuple[DoseUnit, ...] = get_args(DoseUnit)
OperatorName = Literal["add", "replace", "erase", "clamp", "amplify", "noise"]


@dataclass(frozen=True)
class Dose:
    """How much, in a named unit: never a bare coefficient.

    `residual`: absolute residual-stream units (the paper's magnitude). `relative`: share of the mean
    residual norm at the site. `activation`: multiples of the subject's own length: of a direction as it was found, of
    a latent's decoder row, of the activation itself. `kl`: change of the next-token distribution in nats, which
    `steer.calibrate` turns into residual units. `share`: of the full effect of an eraser.
    """

    value: float
    unit: DoseUnit = "relative"

    def __post_init__(self) -> None:
        """Refuse an unknown unit and a value that is not a number."""
        if self.unit not in UNITS:
            raise ConfigError(f"no dose unit {self.unit!r}; there are {', '.join(UNITS)}")
        if self.value != self.value or abs(self.value) == float("inf"):
            raise ConfigError(f"a dose is a finite number, got {self.value}")

    def __str__(self) -> str:
        ends = {"residual": "", "relative": "x", "activation": "v", "kl": " nats", "share": " of all"}
        return f"{self.value:g}{ends[self.unit]}"


@dataclass(frozen=True, eq=False)
class Noise:
    """Gaussian noise of a fixed norm at every token: a direction drawn anew, which is then as long as the dose says.

    Drawn from the row's seed, the site and the token's absolute position alone.
    """

    site: Site
    fresh: bool = True
    """False: one direction per row and site for all its tokens."""
    factor: FloatArray | None = None
    """(r, d): rows such that `factor.T @ factor` is the covariance wanted, as centred activations have it; None for
    the same in every direction."""
    name: str = "noise"

    def __post_init__(self) -> None:
        """Refuse a covariance that cannot be drawn from."""
        if self.factor is not None and not (
            self.factor.ndim == 2 and np.isfinite(self.factor).all() and self.factor.any()
        ):
            raise ConfigError(f"{self.name!r} at {self.site}: expected a finite factor (r, d) that is not all zero")

    @property
    def d(self) -> int | None:
        """Width of the residual stream it is for; None for any."""
        return None if self.factor is None else int(self.factor.shape[1])


Subject = Direction | Eraser | Latent | Noise | Site
"""What an operator works with. A bare site: with the activation itself."""

TAKES: dict[OperatorName, tuple[type, tuple[DoseUnit, ...]]] = {
    "add": (Direction, ("residual", "relative", "activation", "kl")),
    "replace": (Direction, ("residual", "relative", "activation")),
    "erase": (Eraser, ("share",)),
    "clamp": (Latent, ("activation",)),
    "amplify": (Site, ("residual", "relative", "activation", "kl")),
    "noise": (Noise, ("residual", "relative", "kl")),
}
"""Subject and dose units of every operator; `steer.operators` makes them happen."""


@dataclass(frozen=True)
class Intervention:
    """One edit of the residual stream x at the subject's site. `steer` makes it happen.

    With u the unit vector of a direction and a the dose in residual units (see `Dose`):

        add         x + a u
        replace     a u
        erase       x - share (x - center) right^T left
        clamp       x + (a - latent(x)) w_dec           whatever the dictionary does not explain stays as it is
        amplify     x + a x / |x|, or x + a x           dose in residual units, or in multiples of the activation
        noise       x + a g / |g|                       g drawn as `Noise` says

    Interventions of one row at one site that overlap and of which one reads what another writes need different
    `order`s: the lowest is first. Clamps of one dictionary with one scope and order happen at once, as additions do.
    """

    subject: Subject
    dose: Dose = Dose(1, "share")
    operator: OperatorName = "add"
    scope: Scope = EVERYWHERE
    """A text such as `generated` is read as `Scope.parse` does."""
    order: int = 0

    def __post_init__(self) -> None:
        """Refuse an operator that does not take this subject or dose."""
        object.__setattr__(self, "scope", Scope.of(self.scope))
        if self.operator not in TAKES:
            raise ConfigError(f"no operator {self.operator!r} for {self.name!r}; there are {', '.join(TAKES)}")
        kind, units = TAKES[self.operator]
        if not isinstance(self.subject, kind):
            fits = [name for name, (other, _) in TAKES.items() if isinstance(self.subject, other)]
            raise ConfigError(
                f"operator {self.operator!r} takes a {kind.__name__}, got {type(self.subject).__name__} {self.name!r}"
                + (f", which goes with {' and '.join(fits)}" if fits else "")
            )
        if self.dose.unit not in units:
            raise ConfigError(
                f"operator {self.operator!r} of {self.name!r} takes a dose in {' or '.join(units)}, "
                f"got {self.dose.value:g} in {self.dose.unit}"
            )

    @property
    def site(self) -> Site:
        """Where."""
        return self.subject if isinstance(self.subject, Site) else self.subject.site

    @property
    def name(self) -> str:
        """How errors and tables call what it works with."""
        return str(getattr(self.subject, "name", self.subject))

    def __str__(self) -> str:
        return f"{self.operator} {self.dose} of {self.name} at {self.site}, {self.scope}"
