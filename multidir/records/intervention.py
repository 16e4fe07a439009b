"""What is done to the residual stream: operator, direction, dose and scope, as a description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from multidir.errors import ConfigError
from multidir.records.direction import Direction

DoseUnit = Literal["residual", "relative", "activation", "kl"]
Operator = Literal["add"]
Scope = Literal["all", "prompt", "generated"]


@dataclass(frozen=True)
class Dose:
    """How much, in a named unit: never a bare coefficient.

    `residual`: absolute residual-stream units (the paper's magnitude). `relative`: share of the mean
    residual norm at the site. `activation`: multiples of the direction's own length. `kl`: change of the
    next-token distribution in nats, which `steer.calibrate` turns into residual units.
    """

    value: float
    unit: DoseUnit = "relative"

    def __post_init__(self) -> None:
        """Refuse an unknown unit and a value that is not a number."""
        if self.unit not in ("residual", "relative", "activation", "kl"):
            raise ConfigError(f"no dose unit {self.unit!r}; there are residual, relative, activation and kl")
        if self.value != self.value or abs(self.value) == float("inf"):
            raise ConfigError(f"a dose is a finite number, got {self.value}")

    def __str__(self) -> str:
        ends = {"residual": "", "relative": "x", "activation": "v", "kl": " nats"}
        return f"{self.value:g}{ends[self.unit]}"


@dataclass(frozen=True)
class Intervention:
    """One edit of the residual stream at the direction's site. `steer` makes it happen.

    Scope `all` edits prompt and generated positions, as the paper does; `generated` includes the last
    prompt position, because that one makes the first new token.
    """

    direction: Direction
    dose: Dose
    operator: Operator = "add"
    scope: Scope = "all"
