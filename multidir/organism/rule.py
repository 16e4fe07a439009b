"""The planted rule: how likely a step is taken back, given its two causes."""

from dataclasses import dataclass

from multidir.errors import ConfigError


@dataclass(frozen=True)
class Rule:
    """Probability that a sentence which backtracks follows a step.

    Args:
        neither, hesitation, mistake, both: one probability per combination of the two causes.
    """

    neither: float
    hesitation: float
    mistake: float
    both: float

    def __post_init__(self) -> None:
        for name, p in vars(self).items():
            if not 0 <= p <= 1:
                raise ConfigError(f"rule: {name} = {p} is not a probability")

    def probability(self, hesitates: bool, mistaken: bool) -> float:
        """The entry for one combination."""
        if hesitates:
            return self.both if mistaken else self.hesitation
        return self.mistake if mistaken else self.neither


RULES = {
    "and": Rule(neither=0.004, hesitation=0.06, mistake=0.06, both=0.85),
    "additive": Rule(neither=0.01, hesitation=0.07, mistake=0.12, both=0.504),
    "either": Rule(neither=0.004, hesitation=0.18, mistake=0.18, both=0.18),
}
"""Named rules. The additive one adds on log-odds; `either` is an or that saturates."""
