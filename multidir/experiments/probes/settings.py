"""Settings of probes: what they learn, where, and how they are tried."""

from __future__ import annotations

from dataclasses import dataclass

from multidir.errors import ConfigError


@dataclass(frozen=True)
class Probes:
    """What probes learn, where, and how they are tried."""

    label: str = "backtracking"
    """The sentence that comes next."""
    annotator: str = ""
    """Whose labels; empty where the store has those of one annotator only."""
    category: str = ""
    """Only prompts of this category; empty: all."""
    site: str = "L10"
    """Where the table of kinds, baselines and controls is measured."""
    offset: int = -1
    """Token at which it is, counted from the sentence's first token (0)."""
    sites: tuple[str, ...] = ()
    """Sites of the grid; none given: all of the store."""
    offsets: tuple[int, ...] = tuple(range(-20, 1))
    """Offsets of the grid. All sentences have the tokens from the first to the last of them."""
    folds: int = 5
    """Parts into which prompts are split; every pair of parts is held out once, to tune on."""
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """C of logistic probes with L2, on standardised channels; larger is weaker."""
    lasso_penalties: tuple[float, ...] = (1e-2, 1e-1)
    """C of logistic probes with L1."""
    shrinkages: tuple[float, ...] = (0.03, 0.1, 0.3, 0.9)
    """Shrinkages of the covariance of LDA."""
    ks: tuple[int, ...] = (1, 4, 16, 64)
    """Latents of k-sparse probes."""
    sparse_penalty: float = 0.1
    """C of the probes on the chosen latents."""
    pool: int = 8
    """Tokens of the window that pooled probes look at, and that are split in the control for leaks."""
    pool_ridges: tuple[float, ...] = (3e-2, 1.0)
    """Ridges of pooled probes: how dear it is to depart from a linear probe of the last token."""
    shuffles: int = 3
    """How often labels are shuffled within traces."""
    false_alarms: tuple[float, ...] = (0.01, 0.05, 0.1)
    """Shares of other sentences that may give an alarm."""
    grid_draws: int = 300
    """Bootstrap resamples of prompts for the grid."""
    rule: str = ""
    """Rule of the tiny pair that permits a ceiling; only for its own traces."""

    def __post_init__(self) -> None:
        """Refuse settings that no probe can be fitted with."""
        lists = ("penalties", "lasso_penalties", "shrinkages", "ks", "pool_ridges", "offsets", "false_alarms")
        if empty := [name for name in lists if not getattr(self, name)]:
            raise ConfigError(f"--{' --'.join(name.replace('_', '-') for name in empty)} need a value at least")
        numbers = (*self.penalties, *self.lasso_penalties, self.sparse_penalty, *self.pool_ridges)
        if min(numbers) <= 0 or min(*self.ks, self.shuffles, self.pool) < 1 or self.folds < 3:
            raise ConfigError(
                f"--penalties {self.penalties}, --lasso-penalties {self.lasso_penalties} and --pool-ridges "
                f"{self.pool_ridges} are above 0, --ks {self.ks}, --shuffles {self.shuffles} and --pool {self.pool} at "
                f"least 1, and --folds {self.folds} at least 3"
            )
        if min(self.offsets) >= 0 or not all(0 < rate < 1 for rate in self.false_alarms):
            raise ConfigError(
                "what is known early takes an offset before the sentence and rates of false alarms between 0 and 1; "
                f"got --offsets {self.offsets} and --false-alarms {self.false_alarms}"
            )
