"""The rule for how two directions act together, frozen before the data are seen."""

from __future__ import annotations

from dataclasses import dataclass

from multidir.errors import ConfigError


@dataclass(frozen=True)
class CombinationRules:
    """Thresholds of the verdict on a pair. They are part of a run's hash: changing one makes another run."""

    inner_margin: float = 0.1
    """An interaction is claimed when its interval lies beyond this, in log-odds."""
    outer_margin: float = 0.3
    """Effects are accepted as adding when the 90 % interval of the interaction lies within this, in log-odds."""
    bliss_margin: float = 0.15
    """Hazards are accepted as adding (Bliss) when the 90 % interval of their log ratio lies within this."""
    alpha: float = 0.05
    """Family-wise error over all pairs (Holm)."""
    ladder_low: float = 0.8
    """A pair is dose-additive when the interval of its exponent 1/p lies above this..."""
    ladder_high: float = 1.2
    """... and below this."""
    flat_errors: float = 3.0
    """A ladder is flat, and gives no verdict, unless twice the dose does more by this many standard errors."""
    max_loop_difference: float = 0.01
    """Largest share by which a pair's rollouts may loop more than those of its singles."""
    least_coherent: float = 0.8
    """Least share of coherent rollouts in every cell of a pair."""
    min_random: int = 20
    """Random pairs without which `synergy` is not said."""
    null_quantile: float = 0.975
    """The interaction must lie beyond this quantile of random pairs."""
    max_cosine: float = 0.9
    """Two directions with a larger cosine are one direction."""
    check_alpha: float = 0.01
    """Error of rejecting dose additivity or separate causes, and of rejecting that no three directions interact."""

    def __post_init__(self) -> None:
        """Refuse margins and bounds that contradict each other."""
        if not 0 <= self.inner_margin < self.outer_margin:
            raise ConfigError(
                f"--inner-margin {self.inner_margin:g} must be at least 0, and below --outer-margin "
                f"{self.outer_margin:g}"
            )
        if not self.ladder_low < 1 < self.ladder_high:
            raise ConfigError(
                f"--ladder-low {self.ladder_low:g} and --ladder-high {self.ladder_high:g} must lie on both sides of 1"
            )
